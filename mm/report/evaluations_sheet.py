"""The tear sheet of several evaluations: designs over weeks, compared day by day."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from mm.backtest.metrics.arithmetic import student_quantile
from mm.backtest.run_terms import quoting_of
from mm.base.numbers import number, percent, signed
from mm.report import figures
from mm.report.figures import SERIES, Figure, Panel
from mm.report.frame import card, chart, coloured, document, grid, header, in_row, notes
from mm.report.sheet import Sheet, SheetRun, beside, difference_text, knobs_card, named, numbers_card

Cells = Mapping[tuple[str, str], float]


class EvaluationSheet(Sheet[SheetRun]):
    """Several evaluations, over the days and symbols that they have in common."""

    def difference(self, run: SheetRun) -> dict[str, Any] | None:
        """Return the PnL of a run less that of the first one, over the days and symbols that both played.

        The interval is Student's t over the days, for the sum; it needs two of them. None for the first run itself,
        without such days, or if the assets differ.
        """
        own, first = _cells(run), _cells(self.runs[0])
        daily: dict[str, float] = {}
        for cell in own.keys() & first.keys():
            daily[cell[0]] = daily.get(cell[0], 0.0) + own[cell] - first[cell]
        if run is self.runs[0] or not daily or not self.one_asset:
            return None
        values, count = np.array([daily[day] for day in sorted(daily)]), len(daily)
        total = float(values.sum())
        found: dict[str, Any] = {"days": count, "pnl": total, "lower95": None, "upper95": None}
        if count < 2:
            return found | {"text": "one day has no interval"}
        if not values.any():
            return found | {"text": "equal on every day"}
        half = student_quantile(count - 1) * float(values.std(ddof=1)) * math.sqrt(count)
        text = "above 0" if total > half else "below 0" if total < -half else "undecided"
        return found | {"lower95": total - half, "upper95": total + half, "text": text}

    def numbers(self) -> dict[str, list[float | None]]:
        """Return the numbers of all runs by name."""
        columns = [_numbers(run.summary) for run in self.runs]
        return {name: [column[name] for column in columns] for name in columns[0]}

    def unequal(self) -> list[str]:
        """Return what makes the numbers hard to compare, of days and symbols too."""
        played = [_cells(run).keys() for run in self.runs]
        common, lines = set(played[0]).intersection(*played), []
        if any(len(cells) > len(common) for cells in played):
            lines.append(
                f"different days or symbols ({self.each(lambda run: f'{len(_cells(run))} played')}): "
                f"differences and the chart over days are of the {len(common)} that all played, the numbers of each "
                f"whole evaluation"
            )
        return [*lines, *super().unequal()]


def _cells(run: SheetRun) -> Cells:
    return {(row["day"], row["symbol"]): quoting_of(row) or 0.0 for row in run.summary["rows"]}


def _numbers(content: Mapping[str, Any]) -> dict[str, float | None]:
    daily, rows = content["daily"], content["rows"]
    turnover = math.fsum(row["turnover"] for row in rows)
    return {
        "pnl": content["pnl"],
        **{f"daily.{name}": daily[name] for name in ("mean", "low", "high", "share_above_0", "days")},
        **{f"{name}.pnl": content[name] and content[name]["pnl"] for name in ("best_day", "worst_day")},
        "drawdown_of_days": content["drawdown_of_days"],
        "played": content["played"],
        "holes": len(content["holes"]),
        "n_fills": sum(row["n_fills"] for row in rows),
        "turnover": turnover,
        "fees": math.fsum(row["fees"] or 0.0 for row in rows),
        "pnl_per_turnover_bp": 1e4 * content["pnl"] / turnover if turnover and content["pnl"] is not None else None,
    }


def evaluations_sheet(sheet: EvaluationSheet, plotly: str = "") -> str:
    """Return the page: warnings, headline numbers, PnL over the common days, hours, volatility, numbers, knobs."""
    runs = sheet.runs
    symbols = ", ".join(dict.fromkeys(symbol for run in runs for symbol in run.summary["symbols"]))
    days = sorted({day for run in runs for day in run.summary["days"]})
    body = [
        header(
            symbols, " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "no day", f"{len(runs)} evaluations"
        ),
        notes(sheet.warnings(), "notes"),
        _headline_card(sheet),
        card(
            "Day by day", "Sums over the days and symbols that all played.", chart(days_figure(sheet), "No common day.")
        ),
        in_row(
            card(
                "By hour of day", "UTC; PnL of the hour, mean over the days.", chart(_groups(runs, "by_hour", "hour"))
            ),
            card(
                "By volatility", "PnL an hour, in thirds of the hours.", chart(_groups(runs, "by_volatility", "regime"))
            ),
        ),
        in_row(numbers_card(sheet), knobs_card(sheet), kind="wholes"),
    ]
    return document(f"{symbols}: {', '.join(run.name for run in runs)}", body, plotly)


def _headline_card(sheet: EvaluationSheet) -> str:
    head = ["run", "PnL", "less the first, 95 %", "a day, 95 %", "days above 0", "worst day", "drawdown of days"]
    head += ["bp of turnover", "fills", "holes"]
    rows = []
    for place, run in enumerate(sheet.runs):
        of = _numbers(run.summary)
        low, high = of["daily.low"], of["daily.high"]
        ends = "" if low is None else f" ({signed(low, 3)} to {signed(high, 3)})"
        rows.append(
            (
                named(run, SERIES[place]),
                coloured(of["pnl"]),
                difference_text(sheet.difference(run)) if place else "",
                f"{signed(of['daily.mean'], 3)}{ends}",
                percent(of["daily.share_above_0"]),
                signed(of["worst_day.pnl"]),
                number(of["drawdown_of_days"]),
                signed(of["pnl_per_turnover_bp"], 3),
                f"{of['n_fills']:,}",
                f"{of['holes']:,}",
            )
        )
    hint = "The difference is of the days and symbols that both played, with the 95 % interval of its days (t)."
    return card("Headline numbers", hint, grid(head, rows))


def days_figure(sheet: EvaluationSheet) -> Figure | None:
    """Return the sum of the PnL of each run over the common days, and what it is above the first; None without any."""
    cells = [_cells(run) for run in sheet.runs]
    common = set(cells[0]).intersection(*cells)
    days = sorted({day for day, _ in common})
    if not days:
        return None
    pnl = np.array([[math.fsum(one[cell] for cell in common if cell[0] == day) for day in days] for one in cells])
    sums = np.cumsum(pnl, axis=1)
    asset = sheet.runs[0].quote if sheet.one_asset else "each in its quote asset"
    panels = [Panel("Sum of the PnL", asset, _lines(sheet.runs, days, sums), 220)]
    if sheet.one_asset:
        panels.append(Panel("Above the first run", asset, _lines(sheet.runs, days, sums - sums[0]), 150))
    return figures.stacked(panels, figures.names_axis())


def _lines(runs: Sequence[SheetRun], days: Sequence[str], values: Any) -> list[figures.Trace]:
    mark = {"mode": "lines+markers", "marker": {"size": 4}}
    return [
        figures.line(escape(run.name), list(days), row, colour, **mark)
        for run, row, colour in zip(runs, values, SERIES, strict=False)
    ]


def _groups(runs: Sequence[SheetRun], table: str, name: str) -> Figure:
    traces = []
    for run, colour in zip(runs, SERIES, strict=False):
        rows = [row for row in run.summary[table] if row["mean"] is not None]
        at = [f"{row[name]:02d}" if isinstance(row[name], int) else row[name] for row in rows]
        half = np.array([0.0 if row["low"] is None else (row["high"] - row["low"]) / 2 for row in rows])
        tips = [
            f"{escape(run.name)}, {x}: {signed(row['mean'])}, {row['days']} days"
            for x, row in zip(at, rows, strict=True)
        ]
        error = {"type": "data", "array": half, "color": figures.SOFT, "thickness": 1, "width": 2}
        traces.append(figures.bars(escape(run.name), at, [row["mean"] for row in rows], colour, tips, error_y=error))
    return beside(traces, figures.names_axis(), 200)
