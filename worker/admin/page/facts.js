// The worker itself, and its processes where it has several.

function showFacts(status) {
  keyed(byId("facts"), factsOf(status), ([name]) => name, factItem);
  byId("processes-section").hidden = status.processes.length === 0;
  keyed(byId("processes"), status.processes, (process) => process.process, processRow);
}

function factsOf(status) {
  const { pump, fleet, held } = status;
  if (status.kind === "door") {
    say(byId("worker-title"), "Door");
    return [
      ["Callers waiting", `${count(pump.in_flight)} of ${count(pump.slots)}`],
      ["Session for answers", pump.failure ?? (pump.lanes_receiving > 0 ? "open" : "connecting")],
      ["Answers held", `${count(held.requests)}, ${(held.bytes / 1e6).toFixed(1)} MB`],
      ["Event loop lag", duration(status.loop_lag_s)],
      ["Running for", wholeSeconds(status.uptime_s)],
    ];
  }
  return [
    ["Slots", `${count(pump.in_flight)} of ${count(pump.slots)} in use`],
    ["Intake", pump.is_stopping ? "draining, takes nothing new" : pump.is_paused ? "paused: no flow can be called" : "open"],
    ["Event loop lag", duration(status.loop_lag_s)],
    ["Fleet", fleet ? `${plural(fleet.workers, "worker", "workers")}${fleet.counted_by ? `, counted by ${fleet.counted_by}` : ""}` : NOTHING],
    ["Running for", typeof status.uptime_s === "number" ? wholeSeconds(status.uptime_s) : NOTHING],
    ["Connection", pump.failure ?? `${count(pump.lanes_receiving)} of ${plural(pump.lanes, "lane", "lanes")} receiving`],
    ...status.tokens.map((token) => [`Token for ${hostOf(token.scope)}`, tokenFact(token)]),
  ];
}

function hostOf(scope) {
  return URL.canParse(scope) ? new URL(scope).host : scope;
}

function tokenFact({ usable_s, failure }) {
  const left = usable_s ? `good for ${wholeSeconds(usable_s)}` : "none";
  return failure ? `${left}; ${failure}` : left;
}

function factItem([name]) {
  const value = make("dd");
  return { element: make("div", /^(Connection|Token)/.test(name) ? { class: "wide" } : {}, make("dt", {}, name), value), update: ([, text]) => say(value, text) };
}

function processRow({ process: number }) {
  const cell = (label, className = "number") => make("td", { role: "cell", class: className, "data-label": label });
  const cells = [cell("State", "state"), cell("PID"), cell("In flight"), cell("Free slots"), cell("Loop lag"), cell("Restarts")];
  const element = make("tr", { role: "row" }, make("th", { role: "rowheader", scope: "row" }, `Process ${number}`), ...cells);
  const update = ({ pid, restarts, status, ...process }) => {
    const state = stateOf({ pid, status, ...process });
    const texts = [state, pid === null ? NOTHING : String(pid), count(status?.pump.in_flight), count(status?.pump.slots_free), duration(status?.loop_lag_s), count(restarts)];
    set(element, "data-level", state === "receiving" ? "good" : "warn");
    cells.forEach((each, index) => say(each, texts[index]));
  };
  return { element, update };
}
