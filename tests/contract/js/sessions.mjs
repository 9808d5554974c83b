import assert from "node:assert/strict";

import { connect, newId, receive, scenario, send } from "./scenario.mjs";

scenario("a session is accepted by name and its messages come in order and alone", async ({ client, queue }) => {
  const [sessionId, other] = [newId(), newId()];
  const ids = await send(client, queue("javascript-sessions"), ["one", "two", "three"], { sessionId });
  const [strange] = await send(client, queue("javascript-sessions"), ["other"], { sessionId: other });
  for (const [session, expected] of [[sessionId, ids], [other, [strange]]]) {
    const receiver = await client.acceptSession(queue("javascript-sessions"), session);
    assert.equal(receiver.sessionId, session);
    const messages = await receive(receiver, ...expected);
    assert.deepEqual(messages.map((message) => [message.messageId, message.sessionId]), expected.map((id) => [id, session]));
    await Promise.all(messages.map((message) => receiver.completeMessage(message)));
    assert.deepEqual(await receiver.peekMessages(1), []);
    await receiver.close();
  }
});

scenario("the next session is one with messages", async ({ client, queue }) => {
  const sessionId = newId();
  const [id] = await send(client, queue("javascript-next-sessions"), ["hello"], { sessionId });
  for (;;) {
    const receiver = await client.acceptNextSession(queue("javascript-next-sessions"));
    const messages = await receiver.receiveMessages(10, { maxWaitTimeInMs: 1_000 });
    await Promise.all(messages.map((message) => receiver.completeMessage(message)));
    await receiver.close();
    if (receiver.sessionId === sessionId) {
      assert.deepEqual(messages.map((message) => message.messageId), [id]);
      return;
    }
  }
});

scenario("waiting for a next session ends when none comes", async ({ connectionString, queue }) => {
  const impatient = connect(connectionString, 1_500);
  try {
    await assert.rejects(impatient.acceptNextSession(queue("no-sessions-waiting")), { code: "ServiceTimeout" });
  } finally {
    await impatient.close();
  }
});

scenario("a held session cannot be locked by another and is free once closed", async ({ client, queue }) => {
  const sessionId = newId();
  const holder = await client.acceptSession(queue("javascript-sessions"), sessionId);
  await assert.rejects(client.acceptSession(queue("javascript-sessions"), sessionId), { code: "SessionCannotBeLocked" });
  await holder.close();
  const heir = await client.acceptSession(queue("javascript-sessions"), sessionId);
  assert.equal(heir.sessionId, sessionId);
});

scenario("a session has a state and a lock that can be renewed", async ({ client, queue }) => {
  const receiver = await client.acceptSession(queue("javascript-sessions"), newId());
  assert.equal(await receiver.getSessionState(), null);
  await receiver.setSessionState({ step: 2 });
  assert.deepEqual(await receiver.getSessionState(), { step: 2 });
  await receiver.setSessionState(null);
  assert.equal(await receiver.getSessionState(), null);
  const first = receiver.sessionLockedUntilUtc;
  assert.ok(first > new Date());
  assert.ok((await receiver.renewSessionLock()) >= first);
});

scenario("messages of a session are settled in every way", async ({ client, queue }) => {
  const sessionId = newId();
  const ids = await send(client, queue("javascript-sessions"), ["abandon", "defer", "dead-letter"], { sessionId });
  const receiver = await client.acceptSession(queue("javascript-sessions"), sessionId);
  const [abandoned, deferred, poison] = await receive(receiver, ...ids);
  await receiver.abandonMessage(abandoned);
  await receiver.deferMessage(deferred);
  await receiver.deadLetterMessage(poison, { deadLetterReason: "Malformed" });

  const [again] = await receive(receiver, ids[0]);
  assert.equal(again.deliveryCount, 1);
  await receiver.completeMessage(again);
  const [later] = await receiver.receiveDeferredMessages(deferred.sequenceNumber);
  await receiver.completeMessage(later);
  const deadLetters = client.createReceiver(queue("javascript-sessions"), { subQueueType: "deadLetter" });
  const [dead] = await receive(deadLetters, ids[2]);
  assert.deepEqual([dead.sessionId, dead.deadLetterReason], [sessionId, "Malformed"]);
  await deadLetters.completeMessage(dead);
});

scenario("a message without a session is refused by a queue that keeps sessions", async ({ client, queue }) => {
  await assert.rejects(client.createSender(queue("javascript-sessions")).sendMessages({ body: "astray" }), /session/i);
});

scenario("several sessions are held on one connection", async ({ client, queue }) => {
  const sessions = Array.from({ length: 5 }, newId);
  const receivers = await Promise.all(sessions.map((id) => client.acceptSession(queue("javascript-sessions"), id)));
  const sender = client.createSender(queue("javascript-sessions"));
  for (const sessionId of sessions) await sender.sendMessages({ body: sessionId, messageId: newId(), sessionId });
  const received = await Promise.all(receivers.map((receiver) => receiver.receiveMessages(1, { maxWaitTimeInMs: 10_000 })));
  assert.deepEqual(received.map(([message]) => message.body), sessions);
  await Promise.all(receivers.map((receiver, at) => receiver.completeMessage(received[at][0])));
});
