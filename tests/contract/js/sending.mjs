import assert from "node:assert/strict";
import { Buffer } from "node:buffer";

import { isKept, newId, receive, scenario, send } from "./scenario.mjs";

scenario("fields and properties of every type arrive as they are", async ({ client, queue }) => {
  const fields = {
    correlationId: "conversation",
    subject: "Update",
    contentType: "application/json",
    to: "somewhere",
    replyTo: "replies",
    replyToSessionId: "S1",
    partitionKey: "P",
    timeToLive: 90_000,
  };
  const applicationProperties = {
    text: "Zürich – 東京 😀",
    empty: "",
    int: 2 ** 31 - 1,
    long: 2 ** 40,
    negative: -5,
    float: 0.1,
    true: true,
    false: false,
    nothing: null,
  };
  const [id] = await send(client, queue("javascript"), [{ n: 1 }], { ...fields, applicationProperties });
  const receiver = client.createReceiver(queue("javascript"));
  const [message] = await receive(receiver, id);
  await receiver.completeMessage(message);
  for (const [name, value] of Object.entries(fields)) assert.equal(message[name], value, name);
  assert.deepEqual({ ...message.applicationProperties }, applicationProperties);
  assert.deepEqual(message.body, { n: 1 });
  assert.equal(message.expiresAtUtc.getTime() - message.enqueuedTimeUtc.getTime(), 90_000);
});

scenario("bodies of every kind arrive as they are", async ({ client, queue }) => {
  const messages = [
    { body: Buffer.from([0, 255, 1]), bodyType: "data" },
    { body: "text", bodyType: "value" },
    { body: 5, bodyType: "value" },
    { body: [1, "two"], bodyType: "sequence" },
  ];
  const ids = messages.map(newId);
  const sender = client.createSender(queue("javascript"));
  for (const [at, messageId] of ids.entries()) await sender.sendMessages({ ...messages[at], properties: { messageId } });
  const receiver = client.createReceiver(queue("javascript"));
  const received = await receive(receiver, ...ids);
  for (const [at, message] of received.entries()) {
    await receiver.completeMessage(message);
    assert.deepEqual(message.body, messages[at].body);
    assert.equal(message._rawAmqpMessage.bodyType, messages[at].bodyType);
  }
});

scenario("a batch arrives as single messages in order", async ({ client, queue }) => {
  const sender = client.createSender(queue("javascript"));
  const batch = await sender.createMessageBatch();
  const ids = Array.from({ length: 50 }, newId);
  for (const [number, messageId] of ids.entries()) {
    assert.ok(batch.tryAddMessage({ body: number, messageId, applicationProperties: { number } }));
  }
  await sender.sendMessages(batch);
  const receiver = client.createReceiver(queue("javascript"));
  const messages = await receive(receiver, ...ids);
  assert.deepEqual(messages.map((message) => message.messageId), ids);
  assert.deepEqual(messages.map((message) => message.applicationProperties.number), [...ids.keys()]);
  await Promise.all(messages.map((message) => receiver.completeMessage(message)));
});

scenario("a batch takes no more than the link allows and a larger message is refused", async ({ client, queue }) => {
  const sender = client.createSender(queue("javascript"));
  const batch = await sender.createMessageBatch();
  assert.equal(batch.tryAddMessage({ body: Buffer.alloc(batch.maxSizeInBytes + 1) }), false);
  await assert.rejects(sender.sendMessages({ body: Buffer.alloc(batch.maxSizeInBytes + 1) }), {
    code: "MessageSizeExceeded",
  });
});

scenario("a message of many frames arrives whole", async ({ client, queue }) => {
  const body = Buffer.from(Array.from({ length: 200_000 }, (_, at) => at % 251));
  const [id] = await send(client, queue("javascript"), [body]);
  const receiver = client.createReceiver(queue("javascript"));
  const [message] = await receive(receiver, id);
  assert.ok(body.equals(message.body));
  await receiver.completeMessage(message);
});

scenario("a scheduled message comes when its time has come", async ({ client, queue }) => {
  const sender = client.createSender(queue("javascript"));
  const [messageId, due] = [newId(), new Date(Date.now() + 500)];
  await sender.scheduleMessages({ body: "later", messageId }, due);
  const receiver = client.createReceiver(queue("javascript"));
  const [message] = await receive(receiver, messageId);
  assert.ok(message.enqueuedTimeUtc >= due);
  await receiver.completeMessage(message);
});

scenario("a cancelled message is gone", async ({ client, queue }) => {
  const sender = client.createSender(queue("javascript"));
  const receiver = client.createReceiver(queue("javascript"));
  const messages = ["one", "two"].map((body) => ({ body, messageId: newId() }));
  const numbers = await sender.scheduleMessages(messages, new Date(Date.now() + 60_000));
  const [seen] = await receiver.peekMessages(1, { fromSequenceNumber: numbers[0] });
  assert.deepEqual([seen.body, seen.state], ["one", "scheduled"]);
  await sender.cancelScheduledMessages(numbers);
  for (const number of numbers) assert.equal(await isKept(receiver, number), false);
});

scenario("peeking takes nothing and goes on where it stopped", async ({ client, queue }) => {
  const ids = await send(client, queue("javascript"), ["one", "two", "three"]);
  const receiver = client.createReceiver(queue("javascript"));
  const seen = [];
  for (let part; (part = await receiver.peekMessages(2)).length > 0; ) seen.push(...part.map((each) => each.messageId));
  assert.deepEqual(seen.filter((id) => ids.includes(id)), ids);
  const messages = await receive(receiver, ...ids);
  assert.deepEqual(messages.map((message) => message.deliveryCount), [0, 0, 0]);
  await Promise.all(messages.map((message) => receiver.completeMessage(message)));
});

scenario("an entity that is not there is not found", async ({ client }) => {
  const missing = `missing-${newId()}`;
  await assert.rejects(client.createSender(missing).sendMessages({ body: "" }), { code: "MessagingEntityNotFound" });
  await assert.rejects(client.createReceiver(missing).receiveMessages(1), { code: "MessagingEntityNotFound" });
});
