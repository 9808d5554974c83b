// What all scenarios share: their register, a client of their own, and receiving their own messages among others'.

import { randomUUID } from "node:crypto";

import { ServiceBusClient } from "@azure/service-bus";

const patienceMs = 30_000;

/** Sentence → scenario. */
export const scenarios = new Map();

/** `sentence` stands on the line of the call: pytest reads the names from the text. */
export function scenario(sentence, run) {
  scenarios.set(sentence, run);
}

/** Runs one on a connection of its own. */
export async function play(sentence, { connectionString, prefix }) {
  const run = scenarios.get(sentence);
  if (run === undefined) throw new Error(`no scenario is called ${sentence}`);
  const client = connect(connectionString);
  try {
    await run({ client, connectionString, queue: (name) => prefix + name });
  } finally {
    await client.close();
  }
}

/** No retries, so that a refusal is heard at once. With CONTRACT_WEBSOCKETS in web sockets, which the SDK secures always. */
export function connect(connectionString, timeoutInMs = 20_000) {
  const webSocketOptions = process.env.CONTRACT_WEBSOCKETS ? { webSocket: globalThis.WebSocket } : undefined;
  return new ServiceBusClient(connectionString, { retryOptions: { maxRetries: 0, timeoutInMs }, webSocketOptions });
}

export const newId = () => randomUUID();

/** Sends one message for each body; answers with their ids. */
export async function send(client, queue, bodies, fields = {}) {
  const messages = bodies.map((body) => ({ body, messageId: newId(), ...fields }));
  const sender = client.createSender(queue);
  await sender.sendMessages(messages);
  await sender.close();
  return messages.map((message) => message.messageId);
}

/** The messages with these ids, as they come; others, left over from a failed run, are completed. */
export async function receive(receiver, ...ids) {
  const missing = new Set(ids);
  const found = [];
  const giveUpAt = Date.now() + patienceMs;
  while (missing.size > 0) {
    for (const message of await receiver.receiveMessages(missing.size, { maxWaitTimeInMs: 1_000 })) {
      if (missing.delete(message.messageId)) found.push(message);
      else await receiver.completeMessage(message);
    }
    if (Date.now() > giveUpAt) throw new Error(`${[...missing]} did not come to ${receiver.entityPath}`);
  }
  return found;
}

/** Whether the entity still has the message, locked, deferred and scheduled ones too. */
export async function isKept(receiver, sequenceNumber) {
  const [message] = await receiver.peekMessages(1, { fromSequenceNumber: sequenceNumber });
  return message !== undefined && message.sequenceNumber.equals(sequenceNumber);
}
