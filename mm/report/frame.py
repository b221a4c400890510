"""What all pages share: the document, cards, tiles, tables, and the command that reproduces it."""

import os
import re
import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from mm.backtest.metrics.numbers import BASE, COUNT, QUOTE, RATIO, UNIT, Summary
from mm.backtest.metrics.summary_number import given
from mm.backtest.summary_text import sign_of_mean, told_colour, worst
from mm.base.atomic_file import write_atomic
from mm.base.day_notes import once_for_days
from mm.base.estimate import Estimate
from mm.base.numbers import ABOVE, BELOW, SHARPE_DAYS, in_column, noun, number, signed
from mm.clock import iso
from mm.errors import UsageError
from mm.instrument import assets_of
from mm.report.figures import Figure, to_json
from mm.report.ranks import DETAIL, RANKS, rank_of

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit

Row = tuple[str, str]

STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
SORT = '"use strict";\n(() => {\n' + Path(__file__).with_name("sort.js").read_text(encoding="utf-8") + "})();\n"
CHARTS = Path(__file__).with_name("charts.js").read_text(encoding="utf-8")
PLOTLY = "plotly.min.js"
# With this policy the browser blocks every request from the page; data: and blob: are pictures that a reader saves.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src 'unsafe-inline'"


@dataclass(frozen=True)
class About:
    """Metadata of a run.

    Attributes:
        folder: Prefix of links to the run's files: ``""`` in their folder, else ends with ``/``.
        plotly: Address of plotly's JavaScript relative to the page; empty: inside the page.
    """

    command: Sequence[str] = ()
    knobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folder: str = ""
    excluded: Sequence[str] = ()
    run_id: str = ""
    version: str = ""
    plotly: str = ""

    @property
    def name(self) -> str:
        return f" · run <b>{escape(self.run_id)}</b> · mm {escape(self.version)}" if self.run_id else ""


def document(title: str, parts: Sequence[str], plotly: str = "") -> str:
    """Make an HTML file that makes no requests; empty *parts* are omitted."""
    body = chr(10).join(part for part in parts if part)
    run, policy = "", POLICY
    if _CHART in body:
        library = f'<script src="{escape(plotly)}"></script>' if plotly else _library()
        run, policy = f"{library}\n<script>\n{CHARTS}</script>\n", f"{POLICY} 'self' file:" if plotly else POLICY
    if 'class="grid"' in body:
        run += f"<script>\n{SORT}</script>\n"
    html = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{_SWITCH if _CHART in body else ''}{body}\n</main>\n{run}</body></html>\n"
    )
    return html.encode(errors="backslashreplace").decode()  # the name of a folder need not be UTF-8


_CHART = '<div class="chart"'
_SWITCH = '<button id="theme" title="light or dark">◐</button>'


def chart(figure: Figure | None, none: str = "") -> str:
    if figure is None:
        return nothing(none)
    if sum(len(trace.get("x", "  ")) for trace in figure["data"]) < 2:
        return nothing("A single point, which is no chart; the numbers have it.")
    height = figure["layout"]["height"]
    data = f'<script type="application/json">{to_json(figure)}</script>'
    return f'{_CHART} style="height:{height}px">{data}</div>'


def zoom_bar(stop: str = "", close_s: float = 60) -> str:
    """Make buttons that zoom, and step to the next *stop* (a fill), showing *close_s* seconds."""
    spans = (("3600", "1 h"), ("600", "10 min"), ("60", "1 min"), ("0", "all"))
    buttons = [f'<button hidden data-span-s="{seconds}">{text}</button>' for seconds, text in spans]
    if stop:
        ways = ((-1, f"‹ {stop}"), (1, f"{stop} ›"))
        buttons += [f'<button hidden data-span-s="{close_s:g}" data-stop="{way}">{text}</button>' for way, text in ways]
    return f'<p class="bar">{"".join(buttons)}</p>'


def plotly_address(form: str, out_root: Path, folder: Path) -> str:
    """Return plotly's address for a page in *folder*; empty: inside the page.

    *form* is ``inline``, or ``directory`` for one copy in *out_root*, written if missing or different.
    """
    if form == "inline":
        return ""
    target, script = out_root / PLOTLY, plotly_script()
    if not target.is_file() or target.stat().st_size != script.stat().st_size:
        write_atomic(target, script.read_bytes())
    return quote(Path(os.path.relpath(target, folder)).as_posix())


def plotly_script() -> Path:
    """Find it in plotly's package, which is not imported."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise UsageError("pages need plotly for their charts; pip install 'mm-research[research]'")
    return Path(spec.origin).with_name("package_data") / PLOTLY


def inlined(html: str) -> str:
    return _BESIDE.sub(lambda _: _library(), html, count=1)


@cache
def _library() -> str:
    from isal.igzip_lib import COMP_GZIP, compress

    data = b64encode(compress(plotly_script().read_bytes(), 3, COMP_GZIP)).decode()
    return f'<script type="text/plain" id="plotly" data-gzip="1">{data}</script>'


def nothing(why: str) -> str:
    return f'<p class="none">{why}</p>'


def card(heading: str, hint: str, body: str) -> str:
    head = f'<div class="head"><h2>{heading}</h2></div><p class="hint">{hint}</p>'
    return f'<section class="card">{head}{body}</section>'


def pair(*cards: str) -> str:
    return f'<div class="pair">{"".join(cards)}</div>'


def in_row(*cards: str, kind: str = "halves") -> str:
    return f'<div class="abreast {kind}">{"".join(cards)}</div>' if any(cards) else ""


def column(*cards: str) -> str:
    return f'<div class="column">{"".join(cards)}</div>' if any(cards) else ""


class Assets(Protocol):
    """What names the assets of a market: a summary, or an instrument."""

    @property
    def symbol(self) -> str: ...

    @property
    def base_asset(self) -> str | None: ...

    @property
    def quote_asset(self) -> str | None: ...


def quote_asset(market: Assets) -> str:
    return escape(market.quote_asset or assets_of(market.symbol)[1] or "quote asset")


def in_assets(unit: str, summary: Assets) -> str:
    """Return a unit in the assets of the summary's market, HTML; empty for counts and ratios."""
    quote, base = quote_asset(summary), base_asset(summary)
    return {QUOTE: quote, BASE: base, UNIT: f"{quote} per {base}", RATIO: "", COUNT: ""}.get(unit, unit)


def base_asset(market: Assets) -> str:
    if isinstance(market, Summary) and given(market.one_account):  # its symbols have different ones
        return ""
    return escape(market.base_asset or assets_of(market.symbol)[0] or "base asset")


def header(symbol: str, days: str, line: str) -> str:
    name = f"<h1>{escape(symbol)} <small>{escape(days)}</small></h1>"
    return f'<header>{name}<p class="sub">{line}</p></header>'


def minute(us: int) -> str:
    return iso(int(us))[:16].replace("T", " ")


def kind_of(sign: str) -> str:
    return {ABOVE: "gain", BELOW: "loss"}.get(sign, "")


def shown(found: Estimate) -> "Amount":
    if (ends := found.ends) is None:
        return Amount(found.value)
    half = number((ends[1] - ends[0]) / 2, 2)
    return Amount(found.value, around=f'<b class="{kind_of(found.sign)}">{{}}</b> ± {half}')


def coloured(value: float | None, ends: Sequence[float | None] | None, n: int, more: str = "") -> "Amount":
    low, high = ends or (None, None)
    return Amount(value, around=f'<b class="{kind_of(Estimate(value, None, low, high, n).sign)}">{{}}</b>{more}')


def interval(ends: Sequence[float] | None, digits: int = 4) -> str:
    return "no interval" if ends is None else f"95 %: {number(ends[0], digits)} to {number(ends[1], digits)}"


def fitted_interval(fit: "PoissonFit", name: str) -> str:
    ends = fit.headline_ci95(name)
    return interval(ends).replace("95 %", "95 % by blocks" if fit.by_blocks else "95 %, naive, no blocks")


ANNUAL = ("sharpe", "sharpe_autocorr", "sortino", "calmar")


def annualised(summary: Summary) -> Summary:
    if not too_short(summary):
        return summary
    return replace(summary, sharpe=None, sharpe_autocorr=None, sortino=None, calmar=None, sharpe_ci95=None)


def too_short(summary: Summary) -> str:
    days = len(summary.daily or summary.days)
    why = f" {days} of {SHARPE_DAYS} days, too short to annualise; summary.json still has {', '.join(ANNUAL)}."
    return why if days < SHARPE_DAYS else ""


def tiles(*shown: str) -> str:
    return f'<section class="tiles">{"".join(shown)}</section>'


def earnings(summary: Summary) -> list[str]:
    pnl, fees, numbers = summary.quoting, f"after {number(summary.fees)} fees", summary.whole
    fees += escape(worst(summary, "; "))
    if hold := summary.pnl_hold:
        fees += f"; the inventory held {signed(hold)}"
    if own := summary.own:
        fees = f"of all legs; {signed(own.pnl_quoting)} in {escape(summary.symbol)}, {fees}"
    first = tile("PnL of the quoting", signed(pnl), fees, told_colour(summary), quote_asset(summary))
    days, ends = len(summary.daily or summary.days), numbers.sharpe_ci95
    if days >= SHARPE_DAYS:
        return [first, tile("Sharpe, annual", number(numbers.sharpe, 3), interval(ends, 3))]
    text, _, why = sign_of_mean(summary).partition(" (")
    few = f"{days} {noun(days, 'day')}, too few for a Sharpe ratio"
    more = "; ".join(filter(None, (escape(why.replace(")", "", 1)), few)))
    return [first, tile("Sign of the mean PnL", text, more, told_colour(summary))]


def tile(name: str, value: str, more: str, kind: str = "", unit: str = "") -> str:
    """*kind* is ``gain``, ``warn``, ``loss`` or empty."""
    value += f" <small>{unit}</small>" if unit and value != "–" else ""
    return f'<div class="tile"><span>{name}</span><b class="{kind}">{value}</b><i>{more}</i></div>'


def notes(warnings: Sequence[str], details: Sequence[str] = ()) -> str:
    """Each once, in three ranks: what to do, what to know, and, folded, the *details*."""
    by_rank: dict[str, dict[str, None]] = {rank: {} for rank in RANKS}
    for line in once_for_days(warnings):
        by_rank[rank_of(line)][line] = None
    by_rank[DETAIL] |= {line: None for line in details if line not in warnings}
    ranks = [_of_rank(rank, list(lines)) for rank, lines in by_rank.items() if lines]
    return f'<div class="notes">{"".join(ranks)}</div>' if ranks else ""


def _of_rank(rank: str, lines: Sequence[str]) -> str:
    if rank == DETAIL:
        return f"<details><summary>{len(lines)} {noun(len(lines), 'detail')}</summary>{listed(lines)}</details>"
    return f'<div class="{rank}"><b>{RANKS[rank]}</b>{listed(lines)}</div>'


def listed(lines: Sequence[str], kind: str = "") -> str:
    if not lines:
        return ""
    return f'<ul class="{kind}">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'


def table(caption: str, rows: Sequence[Row]) -> str:
    head = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f"<table>{head}{''.join(f'<tr><th>{escape(name)}</th><td>{value}</td></tr>' for name, value in rows)}</table>"
    )


@dataclass(frozen=True)
class Amount:
    """A number in a table; a column shares its number of decimals."""

    value: float | None
    plus: bool = True
    around: str = "{}"
    exact: bool = False


Cell = str | Amount


def texts_of(cells: Sequence[Cell]) -> list[str]:
    amounts = [cell for cell in cells if isinstance(cell, Amount)]
    known = iter(in_column([amount.value for amount in amounts], exact=any(amount.exact for amount in amounts)))
    texts = []
    for cell in cells:
        if isinstance(cell, str):
            texts.append(cell)
        else:
            text = next(known)
            plus = cell.plus and text[0].isdigit() and text.strip("0.") != ""
            texts.append(cell.around.replace("{}", f"+{text}" if plus else text))
    return texts


def grid(head: Sequence[str], rows: Sequence[Sequence[Cell]], kind: str = "") -> str:
    """Cells are HTML or numbers; the first column names the row.

    *kind*: ``listing`` scrolls in its card, ``words`` has cells of text, the last of which wraps.
    """
    if wrong := next((row for row in rows if len(row) != len(head)), None):
        raise ValueError(f"{len(wrong)} cells {list(wrong)} under {len(head)} heads {list(head)}")
    first, *others = map(escape, head)
    names = f'<tr class="cols"><th>{first}</th>{"".join(f"<td>{name}</td>" for name in others)}</tr>'
    columns = [texts_of(cells) for cells in zip(*rows, strict=True)]
    body = "".join(
        f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>"
        for row in zip(*columns, strict=True)
    )
    return f'<div class="{f"wide {kind}".strip()}"><table class="grid">{names}{body}</table></div>'


def origin(about: About) -> str:
    """Show excluded stretches, the page's exact command, and every knob, defaults folded."""
    out = card("Excluded", "Parts of the days that are in none of these numbers.", listed(about.excluded, "why"))
    out = out if about.excluded else ""
    if not about.command and not about.knobs:
        return out
    command = f"<pre>{escape(shlex.join(about.command))}</pre>" if about.command else ""
    defaults = {name: knob for name, knob in about.knobs.items() if knob["source"] == "default"}
    given = {name: knob for name, knob in about.knobs.items() if name not in defaults}
    body = command + (_knobs(given) if given else "")
    if defaults:
        body += f"<details><summary>{len(defaults)} knobs have their default</summary>{_knobs(defaults)}</details>"
    return out + card("How to reproduce this", "The exact command, and every knob.", body)


def _knobs(knobs: Mapping[str, Mapping[str, Any]]) -> str:
    shown = (_knob(name, knob["value"], str(knob["source"])) for name, knob in knobs.items())
    return f'<div class="knobs">{"".join(shown)}</div>'


def _knob(name: str, value: Any, source: str) -> str:
    text = "–" if value is None else str(int(value)) if isinstance(value, bool) else str(value)
    said = "" if source == "default" else f"<span>{escape(source)}</span>"
    return f"<div><code>{escape(name)}</code><b>{escape(text)}</b>{said}</div>"


_BESIDE = re.compile(rf'<script src="[^"]*{re.escape(PLOTLY)}"></script>')
_FONT = re.compile(r"font: 15px/1\.5 ([^;]+);")
_COLOURS = re.compile(r"--([\w-]+): light-dark\((#\w+), (#\w+)\);")
CARD = "mm-card"
"""Class of a self-contained card: its styles apply only within it, not to a surrounding page."""
_CARD_STYLE = """
& {
  color-scheme: light; color: var(--ink); background: var(--ground); border: 1px solid var(--edge);
  font: 14px/1.5 system-ui, sans-serif; padding: 14px 16px; border-radius: 10px; max-width: 1120px; text-align: left;
}
h1 { font-size: 20px; padding: 0; }
header { background: none; padding: 0; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); margin: 12px 0 0; }
.notes { font-size: 13px; margin: 12px 0 0; }
@media (max-width: 900px) { .tiles { grid-template-columns: repeat(3, 1fr); } }
"""


def boxed(html: str) -> str:
    return f'<div class="{CARD}"><style>{scoped(CARD, _CARD_STYLE)}</style>{html}</div>'


def scoped(name: str, more: str = "") -> str:
    rules = STYLE.replace(":root {", "& {", 1).replace("color-scheme: light dark;", "", 1)
    return f"\n.{name} {{\n{rules}{more}}}\n"


def font() -> str:
    found = _FONT.search(STYLE)
    return found[1] if found else "sans-serif"


def palette() -> dict[str, tuple[str, str]]:
    return {name: (light, dark) for name, light, dark in _COLOURS.findall(STYLE)}
