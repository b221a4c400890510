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
    }, data: { heatmap: [{ textfont: { color: ink } }] } };
  };
  const config = { responsive: true, displaylogo: false, toImageButtonOptions: { format: "svg" }, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
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

  const arrange = ({ layout }, wide, narrow) => {  // titles and legends take the lines that they need in this width
    const { panels, line, top, letter } = layout.meta ?? {};
    if (!panels) return;
    const width = wide - layout.margin.l - layout.margin.r, scale = narrow ? 0.88 : 1, titles = [...layout.annotations ?? []];
    const heads = panels.map(({ names, ...wide }) => {
      const px = wide.px.map((one) => one * scale), whole = wide.whole * scale, column = wide.column * scale;
      const long = px[0] && px[1] > width, title = px[long ? 0 : 1];
      const lines = !names || (px[0] && title + whole < width) ? 0 : whole < width ? 1 : Math.ceil(names / Math.max(1, Math.floor(width / column)));
      return { long, lines, room: width - (names && !lines ? whole : 0), px: line * ((px[0] ? 1 : 0) + lines) + top + (lines ? 5 : 0) };
    });
    const total = panels.reduce((sum, { height }, place) => sum + height + heads[place].px, 0);
    let at = total;
    panels.forEach(({ panel, height, px }, place) => {
      const { long, lines, room, px: head } = heads[place], upper = (at - head) / total, legend = layout[`legend${panel}`];
      layout[`yaxis${panel}`].domain = [Math.max(0, (at - head - height) / total), upper];
      Object.assign(legend, lines ? { x: 0, xanchor: "left", y: upper + (line * lines + 5) / total, yanchor: "top" } : { x: 1, xanchor: "right", y: upper, yanchor: "bottom" });
      if (narrow) legend.font = { size: 11 };
      if (px[0]) {
        const title = titles.shift();
        Object.assign(title, { y: upper, yshift: head - line - top + 3, });
        if (long) {  // the unit alone, or not even that
          const unit = title.text.replace(/(<span[^>]*>[^,;<]*)[^<]*/, "$1");
          const fits = unit.replace(/<[^>]*>/g, "").length * letter * scale < room;
          title.text = fits ? unit : title.text.replace(/ *<span.*<\/span>/, "");
        }
      }
      at -= head + height;
    });
    layout.height = total + layout.margin.t + layout.margin.b;
  };

  for (const div of divs) {
    const data = div.querySelector("script"), figure = JSON.parse(data.textContent);
    data.remove();
    const over = figure.layout.xaxis?.type === "date";
    const narrow = div.clientWidth < 560;
    if (narrow) {
      Object.assign(figure.layout.margin, { l: 50, r: 26 });
      if (figure.layout.xaxis.type === "date" || figure.layout.xaxis.nticks) figure.layout.xaxis.nticks = 4;
      for (const one of figure.layout.annotations ?? []) one.font = { size: 11 };
    }
    for (const one of figure.data)
      if (one.type === "heatmap" && div.clientWidth / one.x.length < 64) one.texttemplate = "";  // no room for numbers
    arrange(figure, div.clientWidth, narrow);
    div.style.height = `${figure.layout.height}px`;
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
