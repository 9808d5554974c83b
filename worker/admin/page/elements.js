// The only places that make or change elements. Whatever comes from the document goes in as text.

const byId = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Only what changed: selections, and what a screen reader is at, stay.
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

// `parent`'s children, one for each item, made once and then told of their item's changes. `create` gives an element
// and its `update`. `after`: the child that stays before them. `keepsOrder`: what is there isn't moved.
function keyed(parent, items, keyOf, create, { after = null, keepsOrder = false } = {}) {
  parent.known ??= new Map();
  const keys = new Set(items.map(keyOf));
  for (const [key, { element }] of parent.known) {
    if (keys.has(key)) continue;
    element.remove();
    parent.known.delete(key);
  }
  let before = after;
  for (const item of items) {
    const key = keyOf(item);
    const isNew = !parent.known.has(key);
    if (isNew) parent.known.set(key, create(item));
    const { element, update } = parent.known.get(key);
    if (isNew && keepsOrder) parent.append(element);
    else if (!keepsOrder && (before === null ? parent.firstElementChild : before.nextElementSibling) !== element)
      before === null ? parent.prepend(element) : before.after(element);
    update(item);
    before = element;
  }
}

// Shapes, so that nothing is told by colour alone; each is 16 by 16 and takes the colour of the text around it.
const MARKS = {
  good: [["circle", { cx: 8, cy: 8, r: 7 }], ["path", { class: "cut", d: "M4.6 8.3l2.3 2.4 4.6-5" }]],
  warn: [["path", { d: "M8 1l7.5 13.5H.5z" }], ["path", { class: "cut", d: "M8 5.8v4M8 11.6v1" }]],
  bad: [["path", { d: "M4.8 1h6.4L15 4.8v6.4L11.2 15H4.8L1 11.2V4.8z" }], ["path", { class: "cut", d: "M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4" }]],
  calm: [["circle", { cx: 8, cy: 8, r: 7 }], ["path", { class: "cut", d: "M8 4.2v6.6M5.2 8.2L8 11l2.8-2.8" }]],
  unknown: [["circle", { class: "line", cx: 8, cy: 8, r: 6.2 }], ["path", { class: "line", d: "M5 8h.1M8 8h.1M11 8h.1" }]],
  closed: [["circle", { cx: 8, cy: 8, r: 5.5 }]],
  "half-open": [["circle", { class: "line", cx: 8, cy: 8, r: 5 }], ["path", { d: "M8 3a5 5 0 0 1 0 10z" }]],
  open: [["path", { class: "line", d: "M8 2l6.5 11.5h-13z" }]],
  isolated: [["rect", { x: 2.5, y: 2.5, width: 11, height: 11, rx: 1 }], ["path", { class: "cut", d: "M5 8h6" }]],
};

function mark(name) {
  const shapes = (MARKS[name] ?? MARKS.unknown).map(([tag, attributes]) => draw(tag, attributes));
  return draw("svg", { class: "mark", viewBox: "0 0 16 16", "aria-hidden": "true" }, ...shapes);
}
