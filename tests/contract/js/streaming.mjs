import assert from "node:assert/strict";
import { once, EventEmitter } from "node:events";

import { newId, receive, scenario, send } from "./scenario.mjs";

/** Subscribes and collects until all ids have come; answers with what was seen. */
async function stream(receiver, ids, options, work = async () => {}) {
  const missing = new Set(ids);
  const seen = [];
  const events = new EventEmitter();
  const all = once(events, "all");
  const subscription = receiver.subscribe(
    {
      async processMessage(message) {
        await work(message);
        seen.push(message.messageId);
        if (missing.delete(message.messageId) && missing.size === 0) events.emit("all");
      },
      async processError({ error }) {
        events.emit("error", error);
      },
    },
    options,
  );
  await all;
  await subscription.close();
  return seen.filter((id) => ids.includes(id));
}

scenario("a subscriber gets every message once and completes them itself", async ({ client, queue }) => {
  const ids = await send(client, queue("javascript"), Array(30).fill("hello"));
  const receiver = client.createReceiver(queue("javascript"));
  assert.deepEqual(await stream(receiver, ids), ids);
  await receiver.close();
  const after = client.createReceiver(queue("javascript"));
  const left = await after.peekMessages(100);
  assert.deepEqual(left.filter((message) => ids.includes(message.messageId)), []);
});

scenario("a subscriber works on as many messages at once as it says", async ({ client, queue }) => {
  const ids = await send(client, queue("javascript"), Array(12).fill("hello"));
  let [running, most] = [0, 0];
  const gate = new EventEmitter().setMaxListeners(20);
  const seen = await stream(client.createReceiver(queue("javascript")), ids, { maxConcurrentCalls: 4 }, async () => {
    most = Math.max(most, ++running);
    if (running === 4) setImmediate(() => gate.emit("open"));
    else await once(gate, "open");
    running -= 1;
  });
  assert.equal(most, 4);
  assert.deepEqual(seen.sort(), ids.sort());
});

scenario("a subscriber that fails abandons its message and gets it again", async ({ client, queue }) => {
  const [id] = await send(client, queue("javascript"), ["hello"]);
  const receiver = client.createReceiver(queue("javascript"));
  const counts = await new Promise((resolve) => {
    const counts = [];
    const subscription = receiver.subscribe({
      async processMessage(message) {
        if (message.messageId !== id) return;
        counts.push(message.deliveryCount);
        if (counts.length < 3) throw new Error("not yet");
        setImmediate(() => subscription.close().then(() => resolve(counts)));
      },
      async processError() {},
    });
  });
  assert.deepEqual(counts, [0, 1, 2]);
});

scenario("a session's subscriber gets what is sent while it listens", async ({ client, queue }) => {
  const sessionId = newId();
  const receiver = await client.acceptSession(queue("javascript-sessions"), sessionId);
  const ids = Array.from({ length: 10 }, newId);
  const streaming = stream(receiver, ids);
  const sender = client.createSender(queue("javascript-sessions"));
  for (const messageId of ids) await sender.sendMessages({ body: "", messageId, sessionId });
  assert.deepEqual(await streaming, ids);
});

scenario("receiving more than there is drains the link and leaves later messages to others", async ({ client, queue }) => {
  const drained = client.createReceiver(queue("javascript"));
  const first = await send(client, queue("javascript"), ["first"]);
  const messages = await drained.receiveMessages(100, { maxWaitTimeInMs: 2_000 });
  await Promise.all(messages.map((message) => drained.completeMessage(message)));
  assert.ok(messages.some((message) => message.messageId === first[0]));

  const later = await send(client, queue("javascript"), ["later"]);
  const [message] = await receive(client.createReceiver(queue("javascript")), ...later);
  assert.equal(message.deliveryCount, 0);
  await drained.completeMessage(message);
});

scenario("an empty queue is drained until the wait is over", async ({ client, queue }) => {
  const receiver = client.createReceiver(queue("javascript"));
  let messages;
  do {
    messages = await receiver.receiveMessages(10, { maxWaitTimeInMs: 200 });
    await Promise.all(messages.map((message) => receiver.completeMessage(message)));
  } while (messages.length > 0);
});

scenario("messages are iterated over as they come", async ({ client, queue }) => {
  const ids = await send(client, queue("javascript"), ["one", "two", "three"]);
  const receiver = client.createReceiver(queue("javascript"));
  const seen = [];
  for await (const message of receiver.getMessageIterator()) {
    await receiver.completeMessage(message);
    if (ids.includes(message.messageId)) seen.push(message.messageId);
    if (seen.length === ids.length) break;
  }
  assert.deepEqual(seen, ids);
});

scenario("several senders and receivers share one connection", async ({ client, queue }) => {
  const receivers = Array.from({ length: 4 }, () => client.createReceiver(queue("javascript")));
  const senders = Array.from({ length: 3 }, () => client.createSender(queue("javascript")));
  const ids = Array.from({ length: 60 }, newId);
  const taken = [];
  const done = new EventEmitter();
  const all = once(done, "all");
  const subscriptions = receivers.map((receiver) =>
    receiver.subscribe({
      async processMessage({ messageId }) {
        if (ids.includes(messageId) && taken.push(messageId) === ids.length) done.emit("all");
      },
      async processError({ error }) {
        done.emit("error", error);
      },
    }),
  );
  await Promise.all(ids.map((messageId, at) => senders[at % senders.length].sendMessages({ body: at, messageId })));
  await all;
  await Promise.all(subscriptions.map((subscription) => subscription.close()));
  assert.deepEqual(taken.sort(), ids.sort());
});
