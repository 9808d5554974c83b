// What the tests ask of the page; it is there before anything of the page runs.

window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`),
);

window.look = {
  find: (selector) => document.querySelector(selector),
  text: (selector) => document.querySelector(selector).textContent,
  texts: (selector) => [...document.querySelectorAll(selector)].map((each) => each.textContent),
  seen: (selector) => document.querySelector(selector).innerText,
  count: (selector) => document.querySelectorAll(selector).length,

  isShown() {
    return document.querySelector("#contact")?.textContent.startsWith("as of") && look.count(".chart svg") === 2;
  },

  // How much of the page, or of a panel on it, is beyond the right edge; px.
  overflow() {
    const boxes = [document.documentElement, ...document.querySelectorAll(".panel")];
    return Math.max(...boxes.map((each) => each.scrollWidth - each.clientWidth));
  },

  middle(selector) {
    const element = document.querySelector(selector);
    element.scrollIntoView({ block: "center" });
    const box = element.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
  },

  // Where the keyboard is, and whether that can be seen.
  focused() {
    const element = document.activeElement;
    if (element === document.body) return null;
    element.number ??= window.nextNumber = (window.nextNumber ?? 0) + 1;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const isSeen = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
    return { number: element.number, isSeen, what: element.outerHTML.slice(0, 80) };
  },

  // How many places the keyboard should come to.
  controls() {
    return [...document.querySelectorAll('a, button, input, summary, [tabindex="0"]')].filter(
      (each) => each.checkVisibility() && !each.closest("details:not([open]) > :not(summary)"),
    ).length;
  },

  // Texts in less than 4.5 times the luminance of their ground, or the other way round.
  contrast() {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const faint = [];
    let [seen, node] = [0, null];
    while ((node = texts.nextNode())) {
      const element = node.parentElement;
      if (!node.data.trim() || element.matches("script, style, noscript *") || !element.checkVisibility()) continue;
      const style = getComputedStyle(element);
      const own = luminance(element instanceof SVGElement ? style.fill : style.color);
      const [light, dark] = [own, luminance(groundOf(element))].sort((one, other) => other - one);
      seen += 1;
      if ((light + 0.05) / (dark + 0.05) < 4.5) faint.push([node.data, (light + 0.05) / (dark + 0.05)]);
    }
    return { seen, faint };
  },
};

const pixels = new Map();

function rgba(colour) {
  if (!pixels.has(colour)) {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    pixels.set(colour, [...canvas.getImageData(0, 0, 1, 1).data]);
  }
  return pixels.get(colour);
}

function luminance(colour) {
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const [red, green, blue] = rgba(colour).map((part) => linear(part / 255));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function groundOf(element) {
  for (let each = element; each; each = each.parentElement) {
    const { backgroundColor } = getComputedStyle(each);
    if (rgba(backgroundColor)[3] > 0) return backgroundColor;
  }
  return "Canvas";
}
