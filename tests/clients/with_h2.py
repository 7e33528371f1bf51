"""HTTP/2 to the letter: with_h2.py HOST PORT, the token in $TOKEN.

The h2 library checks every frame and every header that comes in against RFC 9113 and raises on the first fault, which
browsers and proxies let pass. On one connection: many streams at once, a body that has to wait for flow control,
streams that are given up, and a header block that is too large.
"""

import os
import socket
import sys

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

HOST, PORT = sys.argv[1], int(sys.argv[2])
AUTHORITY = f"{HOST}:{PORT}"


class Connection:
    def __init__(self) -> None:
        self.socket = socket.create_connection((HOST, PORT), timeout=60)
        config = h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_inbound_headers=True, normalize_inbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.heads: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def ask(self, method: str, path: str, body: bytes | None = None, more: list[tuple[str, str]] | None = None) -> int:
        stream = self.h2.get_next_available_stream_id()
        head = [
            (":method", method),
            (":scheme", "http"),
            (":authority", AUTHORITY),
            (":path", path),
            ("authorization", f"Bearer {os.environ['TOKEN']}"),
        ] + (more or [])
        if body is not None:
            head += [("content-type", "application/json"), ("content-length", str(len(body)))]
        self.h2.send_headers(stream, head, end_stream=body is None)
        while body:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
            if room == 0:
                self.flush()
                self.receive()
                continue
            part, body = body[:room], body[room:]
            self.h2.send_data(stream, part, end_stream=not body)
        self.flush()
        return stream

    def receive(self) -> None:
        data = self.socket.recv(65536)
        assert data, "the server closed the connection"
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.ResponseReceived():
                    self.heads[event.stream_id] = dict(event.headers)
                case h2.events.DataReceived():
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.ended.add(event.stream_id)
                case h2.events.StreamReset():
                    self.resets[event.stream_id] = event.error_code
                    self.ended.add(event.stream_id)
                case h2.events.ConnectionTerminated():
                    raise AssertionError(f"the server ended the connection: {event.error_code}")
        self.flush()

    def answer(self, stream: int) -> tuple[int, dict[str, str], bytes]:
        while stream not in self.ended:
            self.receive()
        assert stream not in self.resets, f"reset: {self.resets[stream]}"
        head = self.heads[stream]
        return int(head[":status"]), head, self.bodies.get(stream, b"")


connection = Connection()
status, head, body = connection.answer(connection.ask("GET", "/health"))
assert status == 200 and int(head["content-length"]) == len(body)
for forbidden in ("connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection"):
    assert forbidden not in head, head

streams = [connection.ask("GET", "/v1/vaults") for _ in range(64)]
assert {connection.answer(stream)[0] for stream in streams} == {200}

secrets = ",".join(f'"KEY_{number}":"{"x" * 4000}"' for number in range(200))
push = f'{{"repoFullName":"admin/h2","environment":"local","secrets":{{{secrets}}}}}'.encode()
status, _, body = connection.answer(connection.ask("POST", "/v1/secrets/push", push))
assert status == 200, body
status, _, body = connection.answer(connection.ask("GET", "/v1/secrets/pull?repo=admin/h2&environment=local"))
assert status == 200 and len(body) > 800_000

status, head, body = connection.answer(connection.ask("HEAD", "/v1/vaults"))
assert (status, body) == (200, b"") and int(head["content-length"]) > 0
status, head, _ = connection.answer(connection.ask("GET", "/v1/nothing"))
assert (status, head["content-type"]) == (404, "application/problem+json")
status, head, _ = connection.answer(connection.ask("DELETE", "/v1/vaults"))
assert status == 405 and "GET" in head["allow"]

for _ in range(20):
    stream = connection.ask("GET", "/v1/vaults")
    connection.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
connection.flush()
connection.h2.ping(b"are you?")
connection.flush()
assert connection.answer(connection.ask("GET", "/health"))[0] == 200

# Spelt out: the library packs letters in a time that grows with the square of their number, a minute for these.
pack = connection.h2.encoder.encode
connection.h2.encoder.encode = lambda headers: pack(headers, huffman=False)
try:
    status = connection.answer(connection.ask("GET", "/health", more=[("x-long", "y" * (1 << 20))]))[0]
    assert status in (400, 431), status
except AssertionError as refusal:
    # Refusing the stream, or the connection, is as good.
    assert "reset" in str(refusal) or "ended the connection" in str(refusal), refusal
assert Connection() is not None
