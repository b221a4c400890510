"""Several backtests side by side: numbers, charts over one span of time, and what differs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

import numpy as np

from mm.backtest.account_text import HEAD, diversification_text
from mm.backtest.journal import Stretches
from mm.backtest.metrics.bounds import BACK, FRONT
from mm.backtest.metrics.notes import NULL
from mm.backtest.metrics.numbers import COMPARED, QUOTE, Summary, unit_of, value_at
from mm.backtest.metrics.spans import PERIOD_US, Spans
from mm.backtest.metrics.summary_number import given
from mm.backtest.metrics.verdict import Sample, judge
from mm.backtest.run_terms import quoting_of
from mm.backtest.summary_text import assumed_rows, sign_of_mean, told_colour
from mm.base.arrays import Floats
from mm.base.numbers import SHARPE_DAYS, duration, number, percent, signed
from mm.clock import US_PER_S, iso
from mm.instrument import assets_of
from mm.report import figures
from mm.report.account import symbol_rows
from mm.report.backtest_charts import markout_rows, markout_trace
from mm.report.figures import FROM_ZERO, SERIES, Figure, Panel, Trace, merged, stacked, step, time_axis
from mm.report.frame import (
    Cell,
    base_asset,
    card,
    chart,
    document,
    grid,
    header,
    in_assets,
    in_row,
    listed,
    notes,
    nothing,
    quote_asset,
    zoom_bar,
)
from mm.report.hours import HoursOfDay
from mm.report.run_columns import PAUSE_US, EquityCurve, RunColumns

MOST_RUNS = len(SERIES)
NO_MATTER = ("run_id", "out_dir", "out_root", "log_root", "log_level", "data_root")
FILLS = ("fill_model", "fill_params_json", "fill_per_side")  # knobs that are fill assumptions
DAY_US = 86_400 * US_PER_S
BOUNDS = (*(f"bounds.{play}.{name}" for play in (BACK, FRONT) for name in ("pnl_quoting", "n_fills")), "open_share")


@dataclass(frozen=True, eq=False)
class ComparedRun:
    name: str
    manifest: Mapping[str, Any]
    summary: Summary
    tags: Sequence[str] = ()
    note: str = ""
    link: str | None = None
    columns: RunColumns = field(kw_only=True)

    @property
    def quote(self) -> str:
        return str(self.summary.quote_asset or assets_of(self.manifest["symbol"])[1] or "")

    def knob(self, name: str) -> Any:
        return self.manifest["knobs"].get(name, {}).get("value")

    @property
    def span(self) -> tuple[int, int]:
        us = self.columns.state["recv_us"]
        return int(us[0]), int(us[-1])


@dataclass(frozen=True)
class TearSheet:
    """A comparison of at least two backtests over the time that they have in common."""

    runs: Sequence[ComparedRun]

    def to_json(self) -> dict[str, Any]:
        common = None if self.common is None else dict(zip(("start_us", "end_us"), self.common, strict=True))
        return {
            "runs": [_about(run) | {"difference": self.difference(run)} for run in self.runs],
            "numbers": self.numbers(),
            "knobs": self.knobs(),
            "warnings": self.warnings(),
            "common": common,
        }

    @property
    def known(self) -> list[ComparedRun]:
        return [run for run in self.runs if len(run.columns.state["recv_us"])]

    @property
    def common(self) -> tuple[int, int] | None:
        return _common(self.known)

    def curves(self) -> list[tuple[str, EquityCurve]]:
        """Over the common time, from PnL 0."""
        if self.common is not None:
            return [(run.name, _from_zero(run.columns.curve.between(*self.common))) for run in self.known]
        first_us, moved = self.known[0].span[0], []
        for run in self.known:
            days = round((first_us - run.span[0]) / DAY_US)
            moved.append((run.name, replace(run.columns.curve, us=run.columns.curve.us + days * DAY_US)))
        return moved

    def difference(self, run: ComparedRun) -> dict[str, Any] | None:
        """PnL less the first run's over their common time, with its 95 % interval."""
        first = self.runs[0]
        span = _common([first, run]) if first in self.known and run in self.known else None
        if run is first or span is None or not self.one_asset:
            return None
        own, other = run.columns.curve, first.columns.curve
        us = np.unique(np.concatenate((own.us, other.us, span)))
        whole = _held_at(own, us) - _held_at(other, us)
        whole = whole[(us >= span[0]) & (us <= span[1]) & ~np.isnan(whole)]
        begins = _spans_of(run, span).within(_spans_of(first, span)).periods
        before, after = (_held_at(own, at) - _held_at(other, at) for at in (begins, begins + PERIOD_US))
        apart = (after - before)[~np.isnan(after - before)]
        judged = judge(Sample.of(apart))
        equal: dict[str, Any] = {"text": "equal in every minute", "lower95": None, "upper95": None}
        tested = judged.content if judged else equal
        pnl = float(whole[-1] - whole[0]) if len(whole) else 0.0
        left_out = pnl - float(apart.sum())
        ends = {key: tested[key] + left_out for key in ("lower95", "upper95") if tested[key] is not None}
        return {"seconds": (span[1] - span[0]) / US_PER_S, "pnl": pnl, **tested, **ends}

    def numbers(self) -> dict[str, list[float | None]]:
        """Numbers that no run has are omitted."""
        return compared([run.summary for run in self.runs])

    def unequal(self) -> list[str]:
        lines = []
        if len({run.summary.symbol for run in self.runs}) > 1:
            lines.append(
                f"different symbols ({self.each(lambda run: run.summary.symbol)}): levels depend on the price of "
                f"each; compare basis points of turnover and markouts in basis points"
            )
        empty = [run for run in self.runs if run not in self.known]
        lines += [f"{run.name} has no state rows: its book was never valid" for run in empty]
        if legs := [run.name for run in self.runs if run.summary.own]:
            lines.append(
                f"orders in other markets ({', '.join(legs)}): PnL, verdict and ratios are of all legs; "
                f"so are charts of PnL and differences; all other numbers are of {self.runs[0].summary.symbol} alone"
            )
        lines += self._unequal_time()
        if not self.one_asset:
            lines.append(f"PnL in different assets ({self.each(lambda run: run.quote)}): it has no difference")
        if changed := self._changed_inputs():
            lines.append(f"not the same data: {', '.join(changed)} had different contents when the runs read them")
        if fills := [name for name in self.knobs() if name in FILLS]:
            lines.append(
                f"different fill assumptions ({', '.join(fills)}): a part of the difference is assumed, not earned; "
                f"compare designs under one assumption, and read the worst case"
            )
        if len({(run.manifest["version"], run.manifest.get("commit")) for run in self.runs}) > 1:
            lines.append("played by different versions of mm: " + self.each(_version))
        return lines

    @property
    def one_asset(self) -> bool:
        return len({run.quote for run in self.runs}) == 1

    def knobs(self) -> dict[str, list[Any]]:
        names = dict.fromkeys(name for run in self.runs for name in run.manifest["knobs"])
        knobs = {name: [run.knob(name) for run in self.runs] for name in names if name not in NO_MATTER}
        return {name: values for name, values in knobs.items() if any(value != values[0] for value in values)}

    def warnings(self) -> list[str]:
        by_line: dict[str, list[str]] = {}
        for run in self.runs:
            for line in run.summary.warnings:
                if not line.startswith(NULL):
                    by_line.setdefault(line, []).append(run.name)
        own = (
            f"{'all runs' if len(names) == len(self.runs) else ', '.join(names)}: {line}"
            for line, names in by_line.items()
        )
        return [*self.unequal(), *own]

    def each(self, text: Callable[[ComparedRun], str], runs: Sequence[ComparedRun] | None = None) -> str:
        return ", ".join(f"{run.name}: {text(run)}" for run in runs or self.runs)

    def _unequal_time(self) -> list[str]:
        if len(self.known) < 2:
            return []
        spans = self.each(lambda run: " to ".join(iso(us)[:16].replace("T", " ") for us in run.span), self.known)
        if self.common is None:
            return [f"no time is common to all runs ({spans}): their numbers are from different markets"]
        common_us = self.common[1] - self.common[0]
        if max(run.span[1] - run.span[0] for run in self.known) - common_us <= PAUSE_US:
            return []
        return [
            f"different time ({spans}), of which {duration(common_us / US_PER_S)} are common to all: the numbers are "
            f"from each whole run; compare PnL per hour"
        ]

    def _changed_inputs(self) -> list[str]:
        seen: dict[str, str] = {}
        for run in self.runs:
            seen |= {entry["path"]: entry["sha256"] for entry in run.manifest["inputs"] if entry["path"] not in seen}
        entries = [entry for run in self.runs for entry in run.manifest["inputs"]]
        return sorted({entry["path"] for entry in entries if seen[entry["path"]] != entry["sha256"]})


def _common(runs: Sequence[ComparedRun]) -> tuple[int, int] | None:
    if not runs:
        return None
    first, last = max(run.span[0] for run in runs), min(run.span[1] for run in runs)
    return (first, last) if last - first >= US_PER_S else None


def _spans_of(run: ComparedRun, span: tuple[int, int]) -> Spans:
    within = Spans.of(Stretches([span]))
    own = run.summary.spans
    return within if own is None else within.within(Spans.of(Stretches(own)))


def _from_zero(curve: EquityCurve) -> EquityCurve:
    known = np.flatnonzero(~np.isnan(curve.equity))
    return replace(curve, equity=curve.equity - curve.equity[known[0]], below=None) if len(known) else curve


def _held_at(curve: EquityCurve, us: "np.ndarray[Any, np.dtype[np.int64]]") -> Floats:
    return curve.equity[np.maximum(np.searchsorted(curve.us, us, side="right") - 1, 0)]


def compared(summaries: Sequence[Summary]) -> dict[str, list[float | None]]:
    short = any(len(summary.days) < SHARPE_DAYS for summary in summaries)
    names = [name for name in (*COMPARED, *BOUNDS) if not (short and name == "sharpe")]
    numbers = {name: [_at(summary, name) for summary in summaries] for name in names}
    numbers |= {"pnl_per_hour": [_rate(summary, _at(summary, "seconds_covered"), 3_600) for summary in summaries]}
    numbers |= {"pnl_per_turnover_bp": [_rate(summary, _at(summary, "volume.quote"), 1e4) for summary in summaries]}
    for name, extreme in (("pnl_worst_assumption", min), ("pnl_best_assumption", max)):
        numbers[name] = [extreme(rows, default=None) for rows in map(_assumed, summaries)]
    return {name: values for name, values in numbers.items() if any(value is not None for value in values)}


def _assumed(summary: Summary) -> list[float]:
    return [pnl for row in assumed_rows(summary) if (pnl := quoting_of(row)) is not None]


def _rate(summary: Summary, over: float | None, scale: float) -> float | None:
    pnl = summary.quoting
    return None if pnl is None or not over else scale * pnl / over


def _at(summary: Summary, name: str) -> float | None:
    value = value_at(summary, name)
    return value if isinstance(value, int | float) else None


def tear_sheet(sheet: TearSheet, plotly: str = "") -> str:
    runs = sheet.runs
    symbols = " and ".join(dict.fromkeys(str(run.summary.symbol) for run in runs))
    days = list(dict.fromkeys(day for run in runs for day in run.summary.days))
    span = ", ".join(days) if len(days) <= 3 else f"{len(days)} days from {min(days)} to {max(days)}"
    body = [
        header(symbols, span, f"{len(runs)} runs; differences are to <b>{escape(runs[0].name)}</b>"),
        notes(sheet.warnings()),
        _headline_card(sheet),
        _time_card(sheet),
        _accounts_card(runs),
        in_row(_source_card(runs), _markout_card(runs)),
        _hours_card(runs),
        in_row(numbers_card(sheet), knobs_card(sheet), kind="wholes"),
    ]
    return document(f"{symbols}: {', '.join(run.name for run in runs)}", body, plotly)


def _headline_card(sheet: TearSheet) -> str:
    quotes = list(dict.fromkeys(run.quote for run in sheet.runs))
    unit = quotes[0] if len(quotes) == 1 else ""
    head = [
        "run",
        f"PnL, {unit}" if unit else "PnL",
        "less the first, 95 %",
        f"bounds: back to front, {unit}" if unit else "bounds: back to front",
        f"worst assumption, {unit}" if unit else "worst assumption",
        f"an hour, {unit}" if unit else "an hour",
        "bp of turnover",
    ]
    head += [f"drawdown, {unit}" if unit else "drawdown", "fills", "inventory from its target, rms", "both sides"]
    numbers, rows = sheet.numbers(), []
    for place, run in enumerate(sheet.runs):
        of = {name: values[place] for name, values in numbers.items()}
        pnl = f'<b class="{told_colour(run.summary)}">{signed(run.summary.quoting)}</b>'
        rows.append(
            (
                named(run, SERIES[place]),
                f"{pnl} {'' if unit else escape(run.quote)}{line_below(sign_of_mean(run.summary))}",
                difference_cell(sheet.difference(run)) if place else "",
                _bounds_cell(run.summary),
                signed(of.get("pnl_worst_assumption")),
                signed(of.get("pnl_per_hour")),
                signed(of.get("pnl_per_turnover_bp"), 3),
                number(run.summary.whole.max_drawdown),
                f"{of.get('n_fills') or 0:,}",
                f"{number(of.get('inventory_from_target.rms'), 3)}{line_below(base_asset(run.summary))}",
                percent(of.get("two_sided_uptime")),
            )
        )
    hint = (
        "PnL of the quoting of each whole run, above the verdict on its mean. The difference is over the time shared "
        "with the first run, with the 95 % interval of its paired minutes."
    )
    return card("Headline numbers", hint, grid(head, rows))


def _bounds_cell(summary: Summary) -> str:
    ends = [_at(summary, f"bounds.{play}.pnl_quoting") for play in (BACK, FRONT)]
    if None in ends:
        return "–"
    share = given(summary.open_share)
    return " to ".join(map(signed, ends)) + ("" if share is None else line_below(f"open: {percent(share)}"))


def _time_card(sheet: TearSheet) -> str:
    figure = runs_figure(sheet)
    if figure is None:
        return card("Over time", "", nothing("There are no state rows."))
    span = "The time that all runs cover" if sheet.common else f"Days are moved to the days of {sheet.known[0].name}"
    return card("Over time", f"{escape(span)}. Drag to zoom; a click on a name hides it.", zoom_bar() + chart(figure))


def runs_figure(sheet: TearSheet) -> Figure | None:
    if not sheet.known:
        return None
    curves, first = sheet.curves(), sheet.known[0]
    x = (min(curve.x[0] for _, curve in curves), max(curve.x[1] for _, curve in curves))
    bases = {base_asset(run.summary) for run in sheet.known}
    quote = quote_asset(first.summary) if sheet.one_asset else "each in its quote asset"
    base = bases.pop() if len(bases) == 1 else "each in its base asset"
    return stacked(account_panels(curves, quote, base), time_axis(*x), merged(first.columns.excluded, x))


def account_panels(curves: Sequence[tuple[str, EquityCurve]], quote: str, base: str) -> list[Panel]:
    charts: tuple[tuple[str, str, int, Callable[[EquityCurve], Floats]], ...] = (
        ("PnL of the quoting", f"{quote}, without what the target inventory earns", 230, lambda curve: curve.equity),
        ("Under water", f"{quote}, below the highest PnL of the quoting", 110, lambda curve: curve.drawdown),
        ("Inventory", base, 140, lambda curve: curve.inventory),
    )
    named = [(escape(name), curve, colour) for (name, curve), colour in zip(curves, SERIES, strict=False)]
    panels = [
        Panel(title, unit, [step(name, curve.us, values(curve), colour) for name, curve, colour in named], height)
        for title, unit, height, values in charts
    ]
    has_inventory = any(not np.isnan(curve.inventory).all() for _, curve in curves)  # an account of many has none
    return panels if has_inventory else panels[:-1]


def _accounts_card(runs: Sequence[ComparedRun]) -> str:
    rows, gave = list[list[Cell]](), list[str]()
    for run, colour in zip(runs, SERIES, strict=False):
        if given(run.summary.one_account):
            name = f'<i class="key" style="background:{colour}"></i>{escape(run.name)}'
            rows += [[name, *row] for row in symbol_rows(run.summary)]
            gave += [f"{run.name}: {text}" for text in (diversification_text(run.summary),) if text]
    hint = "In the quote asset; the symbols of an account add up exactly to its sum."
    sheet = grid(("run", "symbol", *HEAD[1:]), rows) if rows else ""
    return card("Accounts by symbol", hint, sheet + (listed(gave, "why") if gave else "")) if rows else ""


def _source_card(runs: Sequence[ComparedRun]) -> str:
    legs = any(run.summary.has_other_part for run in runs)
    others_too = ["other<br>markets"] if legs else []
    names = ("spread<br>captured", "inventory", "fees", *others_too, "PnL of<br>the quoting")
    traces = []
    for run, colour in zip(runs, SERIES, strict=False):
        summary = run.summary
        if (pnl := summary.quoting) is not None:
            own = summary.own if summary.has_other_part else None
            others = [pnl - (own.pnl_quoting or 0.0) if own else 0.0] if legs else []
            parts = [summary.pnl_spread_capture, summary.pnl_inventory, -(summary.fees or 0.0), *others, pnl]
            tips = [
                f"{escape(run.name)}: {name.replace('<br>', ' ')} {signed(value)}"
                for name, value in zip(names, parts, strict=True)
            ]
            traces.append(figures.bars(escape(run.name), list(names), parts, colour, tips))
    body = chart(
        beside(traces, figures.names_axis(), title="PnL", unit=_quote_of(runs)) if traces else None,
        "The book was never valid.",
    )
    return card("PnL by source", "Of each whole run; the parts add up to the PnL.", body)


def _markout_card(runs: Sequence[ComparedRun]) -> str:
    hint = f"Realised half-spread, in {_markout_unit(runs)}, with 95 % bars."
    return card("Markouts of fills", hint, chart(markouts_figure(runs), "No fills at a valid mid."))


def _markout_unit(runs: Sequence[ComparedRun]) -> str:
    return "basis points of the price" if _in_bp(runs) else f"{quote_asset(runs[0].summary)} per unit"


def _quote_of(runs: Sequence[ComparedRun]) -> str:
    assets = {quote_asset(run.summary) for run in runs}
    return assets.pop() if len(assets) == 1 else "each in its quote asset"


def _in_bp(runs: Sequence[ComparedRun]) -> bool:
    return len({run.summary.symbol for run in runs}) > 1


def markouts_figure(runs: Sequence[ComparedRun]) -> Figure | None:
    traces = []
    for run, colour in zip(runs, SERIES, strict=False):
        base, quoted = (_at(run.summary, f"volume.{name}") for name in ("base", "quote"))
        scale = 1e4 * base / quoted if _in_bp(runs) and base and quoted else 1.0
        rows = markout_rows(run.summary)
        if rows:
            traces.append(markout_trace(rows, escape(run.name), colour, scale))
    if not traces:
        return None
    return figures.chart(traces, figures.names_axis(), title="Half-spread", unit=_markout_unit(runs), y=FROM_ZERO)


def _hours_card(runs: Sequence[ComparedRun]) -> str:
    known = [run for run in runs if len(run.columns.state["recv_us"])]
    hours = [HoursOfDay.of(run.columns) for run in known]
    seen = np.flatnonzero(sum(hour.days for hour in hours))
    if len(seen) < 2:
        return ""
    hours_shown = list(range(seen[0], seen[-1] + 1))
    fills, pnl = list[Trace](), list[Trace]()
    for run, of_day in zip(known, hours, strict=True):
        name, colour, days = escape(run.name), SERIES[runs.index(run)], np.maximum(of_day.days, 1)
        fills.append(figures.bars(name, hours_shown, ((of_day.buys + of_day.sells) / days)[hours_shown], colour))
        pnl.append(figures.bars(name, hours_shown, (of_day.pnl / days)[hours_shown].round(12), colour))
    axis = {"tickvals": hours_shown, "ticktext": [f"{hour:02d}" for hour in hours_shown]}
    hint = "Hours in UTC; the mean over the days of each run that have this hour."
    drawn = in_row(
        chart(beside(fills, axis, 170, title="Fills", unit="a day")),
        chart(beside(pnl, axis, 170, title="PnL", unit=f"{_quote_of(known)} a day")),
    )
    return card("Fills and PnL by hour of day", hint, drawn)


def _about(run: ComparedRun) -> dict[str, Any]:
    names = ("run_id", "kind", "symbol", "day", "version", "commit")
    about = {name: run.manifest.get(name) for name in names}
    return {"name": run.name, **about, **_models(run), "tags": list(run.tags), "note": run.note}


def _models(run: ComparedRun) -> dict[str, Any]:
    return {name: run.knob(name) for name in ("quote_model", "fill_model")}


def _version(run: ComparedRun) -> str:
    commit, _, changed = str(run.manifest.get("commit") or "").partition("+")
    return " ".join(filter(None, (run.manifest["version"], commit[:10], changed)))


def named(run: ComparedRun, colour: str) -> str:
    name = escape(run.name) if run.link is None else f'<a href="{escape(run.link)}">{escape(run.name)}</a>'
    models = [str(value or "–") for value in _models(run).values()]
    lines = [f"{run.manifest['kind']} of {run.manifest['symbol']}", f"{models[0]} quotes", f"{models[1]} fills"]
    lines += [" ".join([*(f"#{tag}" for tag in run.tags), run.note])] if run.tags or run.note else []
    return f'<i class="key" style="background:{colour}"></i>{name}{"".join(map(line_below, lines))}'


def line_below(text: str) -> str:
    return f'<small class="line">{escape(text)}</small>'


def difference_text(difference: Mapping[str, Any] | None) -> str:
    return "–" if difference is None else f"{signed(difference['pnl'])} ({_ends_of(difference)})"


def difference_cell(difference: Mapping[str, Any] | None) -> str:
    return "–" if difference is None else f"{signed(difference['pnl'])}{line_below(_ends_of(difference))}"


def _ends_of(difference: Mapping[str, Any]) -> str:
    known = difference["lower95"] is not None
    return (
        f"{signed(difference['lower95'], 3)} to {signed(difference['upper95'], 3)}"
        if known
        else str(difference["text"])
    )


def beside(traces: Sequence[Trace], x: Mapping[str, Any], height: int = 250, **head: str) -> Figure:
    figure = figures.chart(traces, x, height, title=head["title"], unit=head["unit"])
    figure["layout"]["barmode"] = "group"
    return figure


def numbers_card(sheet: TearSheet) -> str:
    rows = []
    for name, values in sheet.numbers().items():
        cells = [number(values[0], 6)]
        for value in values[1:]:
            apart = 0.0 if value is None or values[0] is None else value - values[0]
            cells.append(number(value, 6) + (f" <small>{signed(apart, 3)}</small>" if apart else ""))
        rows.append((f"<code>{name}</code> <small>{_unit(name, sheet.runs)}</small>", *cells))
    hint = "Of each whole run, with the difference to the first; names as in its JSON file, rates from them."
    return card("Numbers", hint, grid(("number", *(run.name for run in sheet.runs)), rows))


def _unit(name: str, runs: Sequence[ComparedRun]) -> str:
    key, _, member = name.partition(".")
    if name == "pnl_per_turnover_bp":
        return "bp"
    quoted = name.startswith("pnl_") or member.endswith("pnl_quoting") or key == "own_market"
    unit = QUOTE if quoted else unit_of(key, member)
    written = {in_assets(unit, run.summary) for run in runs}
    return f"{written.pop()}{' an hour' if name == 'pnl_per_hour' else ''}" if len(written) == 1 else ""


def knobs_card(sheet: TearSheet) -> str:
    rows = [(f"<code>{escape(name)}</code>", *map(_value, values)) for name, values in sheet.knobs().items()]
    head = ("knob", *(run.name for run in sheet.runs))
    body = grid(head, rows) if rows else nothing("No knob with an effect differs.")
    return card("Knobs that differ", "Without those that only name or locate a run.", body)


def _value(value: Any) -> str:
    return "–" if value is None else escape(str(value))
