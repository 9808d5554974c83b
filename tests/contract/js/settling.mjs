import assert from "node:assert/strict";

import { isKept, receive, scenario, send } from "./scenario.mjs";

scenario("a completed message is gone", async ({ client, queue }) => {
  const [id] = await send(client, queue("javascript"), ["hello"]);
  const receiver = client.createReceiver(queue("javascript"));
  const [message] = await receive(receiver, id);
  assert.equal(message.body, "hello");
  await receiver.completeMessage(message);
  assert.equal(await isKept(receiver, message.sequenceNumber), false);
});

scenario("a message received and deleted is gone at once", async ({ client, queue }) => {
  const receiver = client.createReceiver(queue("javascript"), { receiveMode: "receiveAndDelete" });
  const [id] = await send(client, queue("javascript"), ["hello"]);
  let message;
  do [message] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 10_000 });
  while (message.messageId !== id);
  assert.equal(await isKept(receiver, message.sequenceNumber), false);
});

scenario("an abandoned message comes again with its delivery counted and its changed properties", async ({ client, queue }) => {
  const [id] = await send(client, queue("javascript"), ["hello"], { applicationProperties: { own: "kept" } });
  const receiver = client.createReceiver(queue("javascript"));
  const [first] = await receive(receiver, id);
  await receiver.abandonMessage(first, { tried: 1 });
  const [second] = await receive(receiver, id);
  assert.deepEqual([first.deliveryCount, second.deliveryCount], [0, 1]);
  assert.deepEqual({ ...second.applicationProperties }, { own: "kept", tried: 1 });
  await receiver.completeMessage(second);
});

scenario("a deferred message is received by its sequence number", async ({ client, queue }) => {
  const [id] = await send(client, queue("javascript"), ["later"]);
  const receiver = client.createReceiver(queue("javascript"));
  const [message] = await receive(receiver, id);
  await receiver.deferMessage(message);
  const [deferred] = await receiver.receiveDeferredMessages(message.sequenceNumber);
  assert.deepEqual([deferred.messageId, deferred.state], [id, "deferred"]);
  await receiver.completeMessage(deferred);
  await assert.rejects(receiver.receiveDeferredMessages(message.sequenceNumber), { code: "MessageNotFound" });
});

scenario("a dead letter says why", async ({ client, queue }) => {
  const [id] = await send(client, queue("javascript"), [{ poison: true }]);
  const receiver = client.createReceiver(queue("javascript"));
  const [message] = await receive(receiver, id);
  await receiver.deadLetterMessage(message, {
    deadLetterReason: "Malformed",
    deadLetterErrorDescription: "no such table – é",
    seenBy: "worker",
  });
  const deadLetters = client.createReceiver(queue("javascript"), { subQueueType: "deadLetter" });
  const [dead] = await receive(deadLetters, id);
  assert.deepEqual(dead.body, { poison: true });
  assert.equal(dead.deadLetterReason, "Malformed");
  assert.equal(dead.deadLetterErrorDescription, "no such table – é");
  assert.equal(dead.applicationProperties.seenBy, "worker");
  await deadLetters.completeMessage(dead);
});

scenario("a renewed lock lasts longer", async ({ client, queue }) => {
  const [id] = await send(client, queue("javascript-brief-locks"), ["hello"]);
  const receiver = client.createReceiver(queue("javascript-brief-locks"), { maxAutoLockRenewalDurationInMs: 0 });
  const [message] = await receive(receiver, id);
  const first = message.lockedUntilUtc;
  do assert.ok((await receiver.renewMessageLock(message)) > first);
  while (Date.now() <= first.getTime());
  await receiver.completeMessage(message);
  assert.equal(await isKept(receiver, message.sequenceNumber), false);
});

scenario("an expired lock settles nothing, says the broker, and the message comes again", async ({ client, queue }) => {
  const [id] = await send(client, queue("javascript-brief-locks"), ["hello"]);
  const receiver = client.createReceiver(queue("javascript-brief-locks"), { maxAutoLockRenewalDurationInMs: 0 });
  const [first] = await receive(receiver, id);
  const [second] = await receive(receiver, id);
  assert.deepEqual([first.deliveryCount, second.deliveryCount], [0, 1]);
  await assert.rejects(receiver.completeMessage(first), { code: "MessageLockLost" });
  await assert.rejects(receiver.renewMessageLock(first), { code: "MessageLockLost" });
  await receiver.completeMessage(second);
});

scenario("a message is settled through another receiver after its own was closed", async ({ client, queue }) => {
  const [id] = await send(client, queue("javascript"), ["hello"]);
  const closing = client.createReceiver(queue("javascript"));
  const [message] = await receive(closing, id);
  await closing.close();
  const receiver = client.createReceiver(queue("javascript"));
  await receiver.completeMessage(message);
  assert.equal(await isKept(receiver, message.sequenceNumber), false);
});
