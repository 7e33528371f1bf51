// A session with the API through Node's fetch: with_fetch.mjs BASE-URL, the token in $TOKEN.
import assert from "node:assert/strict";

const base = process.argv[2];
const call = (path, { headers, ...rest } = {}) =>
  fetch(base + path, { headers: { Authorization: `Bearer ${process.env.TOKEN}`, ...headers }, ...rest });
const json = (method, body, headers) =>
  ({ method, body: JSON.stringify(body), headers: { "Content-Type": "application/json; charset=utf-8", ...headers } });

const healthy = await call("/health");
assert.equal(healthy.status, 200);
assert.equal((await healthy.json()).status, "healthy");

const secrets = { EMOJI: "🔑", QUOTE: "it's \"quoted\"", LINES: "a\nb" };
const pushed = await call("/v1/secrets/push", json("POST", { repoFullName: "admin/fetch", environment: "local", secrets }));
assert.equal(pushed.status, 200, await pushed.clone().text());

const where = new URLSearchParams({ repo: "admin/fetch", environment: "local", format: "json" });
const pulled = await call(`/v1/secrets/pull?${where}`);
assert.deepEqual((await pulled.json()).data.secrets, secrets);
const again = await call(`/v1/secrets/pull?${where}`, { headers: { "If-None-Match": pulled.headers.get("etag") } });
assert.equal(again.status, 304);

const made = await call("/v1/vaults/admin/fetch/secrets", json("POST", { key: "MORE", value: "", environment: "local" }));
assert.equal(made.status, 201);
const { id } = (await made.json()).data;
const shown = await call(`/v1/vaults/admin/fetch/secrets/${id}/value`);
assert.equal((await shown.json()).data.value, "");
const gone = await call(`/v1/vaults/admin/fetch/secrets/${id}`, { method: "DELETE" });
assert.equal(gone.status, 204);
assert.equal(await gone.text(), "");

// A body of unknown length.
const stream = new ReadableStream({
  start(controller) {
    controller.enqueue(new TextEncoder().encode('{"name":'));
    controller.enqueue(new TextEncoder().encode('"preview"}'));
    controller.close();
  },
});
const streamed = await call("/v1/vaults/admin/fetch/environments", {
  method: "POST", body: stream, duplex: "half", headers: { "Content-Type": "application/json" },
});
assert.equal(streamed.status, 201, await streamed.clone().text());

const wrong = await call("/v1/vaults/admin/fetch/environments", json("POST", { name: "No Good" }));
assert.equal(wrong.status, 400);
assert.equal(wrong.headers.get("content-type"), "application/problem+json");
assert.equal((await wrong.json()).errors[0].field, "name");

const many = await Promise.all(Array.from({ length: 100 }, () => call("/v1/vaults")));
assert.deepEqual([...new Set(many.map((answer) => answer.status))], [200]);
await Promise.all(many.map((answer) => answer.text()));
