// Numbers and times as people read them.

const NOTHING = "–";
const counted = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);

function count(number) {
  return typeof number === "number" ? counted.format(number) : NOTHING;
}

function share(part, whole) {
  if (whole === 0) return NOTHING;
  const percent = (100 * part) / whole;
  const isNearlyAll = percent > 99.9 && part < whole;
  return `${isNearlyAll ? "99.9" : percent.toFixed(percent === 100 || percent === 0 ? 0 : 1)} %`;
}

function duration(seconds) {
  if (typeof seconds !== "number") return NOTHING;
  if (seconds < 0.9995) return `${Math.round(1000 * seconds)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  return longer(Math.round(seconds));
}

// Of what is counted in whole seconds, down or up.
function wholeSeconds(seconds) {
  return seconds < 119.5 ? `${Math.max(0, Math.round(seconds))} s` : longer(Math.round(seconds));
}

function longer(seconds) {
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3600), Math.floor(seconds / 86400)];
  if (hours < 2) return `${minutes} min`;
  if (days < 2) return `${hours} h ${minutes % 60} min`;
  return `${days} d ${hours % 24} h`;
}

function timeOfDay(epoch) {
  return clock.format(new Date(1000 * epoch));
}

// "a, b, c and 4 more"
function enumerated(names, most) {
  if (names.length <= most) return names.join(", ");
  return `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}

function plural(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

// A word that is safe to paste into a shell, whoever chose it.
function quoted(word) {
  const clean = word.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\uFFFD");
  return /^\w[\w.:@-]*$/.test(clean) ? clean : `'${clean.replaceAll("'", "'\\''")}'`;
}
