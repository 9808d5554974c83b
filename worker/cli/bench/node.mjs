// The worker's job with the JavaScript SDK: subscribe with many calls at once, fetch, reply, complete.
// Its argument is the folder of @azure/service-bus.

import { createRequire } from "node:module";
import process from "node:process";

const { ServiceBusClient } = createRequire(import.meta.url)(process.argv[2]);
const {
  FLOWBRIDGE_BENCH_CONNECTION_STRING: connectionString,
  FLOWBRIDGE_BENCH_URL: url,
  FLOWBRIDGE_BENCH_IN_FLIGHT: inFlight,
} = process.env;

const client = new ServiceBusClient(connectionString);
const receiver = client.createReceiver("flow-requests", { skipParsingBodyAsJson: true });
const sender = client.createSender("flow-replies");

async function processMessage(message) {
  const response = await fetch(url, { method: "POST", body: message.body });
  const body = Buffer.from(await response.arrayBuffer());
  await sender.sendMessages({ body, sessionId: message.replyToSessionId, correlationId: message.messageId });
  await receiver.completeMessage(message);
}

async function processError({ error }) {
  console.error(error);
  process.exit(1);
}

receiver.subscribe(
  { processMessage, processError },
  { autoCompleteMessages: false, maxConcurrentCalls: Number(inFlight) },
);
