// Draw the figures of a page with plotly: in the reader's light or dark, zooming together over time.
"use strict";
window.charts = (async () => {
  const script = document.getElementById("plotly");
  if (script?.dataset.gzip) {
    const text = atob(script.textContent), bytes = new Uint8Array(text.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
    const source = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const code = document.createElement("script");
    code.textContent = await new Response(source).text();
    document.head.append(code);
  }
  const root = document.documentElement, wanted = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : wanted.matches);
  const template = () => {
    const probe = document.body.appendChild(document.createElement("i"));
    const [ink, soft, rule, zero, card, edge] = ["ink", "soft", "rule", "zero", "card", "edge"].map((name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    });
    probe.remove();
    const axis = { gridcolor: rule, linecolor: zero, zerolinecolor: zero, tickcolor: rule };
    return { layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", xaxis: axis, yaxis: axis,
      font: { color: soft, size: 12, family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { bgcolor: card, bordercolor: edge, font: { color: ink, size: 12 } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
      annotationdefaults: { font: { color: ink, size: 12.5 } },
    } };
  };
  const config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
  const divs = [...document.querySelectorAll(".chart")], byTime = [];

  // The rows of a trace within a span, with the one in force at its beginning.
  const lowest = (x, value) => {
    let low = 0, high = x.length;
    while (low < high) { const middle = (low + high) >> 1; if (x[middle] <= value) low = middle + 1; else high = middle; }
    return low;
  };
  const fitted = (div, [from, until]) => {  // the ranges of the vertical axes over a span
    const spans = {};
    for (const trace of div._fullData) {
      const x = trace.x, axis = trace.yaxis;
      if (trace.visible !== true || axis === "y99" || trace.type !== "scatter" || !x?.length) continue;
      const span = (spans[axis] ??= [Infinity, -Infinity]);
      const first = Math.max(0, lowest(x, from) - 1), last = lowest(x, until);
      for (let i = first; i < last; i++) {
        const value = trace.y[i];
        if (value < span[0]) span[0] = value;
        if (value > span[1]) span[1] = value;
      }
    }
    const update = {};
    for (const [axis, [low, high]] of Object.entries(spans)) {
      const layout = div.layout[axis.replace("y", "yaxis")];
      if (layout.type === "log" || high < low) continue;
      const zero = layout.rangemode === "tozero", room = 0.05 * (high - low) || Math.abs(high) * 1e-4 || 1;
      update[`${axis.replace("y", "yaxis")}.range`] = [zero ? Math.min(0, low - room) : low - room, zero ? Math.max(0, high + room) : high + room];
    }
    return update;
  };
  const whole = (div) => div.dataset.span.split(",").map(Number);
  const show = async (span) => {  // of all charts over time
    for (const div of byTime) await Plotly.relayout(div, { "xaxis.range": span, ...fitted(div, span) });
  };
  const instant = (value) => (typeof value === "number" ? value : Date.parse(`${value.replace(" ", "T")}Z`));
  let moving = false;
  const follow = async (div, change) => {
    const all = change["xaxis.autorange"], ends = change["xaxis.range"] ?? [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    if (moving || !(all || ends[0] !== undefined)) return;
    moving = true;
    try { await show(all ? whole(div) : ends.map(instant)); } finally { moving = false; }
  };

  const colours = template();
  const shorten = (axis, width) => {  // labels of a horizontal axis: fewer numbers, shorter names
    const texts = axis.ticktext, room = width / texts.length, longest = Math.max(...texts.map((one) => one.length)) * 7 + 10;
    if (longest <= room) return;
    if (texts.every((one) => /^[−\d.,eE+-]*$/.test(one))) {
      const every = Math.ceil(longest / room), kept = (_, place) => place % every === 0;
      Object.assign(axis, { tickvals: axis.tickvals.filter(kept), ticktext: texts.filter(kept) });
    } else axis.ticktext = texts.map((one) => (one.length * 7 > room ? `${one.slice(0, Math.max(2, room / 7 - 2))}…` : one));
  };

  const raise = ({ layout }, width) => {  // drawing areas fill the lines that their legends do not need
    const { legends = [], line_px } = layout.meta ?? {}, height = layout.height - layout.margin.t - layout.margin.b;
    for (const { panel, names, lines, px } of legends) {
      const needed = layout.showlegend === false ? 0 : px.whole < width ? 1 : Math.ceil(names / Math.floor(width / px.column));
      const spare = (lines - Math.min(lines, needed)) * line_px, upper = layout[`yaxis${panel}`].domain[1];
      for (const one of layout.annotations.filter((one) => one.y === upper))
        Object.assign(one, { y: upper + spare / height, yshift: one.yshift - spare });
      layout[`yaxis${panel}`].domain[1] = upper + spare / height;
    }
  };

  for (const div of divs) {
    const data = div.querySelector("script"), figure = JSON.parse(data.textContent);
    data.remove();
    const over = figure.layout.xaxis?.type === "date";
    if (div.clientWidth < 560) {  // no room for units and legends
      figure.layout.showlegend = false;
      figure.layout.margin.r = 36;
      if (figure.layout.xaxis.type === "date") figure.layout.xaxis.nticks = 4;
      for (const one of figure.layout.annotations ?? [])
        Object.assign(one, { text: one.text.replace(/ *<span.*<\/span>/, ""), xshift: -54, font: { size: 11 } });
    }
    for (const one of figure.data)
      if (one.type === "heatmap" && div.clientWidth / one.x.length < 64) one.texttemplate = "";  // no room for numbers
    raise(figure, div.clientWidth - figure.layout.margin.l - figure.layout.margin.r);
    if (figure.layout.xaxis.ticktext) shorten(figure.layout.xaxis, div.clientWidth - 100);
    if (over) {
      div.dataset.span = figure.layout.xaxis.range.join();
      for (const name of Object.keys(figure.layout)) if (name.startsWith("yaxis")) figure.layout[name].fixedrange = true;
    }
    await Plotly.newPlot(div, figure.data, { ...figure.layout, template: colours }, config);
    if (over) {
      byTime.push(div);
      div.on("plotly_relayout", (change) => follow(div, change));
    }
  }
  const stops = [...new Set(byTime.flatMap((div) => div._fullData.filter((one) => one.meta?.stop).flatMap((one) => [...one.x])))];
  stops.sort((a, b) => a - b);
  for (const button of document.querySelectorAll("[data-span-s], [data-stop]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const [first, last] = whole(byTime[0]), [a, b] = byTime[0].layout.xaxis.range.map(instant);
      let [middle, wide] = [(a + b) / 2, 1000 * Number(button.dataset.spanS)];
      if (button.dataset.stop) {
        const at = Number(button.dataset.stop), zoomed = b - a < 10 * wide;
        const next = at > 0 ? stops.find((one) => !zoomed || one > middle + 1) : stops.findLast((one) => !zoomed || one < middle - 1);
        if (next === undefined) return;
        [middle, wide] = [next, zoomed ? b - a : wide];
      }
      const span = wide ? [middle - wide / 2, middle + wide / 2] : [first, last];
      moving = true;
      try { await show(span); } finally { moving = false; }
    });
  }
  const recolour = () => {
    const colours = template();
    return Promise.all(divs.map((div) => Plotly.relayout(div, { template: colours })));
  };
  const chosen = document.getElementById("theme");
  chosen?.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; recolour(); });
  wanted.addEventListener("change", recolour);
  root.dataset.drawn = divs.length;
})();
