// Draw marks, quotes, bars and polylines.

// Call a function with the row of each visible mark, or quote.
function eachMark(marks, use) {
  for (let i = upTo(marks.t, a - 1e-9), n = upTo(marks.t, b); i < n; i++) use(i);
}
function eachSpan(spans, use) {
  for (let i = upTo(spans.reach, a), n = upTo(spans.t, b); i < n; i++) if (spans.until[i] > a) use(i);
}

// Return quotes as lines at their price over their resting time; if there are many, minimum and maximum per pixel.
function standing(spans, up) {
  let seen = 0;
  eachSpan(spans, () => seen++);
  let d = "";
  if (seen <= 2 * MANY) {
    eachSpan(spans, (i) => {
      const x = across(within(spans.t[i]));
      d += `M${x.toFixed(1)} ${up(spans.v[i])}h${Math.max(0.6, across(within(spans.until[i])) - x).toFixed(1)}`;
    });
    return path(spans.kind, d);
  }
  const low = new Float64Array(width + 1).fill(Infinity);
  const high = new Float64Array(width + 1).fill(-Infinity);
  eachSpan(spans, (i) => {
    const x = Math.round(across(within(spans.t[i])));
    if (spans.v[i] < low[x]) low[x] = spans.v[i];
    if (spans.v[i] > high[x]) high[x] = spans.v[i];
  });
  low.forEach((value, x) => { if (value <= high[x]) d += `M${x} ${up(value)}V${up(high[x])}h.8`; });
  return path(`${spans.kind} many`, d);
}

// Return a polyline: the visible points, and the line's values at both edges.
function straight(line, up) {
  const [first, last] = [Math.max(0, upTo(line.t, a) - 1), Math.min(line.t.length - 1, upTo(line.t, b))];
  let [d, pen] = ["", "M"];
  for (let i = first; i <= last; i++) {
    const t = within(line.t[i]);
    const next = line.t[i] < t ? i + 1 : line.t[i] > t ? i - 1 : i; // the other end of a segment that crosses the edge
    const share = next === i || !(next in line.t) ? 0 : (t - line.t[i]) / (line.t[next] - line.t[i]);
    const v = share ? line.v[i] + share * (line.v[next] - line.v[i]) : line.v[i];
    if (Number.isNaN(v)) pen = "M";
    else {
      d += `${pen}${across(t).toFixed(1)} ${up(v)}`;
      pen = "L";
    }
  }
  return path(line.kind, d);
}

// Return bars from zero, each over its span of time.
function bars(spans, up) {
  let d = "";
  eachSpan(spans, (i) => {
    const [x, end] = [across(within(spans.t[i])), across(within(spans.until[i]))];
    const right = Math.max(x + 1, end - 0.5).toFixed(1);
    if (spans.v[i]) d += `M${(x + 0.5).toFixed(1)} ${up(0)}V${up(spans.v[i])}H${right}V${up(0)}z`;
  });
  return path(spans.kind, d);
}

const SHAPES = {
  fill: (marks) => (x, y) => `M${x} ${(y - 5 * marks.side).toFixed(1)}l3.6 ${8 * marks.side}h-7.2z`,
  cross: () => (x, y) => `M${(x - 3.5).toFixed(1)} ${(y - 3.5).toFixed(1)}l7 7m0-7l-7 7`,
  dot: () => (x, y) => `M${x} ${y}h.01`,
};

// Return marks at their values: each with its shape if there are few, else a dot for each pixel that has one.
function drawn(marks, up, few) {
  if (marks.shape === "whisker") return whiskers(marks, up);
  const places = new Set();
  eachMark(marks, (i) => {
    if (!Number.isNaN(marks.v[i])) places.add(`${across(marks.t[i]).toFixed(few ? 1 : 0)} ${up(marks.v[i])}`);
  });
  const shape = SHAPES[few ? marks.shape : "dot"](marks);
  const kind = marks.shape === "dot" || few ? marks.kind : `${marks.kind} dots`;
  return path(kind, [...places].map((place) => shape(...place.split(" ").map(Number))).join(""));
}

// Return points with error bars.
function whiskers(marks, up) {
  let [d, points] = ["", ""];
  eachMark(marks, (i) => {
    if (Number.isNaN(marks.v[i])) return;
    const x = across(marks.t[i]).toFixed(1);
    const [low, high] = marks.ends.map((values) => values[i]);
    if (low < high) d += `M${x} ${up(low)}V${up(high)}`;
    points += `<circle cx="${x}" cy="${up(marks.v[i])}" r="3.5"/>`;
  });
  return points && `<g class="${marks.kind}">${path("", d)}${points}</g>`;
}

// Return the number of marks per bin of a few pixels, for each kind: the first upwards, the second downwards.
function counted(panel) {
  const bins = Math.max(1, Math.round((width - LEFT - RIGHT) / 6));
  return panel.marks.filter(shown).map((marks) => {
    const many = new Array(bins).fill(0);
    eachMark(marks, (i) => many[Math.min(bins - 1, Math.floor(((marks.t[i] - a) / (b - a)) * bins))]++);
    return many;
  });
}

function pillars(marks, many, up) {
  const edge = (i) => LEFT + (i / many.length) * (width - LEFT - RIGHT);
  const one = (n, i) =>
    `M${(edge(i) + 0.5).toFixed(1)} ${up(0)}V${up(marks.side * n)}H${(edge(i + 1) - 0.5).toFixed(1)}V${up(0)}z`;
  return path(marks.kind, many.map((n, i) => (n ? one(n, i) : "")).join(""));
}

