#!/usr/bin/env python3
"""Clients that push and pull without pause, each in a vault of its own, and know what was acknowledged to them.
  clients.py PORT TOKEN SECONDS [CLIENTS]"""

import http.client
import json
import sys
import threading
import time

port, token, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
count_of_clients = int(sys.argv[4]) if len(sys.argv) > 4 else 20
end, times, failures = time.monotonic() + seconds, [], []

def client(number):
    repo = f"admin/small-{number}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    def ask(method, path, body=None):
        begun = time.monotonic()
        connection.request(method, path, json.dumps(body) if body else None,
                           {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        times.append(time.monotonic() - begun)
        if answer.status >= 300:
            failures.append((answer.status, text[:200]))
        return text
    try:
        ask("POST", "/v1/vaults", {"repoFullName": repo})
        count = 0
        while time.monotonic() < end:
            count += 1
            secrets = {f"KEY{n}": f"{count}-{'v' * 500}" for n in range(50)}
            ask("POST", "/v1/secrets/push", {"repoFullName": repo, "environment": "staging", "secrets": secrets})
            content = json.loads(ask("GET", f"/v1/secrets/pull?repo={repo}&environment=staging"))["data"]["content"]
            if f"KEY0={count}-" not in content:
                failures.append(("lost", repo, count))
    except Exception as error:
        failures.append(repr(error))

clients = [threading.Thread(target=client, args=(number,)) for number in range(count_of_clients)]
[thread.start() for thread in clients]
[thread.join() for thread in clients]
times.sort()
print(f"{len(times)} requests in {seconds:.0f} s, median {times[len(times) // 2] * 1000:.0f} ms, "
      f"99 % below {times[len(times) * 99 // 100] * 1000:.0f} ms, {len(failures)} failures")
sys.exit(f"failures: {failures[:3]}" if failures else 0)
