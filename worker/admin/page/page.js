// The page: listens to the worker, and shows what it says.

const LOST_MS = 3500;
const POLL_MS = 5000;
let patience = LOST_MS;
let heardAt = null;
let lastStatus = null;
const startedAt = performance.now();
const showRequests = chart(byId("requests-chart"), byId("requests-readout"), renderRequests, toldRequests);
const showLatency = chart(byId("latency-chart"), byId("latency-readout"), renderLatency, toldLatency);

// What an older or half-started worker leaves out.
function completed(document) {
  const history = { step_s: 5, until: document.at, outcomes: {}, p50_s: [], p99_s: [], ...document.history };
  return { reasons: [], flows: [], tokens: [], processes: [], steerable: false, ...document, history };
}

function take(message) {
  const status = completed(JSON.parse(message));
  [heardAt, lastStatus] = [performance.now(), status];
  const problems = problemsOf(status);
  showVerdict(verdictOf(status, problems));
  showProblems(problems, status);
  showFlows(status, problems);
  showHistory(status.history);
  showFacts(status);
  say(byId("version"), status.version ?? "");
  say(byId("contact"), `as of ${timeOfDay(status.at)}`);
}

function showVerdict({ level, headline, why, figures }) {
  const verdict = byId("verdict");
  if (verdict.dataset.level !== level || !byId("mark").firstChild) {
    verdict.dataset.level = level;
    byId("mark").replaceChildren(mark(level));
    byId("icon").href = iconOf(level);
  }
  say(byId("headline"), headline);
  // A number that ticks in a reason is nothing to announce.
  const steady = (text) => text.replaceAll(/\d+/g, "#");
  if (steady(byId("why").textContent) !== steady(why)) say(byId("why"), why);
  say(byId("figures"), figures);
  if (document.title !== `${headline} – flowbridge`) document.title = `${headline} – flowbridge`;
}

function iconOf(level) {
  const colour = { good: "#1a7f37", warn: "#b87400", bad: "#c4320a" }[level] ?? "#68737d";
  const svg = mark(level);
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  svg.setAttribute("fill", colour);
  for (const shape of svg.querySelectorAll(".cut, .line")) {
    for (const [name, value] of [["fill", "none"], ["stroke", shape.matches(".cut") ? "#fff" : colour], ["stroke-width", "2"]]) shape.setAttribute(name, value);
  }
  return `data:image/svg+xml,${encodeURIComponent(svg.outerHTML)}`;
}

function showProblems(problems, status) {
  byId("problems").hidden = problems.length === 0;
  const items = problems.map((problem) => ({ ...problem, error: status.flows.find((flow) => flow.name === problem.flow)?.errors?.[0], now: status.at }));
  keyed(byId("problem-list"), items, ({ level, phrase, text }) => `${level} ${phrase} ${phrase === "the worker isn’t ready" ? text : ""}`, problemItem);
}

function problemItem({ level, phrase, flow }) {
  const [text, last] = [make("span"), make("p", { class: "note" })];
  const title = make(flow === undefined ? "strong" : "a", flow === undefined ? {} : { href: "#flows-title" }, capitalised(phrase));
  title.addEventListener("click", (event) => {
    const row = byId("flows").known?.get(flow)?.element;
    if (row === undefined) return;
    event.preventDefault();
    byId("filter").value = "";
    filterFlows();
    row.scrollIntoView({ block: "center" });
    row.focus({ preventScroll: true });
  });
  const element = make("li", { "data-level": level }, mark(level), make("div", {}, make("p", {}, title, ": ", text), last));
  const update = ({ text: fresh, ticking, error, now }) => {
    say(text, ticking ? `${fresh}, ${ticking}` : fresh);
    last.hidden = error === undefined;
    if (error !== undefined) say(last, `Last error ${wholeSeconds(now - error.at)} ago: ${[inShort(error), error.detail].filter(Boolean).join(". ")}`);
  };
  return { element, update };
}

function showHistory(history) {
  const steps = Math.max(history.p50_s.length, ...Object.values(history.outcomes).map((numbers) => numbers.length)) || 60;
  const { outcomes, p50_s, p99_s, step_s, until } = history;
  showRequests({ outcomes, step_s, steps, until });
  showLatency({ p50_s, p99_s, step_s, steps, until });
  const names = outcomes.moved ? [...OUTCOMES, "moved"] : OUTCOMES;
  const totals = Object.fromEntries(names.map((name) => [name, sum(outcomes[name] ?? [])]));
  const rows = names.map((name) => ({ name, number: totals[name], all: endedOf(totals) }));
  keyed(byId("outcomes"), rows, ({ name }) => name, outcomeRow);
  if (byId("steps").open) showSteps(history, steps);
}

function outcomeRow({ name }) {
  const swatch = draw("svg", { class: "swatch", "aria-hidden": "true", viewBox: "0 0 10 10" }, draw("rect", { class: `outcome ${name}`, width: 10, height: 10, rx: 2 }));
  const [number, part] = [make("td", { class: "number" }), make("td", { class: "number" })];
  const element = make("tr", {}, make("th", { scope: "row" }, swatch, name), number, part);
  const update = ({ number: fresh, all }) => {
    element.classList.toggle("none", fresh === 0);
    say(number, count(fresh));
    say(part, OUTCOMES.includes(name) ? share(fresh, all) : NOTHING);
  };
  return { element, update };
}

function showSteps({ outcomes, p50_s, p99_s, step_s, until }, steps) {
  const names = OUTCOMES.filter((name) => outcomes[name]);
  byId("steps-head").replaceChildren(...["From", ...names, "p50", "p99"].map((title, index) => make("th", { scope: "col", class: index === 0 ? "" : "number" }, title)));
  const row = (index) => [
    make("th", { scope: "row" }, stepTime({ until, steps, step_s }, index)),
    ...names.map((name) => make("td", { class: "number" }, count(outcomes[name][index]))),
    ...[p50_s, p99_s].map((values) => make("td", { class: "number" }, duration(values[index]))),
  ];
  byId("steps-body").replaceChildren(...Array.from({ length: steps }, (_, ago) => make("tr", {}, ...row(steps - 1 - ago))));
}

function noticeSilence() {
  const silence = performance.now() - (heardAt ?? startedAt);
  if (silence < patience) return;
  const shown = lastStatus === null ? "" : `What is shown below is from ${timeOfDay(lastStatus.at)}.`;
  showVerdict({ level: "unknown", headline: "No contact with the worker", why: shown, figures: `since ${wholeSeconds(silence / 1000)}` });
  say(byId("contact"), "no contact");
}

function listen() {
  const source = new EventSource("events");
  source.addEventListener("message", (event) => {
    patience = LOST_MS;
    take(event.data);
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) askOnce(); // otherwise the browser tries again by itself
  });
}

// Where the worker has as many watchers as it takes.
async function askOnce() {
  setTimeout(listen, POLL_MS);
  const response = await fetch("status").catch(() => null);
  if (!response?.ok) return;
  patience = LOST_MS + POLL_MS;
  take(await response.text());
}

prepareSteering();
byId("filter").addEventListener("input", filterFlows);
byId("steps").addEventListener("toggle", () => lastStatus !== null && showHistory(lastStatus.history));
for (const kind of ["pointermove", "pointerdown", "keydown"])
  byId("flows").addEventListener(kind, () => (touchedAt = performance.now()), { passive: true });
byId("mark").append(mark("unknown"));
setInterval(noticeSilence, 1000);
listen();
