// Draw the charts of a timeline as SVG, for the span selected in zoom.js; marks.js draws everything but step lines.

// The visible span, from a to b, the width of the pictures, and the instant under the pointer, if it is over one.

let [a, b, width, LEFT] = [0, END, 1072, LEAST_LEFT];
let cursor = null;
const across = (t) => LEFT + ((t - a) / (b - a)) * (width - LEFT - RIGHT);
const instant = (x) => a + ((x - LEFT) / (width - LEFT - RIGHT)) * (b - a);
const within = (t) => Math.min(b, Math.max(a, t));

// Return the value subtracted from a line: if the panel shows changes, its first known visible value; else 0.
function base(panel, line) {
  if (!panel.since) return 0;
  let i = Math.max(0, upTo(line.t, a) - 1);
  while (i < line.t.length && Number.isNaN(line.v[i])) i++;
  return line.v[i] ?? 0;
}

const shown = (one) => !one.hidden; // a click on its name toggles it

// Return the smallest and the largest visible value of a panel, with a margin.
function range(panel) {
  let [low, high] = panel.zero ? [0, 0] : [Infinity, -Infinity];
  const take = (v) => {
    if (v < low) low = v;
    if (v > high) high = v;
  };
  for (const line of panel.lines.filter(shown)) {
    const from = base(panel, line);
    for (let i = Math.max(0, upTo(line.t, a) - 1); line.t[i] <= b; i++) take(line.v[i] - from);
  }
  for (const spans of panel.spans.filter(shown)) {
    if (spans.bars) take(0);
    eachSpan(spans, (i) => take(spans.v[i]));
  }
  for (const marks of panel.marks.filter(shown)) {
    eachMark(marks, (i) => { for (const values of [marks.v, ...(marks.ends ?? [])]) take(values[i]); });
  }
  if (low > high) [low, high] = [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 1e-4 || 1;
  return [low - room, high + room];
}

const LETTER = 6.7; // width of a letter of a label
const escaped = (words) => words.replace(/[&<>]/g, (one) => `&#${one.charCodeAt(0)};`);
const path = (kind, d) => (d ? `<path class="${kind}" d="${d}"/>` : "");
const text = (kind, x, y, words) => `<text class="${kind}" x="${x.toFixed(1)}" y="${y.toFixed(1)}">${words}</text>`;
function number(value, digits, least = digits) {
  const label = (value || 0).toLocaleString("en-US", { minimumFractionDigits: least, maximumFractionDigits: digits });
  return /[1-9]/.test(label) ? label.replace("-", "−") : label.replace("-", ""); // no minus sign for zero
}
const exact = (value, unit) => (Number.isNaN(value) ? "–" : number(value, decimals(unit), 0));
const rounded = (value, digits) => String(Number(value.toPrecision(digits))).replace("-", "−");
// Return a value of a panel as text; a logarithm is shown as its power of ten.
const said = (panel, value, unit) => (panel.log && !Number.isNaN(value) ? rounded(10 ** value, 4) : exact(value, unit));

// Return a step line; if there are many values, the minimum and maximum of every two pixels.
function steps(line, from, up) {
  if (line.straight) return straight(line, up);
  const [first, last] = [Math.max(0, upTo(line.t, a) - 1), upTo(line.t, b)];
  const cell = last - first > width ? 2 : 0;
  let [d, pen, i] = ["", false, first];
  while (i < last) {
    const x = across(within(line.t[i]));
    const open = line.v[i];
    let [low, high, end] = [open, open, open];
    for (i++; i < last && cell && across(line.t[i]) < x + cell && !Number.isNaN(end); i++) {
      end = line.v[i];
      if (end < low) low = end;
      if (end > high) high = end;
    }
    if (Number.isNaN(open)) {
      if (pen) d += `H${x.toFixed(1)}`;
      pen = false;
      continue;
    }
    d += pen ? `H${x.toFixed(1)}V${up(open - from)}` : `M${x.toFixed(1)} ${up(open - from)}`;
    if (low < high) d += `V${up(low - from)}V${up(high - from)}`;
    pen = !Number.isNaN(end);
    if (low < high && pen) d += `V${up(end - from)}`;
  }
  return path(line.kind, pen ? `${d}H${across(b).toFixed(1)}` : d);
}

const scale = (panel, [low, high]) => (value) =>
  (panel.height - BOTTOM - ((value - low) / (high - low)) * (panel.height - TOP - BOTTOM)).toFixed(1);

// Return the distance between round values, so that at most *most* steps fit between two values.
function roundStep(low, high, most) {
  const raw = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw * 0.999);
}

// Return the values of a panel's rules and their labels; counts have one on either side of zero.
function rules(panel) {
  const [low, high] = panel.ends;
  if (panel.counts) {
    const power = 10 ** Math.floor(Math.log10(panel.most));
    const top = power * [5, 2, 1].find((factor) => factor * power <= panel.most);
    const room = panel.up(0) - panel.up(top) > 13; // for a zero between the two
    return [top, 0, -top].map((value) => [value, value || room ? number(Math.abs(value), 0) : ""]);
  }
  const step = Math.max(roundStep(low, high, Math.max(3, panel.height / 45)), panel.whole ? 1 : 0);
  const label = panel.log ? (value) => rounded(10 ** value, 2) : (value) => number(value, decimals(step));
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push([i * step, label(i * step)]);
  return found;
}

function valueAxis(panel) {
  return panel.rules.map(([value, label]) => {
    const y = panel.up(value);
    const rule = path(value === 0 && !panel.log ? "zero" : "rule", `M${LEFT} ${y}H${width - RIGHT}`);
    return rule + text("tick end", LEFT - 8, Number(y) + 3.5, label);
  }).join("");
}

const iso = (t) => new Date(Math.round(data.from + t)).toISOString();

const date = (ms) => new Date(ms).toLocaleString("en-GB", { day: "2-digit", month: "short", timeZone: "UTC" });

// The position of an instant on an axis of numbers, and as text; on an axis of names, the nearest name.
const numberAt = (t) => ((data.from + t) / 1000) * data.per;
const nameAt = (t) => data.names[Math.min(data.names.length - 1, Math.max(0, Math.round(numberAt(t))))];
function where(t) {
  if (!data.unit) return `${iso(t).slice(11, 23)} UTC`;
  return data.names.length ? `${data.unit} ${nameAt(t)}` : `${rounded(numberAt(t), 4)} ${data.unit}`;
}

function numberAxis(panel) {
  const step = roundStep(numberAt(a), numberAt(b), Math.max(2, Math.floor(width / 90)));
  const y = panel.height - BOTTOM;
  let marks = "";
  for (let i = Math.ceil(numberAt(a) / step - 1e-9); i * step <= numberAt(b) + step * 1e-9; i++) {
    const x = across(((i * step) / data.per) * 1000 - data.from);
    marks += path("rule", `M${x.toFixed(1)} ${y}v4`) + text("tick mid", x, y + 17, number(i * step, decimals(step), 0));
  }
  return marks;
}

// If short names have no room, only every second one, or fewer, is shown; long names are cut.
function nameAxis(panel) {
  const letters = Math.min(9, Math.max(...data.names.map((name) => name.length)));
  const place = across(1000) - across(0);
  const every = Math.max(1, Math.ceil((LETTER * (letters + 1)) / place));
  const most = Math.max(2, Math.floor((place * every) / LETTER) - 1);
  let marks = "";
  for (let i = 0; i < data.names.length; i += every) {
    const [x, y] = [across(i * 1000 - data.from), panel.height - BOTTOM];
    if (x < LEFT || x > width - RIGHT) continue;
    const label = data.names[i].length > most ? `${data.names[i].slice(0, most - 1)}…` : data.names[i];
    marks += path("rule", `M${x.toFixed(1)} ${y}v4`) + text("tick mid", x, y + 17, escaped(label));
  }
  return marks;
}

function timeAxis(panel) {
  const most = Math.max(2, Math.floor(width / 110));
  const step = (SECONDS.find((s) => (b - a) / 1000 / s <= most) ?? SECONDS.at(-1)) * 1000;
  let marks = "";
  for (let i = Math.ceil((data.from + a) / step - 1e-9); i * step <= data.from + b; i++) {
    const instant = iso(i * step - data.from);
    const day = instant.slice(11, 23) === "00:00:00.000";
    const label = day ? date(i * step) : instant.slice(11, step < 1000 ? 21 : step < 60000 ? 19 : 16);
    const x = across(i * step - data.from);
    const y = panel.height - BOTTOM;
    const middle = Math.min(x, width - 3.4 * label.length); // keeps the last one inside the picture
    marks += path("rule", `M${x.toFixed(1)} ${y}v4`) + text("tick mid", middle, y + 17, label);
  }
  return marks;
}

function shade(panel) {
  let d = "";
  off[0].forEach((from, i) => {
    if (from >= b || off[1][i] <= a) return;
    const x = across(within(from));
    const wide = Math.max(1, across(within(off[1][i])) - x);
    d += `M${x.toFixed(1)} ${TOP}h${wide.toFixed(1)}V${panel.height - BOTTOM}h${(-wide).toFixed(1)}z`;
  });
  return path("off", d);
}

// Set the range, scale and rules of a panel; the left margin depends on the widest label of all panels.
function measure(panel) {
  panel.found = panel.counts ? counted(panel) : [];
  panel.most = Math.max(1, ...panel.found.flat());
  panel.ends = panel.counts ? [-1.15 * panel.most, 1.15 * panel.most] : range(panel);
  panel.up = scale(panel, panel.ends);
  panel.rules = rules(panel);
}

function body(panel) {
  const marked = panel.marks.filter(shown);
  if (panel.counts) return marked.map((marks, k) => pillars(marks, panel.found[k], panel.up)).join("");
  const seen = (one) => upTo(one.t, b) - upTo(one.t, a - 1e-9);
  const few = marked.reduce((sum, one) => sum + (one.shape === "fill" ? seen(one) : 0), 0) <= MANY;
  const single = (one) => (one.shape === "fill" ? few : seen(one) <= MANY);
  const layer = (wanted) => marked.filter(wanted).map((one) => drawn(one, panel.up, single(one))).join("");
  const [dots, marks] = [layer((one) => one.shape === "dot"), layer((one) => one.shape !== "dot")];
  const spans = panel.spans.filter(shown).map((one) => (one.bars ? bars : standing)(one, panel.up)).join("");
  const lines = panel.lines.filter(shown).map((line) => steps(line, base(panel, line), panel.up)).reverse().join("");
  return dots + (few ? spans + lines + marks : spans + marks + lines); // many marks would hide the lines
}

const axis = data.names.length ? nameAxis : data.unit ? numberAxis : timeAxis;

function draw() {
  width = Math.max(300, Math.round(figures[0].clientWidth));
  panels.forEach(measure);
  LEFT = Math.max(LEAST_LEFT, ...panels.flatMap((panel) => panel.rules.map(([, label]) => 14 + LETTER * label.length)));
  for (const panel of panels) {
    panel.svg.setAttribute("viewBox", `0 0 ${width} ${panel.height}`);
    panel.svg.innerHTML = shade(panel) + valueAxis(panel) + body(panel) + axis(panel) +
      '<path class="picked"/><path class="cursor"/>';
  }
  output.value = span();
  root.dataset.from = data.from + a;
  root.dataset.until = data.from + b;
  point();
}

function span() {
  const [first, last] = [a, b].map(data.names.length ? nameAt : (t) => rounded(numberAt(t), 4));
  if (data.unit) return data.names.length ? `${data.unit} ${first} to ${last}` : `${first} to ${last} ${data.unit}`;
  const [from, until] = [iso(a), iso(b)].map((one) => one.slice(0, 19).replace("T", " "));
  const same = from.slice(0, 10) === until.slice(0, 10);
  return `${from} – ${same ? until.slice(11) : until} UTC · ${lasting(b - a)}`;
}

function lasting(ms) {
  const s = ms / 1000;
  if (s < 60) return `${Number(s.toPrecision(3))} s`;
  const [hours, minutes, rest] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, Math.floor(s % 60)];
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours} h ${two(minutes)} min` : `${minutes} min ${two(rest)} s`;
}

// Draw the line under the pointer, and show the values of every chart at that instant, or else at the right edge.
function point() {
  const at = cursor ?? b;
  const x = cursor === null ? "" : `M${across(at).toFixed(1)} ${TOP}V`;
  for (const panel of panels) {
    panel.svg.querySelector(".cursor").setAttribute("d", x && `${x}${panel.height - BOTTOM}`);
    panel.reads("line").forEach((read, i) => {
      read.textContent = said(panel, valueAt(panel.lines[i], at) - base(panel, panel.lines[i]), panel.lines[i].unit);
    });
    panel.reads("spans").forEach((read, i) => {
      const [spans, now] = [panel.spans[i], []];
      const at = cursor ?? b - 1e-3; // a span that ends at the right edge is still shown
      for (let k = upTo(spans.reach, at), n = upTo(spans.t, at); k < n; k++) {
        if (spans.until[k] > at) now.push(spans.v[k]);
      }
      const others = now.length > 1 ? ` and ${now.length - 1} more` : "";
      read.textContent = now.length ? exact(now.at(-1), spans.unit) + others : "–";
    });
    panel.reads("marks").forEach((read, i) => {
      const marks = panel.marks[i];
      read.textContent = number(upTo(marks.t, b) - upTo(marks.t, a - 1e-9), 0);
    });
  }
}

// Show the tooltip of the mark nearest to a position in a panel's picture, if one is near.
function tell(panel, x, y) {
  let [near, found] = [12, null];
  for (const marks of panel.counts ? [] : panel.marks.filter(shown)) {
    eachMark(marks, (i) => {
      const distance = Math.hypot(across(marks.t[i]) - x, panel.up(marks.v[i]) - y);
      if (distance < near) [near, found] = [distance, [marks, i]];
    });
  }
  tip.hidden = found === null;
  if (found === null) return;
  const [marks, i] = found;
  const rows = marks.tip.map((part) => {
    return [part.label, part.words ? part.words[part.v[i]] : exact(part.v[i], part.unit)];
  });
  tip.replaceChildren(...[["", where(marks.t[i])], ...rows].flatMap(([label, value]) => {
    const cells = [document.createElement("span"), document.createElement("b")];
    [cells[0].textContent, cells[1].textContent] = [label, value];
    return cells;
  }));
  const [box, own] = [panel.svg.getBoundingClientRect(), root.getBoundingClientRect()];
  const left = across(marks.t[i]) + box.left - own.left;
  const fits = left + 14 + tip.offsetWidth <= own.width;
  tip.style.left = `${Math.max(0, fits ? left + 14 : left - 14 - tip.offsetWidth)}px`;
  tip.style.top = `${Number(panel.up(marks.v[i])) + box.top - own.top + 12}px`;
}
