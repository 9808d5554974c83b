// What the document means: which problems there are, and in one sentence whether it works.

const OUTCOMES = ["answered", "refused", "unavailable", "indeterminate", "expired", "rejected"];
const LEAST_FAILURES = 3; // fewer are not yet a pattern
const FAILING_SHARE = 0.1;
const REFUSING_SHARE = 0.5;
const TOKEN_SHORT_S = 300;
const LAG_NOTED_S = 0.5;
const SILENT_S = 5;
const STEPS_PER_MINUTE = 12;

// Requests that ended, of counts by outcome. What was moved to a copy is counted there, when that has ended.
const endedOf = (outcomes) => sum(OUTCOMES.map((name) => outcomes[name] ?? 0));
const isBad = (problem) => problem.level === "bad";

// {level, phrase, text, ticking?, flow?}: the phrase completes "Working, but …"; only `ticking` changes each second.
function troubleOf(flow) {
  const trouble = (level, what, text, ticking) => ({ level, phrase: `flow ${flow.name} ${what}`, text, ticking, flow: flow.name });
  switch (flow.circuit) {
    case "isolated":
      return trouble("bad", "is isolated", "its circuit was opened by hand, and nothing is called until it is reset");
    case "open":
      return trouble("bad", "is failing", "circuit open", triesAgain(flow));
    case "half-open":
      return trouble("warn", "is being tried again", "circuit half-open: the next calls decide");
  }
  const of = (name) => flow.outcomes?.[name] ?? 0;
  const [ended, failed] = [endedOf(flow.outcomes ?? {}), of("unavailable") + of("indeterminate") + of("expired")];
  if (failed >= LEAST_FAILURES && failed >= FAILING_SHARE * ended)
    return trouble("warn", "has failures", `${count(failed)} of ${plural(ended, "request", "requests")} in the last 5 minutes`);
  if (of("refused") >= LEAST_FAILURES && of("refused") >= REFUSING_SHARE * ended)
    return trouble("warn", "refuses most requests", `${count(of("refused"))} of ${count(ended)} in the last 5 minutes`);
  if (flow.waiting > 0 && flow.limit <= flow.most / 2)
    return trouble("warn", "is held back", `${count(flow.limit)} of ${count(flow.most)} calls at once, as it throttles or slows down; ${count(flow.waiting)} waiting`);
  return null;
}

function triesAgain(flow) {
  return typeof flow.reopens_in_s === "number" ? `tries again in ${wholeSeconds(flow.reopens_in_s)}` : "tries again soon";
}

function stateOf(process) {
  if (process.pid === null)
    return process.starts_in_s === null ? "not running" : `not running, starts again in ${wholeSeconds(process.starts_in_s)}`;
  if (process.status === null) return "starting";
  if (process.silent_s > SILENT_S) return `silent since ${wholeSeconds(process.silent_s)}`;
  if (process.status.pump?.is_stopping) return "draining";
  return process.status.ready ? "receiving" : process.status.reasons.join("; ");
}

// Worst first, then flows by name, then what concerns the worker.
function problemsOf(status) {
  const { pump } = status;
  const flows = [...status.flows].sort((one, other) => one.name.localeCompare(other.name)).map(troubleOf);
  const warn = (phrase, text) => ({ level: "warn", phrase, text });
  const worker = [
    ...status.reasons.slice(1).map((reason) => ({ level: "bad", phrase: "the worker isn’t ready", text: reason })),
    status.ready && pump.failure && warn("a connection is in trouble", pump.failure),
    status.ready && pump.in_flight >= pump.slots && warn("all slots are taken", `${count(pump.slots)} requests are in hand; others wait in the queue`),
    status.fleet?.failure && warn("the fleet can’t be counted", `${status.fleet.failure}; taken to be ${plural(status.fleet.workers, "worker", "workers")}`),
    status.loop_lag_s > LAG_NOTED_S && warn("the event loop is held up", `${duration(status.loop_lag_s)}; it needs more CPU, or less concurrency`),
    ...status.tokens.map((token) => tokenTrouble(token, status)),
    ...status.processes.map((process) => processTrouble(process, status)),
  ];
  const all = [...flows, ...worker].filter(Boolean);
  return [...all.filter(isBad), ...all.filter((problem) => !isBad(problem))];
}

function tokenTrouble(token, { ready, reasons }) {
  const isShort = token.usable_s === null || token.usable_s < TOKEN_SHORT_S;
  const isSaid = token.failure && reasons.some((reason) => reason.includes(token.failure));
  if (isSaid || (!token.failure && !(isShort && ready))) return null;
  const left = token.usable_s ? `good for another ${wholeSeconds(token.usable_s)}` : "there is none";
  return { level: "warn", phrase: "a token can’t be renewed", text: `${token.scope}: ${left}${token.failure ? `; ${token.failure}` : ""}` };
}

function processTrouble(process, status) {
  const state = stateOf(process);
  if (state === "receiving" || state === "draining" || !status.ready) return null;
  const phrase = `process ${process.process} ${process.pid === null ? "isn’t running" : "isn’t receiving"}`;
  if (process.pid !== null) return { level: "warn", phrase, text: state };
  const ticking = process.starts_in_s === null ? undefined : `starts again in ${wholeSeconds(process.starts_in_s)}`;
  return { level: "warn", phrase, text: `${plural(process.restarts, "restart", "restarts")} until now`, ticking };
}

// {level, headline, why, figures}: headline and why are announced when they change, figures never.
function verdictOf(status, problems) {
  const { pump } = status;
  const inFlight = `${count(pump.in_flight)} in flight`;
  if (pump.is_stopping || status.reasons[0]?.startsWith("draining")) return { level: "calm", headline: "Draining", why: "The worker finishes what it has and takes nothing new.", figures: inFlight };
  if (!status.ready) return { ...unready(status.reasons[0] ?? ""), figures: inFlight };
  if (pump.is_paused)
    return { level: "bad", headline: "Waiting: no flow can be called", why: "Requests stay in the queue, untouched.", figures: inFlight };
  const figures = [pace(status.history), inFlight];
  if (problems.length === 0) {
    const flows = status.flows.length === 1 ? `flow ${status.flows[0].name} is fine` : `all ${status.flows.length} flows are fine`;
    return { level: "good", headline: `Working, ${flows}`, why: "", figures: figures.join(" · ") };
  }
  if (problems[0].ticking) figures.unshift(problems[0].ticking);
  return { level: problems[0].level, ...spoken(status, problems), figures: figures.join(" · ") };
}

function unready(reason) {
  const [, rest] = reason.match(/^not receiving: (.*)$/s) ?? [];
  return { level: "bad", headline: rest ? "Not receiving" : "Not ready", why: sentence(rest ?? reason) };
}

function spoken(status, problems) {
  const down = problems.filter((problem) => problem.flow !== undefined && isBad(problem));
  const works = down.length === status.flows.length ? "Receiving" : "Working";
  const [first, ...others] = problems;
  const also = others.length === 0 ? "" : ` Also: ${enumerated(others.map((problem) => problem.phrase), 3)}.`;
  return { headline: `${works}, but ${first.phrase}`, why: `${sentence(first.text)}${also}` };
}

function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function sentence(text) {
  return capitalised(text) + (/[.!?…]$/.test(text) ? "" : ".");
}

function pace({ outcomes }) {
  const steps = OUTCOMES.map((name) => outcomes[name] ?? []);
  const lastMinute = sum(steps.map((numbers) => sum(numbers.slice(-STEPS_PER_MINUTE))));
  if (lastMinute > 0) return `${plural(lastMinute, "request", "requests")} in the last minute`;
  return sum(steps.map(sum)) > 0 ? "no request in the last minute" : "no request in the last 5 minutes";
}
