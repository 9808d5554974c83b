// The table of flows: those with problems first, then by name.

const HOLD_MS = 5000; // rows don't move under a pointer or a finger
let touchedAt = -Infinity;
let flowCount = 0;

function showFlows(status, problems) {
  const table = byId("flows");
  const rank = new Map(problems.map((problem, index) => [problem.flow, index]));
  const rankOf = (flow) => rank.get(flow.name) ?? Infinity;
  const ordered = [...status.flows].sort((one, other) => {
    const [first, second] = [rankOf(one), rankOf(other)];
    return first === second ? one.name.localeCompare(other.name) : first - second;
  });
  const keepsOrder = performance.now() - touchedAt < HOLD_MS || table.contains(document.activeElement);
  const items = ordered.map((flow) => ({ flow, now: status.at, isSteerable: status.steerable }));
  keyed(table, items, ({ flow }) => flow.name, flowRows, { after: table.tHead, keepsOrder });
  table.classList.toggle("steerable", status.steerable);
  table.classList.toggle("of-door", status.kind === "door"); // which knows nothing of circuits
  byId("filter-label").hidden = items.length <= 8;
  filterFlows();
}

function filterFlows() {
  const wanted = byId("filter").value.trim().toLowerCase();
  const known = byId("flows").known ?? new Map();
  let shown = 0;
  for (const [name, { element }] of known) {
    element.hidden = !name.toLowerCase().includes(wanted);
    shown += element.hidden ? 0 : 1;
  }
  byId("no-flows").hidden = shown > 0;
}

function flowRows({ flow }) {
  flowCount += 1;
  const cell = (label, className = "number") => make("td", { role: "cell", class: className, "data-label": label });
  const cells = {
    circuit: cell("Circuit", "circuit"),
    inFlight: cell("In flight"),
    waiting: cell("Waiting"),
    slots: cell("Slots"),
    limit: cell("Call limit"),
    outcomes: cell("Last 5 minutes", "mixture"),
    p50: cell("p50"),
    p99: cell("p99"),
    steering: cell("", "steering"),
  };
  const name = make("th", { role: "rowheader", scope: "row" }, make("bdi", {}, flow.name));
  const body = make("tbody", { role: "rowgroup", id: `flow-${flowCount}`, tabindex: "-1" }, make("tr", { role: "row" }, name, ...Object.values(cells)));
  const [circuit, outcomes] = [circuitCell(cells.circuit), mixtureCell(cells.outcomes)];
  const [steering, errors] = [steeringCell(cells.steering, flow.name), errorsRow(body)];
  const update = ({ flow: fresh, now, isSteerable }) => {
    const trouble = troubleOf(fresh);
    set(body, "data-level", trouble === null ? "good" : trouble.level);
    if (fresh.circuit !== undefined) {
      circuit(fresh);
      say(cells.inFlight, count(fresh.in_flight));
      say(cells.waiting, count(fresh.waiting));
      say(cells.slots, count(fresh.held));
      say(cells.limit, `${count(fresh.limit)} of ${count(fresh.most)}${fresh.rate_per_s > 0 ? `, ${count(fresh.rate_per_s)}/s` : ""}`);
    }
    outcomes(fresh.outcomes ?? {});
    say(cells.p50, duration(fresh.p50_s));
    say(cells.p99, duration(fresh.p99_s));
    steering(fresh.circuit, isSteerable);
    errors(fresh.errors ?? [], now);
  };
  return { element: body, update };
}

function circuitCell(cell) {
  const [shape, words] = [make("span", { class: "shape" }), make("span")];
  cell.append(shape, words);
  let shown = null;
  return (flow) => {
    if (shown !== flow.circuit) {
      shape.replaceChildren(mark(flow.circuit));
      set(cell, "data-circuit", flow.circuit);
      shown = flow.circuit;
    }
    const isCounting = flow.circuit === "open" && typeof flow.reopens_in_s === "number";
    say(words, `${flow.circuit}${isCounting ? `, ${wholeSeconds(flow.reopens_in_s)}` : ""}`);
  };
}

// A bar of shares, and the two numbers that matter in words.
function mixtureCell(cell) {
  const [bar, words] = [draw("svg", { class: "bar", "aria-hidden": "true" }), make("span")];
  cell.append(words, bar);
  let shown = "";
  return (outcomes) => {
    const key = JSON.stringify(outcomes);
    if (key === shown) return;
    shown = key;
    const all = endedOf(outcomes);
    const moved = outcomes.moved ? `, ${count(outcomes.moved)} moved` : "";
    say(words, all === 0 ? `no request${moved}` : `${share(outcomes.answered ?? 0, all)} of ${count(all)} answered${moved}`);
    bar.replaceChildren();
    let left = 0;
    for (const name of OUTCOMES) {
      const width = all === 0 ? 0 : (100 * (outcomes[name] ?? 0)) / all;
      if (width > 0) bar.append(draw("rect", { class: `outcome ${name}`, x: `${left}%`, width: `${width}%`, height: "100%" }));
      left += width;
    }
  };
}

function steeringCell(cell, name) {
  const button = make("button", { type: "button" });
  let action = "isolate";
  button.addEventListener("click", () => askToSteer(name, action));
  return (circuit, isSteerable) => {
    if (button.isConnected !== isSteerable) isSteerable ? cell.append(button) : button.remove();
    action = circuit === "closed" ? "isolate" : "reset";
    say(button, action === "isolate" ? "Isolate" : "Reset");
    set(button, "aria-label", `${action === "isolate" ? "Isolate" : "Reset"} flow ${name}`);
  };
}

// A second row, only where there are errors.
function errorsRow(body) {
  const [summary, list] = [make("summary"), make("ol", { class: "errors" })];
  const row = make("tr", { role: "row", class: "more" }, make("td", { role: "cell", colspan: "10" }, make("details", {}, summary, list)));
  return (errors, now) => {
    if (row.isConnected !== errors.length > 0) errors.length > 0 ? body.append(row) : row.remove();
    if (errors.length === 0) return;
    const [latest] = errors;
    say(summary, `${plural(errors.length, "recent error", "recent errors")}, the last ${wholeSeconds(now - latest.at)} ago: ${inShort(latest)}`);
    keyed(list, errors, (error) => `${error.at} ${error.request_id}`, errorItem);
  };
}

function inShort({ outcome, http_status, reason }) {
  return [outcome, http_status && `HTTP ${http_status}`, reason].filter(Boolean).join(", ");
}

function errorItem(error) {
  const what = make("p", {}, make("time", { datetime: new Date(1000 * error.at).toISOString() }, timeOfDay(error.at)), " ", make("strong", {}, inShort(error)));
  const element = make("li", {}, what);
  if (error.detail) element.append(make("p", {}, make("bdi", {}, error.detail)));
  element.append(make("p", {}, make("code", {}, `flowbridge explain ${quoted(error.request_id)}`)));
  if (error.run_id) element.append(make("p", { class: "note" }, "Run ", make("code", {}, error.run_id)));
  return { element, update: () => {} };
}
