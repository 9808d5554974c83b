// A caller of the bridge: sends one request, waits for the reply in its own session, prints one line of JSON:
//   {"requestId", "reply": null | {"outcome", "body", "contentType", "correlationId", "properties", "elapsedMs"}}
// Exits with 0 when a reply came, 1 when none came in time.
//
//   SERVICEBUS_CONNECTION_STRING='Endpoint=sb://…' node request.mjs --queue flow-requests --reply-queue flow-replies \
//     --flow credit-check --body '{"n": 1}' --timeout 10

import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";

import { ServiceBusClient } from "@azure/service-bus";

const graceS = 60; // the broker drops what is past its time to live; a late request is to reach the worker, which says so

const { values } = parseArgs({
  options: {
    queue: { type: "string", default: "flow-requests" },
    "reply-queue": { type: "string", default: "flow-replies" },
    body: { type: "string", default: "{}" },
    "content-type": { type: "string", default: "application/json" },
    flow: { type: "string" },
    timeout: { type: "string", default: "10" },
  },
});
const timeoutS = Number(values.timeout);

function requestFor(replyToSessionId) {
  return {
    body: Buffer.from(values.body),
    contentType: values["content-type"],
    messageId: randomUUID(),
    replyTo: values["reply-queue"],
    replyToSessionId,
    timeToLive: (timeoutS + graceS) * 1_000,
    applicationProperties: { "timeout-s": timeoutS, ...(values.flow && { flow: values.flow }) },
  };
}

async function replyTo(request, receiver) {
  const startedAt = Date.now();
  for (let leftMs; (leftMs = startedAt + timeoutS * 1_000 - Date.now()) > 0; ) {
    const [reply] = await receiver.receiveMessages(1, { maxWaitTimeInMs: leftMs });
    if (reply === undefined) continue;
    await receiver.completeMessage(reply);
    if (reply.correlationId !== request.messageId) continue;
    return {
      outcome: reply.applicationProperties?.outcome ?? null,
      body: reply._rawAmqpMessage.bodyType === "data" ? textOf(reply) : reply.body,
      contentType: reply.contentType,
      correlationId: reply.correlationId,
      properties: { ...reply.applicationProperties },
      elapsedMs: Date.now() - startedAt,
    };
  }
  return null;
}

/** The bytes as they came: the SDK parses what looks like JSON. */
function textOf(reply) {
  const { content } = reply._rawAmqpMessage.body;
  return Buffer.isBuffer(content) ? content.toString() : String(content);
}

const client = new ServiceBusClient(process.env.SERVICEBUS_CONNECTION_STRING);
try {
  const sessionId = randomUUID();
  const request = requestFor(sessionId);
  const receiver = await client.acceptSession(values["reply-queue"], sessionId);
  await client.createSender(values.queue).sendMessages(request);
  const reply = await replyTo(request, receiver);
  process.stdout.write(`${JSON.stringify({ requestId: request.messageId, reply })}\n`);
  process.exitCode = reply === null ? 1 : 0;
} finally {
  await client.close();
}
