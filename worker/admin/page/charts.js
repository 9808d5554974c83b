// The two plots: time runs from five minutes ago to now, the last step still grows.

const HEIGHT = 196;
const LEAST_WIDTH = 160;
const MARGIN = { top: 10, right: 10, bottom: 24, left: 54 };

// A scale from 0 up in at most four round steps, none below `least`.
function rounded(top, least) {
  const rough = Math.max(top / 4, least);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough * 0.999);
  return { step, top: step * Math.max(1, Math.ceil(top / step - 1e-9)) };
}

function frame(width, steps, step_s, scale, label) {
  const [right, bottom] = [width - MARGIN.right, HEIGHT - MARGIN.bottom];
  const x = (index) => MARGIN.left + ((right - MARGIN.left) * index) / steps;
  const y = (value) => bottom - ((bottom - MARGIN.top) * value) / scale.top;
  const axes = draw("g", { class: "axes" });
  for (let value = 0; value <= scale.top * 1.001; value += scale.step) {
    axes.append(draw("line", { x1: MARGIN.left, x2: right, y1: y(value), y2: y(value), class: value === 0 ? "zero" : "grid" }));
    axes.append(draw("text", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, label(value, scale)));
  }
  const minutes = (steps * step_s) / 60;
  for (let ago = minutes; ago >= 0; ago -= 1) {
    const at = x(steps - (60 * ago) / step_s);
    axes.append(draw("line", { x1: at, x2: at, y1: bottom, y2: bottom + 4, class: "zero" }));
    axes.append(draw("text", { x: at, y: bottom + 18, "text-anchor": ago === 0 ? "end" : "middle" }, ago === 0 ? "now" : `−${ago} min`));
  }
  return { x, y, axes, bottom };
}

// Redrawn when what it shows, or its width, has changed. `render(data, width)` gives the drawing and what it says in
// words; `told(data, index)` a step in words, or with null the whole.
function chart(host, readout, render, told) {
  let [data, drawn, pointed] = [null, "", null];
  const speak = () => data !== null && say(readout, told(data, pointed));
  const show = () => {
    const key = data === null ? "" : `${host.clientWidth} ${JSON.stringify(data)}`;
    if (key === drawn || host.clientWidth < LEAST_WIDTH) return;
    drawn = key;
    const { shapes, words } = render(data, host.clientWidth);
    const pointer = draw("line", { class: "pointer", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom });
    host.replaceChildren(
      draw("svg", { role: "img", "aria-label": words, width: host.clientWidth, height: HEIGHT }, ...shapes, pointer),
    );
    point();
  };
  const point = () => {
    const pointer = host.querySelector(".pointer");
    if (pointer === null) return;
    set(pointer, "visibility", pointed === null ? "hidden" : "visible");
    if (pointed !== null) {
      const at = MARGIN.left + ((host.clientWidth - MARGIN.left - MARGIN.right) * (pointed + 0.5)) / data.steps;
      set(pointer, "x1", String(at));
      set(pointer, "x2", String(at));
    }
    speak();
  };
  host.addEventListener("pointermove", (event) => {
    if (data === null) return;
    const inside = event.clientX - host.getBoundingClientRect().left - MARGIN.left;
    const index = Math.floor((inside / (host.clientWidth - MARGIN.left - MARGIN.right)) * data.steps);
    pointed = index >= 0 && index < data.steps ? index : null;
    point();
  });
  host.addEventListener("pointerleave", () => {
    pointed = null;
    point();
  });
  new ResizeObserver(show).observe(host);
  return (fresh) => {
    data = fresh;
    show();
    speak();
  };
}

function stepTime({ until, steps, step_s }, index) {
  return timeOfDay(until - (steps - index) * step_s);
}

function renderRequests(data, width) {
  const totals = Array.from({ length: data.steps }, (_, index) => sum(OUTCOMES.map((name) => data.outcomes[name]?.[index] ?? 0)));
  const { x, y, axes } = frame(width, data.steps, data.step_s, rounded(Math.max(...totals, 4), 1), count);
  const gap = width > 300 ? 1 : 0.5;
  const bars = draw("g");
  for (let index = 0; index < data.steps; index += 1) {
    let below = 0;
    for (const name of OUTCOMES) {
      const number = data.outcomes[name]?.[index] ?? 0;
      if (number === 0) continue;
      const top = y(below + number);
      bars.append(
        draw("rect", { class: `outcome ${name}`, x: x(index) + gap / 2, width: x(1) - x(0) - gap, y: top, height: y(below) - top }),
      );
      below += number;
    }
  }
  const words = OUTCOMES.filter((name) => data.outcomes[name]).map((name) => `${name} ${count(sum(data.outcomes[name]))}`);
  return {
    shapes: [axes, bars],
    words: `Requests each ${data.step_s} seconds in the last 5 minutes, at most ${count(Math.max(...totals))}. In all: ${words.join(", ") || "none"}.`,
  };
}

function toldRequests(data, index) {
  if (index === null) return pace(data);
  const words = OUTCOMES.filter((name) => data.outcomes[name]?.[index]).map((name) => `${name} ${count(data.outcomes[name][index])}`);
  return `${stepTime(data, index)}: ${words.join(", ") || "none"}`;
}

function renderLatency(data, width) {
  const known = [...data.p50_s, ...data.p99_s].filter((value) => value !== null);
  const { x, y, axes } = frame(width, data.steps, data.step_s, rounded(known.length > 0 ? Math.max(...known) : 1, 0.001), inUnit);
  const lines = ["p99", "p50"].map((name) => curve(name, data[`${name}_s`], (index) => x(index + 0.5), y));
  return { shapes: [axes, ...lines], words: `Latency in the last 5 minutes: ${inWords(data)}` };
}

function inWords(data) {
  const index = lastKnown(data);
  if (index < 0) return "no request was answered.";
  const most = Math.max(...data.p99_s.filter((value) => value !== null));
  return `p50 ${duration(data.p50_s[index])}, p99 ${duration(data.p99_s[index])} at the end; p99 at most ${duration(most)}.`;
}

// A line with a gap where nothing was answered; a lone point is a dot.
function curve(name, values, x, y) {
  const group = draw("g", { class: `curve ${name}` });
  let path = "";
  values.forEach((value, index) => {
    if (value === null) return;
    const hasBefore = index > 0 && values[index - 1] !== null;
    const hasAfter = index + 1 < values.length && values[index + 1] !== null;
    if (hasBefore || hasAfter) path += `${hasBefore ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    else group.append(draw("circle", { cx: x(index), cy: y(value), r: 2.2 }));
  });
  group.append(draw("path", { d: path }));
  return group;
}

// All labels of an axis in the same unit.
function inUnit(seconds, { step, top }) {
  if (seconds === 0) return "0";
  if (top < 1) return `${Number((1000 * seconds).toPrecision(6))} ms`;
  return `${seconds.toFixed(step < 1 ? Math.ceil(-Math.log10(step)) : 0)} s`;
}

function lastKnown({ p99_s }) {
  return p99_s.findLastIndex((value) => value !== null);
}

// Tells the legend's numbers, too: of the step that is pointed at, else of the last that had answers.
function toldLatency(data, pointed) {
  const index = pointed ?? lastKnown(data);
  say(byId("latest-p50"), duration(data.p50_s[index]));
  say(byId("latest-p99"), duration(data.p99_s[index]));
  return pointed === null ? "" : `at ${stepTime(data, pointed)}`;
}
