#!/usr/bin/env python3
"""A forge with a name, for the tests of packaging: a DNS server at 127.0.0.1 that knows forge.example.org and
nothing else, and the web server of that name, which knows nobody. Writes a line for each call it gets.
  forge.py LOG
Needs root and port 53, so it belongs into a network namespace of the test's own."""

import http.server
import socket
import struct
import sys
import threading

NAME = b"\x05forge\x07example\x03org\x00"
ADDRESS = "127.0.0.7"


def dns():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    while True:
        query, client = server.recvfrom(512)
        end = query.index(b"\0", 12) + 1
        name, kind = query[12:end], struct.unpack(">H", query[end : end + 2])[0]
        known = name.lower() == NAME
        found = known and kind == 1
        # An answer; recursion available; NXDOMAIN for what is not known.
        head = query[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, int(found), 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(ADDRESS)
        server.sendto(head + query[12 : end + 4] + (record if found else b""), client)


class Forge(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(sys.argv[1], "a") as log:
            log.write(f"{self.headers['Host']} {self.path}\n")
        body = b'{"message": "Bad credentials"}'
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


web = http.server.ThreadingHTTPServer((ADDRESS, 80), Forge)
threading.Thread(target=dns, daemon=True).start()
open(sys.argv[1], "a").close()
web.serve_forever()
