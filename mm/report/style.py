"""The style sheet of the report page: two palettes, one layout, no font or image from elsewhere."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f6f6f3; --card: #ffffff; --edge: #e3e3dd; --ink: #1d2127; --soft: #646b75;
  --rule: #ecece6; --zero: #a9aeb6; --off: #8a8f9826; --note: #fff6df; --note-edge: #e8cf8e;
  --main: #3358c4; --buy: #0f7f8a; --sell: #cf5a1f; --gain: #14785a; --loss: #bf3030;
  --third: #8b46b8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #121417; --card: #1a1d21; --edge: #2b2f35; --ink: #e7e9ec; --soft: #98a0aa;
    --rule: #262a2f; --zero: #59606a; --off: #aab0b926; --note: #2b2616; --note-edge: #5f5122;
    --main: #86a5ff; --buy: #4fc3cd; --sell: #ff9a62; --gain: #4fcf9d; --loss: #ff7d78;
    --third: #cf9bf2;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 34px 20px 60px; }
header { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 4px 24px; }
h1 { font-size: 27px; line-height: 1.2; letter-spacing: -.015em; margin: 0; }
h1 small { font-weight: 400; color: var(--soft); font-size: 19px; margin-left: 6px; }
h2 { font-size: 15px; margin: 0; }
p { margin: 0; }
.sub, .hint { color: var(--soft); }
.hint { font-size: 13px; margin: 2px 0 8px; }

.tiles { display: grid; grid-template-columns: repeat(6, 1fr); gap: 12px; margin: 22px 0 12px; }
.tile, .card { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; }
.tile { padding: 13px 15px 12px; min-width: 0; }
.tile b { display: block; font-size: clamp(17px, 1.75vw, 23px); line-height: 1.25; }
.tile b { letter-spacing: -.02em; white-space: nowrap; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.tile i { display: block; color: var(--soft); font-style: normal; font-size: 12.5px; line-height: 1.4; }
b.gain { color: var(--gain); }
b.loss { color: var(--loss); }
.card { padding: 17px 18px 12px; margin: 12px 0 0; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; margin-top: 12px; }
.trio { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; margin-top: 12px; }
.pair > .card, .trio > .card { margin: 0; min-width: 0; }
.notes { background: var(--note); border: 1px solid var(--note-edge); border-radius: 10px; font-size: 14px; }
.notes { margin: 0; padding: 11px 16px 11px 34px; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }

svg { display: block; width: 100%; height: auto; }
.wide svg { min-width: 720px; }
svg text { font-size: 11.5px; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .end { text-anchor: end; }
svg .mid { text-anchor: middle; }
svg .name { fill: var(--ink); font-size: 13px; }
svg .value { fill: var(--ink); font-size: 13px; font-weight: 600; }
.rule { stroke: var(--rule); fill: none; }
.zero { stroke: var(--zero); fill: none; }
.line { stroke: var(--main); stroke-width: 1.5; fill: none; stroke-linejoin: round; }
.faint { stroke: var(--soft); stroke-width: 1; fill: none; stroke-linejoin: round; opacity: .75; }
.band { fill: var(--main); opacity: .13; }
.whisker path { stroke: var(--main); stroke-width: 1.4; fill: none; }
.whisker circle { fill: var(--main); }
.whisker.buy path, .whisker.sell path { fill: none; }
.whisker.buy path { stroke: var(--buy); }
.whisker.sell path { stroke: var(--sell); }
.whisker.buy circle { fill: var(--buy); }
.whisker.sell circle { fill: var(--sell); }
svg .whisker.buy, svg .whisker.sell { fill: none; }
.line.spread { stroke: var(--gain); }
.line.carried { stroke: var(--third); }
.line.fees { stroke: var(--loss); }
.price { stroke: var(--ink); stroke-width: 1; fill: none; stroke-linejoin: round; }
.quote { stroke-width: 1.6; fill: none; }
svg .bid { stroke: var(--buy); }
svg .ask { stroke: var(--sell); }
.quote.many { stroke-width: 1; opacity: .45; }
.dots { stroke-width: 3.6; stroke-linecap: round; fill: none; opacity: .5; }
.dots.buy { stroke: var(--buy); }
.dots.sell { stroke: var(--sell); }
.cursor { stroke: var(--soft); stroke-dasharray: 2 3; fill: none; pointer-events: none; }
.picked { fill: var(--main); opacity: .14; pointer-events: none; }
.none-yet { opacity: .45; }
.error { stroke: var(--main); stroke-width: 1.5; fill: none; }
.dash { stroke: var(--loss); stroke-width: 1.5; stroke-dasharray: 5 4; fill: none; }
.point { fill: var(--main); stroke: var(--card); stroke-width: 2; }
svg .buy { fill: var(--buy); }
svg .sell { fill: var(--sell); }
svg .gain { fill: var(--gain); }
svg .loss { fill: var(--loss); }

svg .off { fill: var(--off); }
.head { display: flex; justify-content: space-between; align-items: baseline; gap: 16px; }
.legend { display: flex; flex-wrap: wrap; justify-content: end; gap: 2px 16px; color: var(--soft); font-size: 13px; }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 6px; }
.key.buy { background: var(--buy); }
.key.sell { background: var(--sell); }
.key.off { background: var(--off); outline: 1px solid var(--edge); }
.key.line, .key.price, .key.quote { height: 3px; margin-bottom: 3px; background: var(--main); }
.key.price { background: var(--ink); }
.key.bid { background: var(--buy); }
.key.ask { background: var(--sell); }
.key.spread { background: var(--gain); }
.key.carried { background: var(--third); }
.key.fees { background: var(--loss); }
.none { color: var(--soft); padding: 34px 0 44px; text-align: center; }

.why { margin: 4px 0 8px; padding-left: 18px; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.groups { columns: 3 290px; column-gap: 34px; margin-top: 6px; }
.basis { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 1fr); gap: 34px; align-items: start; }
.basis td { overflow-wrap: anywhere; }
.basis table:first-child td { text-align: left; }
.basis th { white-space: nowrap; vertical-align: top; }
.groups table { break-inside: avoid; margin: 0 0 16px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 4px 0; }
td, th { padding: 3.5px 0; border-top: 1px solid var(--rule); text-align: left; font-weight: 400; }
td { text-align: right; padding-left: 12px; }
.grid td { white-space: nowrap; }
.grid .cols th, .grid .cols td { color: var(--soft); font-size: 12.5px; border-top: 0; }
.heat { max-width: calc(130px + 132px * var(--columns)); border-collapse: separate; border-spacing: 2px; }
.heat td, .heat th { border: 0; border-radius: 3px; padding: 10px 4px; text-align: center; white-space: nowrap; }
.heat td { position: relative; z-index: 0; width: calc(100% / var(--columns)); }
.heat td::before { content: ""; position: absolute; inset: 0; z-index: -1; border-radius: 3px; opacity: var(--share); }
.heat .gain::before { background: var(--gain); }
.heat .loss::before { background: var(--loss); }
.heat .off::before { background: var(--off); opacity: 1; }
.heat .best { font-weight: 600; outline: 2px solid var(--main); outline-offset: -2px; }
.heat th, .heat .name { color: var(--soft); font-size: 12px; padding-top: 2px; padding-bottom: 2px; }
.heat wbr { display: none; }
.heat .name { text-align: left; }
.heat .cols .name { text-align: right; width: auto; }
.heat th[scope="row"] { position: sticky; left: 0; z-index: 1; background: var(--card); text-align: right; }
.knobs { columns: 2 340px; column-gap: 34px; font-size: 13px; }
.knobs div { display: flex; gap: 12px; border-top: 1px solid var(--rule); padding: 3.5px 0; break-inside: avoid; }
.knobs code { flex: 1; }
.knobs b { font-weight: 600; overflow-wrap: anywhere; text-align: right; }
.knobs span { color: var(--soft); width: 84px; text-align: right; }
.knobs .default b { font-weight: 400; color: var(--soft); }
code, pre { font: 12.5px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--ground); border: 1px solid var(--edge); border-radius: 7px; margin: 8px 0 12px; }
pre { padding: 11px 13px; white-space: pre-wrap; overflow-wrap: anywhere; }

.timeline { position: relative; outline: none; }
.timeline figure { margin: 0 0 4px; }
.timeline figcaption { display: flex; justify-content: space-between; align-items: baseline; gap: 16px; }
.timeline figcaption { min-height: 24px; }
h3 { font-size: 13px; margin: 0; }
h3 small { font-weight: 400; color: var(--soft); font-size: 12.5px; margin-left: 4px; }
.timeline .legend b { display: inline-block; font-weight: 500; color: var(--ink); }
.timeline .legend b { font-variant-numeric: tabular-nums; }
.bar { display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: center; position: sticky; top: 0; z-index: 1; }
.bar { background: var(--card); padding: 7px 0; margin-bottom: 6px; border-bottom: 1px solid var(--rule); }
.bar[hidden], .tip[hidden] { display: none; }
.bar output { font-size: 13px; font-weight: 600; font-variant-numeric: tabular-nums; }
.bar span { display: flex; flex-wrap: wrap; gap: 4px; }
.bar i { color: var(--soft); font-style: normal; font-size: 12.5px; }
button { font: inherit; font-size: 12.5px; line-height: 1; color: var(--ink); background: var(--ground); }
button { border: 1px solid var(--edge); border-radius: 6px; padding: 6px 9px; min-width: 30px; cursor: pointer; }
button:hover { border-color: var(--zero); }
button:focus-visible, .timeline:focus-visible .bar { outline: 2px solid var(--main); outline-offset: 1px; }
.live .legend span { cursor: pointer; }
.live .legend .hushed { opacity: .4; text-decoration: line-through; }
.live svg { touch-action: pan-y; cursor: crosshair; user-select: none; }
.live .wide svg { min-width: 0; }
.tip { position: absolute; z-index: 2; display: grid; grid-template-columns: auto auto; gap: 0 14px; }
.tip { background: var(--card); border: 1px solid var(--zero); border-radius: 7px; font-size: 12.5px; }
.tip { padding: 8px 11px; pointer-events: none; }
.tip { box-shadow: 0 4px 14px #0003; font-variant-numeric: tabular-nums; white-space: nowrap; }
.tip span { color: var(--soft); }
.tip b { font-weight: 500; text-align: right; }

@media (max-width: 900px) {
  .tiles { grid-template-columns: repeat(3, 1fr); }
  .pair, .trio, .basis { grid-template-columns: 1fr; }
}
@media (max-width: 700px) {
  .bar i { display: none; }
  .timeline figcaption { display: block; }
  .timeline .legend { justify-content: start; }
}
@media (max-width: 520px) {
  main { padding: 22px 12px 40px; }
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .head { display: block; }
  .legend { justify-content: start; }
  .grid { font-size: 12.5px; }
  .grid td { padding-left: 8px; }
  svg text { font-size: 14px; }
  svg .end { font-size: 13px; }
  svg .name, svg .value { font-size: 15px; }
  .timeline svg text { font-size: 11.5px; }
  .heat { font-size: 12px; }
  .heat td { padding: 8px 3px; }
  .heat wbr { display: inline; }
  .heat .cols .name, .heat th[scope="row"] { white-space: normal; }
}
@media print {
  .card, .tile, figure { break-inside: avoid; }
  .bar { display: none; }
}
"""
