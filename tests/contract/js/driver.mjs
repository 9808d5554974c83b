// Plays scenarios: reads sentences from stdin, a line each, and writes a line of JSON for each: {"sentence", "error"}.

import { createInterface } from "node:readline";

import { play, scenarios } from "./scenario.mjs";
import "./requesting.mjs";
import "./sending.mjs";
import "./sessions.mjs";
import "./settling.mjs";
import "./streaming.mjs";

const { CONTRACT_CONNECTION_STRING: connectionString, CONTRACT_PREFIX: prefix } = process.env;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

say({ scenarios: [...scenarios.keys()] });
for await (const sentence of createInterface({ input: process.stdin })) {
  const error = await play(sentence, { connectionString, prefix }).then(
    () => null,
    (failure) => failure.stack ?? String(failure),
  );
  say({ sentence, error });
}
