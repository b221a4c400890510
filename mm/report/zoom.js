// Select the visible span by drag, wheel, keys and buttons; all charts share it.

let waiting = false;
function look(from, until) {
  const span = Math.min(END, Math.max(LEAST_MS, until - from));
  const middle = (from + until) / 2;
  a = Math.min(END - span, Math.max(0, middle - span / 2));
  b = a + span;
  if (cursor < a || cursor > b) cursor = null;
  tip.hidden = true;
  if (!waiting) requestAnimationFrame(() => { waiting = false; draw(); });
  waiting = true;
}
const zoom = (factor, at = (a + b) / 2) => look(at - (at - a) * factor, at + (b - at) * factor);
const move = (share) => look(a + share * (b - a), b + share * (b - a));
const around = (at, span) => look(at - span / 2, at + span / 2);

function toStop(step) {
  const middle = (a + b) / 2;
  const next = step > 0 ? stops[upTo(stops, middle + 1)] : stops[upTo(stops, middle - 1) - 1];
  if (next === undefined) return;
  around(next, Math.min(b - a, data.close));
  cursor = next; // so that every chart shows its values at that instant
}

const ACTS = {
  in: () => zoom(0.5), out: () => zoom(2), left: () => move(-0.25), right: () => move(0.25), all: () => look(0, END),
  back: () => toStop(-1), next: () => toStop(1),
};
const KEYS = {
  ArrowLeft: "left", ArrowRight: "right", "+": "in", "=": "in", "-": "out", 0: "all", Home: "all", Escape: "all",
  n: "next", p: "back",
};

bar.hidden = false;
root.classList.add("live");
bar.addEventListener("click", (event) => {
  const what = event.target.dataset.do;
  if (what) (ACTS[what] ?? (() => around((a + b) / 2, what * 1000)))();
});
root.addEventListener("keydown", (event) => {
  if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  ACTS[KEYS[event.key]]();
});

// A click on a name in the legend hides or shows its series.
for (const panel of panels) {
  for (const what of ["line", "spans", "marks"]) {
    panel.reads(what).forEach((read, i) => {
      const name = read.parentElement;
      name.role = "switch";
      name.tabIndex = 0;
      const flip = () => {
        const one = panel[what === "line" ? "lines" : what][i];
        one.hidden = !one.hidden;
        name.classList.toggle("hushed", one.hidden);
        name.ariaChecked = String(!one.hidden);
        draw();
      };
      name.ariaChecked = "true";
      name.addEventListener("click", flip);
      name.addEventListener("keydown", (event) => { if (event.key === "Enter") flip(); });
    });
  }
}

let scrolled = -Infinity; // while the page is being scrolled, the wheel keeps scrolling; otherwise it zooms
addEventListener("scroll", (event) => { scrolled = event.timeStamp; }, { passive: true });
let held = null;
const place = (panel, event) => event.clientX - panel.svg.getBoundingClientRect().left;

const ends = (x, y) => [Math.min(x, y), Math.max(x, y)];

function selection(panel, x) {
  const [from, until] = ends(held.x, x);
  for (const one of panels) {
    one.svg.querySelector(".picked").setAttribute("d", `M${from} ${TOP}H${until}V${one.height - BOTTOM}H${from}z`);
  }
}

for (const panel of panels) {
  panel.svg.addEventListener("wheel", (event) => {
    if (event.timeStamp - scrolled < 400 || (event.deltaY > 0 && b - a >= END)) return;
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) move(event.deltaX / width);
    else zoom(2 ** (event.deltaY / 240), instant(place(panel, event)));
  }, { passive: false });
  panel.svg.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    held = { x: place(panel, event), a, b, pan: event.shiftKey || event.pointerType === "touch" };
    panel.svg.setPointerCapture(event.pointerId);
  });
  panel.svg.addEventListener("pointermove", (event) => {
    const x = place(panel, event);
    cursor = within(instant(x));
    if (held?.pan) {
      const by = ((held.x - x) / (width - LEFT - RIGHT)) * (held.b - held.a);
      look(held.a + by, held.b + by);
      return;
    }
    point();
    if (held) selection(panel, x);
    else tell(panel, x, event.clientY - panel.svg.getBoundingClientRect().top);
  });
  panel.svg.addEventListener("pointerup", (event) => {
    const x = place(panel, event);
    if (held && !held.pan && Math.abs(x - held.x) > 4) look(...ends(held.x, x).map((one) => within(instant(one))));
    held = null;
  });
  panel.svg.addEventListener("pointercancel", () => { held = null; });
  panel.svg.addEventListener("pointerleave", () => {
    cursor = null;
    tip.hidden = true;
    point();
  });
  panel.svg.addEventListener("dblclick", () => look(0, END));
}
new ResizeObserver(() => { if (Math.round(figures[0].clientWidth) !== width) look(a, b); }).observe(figures[0]);
draw();
