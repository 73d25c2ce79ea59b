// A server on the loopback answers as each test says; the outbox sends to it as it does to the service.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, beforeEach, test } from "node:test";
import "./page.js";
import { Outbox } from "../../../feedback/static/feedback/outbox.js";

let server;
let address;
let answers; // the replies to come, [status, body]; the last one stays
let received;

before(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      received.push({ path: request.url, key: request.headers["idempotency-key"], body: JSON.parse(body) });
      const [status, reply] = answers.length > 1 ? answers.shift() : answers[0];
      response.writeHead(status, { "Content-Type": "application/json", Connection: "close" });
      response.end(JSON.stringify(reply));
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  address = `http://127.0.0.1:${server.address().port}`;
});
after(() => server.close());

beforeEach(() => {
  localStorage.clear();
  received = [];
  answers = [[200, { ok: true }]];
});

/** An outbox that records what it reports; `settled` waits until it has no more to send at this moment. */
function open(name = "ada") {
  const reports = { sent: [], refused: [] };
  const outbox = new Outbox(name, () => ({ showing: "t-9", have: ["t-10"] }), {
    sent: (item, reply) => reports.sent.push([item.body.n, reply]),
    refused: (item, error) => reports.refused.push([item.body.n, error.code]),
    changed: () => {},
  });
  const settled = async () => {
    while (outbox.flushing) await new Promise((done) => setTimeout(done, 5));
    clearTimeout(outbox.timer);
  };
  return { outbox, reports, settled };
}

const item = (n) => ({ path: `${address}/submit/${n}`, body: { n } });

test("items arrive in order, each under its own key, with what the page shows", async () => {
  const { outbox, reports, settled } = open();
  outbox.add(item(1));
  outbox.add(item(2));
  await settled();
  assert.deepEqual(
    received.map(({ path }) => path),
    ["/submit/1", "/submit/2"],
  );
  assert.deepEqual(received[0].body, { n: 1, showing: "t-9", have: ["t-10"] });
  assert.notEqual(received[0].key, received[1].key);
  assert.deepEqual(
    reports.sent.map(([n]) => n),
    [1, 2],
  );
  assert.deepEqual(outbox.items, []);
});

test("a server error keeps the item, and the next attempt sends it under the same key", async () => {
  answers = [
    [503, { code: "busy", sentence: "Try again." }],
    [200, { ok: true }],
  ];
  const { outbox, reports, settled } = open();
  outbox.add(item(1));
  await settled();
  assert.equal(outbox.items.length, 1);
  assert.equal(outbox.trouble.status, 503);
  await outbox.flush();
  assert.deepEqual(outbox.items, []);
  assert.equal(received.length, 2);
  assert.equal(received[0].key, received[1].key);
  assert.deepEqual(reports.refused, []);
});

test("a refusal is reported once, and later items still arrive", async () => {
  answers = [
    [422, { code: "invalid", sentence: "No." }],
    [200, { ok: true }],
  ];
  const { outbox, reports, settled } = open();
  outbox.add(item(1));
  outbox.add(item(2));
  await settled();
  assert.deepEqual(reports.refused, [[1, "invalid"]]);
  assert.deepEqual(
    reports.sent.map(([n]) => n),
    [2],
  );
});

test("an unreachable server loses nothing", async () => {
  const { outbox, settled } = open();
  outbox.add({ path: "http://127.0.0.1:9/submit", body: { n: 1 } });
  await settled();
  assert.equal(outbox.trouble.code, "offline");
  assert.equal(outbox.items.length, 1);
});

test("what was not sent is there for the next page, and only for its person", async () => {
  answers = [[500, {}]];
  const { outbox, settled } = open("ada");
  const key = outbox.add(item(1));
  await settled();
  assert.deepEqual(
    open("ada").outbox.items.map((one) => one.key),
    [key],
  );
  assert.deepEqual(open("ben").outbox.items, []);
});

test("an item can be taken back until it is on its way", async () => {
  answers = [[500, {}]];
  const { outbox, settled } = open();
  const key = outbox.add(item(1));
  assert.equal(outbox.remove(key), false);
  await settled();
  assert.equal(outbox.remove(key), true);
  assert.deepEqual(outbox.items, []);
});

test("a storage that refuses is no reason to lose an answer", async () => {
  const refuse = () => {
    throw new Error("QuotaExceededError");
  };
  const { outbox, reports, settled } = open();
  const original = window.Storage.prototype.setItem;
  window.Storage.prototype.setItem = refuse;
  try {
    outbox.add(item(1));
    await settled();
  } finally {
    window.Storage.prototype.setItem = original;
  }
  assert.equal(reports.sent.length, 1);
});
