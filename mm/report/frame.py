"""Common parts of all pages: the document, cards, tiles, tables, and the command that reproduces the page."""

import re
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.clock import iso
from mm.dataclass import dataclass, field
from mm.instrument import assets_of
from mm.numbers import SHARPE_DAYS, number, signed

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit

Row = tuple[str, str]

STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
SORT = '"use strict";\n(() => {\n' + Path(__file__).with_name("sort.js").read_text(encoding="utf-8") + "})();\n"
# With this policy the browser blocks every request from the page.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass(frozen=True)
class About:
    """Metadata of a run.

    Attributes:
        command: The exact command, as a list of words; empty without one (a notebook).
        knobs: Name to ``{"value": …, "source": …}``, as in the manifest.
        folder: Prefix of links to files of the run: ``""`` if the page is in their folder, else ends with ``/``.
        excluded: Excluded stretches of the days, and the reasons.
        run_id: RUN_ID; empty without a run (a notebook).
        version: Version of mm that made the run.
    """

    command: Sequence[str] = ()
    knobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folder: str = ""
    excluded: Sequence[str] = ()
    run_id: str = ""
    version: str = ""

    @property
    def name(self) -> str:
        """Run and version for the head of a page, HTML; empty without a run."""
        return f" · run <b>{escape(self.run_id)}</b> · mm {escape(self.version)}" if self.run_id else ""


def document(title: str, parts: Sequence[str], script: str = "") -> str:
    """Return a self-contained HTML file that makes no requests; empty *parts* are omitted.

    Args:
        title: Title of the window.
        parts: HTML, from top to bottom.
        script: Script that runs after all parts.
    """
    sorting = SORT if 'class="grid"' in "".join(parts) else ""
    run = "".join(f"<script>\n{one}</script>\n" for one in (script, sorting) if one)
    html = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{chr(10).join(part for part in parts if part)}\n</main>\n{run}</body></html>\n"
    )
    return html.encode(errors="backslashreplace").decode()  # the name of a folder need not be UTF-8


def nothing(why: str) -> str:
    """Return a paragraph in place of a chart."""
    return f'<p class="none">{why}</p>'


def card(heading: str, hint: str, body: str, keys: Sequence[tuple[str, str]] = ()) -> str:
    """Return a titled box around *body*, all HTML; *keys* is the legend: classes of colours and their meanings."""
    legend = "".join(f'<span><i class="key {kind}"></i>{text}</span>' for kind, text in keys)
    return (
        f'<section class="card"><div class="head"><h2>{heading}</h2><p class="legend">{legend}</p></div>'
        f'<p class="hint">{hint}</p>{body}</section>'
    )


def wide(chart: str) -> str:
    """Return *chart* in a box that scrolls on narrow screens, so that it stays large enough to read."""
    return f'<div class="wide">{chart}</div>'


def pair(*cards: str) -> str:
    """Return two *cards* side by side."""
    return f'<div class="pair">{"".join(cards)}</div>'


def in_row(*cards: str, kind: str = "halves") -> str:
    """Return *cards* in as many columns as fit the window; empty ones are omitted.

    Args:
        cards: HTML.
        kind: ``halves`` for charts of half a page, ``wholes`` for full width.
    """
    return f'<div class="abreast {kind}">{"".join(cards)}</div>' if any(cards) else ""


def column(*cards: str) -> str:
    """Return *cards*, HTML, stacked in one cell of a grid; empty ones are omitted."""
    return f'<div class="column">{"".join(cards)}</div>' if any(cards) else ""


def quote_asset(summary: Mapping[str, Any]) -> str:
    """Return the name of the quote asset, HTML: that of the instrument, else the suffix of its symbol."""
    return escape(summary["quote_asset"] or assets_of(summary["symbol"])[1] or "quote asset")


def base_asset(summary: Mapping[str, Any]) -> str:
    """Return the name of the base asset, HTML: that of the instrument, else the prefix of its symbol."""
    return escape(summary["base_asset"] or assets_of(summary["symbol"])[0] or "base asset")


def header(symbol: str, days: str, line: str) -> str:
    """Return the head of a page, with *line*, HTML, below the symbol and its days."""
    name = f"<h1>{escape(symbol)} <small>{escape(days)}</small></h1>"
    return f'<header>{name}<p class="sub">{line}</p></header>'


def minute(us: int) -> str:
    """Return an instant in UTC, to the minute."""
    return iso(int(us))[:16].replace("T", " ")


def gain_or_loss(value: float | None) -> str:
    """Return the class of a number by its sign: empty for 0 and None."""
    return "" if not value else "gain" if value > 0 else "loss"


def coloured(value: float | None, digits: int = 4) -> str:
    """Return a signed number in the colour of its sign."""
    return f'<b class="{gain_or_loss(value)}">{signed(value, digits)}</b>'


def interval(ends: Sequence[float] | None, digits: int = 4) -> str:
    """Return a 95 % interval in words."""
    return "no interval" if ends is None else f"95 %: {number(ends[0], digits)} to {number(ends[1], digits)}"


def fitted_interval(fit: "PoissonFit", name: str) -> str:
    """Return the headline's 95 % interval of A or k in words: by blocks, or naive."""
    ends = fit.headline_ci95(name)
    return interval(ends).replace("95 %", "95 % by blocks" if fit.by_blocks else "95 %, naive, no blocks")


def estimate(value: float | None, error: float | None) -> str:
    """Return a signed number with its standard error, if any."""
    return f"{signed(value, 3)} ± {number(error, 2)}" if error else signed(value, 3)


ANNUAL = ("sharpe", "sharpe_autocorr", "sortino", "calmar")


def annualised(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *summary*, without its annualised ratios if it has fewer than `SHARPE_DAYS` days."""
    return {**summary, **dict.fromkeys((*ANNUAL, "sharpe_ci95"))} if too_short(summary) else summary


def too_short(summary: Mapping[str, Any]) -> str:
    """Return the reason why a page has no annualised ratio, as the end of a hint; empty if it has."""
    days = len(summary.get("daily") or summary["days"])
    why = f" {days} of {SHARPE_DAYS} days, too short to annualise; summary.json still has {', '.join(ANNUAL)}."
    return why if days < SHARPE_DAYS else ""


def tiles(*shown: str) -> str:
    """Return the row of headline numbers."""
    return f'<section class="tiles">{"".join(shown)}</section>'


def quoting(summary: Mapping[str, Any]) -> float | None:
    """Return the PnL of the quoting; that of the account for a run of a version that did not tell them apart."""
    pnl: float | None = summary.get("pnl_quoting", summary["pnl_total"])
    return pnl


def earnings(summary: Mapping[str, Any]) -> list[str]:
    """Return the first two tiles of every page of a backtest: PnL of the quoting, and the certainty of its sign.

    With fewer than `SHARPE_DAYS` days the Sharpe ratio is omitted: annualising a few hours multiplies by a large root.
    In its place is the mean PnL per minute, in standard errors from resampled blocks.
    """
    pnl, fees = quoting(summary), f"after {number(summary['fees'])} fees"
    from mm.backtest.summary_text import sign_of_mean, worst  # loads numpy, which help texts do not need

    fees += escape(worst(summary, "; "))
    if hold := summary.get("pnl_hold"):
        fees += f"; the inventory held {signed(hold)}"
    first = tile("PnL of the quoting " + quote_asset(summary), signed(pnl), fees, gain_or_loss(pnl))
    days, ends = len(summary.get("daily") or summary["days"]), summary["sharpe_ci95"]
    if days >= SHARPE_DAYS:
        return [first, tile("Sharpe, annual", number(summary["sharpe"], 3), interval(ends, 3))]
    why = f"95 %, by blocks; {days} day{'s' if days != 1 else ''}, too few for a Sharpe ratio"
    return [
        first,
        tile("Sign of the mean PnL", sign_of_mean(summary), why),
    ]


def tile(name: str, value: str, more: str, kind: str = "") -> str:
    """Return one headline number: name, value, and a line below; *kind* is ``gain``, ``warn``, ``loss`` or empty."""
    return f'<div class="tile"><span>{name}</span><b class="{kind}">{value}</b><i>{more}</i></div>'


def notes(warnings: Sequence[str], kind: str) -> str:
    """Return *warnings* as a list of a *kind* (``notes``, ``why``); empty without any."""
    if not warnings:
        return ""
    return f'<ul class="{kind}">{"".join(f"<li>{escape(line)}</li>" for line in warnings)}</ul>'


def table(caption: str, rows: Sequence[Row]) -> str:
    """Return *rows* of name and HTML value under a *caption*, which may be empty."""
    head = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f"<table>{head}{''.join(f'<tr><th>{escape(name)}</th><td>{value}</td></tr>' for name, value in rows)}</table>"
    )


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return *rows* of HTML cells under a *head*; the first column is the name of its row."""
    first, *others = map(escape, head)
    names = f'<tr class="cols"><th>{first}</th>{"".join(f"<td>{name}</td>" for name in others)}</tr>'
    body = "".join(f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows)
    return f'<div class="wide"><table class="grid">{names}{body}</table></div>'


def listing(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a long `grid`, which scrolls within its card."""
    return grid(head, rows).replace('<div class="wide">', '<div class="wide listing">', 1)


def origin(about: About) -> str:
    """Return the excluded stretches of the days, the exact command of the page, and every knob.

    Empty if none of these is known.
    """
    out = card("Excluded", "Parts of the days that are in none of these numbers.", notes(about.excluded, "notes"))
    out = out if about.excluded else ""
    if not about.command and not about.knobs:
        return out
    command = f"<pre>{escape(shlex.join(about.command))}</pre>" if about.command else ""
    knobs = "".join(_knob(name, knob["value"], str(knob["source"])) for name, knob in about.knobs.items())
    return out + card(
        "How to reproduce this", "The exact command, and every knob.", f'{command}<div class="knobs">{knobs}</div>'
    )


def _knob(name: str, value: Any, source: str) -> str:
    text = "–" if value is None else str(int(value)) if isinstance(value, bool) else str(value)
    kind = "default" if source == "default" else "set"
    return f'<div class="{kind}"><code>{escape(name)}</code><b>{escape(text)}</b><span>{escape(source)}</span></div>'


_FAINT, _STRONG = 0.10, 0.72


@dataclass(frozen=True, eq=False)
class Heatmap:
    """A heat map, as an HTML table.

    Attributes:
        across: Name of the axis of columns, and their labels.
        down: Name of the axis of rows, and their labels.
        values: By row and column; None is an empty cell.
        best: Row and column of the framed cell; None for no frame.
    """

    across: tuple[str, Sequence[str]]
    down: tuple[str, Sequence[str]]
    values: Sequence[Sequence[float | None]]
    best: tuple[int, int] | None = None

    def table(self, texts: Sequence[Sequence[str]], title: str, span: tuple[float, float] | None = None) -> str:
        """Return the table as HTML; its cells shrink on narrow screens, down to the width of their texts.

        Args:
            texts: Text of each cell.
            title: Label for screen readers.
            span: Minimum and maximum size of a value on a scale shared by several maps; None uses this map alone.
        """
        names, labels = self.across[1], self.down[1]
        low, high = span or sizes(self.values)
        rows = []
        for row, label in enumerate(labels):
            cells = []
            for column, value in enumerate(self.values[row]):
                tip = f"{self.across[0]} {names[column]}, {self.down[0]} {label}: {texts[row][column]}"
                strength = 0.0 if value is None else (abs(value) - low) / (high - low) if high > low else 1.0
                cells.append(_cell(value, strength, (texts[row][column], tip), framed=self.best == (row, column)))
            rows.append(f'<tr><th scope="row">{_breaking(label)}</th>{"".join(cells)}</tr>')
        heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
        return (
            f'<table class="heat" aria-label="{escape(title)}" style="--columns:{len(names)}">'
            f'<tr><th></th><td class="name" colspan="{len(names)}">{escape(self.across[0])}</td></tr>'
            f'<tr class="cols"><td class="name">{_breaking(self.down[0])}</td>{heads}</tr>{"".join(rows)}</table>'
        )


def sizes(values: Sequence[Sequence[float | None]]) -> tuple[float, float]:
    """Return the minimum and maximum size of the *values*; the minimum is 0 if they have both signs."""
    known = [value for row in values for value in row if value is not None]
    if not known:
        return 0.0, 1.0
    mixed = min(known) < 0 < max(known)
    low, high = min(map(abs, known)), max(map(abs, known))
    return (0.0 if mixed or low == high else low), high or 1.0


def _cell(value: float | None, strength: float, texts: tuple[str, str], *, framed: bool) -> str:
    """Return one cell with a colour of *strength* 0 to 1; *texts* are its text and its tooltip."""
    kind = "off" if value is None else "loss" if value < 0 else "gain"
    share = "" if value is None else f' style="--share:{_FAINT + (_STRONG - _FAINT) * min(1.0, strength):.3f}"'
    text, title = map(escape, texts)
    return f'<td class="{kind}{" best" if framed else ""}"{share} title="{title}">{text}</td>'


def _breaking(name: str) -> str:
    """Return a name that may wrap after an underscore or a colon on narrow screens."""
    return escape(name).replace("_", "_<wbr>").replace(":", ":<wbr>")


PICTURE, CARD = "mm-picture", "mm-card"
"""Classes of self-contained elements: their styles apply only within them, not to a surrounding page."""
_PICTURE_STYLE = (
    ' { font: 15px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; background: #ffffff; }',
    " .head { font-size: 15px; font-weight: 600; fill: #1d2127; }",
    " .note { font-size: 13.5px; fill: #646b75; }",
    " .tick { font-size: 13px; }",
    " { min-width: 720px; }",
)
_CARD_STYLE = (
    " { font: 14px/1.5 system-ui, sans-serif; padding: 14px 16px; border-radius: 10px; }",
    " { max-width: 1120px; text-align: left; }",
    " * { box-sizing: border-box; }",
    " h1 { font-size: 20px; padding: 0; }",
    " header { background: none; padding: 0; }",
    " .tiles { grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); margin: 12px 0 0; }",
    " .notes { font-size: 13px; margin: 12px 0 0; }",
)
_NARROW = f"@media (max-width: 900px) {{ .{CARD} .tiles {{ grid-template-columns: repeat(3, 1fr); }} }}"


def standalone(picture: str) -> str:
    """Return the SVG *picture* of a `Plot` with the page's light colours included, so that it needs no page."""
    style = "\n".join([*_scoped(picture, PICTURE), *(f".{PICTURE}{one}" for one in _PICTURE_STYLE)])
    width, height = picture.split('"')[1].split()[2:]  # of its viewBox
    size = f'width="{width}" height="{height}" style="max-width: {width}px"'
    opened = f'<svg xmlns="http://www.w3.org/2000/svg" class="{PICTURE}" {size} '
    return picture.replace("<svg ", opened, 1).replace(">", f"><style>\n{style}\n</style>", 1)


def boxed(html: str) -> str:
    """Return *html* as a card for a notebook: in its own box, with the page's light colours."""
    known = colours()
    box = f" {{ color: {known['ink']}; background: {known['ground']}; border: 1px solid {known['edge']}; }}"
    rules = [*_scoped(html, CARD), *(f".{CARD}{one}" for one in (box, *_CARD_STYLE)), _NARROW]
    return f'<div class="{CARD}"><style>\n{chr(10).join(rules)}\n</style>{html}</div>'


def colours() -> dict[str, str]:
    """Return the page's light colours by their names in the style sheet."""
    root = STYLE[STYLE.index(":root {") : STYLE.index("}") + 1]
    return dict(re.findall(r"--([\w-]+): ([^;]+);", root))


def key_colour(kind: str) -> str:
    """Return the legend colour of a class of marks."""
    words = set(kind.split())
    found = [
        value
        for selector, value in re.findall(r"([^{}]+) \{[^}]*background: var\(--([\w-]+)\)", STYLE)
        if any({*re.findall(r"\.([\w-]+)", one)} - {"key"} <= words for one in selector.split(",") if ".key." in one)
    ]
    return colours()[found[-1] if found else "main"]


def _scoped(html: str, scope: str) -> list[str]:
    """Return the style rules that *html* needs, each limited to a class, with colours filled in."""
    classes = {word for words in re.findall(r'class="([^"]+)"', html) for word in words.split()}
    used = {f".{word}" for word in classes} | set(re.findall(r"<(\w+)", html))
    sheet, known = STYLE[: STYLE.index("@media (max-width")], colours()
    rules = []
    for selectors, body in re.findall(r"^([^@{}\n]+) \{\s*([^{}]*?)\s*\}", sheet, re.MULTILINE):
        kept = [
            "" if one == "svg" and html.startswith("<svg") else f" {one.removeprefix('svg ')}"
            for one in map(str.strip, selectors.split(","))
            if (parts := re.findall(r"\.?[\w-]+", re.sub(r"::?\w+", "", one))) and used.issuperset(parts)
        ]
        filled = re.sub(r"var\(--([\w-]+)\)", lambda name: known.get(name[1], name[0]), body)
        rules += [f"{','.join(f'.{scope}{one}' for one in kept)} {{ {filled} }}"] if kept else []
    return rules


@dataclass(frozen=True, eq=False)
class ChartPart:
    """One of several stacked charts of a picture.

    Attributes:
        title: Title of the chart; HTML.
        note: Its unit, in a few words; HTML.
        picture: Its SVG, or a paragraph in its place.
        keys: Legend: classes of its marks and their meanings; a picture omits those that it does not contain.
        hint: Hint on a page; HTML. Empty: the note.
    """

    title: str
    note: str
    picture: str
    keys: Sequence[tuple[str, str]] = ()
    hint: str = ""

    def card(self) -> str:
        """Return the chart as a card of a page."""
        return card(self.title, self.hint or self.note, wide(self.picture), self.keys)


_SVG = re.compile(r'<svg viewBox="0 0 (\d+) (\d+)" role="img" aria-label="[^"]*">(.*)</svg>', re.DOTALL)
_HEAD, _EMPTY, _MARGIN = 30, 40, 10


def stacked(parts: Sequence[ChartPart], title: str, width: int) -> str:
    """Return one SVG of stacked charts, each below its title and legend; *title* is for screen readers."""
    marks, top = [], 4
    for part in parts:
        found = _SVG.fullmatch(part.picture)
        body = found[3] if found else re.sub(r"<[^>]+>", "", part.picture)
        drawn = set(re.findall(r'class="([^"]+)"', body))
        keys = "".join(
            f'<tspan dx="14" fill="{key_colour(kind)}">■</tspan> {name}'
            for kind, name in part.keys
            if any({*kind.split()} <= {*words.split()} for words in drawn)
        )
        note = f'<tspan class="note" font-weight="400" dx="8">{part.note}</tspan>' if part.note else ""
        marks.append(f'<text class="head" x="8" y="{top + 22}">{part.title}{note}</text>')
        marks.append(f'<text class="note end" x="{width - 22}" y="{top + 22}">{keys}</text>' if keys else "")
        inner = body if found else f'<text class="tick mid" x="{width // 2}" y="22">{body}</text>'
        marks.append(f'<g transform="translate(0 {top + _HEAD})">{inner}</g>')
        top += _HEAD + (int(found[2]) if found else _EMPTY) + _MARGIN
    label = f'role="img" aria-label="{escape(title)}"'
    return f'<svg viewBox="0 0 {width} {top}" {label}>{"".join(marks)}</svg>'
