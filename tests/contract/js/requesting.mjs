import assert from "node:assert/strict";

import { newId, receive, scenario } from "./scenario.mjs";

scenario("a reply comes into the session its request named", async ({ client, queue }) => {
  const [requests, replies] = [queue("javascript-requests"), queue("javascript-replies")];
  const [messageId, replyToSessionId] = [newId(), newId()];
  const waiting = await client.acceptSession(replies, replyToSessionId);
  await client.createSender(requests).sendMessages({
    body: { ask: 1 },
    messageId,
    replyTo: replies,
    replyToSessionId,
  });

  const worker = client.createReceiver(requests);
  const [request] = await receive(worker, messageId);
  const reply = {
    body: { answer: 2 },
    messageId: `reply-${messageId}`,
    correlationId: request.messageId,
    sessionId: request.replyToSessionId,
  };
  const answers = client.createSender(request.replyTo);
  await answers.sendMessages(reply);
  await answers.sendMessages(reply); // as after a lost confirmation: dropped as a duplicate
  await worker.completeMessage(request);

  const [answer] = await waiting.receiveMessages(1, { maxWaitTimeInMs: 10_000 });
  assert.deepEqual([answer.correlationId, answer.body], [messageId, { answer: 2 }]);
  await waiting.completeMessage(answer);
  assert.deepEqual(await waiting.peekMessages(1), []);
});
