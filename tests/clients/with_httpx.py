"""A session with the API through httpx, over both versions of HTTP: with_httpx.py BASE-URL, the token in $TOKEN."""

import asyncio
import os
import sys

import httpx

BASE = sys.argv[1]
HEADERS = {"Authorization": f"Bearer {os.environ['TOKEN']}"}


def session(client: httpx.Client, version: str) -> None:
    answer = client.get("/health")
    assert (answer.status_code, answer.http_version) == (200, version), answer
    secrets = {f"KEY_{number}": "ä" * number for number in range(200)}
    pushed = client.post(
        "/v1/secrets/push", json={"repoFullName": "admin/httpx", "environment": "local", "secrets": secrets}
    )
    assert pushed.json()["data"]["success"] is True, pushed.text
    where = {"repo": "admin/httpx", "environment": "local", "format": "json"}
    pulled = client.get("/v1/secrets/pull", params=where)
    assert pulled.json()["data"]["secrets"] == secrets
    again = client.get("/v1/secrets/pull", params=where, headers={"If-None-Match": pulled.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    stale = client.post(
        "/v1/secrets/push",
        json={"repoFullName": "admin/httpx", "environment": "local", "secrets": {}},
        headers={"If-Match": '"another"'},
    )
    assert stale.status_code == 412, stale.text
    too_large = client.post("/v1/vaults", json={"repoFullName": "a/b", "padding": "x" * (2 << 20)})
    assert too_large.status_code == 413, too_large.text
    refused = client.get("/v1/vaults", headers={"Authorization": "Bearer nonsense"})
    assert refused.status_code == 401 and refused.headers["WWW-Authenticate"] == "Bearer"
    assert refused.headers["Content-Type"] == "application/problem+json"
    head = client.head("/v1/vaults")
    assert (head.status_code, head.content) == (200, b"") and int(head.headers["Content-Length"]) > 0
    parts = client.get("/v1/vaults/%61dmin/httpx")
    assert parts.json()["data"]["repoFullName"] == "admin/httpx", parts.text


async def many(version_2: bool) -> None:
    async with httpx.AsyncClient(base_url=BASE, headers=HEADERS, http1=not version_2, http2=version_2) as client:
        answers = await asyncio.gather(*(client.get("/v1/vaults") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 100


for version_2, version in [(False, "HTTP/1.1"), (True, "HTTP/2")]:
    with httpx.Client(base_url=BASE, headers=HEADERS, http1=not version_2, http2=version_2) as client:
        session(client, version)
    asyncio.run(many(version_2))
