// Read the data of the charts of a timeline.
//
// All of it is in the page, as JSON within the timeline: columns (mm/report/drawn_columns.py) and the panels that
// refer to them (mm/report/timeline.py); nothing is requested. Instants are ms since the start, and positions on an
// axis of numbers are in thousandths; a value of NaN is a hole.
// reading.js, drawing.js, marks.js and zoom.js are joined into one block for each timeline, `root`: each file uses
// names of the earlier ones.

const find = (selector) => root.querySelector(selector);
const data = JSON.parse(find("script").textContent);
const [bar, tip, output] = [find(".bar"), find(".tip"), find("output")];
const [LEAST_LEFT, RIGHT, TOP, BOTTOM] = data.margins;
const END = data.until - data.from;
const LEAST_MS = Math.min(data.unit ? END / 100 : 1000, END); // shortest visible span: a second
const MANY = 400; // number of marks, or quotes, above which single ones would hide each other
const SECONDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
  86400, 172800, 604800, 2592000]; // between labels

function bytes(text) {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out.buffer;
}

// Return the values of a packed column: the cumulative sums of its differences.
function unpack(column) {
  const steps = new { 1: Int8Array, 2: Int16Array, 4: Int32Array }[column.bytes](bytes(column.steps));
  const at = new Uint32Array(bytes(column.at));
  const far = new Float64Array(bytes(column.far));
  const out = new Float64Array(steps.length);
  let sum = 0;
  let next = 0;
  for (let i = 0; i < steps.length; i++) {
    sum += i === at[next] ? far[next++] : steps[i];
    out[i] = sum;
  }
  return out;
}

const columns = data.columns.map(unpack);
const scaled = (one) => columns[one.v].map((v) => (v ? one.low + (v - 1) * one.unit : NaN));
const decimals = (unit) => Math.max(0, -Math.floor(Math.log10(unit * 1.0001)));

// Return a series of a panel with its columns in place of their numbers.
function series(one) {
  const read = { ...one, t: columns[one.t], v: scaled(one) };
  if (one.tip) read.tip = one.tip.map((part) => ({ ...part, v: part.words ? columns[part.v] : scaled(part) }));
  if (one.ends) read.ends = one.ends.map((v) => scaled({ ...one, v }));
  if (one.lasted === undefined) return read;
  read.until = columns[one.lasted].map((lasted, i) => read.t[i] + lasted);
  let latest = -Infinity; // latest end of all spans begun so far: ascending, so it can be searched
  read.reach = read.until.map((until) => (latest = Math.max(latest, until)));
  return read;
}

const figures = root.querySelectorAll("figure");
const off = data.off.map((column) => columns[column]);
// A panel without a picture has a text with the reason, which is kept.
const panels = data.panels.map((panel, i) => ({
  ...panel,
  svg: figures[i].querySelector("svg"),
  reads: (what) => figures[i].querySelectorAll(`[data-${what}]`),
  lines: panel.lines.map(series),
  spans: panel.spans.map(series),
  marks: panel.marks.map(series),
})).filter((panel) => panel.svg);
// Instants that the buttons step through.
const stopped = panels.filter((panel) => !panel.counts).flatMap((panel) => panel.marks).filter((marks) => marks.stop);
const stops = Float64Array.from(stopped.flatMap((marks) => [...marks.t])).sort();

// Return the number of ascending times at or before an instant.
function upTo(times, t) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= t) low = middle + 1;
    else high = middle;
  }
  return low;
}

const valueAt = (line, t) => (t < line.t[0] ? NaN : line.v[upTo(line.t, t) - 1]);
