"""Findings of a sweep: ranked rows, selection bias of the best, walk-forward of the choice."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from math import isnan
from typing import Any

import numpy as np

from mm.backtest.account_limits import JOIN
from mm.backtest.metrics.bounds import least_of
from mm.backtest.metrics.overfitting import backtest_overfitting, deflated_sharpe, expected_best_sharpe
from mm.backtest.metrics.ranking import (
    are_tied,
    assumption_of,
    block_periods,
    mean_ends,
    rank,
)
from mm.backtest.metrics.spans import PERIOD_US, PeriodBlocks
from mm.backtest.metrics.verdict import (
    Sample,
    Tail,
    five_minutes,
    positions_of,
    undone_words,
    verdicts,
    worst_in_units,
)
from mm.backtest.run_terms import (
    DAYS_NOT_PLAYED,
    IMPLAUSIBLE_FEE,
    NO_NEXT_MOVE,
    OWN_MARKET,
    SPOT_FEES,
    UNEARNED_FEE,
    concludes,
    of_all_legs,
    quoting_of,
)
from mm.backtest.summary_text import tried
from mm.base.arrays import Floats, Ints
from mm.base.notebook import Picture, Shown
from mm.base.numbers import number, signed, with_plain_minus
from mm.report.notebook import sweep_picture
from mm.report.sweep import findings_card
from mm.sweep.grid import Axis
from mm.trials.on_record import ALONE, OnRecord, independent_trials
from mm.trials.own_content import TRIALS, UNDONE

LEAST_BLOCKS = 4
_NOTHING = 1e-9  # rounding error of gains and losses that cancel
BLOCKS_S = (3600, 900, 300)  # the first length that gives enough blocks is used
SERIES_DIFFER = "the runs have not the same spans with a market, so their 60 s periods differ"
SCHEMA_VERSION = 1
TABLE, POINTS = "sweep.csv", "points.ndjson"  # files of the run folder
HEADLINES = (
    "pnl_total",
    "pnl_quoting",
    "pnl_hold",
    "pnl_spread_capture",
    "pnl_inventory",
    "fees",
    "sharpe",
    "sharpe_autocorr",
    "psr",
    "sortino",
    "calmar",
    "max_drawdown",
    "n_orders",
    "n_fills",
    "fill_ratio",
    "two_sided_uptime",
)
OF_OWN_MARKET = ("pnl_total", "pnl_quoting", "sharpe", "max_drawdown")
FORWARDED = ("sharpe", "pnl_total", "pnl_quoting", "n_fills", "max_drawdown")
BLOCKS, FEWER, MANY = 16, 10, 1000  # blocks of the cross-validation: fewer for many trials
ENOUGH, EVEN_ODDS = 0.95, 0.5  # probabilities
FEW_BLOCKS = 5  # below them the bounds come with a warning
FEW_FILLS = 30
# Endings of the keys of point warnings that the sweep repeats.
REPEATED = ("_in_sample", UNEARNED_FEE, NO_NEXT_MOVE, SPOT_FEES, IMPLAUSIBLE_FEE, DAYS_NOT_PLAYED)
Row = dict[str, Any]


@dataclass(frozen=True)
class PnlPanel:
    spans: tuple[tuple[int, int], ...]
    pnl: Floats

    @classmethod
    def of(cls, series: Sequence[Mapping[str, Any]]) -> "PnlPanel | None":
        """None without series, or if their spans differ."""
        grids = {tuple((start_us, count) for start_us, count in point["spans"]) for point in series}
        if len(grids) != 1:
            return None
        [spans] = grids
        if not any(count for _, count in spans):
            return None
        return cls(spans, np.array([point["pnl"] for point in series], dtype=np.float64).T)

    @property
    def counts(self) -> list[int]:
        return [count for _, count in self.spans]

    @cached_property
    def start_us(self) -> Ints:
        return np.array([begin + PERIOD_US * at for begin, count in self.spans for at in range(count)], np.int64)

    def of_columns(self, columns: Sequence[int]) -> "PnlPanel":
        return PnlPanel(self.spans, self.pnl[:, list(columns)])

    def before(self, stop: int) -> "PnlPanel":
        left = np.clip(stop - np.cumsum([0, *self.counts[:-1]]), 0, self.counts).tolist()
        kept = tuple((begin, count) for (begin, _), count in zip(self.spans, left, strict=True) if count)
        return PnlPanel(kept, self.pnl[:stop])

    def blocks(self, days_us: Sequence[int]) -> tuple[list[slice], str]:
        if len(days_us) >= LEAST_BLOCKS:
            edges = [0, *np.searchsorted(self.start_us, np.asarray(days_us[1:])).tolist(), len(self.pnl)]
            return [slice(*pair) for pair in pairwise(edges) if pair[0] < pair[1]], "a day"
        lengths = [seconds // 60 for seconds in BLOCKS_S]
        length = next((steps for steps in lengths if len(self.pnl) // steps >= LEAST_BLOCKS), lengths[-1])
        edges = list(range(0, len(self.pnl) - length + 1, length))
        cuts = [slice(at, at + length) for at in edges]
        if cuts:
            cuts[-1] = slice(cuts[-1].start, len(self.pnl))
        return cuts, "an hour" if length == lengths[0] else f"{length} minutes"


def sharpes(pnl: Floats, per_year: float) -> Floats:
    if len(pnl) < 2:
        return np.full(pnl.shape[1], np.nan)
    spread = pnl.std(axis=0, ddof=1)
    varied = pnl.min(axis=0) < pnl.max(axis=0)
    ratios = np.full(pnl.shape[1], np.nan)
    np.divide(pnl.mean(axis=0), spread, out=ratios, where=varied)
    ratios *= per_year**0.5
    ratios[np.abs(ratios) < _NOTHING] = 0.0
    return ratios


BOUND = "bound"
"""A column and a rank: the least PnL of a point over the bounds of its queue, and its chosen fills."""


def scores(panel: PnlPanel, rank_by: str) -> Floats:
    """Return scores by *rank_by*, higher is better; -inf if undefined."""
    by_point: Floats
    pnl = panel.pnl
    if rank_by.startswith("pnl_quoting") or rank_by == BOUND:
        by_point = pnl.sum(axis=0)
    elif rank_by.startswith("max_drawdown"):
        level = np.cumsum(np.vstack([np.zeros(pnl.shape[1]), pnl]), axis=0)
        by_point = -(np.maximum.accumulate(level, axis=0) - level).max(axis=0)
    else:
        by_point, _ = mean_ends(pnl, panel.counts)
    return np.where(np.isnan(by_point), -np.inf, by_point)


@dataclass(frozen=True)
class Forward:
    """Walk-forward of the choice: each block plays the trial that was best in all earlier blocks.

    Attributes:
        others: Every trial's PnL in the played blocks.
    """

    block: str
    picked: list[int]
    cuts: list[tuple[int, int]]
    start_us: Ints
    pnl: Floats
    hindsight: int
    others: Floats


def forward(panel: PnlPanel, days_us: Sequence[int], rank_by: str) -> Forward | None:
    """None below two trials, or with too few blocks."""
    cuts, block = panel.blocks(days_us)
    if len(cuts) < LEAST_BLOCKS or panel.pnl.shape[1] < 2:
        return None
    picked = [int(scores(panel.before(cut.start), rank_by).argmax()) for cut in cuts[1:]]
    gained = [panel.pnl[cut, column] for cut, column in zip(cuts[1:], picked, strict=True)]
    first = cuts[1].start
    return Forward(
        block,
        picked,
        [(cut.start, cut.stop) for cut in cuts[1:]],
        panel.start_us[first:],
        np.concatenate(gained),
        int(scores(panel, rank_by).argmax()),
        panel.pnl[first:].sum(axis=0),
    )


def halves(pnl: Floats, of: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
    middle = len(pnl) // 2
    return of(pnl[:middle]), of(pnl[middle:])


def totals(pnl: Floats) -> Floats:
    return np.asarray(pnl.sum(axis=0))


def rank_correlation(first: Floats, second: Floats) -> float | None:
    both = ~(np.isnan(first) | np.isnan(second))
    if np.count_nonzero(both) < 3:
        return None
    left, right = _ranks(first[both]), _ranks(second[both])
    left, right = left - left.mean(), right - right.mean()
    spread = float(np.sqrt((left**2).sum() * (right**2).sum()))
    return float((left * right).sum()) / spread if spread > 0 else None


def _ranks(values: Floats) -> Floats:
    order = np.sort(values)
    return (np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right") + 1) / 2


@dataclass(frozen=True)
class PlayedPoint:
    number: int
    texts: Mapping[str, str]
    trial: str
    command: str
    outcome: Mapping[str, Any]
    forwarded: Mapping[str, Any] | None = None

    @property
    def error(self) -> str | None:
        both = [outcome for outcome in (self.outcome, self.forwarded) if outcome is not None and "error" in outcome]
        return str(both[0]["error"]) if both else None


@dataclass(frozen=True)
class SelectionBias:
    """What choosing the best Sharpe ratio of several trials adds to it."""

    trials: int

    def no_skill_variance(self, summary: Mapping[str, Any]) -> float | None:
        """Return the variance of a trial's Sharpe ratio per period if its true one is 0, by its own error alone."""
        moments = of_all_legs(summary)["returns"]
        if moments["sharpe_per_period"] is None or moments["periods"] < 2:
            return None
        return float(max(moments["autocorr_inflation"], 1.0) / (moments["periods"] - 1))

    def expected_best(self, summary: Mapping[str, Any]) -> float | None:
        """Per period, of so many trials without skill and with the error of this one."""
        variance = self.no_skill_variance(summary)
        return None if variance is None else expected_best_sharpe(variance, max(self.trials, 1))

    def deflated(self, summary: Mapping[str, Any]) -> float | None:
        """The probability that a trial's Sharpe ratio exceeds `expected_best`."""
        moments, variance = of_all_legs(summary)["returns"], self.no_skill_variance(summary)
        if variance is None or not concludes(summary):
            return None
        shape = {name: moments[name] for name in ("periods", "skew", "kurtosis")}
        shape["inflation"] = moments["autocorr_inflation"]
        return deflated_sharpe(moments["sharpe_per_period"], variance=variance, trials=max(self.trials, 1), **shape)


def periods_per_year(summaries: Sequence[Mapping[str, Any]]) -> float:
    return float(of_all_legs(summaries[0])["returns"]["periods_per_year"]) if summaries else 0.0


@dataclass(frozen=True, repr=False)
class SweepFindings(Shown):
    """The result of a sweep.

    Attributes:
        panel: PnL of the different trials; None if their time grids differ.
        forward: Walk-forward of the choice; None with fewer than two trials or too few blocks.
        columns: The point's number of each column of the panel.
        points: The played points, in the grid's order.
    """

    content: dict[str, Any]
    panel: PnlPanel | None
    forward: Forward | None
    columns: list[int] = field(default_factory=list)
    points: Sequence[PlayedPoint] = ()

    def lines(self) -> Iterator[str]:
        """Yield the numbers of points and failures, and the best three points."""
        axes, by = [axis["name"] for axis in self.content["axes"]], self.content["rank_by"]
        yield f"sweep of {self.content['points']} points, {self.content['failed']} failed; by {by}:"
        for row in self.rows[:3]:
            at = ", ".join(f"{name}={row[name]}" for name in axes)
            tied = ", tied with the first" if row["tied"] and row["rank"] != 1 else ""
            yield (
                f"  {number(row['rank'])}. {at}: quoting PnL {signed(quoting_of(row))}, "
                f"lower bound {signed(row['pnl_lower95'])}{tied}"
            )
        if said := regret_text(self.content):
            yield f"  {said}"
        if len(self.rows) > 3:
            yield f"  … {len(self.rows) - 3} more, in .rows"
        if said := tried(self.content.get("trials"), (self.content["best"] or {}).get("pnl_lower95_chosen")):
            yield f"  the chosen one: {said}"

    def _repr_html_(self) -> str:

        return findings_card(self.content)

    def plot(self) -> Picture:
        """Draw the grid as a heat map, the best points, and the PnL of the trials over time."""

        if self.panel is None:
            return sweep_picture(self.content)
        return sweep_picture(self.content, self.panel.start_us.astype(np.float64), self.columns, self.panel.pnl)

    @property
    def rows(self) -> list[Row]:
        rows: list[Row] = self.content["rows"]
        return rows


def find(
    points: Sequence[PlayedPoint],
    axes: Sequence[Axis],
    rank_by: str,
    days_us: Sequence[int],
    stopped: int = 0,
    record: OnRecord | None = None,
) -> SweepFindings:
    """Rows by rank, the selection bias within each assumption, and the walk-forward of the choice.

    Args:
        record: Trials on record; None without a ledger. A value that allows for them stands beside ``…_alone``, which
            does not.
    """
    trials = list({point.trial: point for point in reversed(points) if "error" not in point.outcome}.values())[::-1]
    panel = PnlPanel.of([point.outcome["series"] for point in trials])
    columns = [point.number for point in trials]
    place = {point.trial: column for column, point in enumerate(trials)}
    groups: dict[tuple[str, ...], dict[str, PlayedPoint]] = {}
    for point in points:
        if "error" not in point.outcome:
            groups.setdefault(assumption_of(point.texts, axes), {}).setdefault(point.trial, point)
    biases = {key: SelectionBias(len(group) + stopped) for key, group in groups.items()}
    rows = [_row(point, biases.get(assumption_of(point.texts, axes))) for point in points]
    if rank_by == BOUND:
        rows = [row | {BOUND: rank_value(point, BOUND)} for row, point in zip(rows, points, strict=True)]
    legs = [point.outcome.get("summary", {}).get(OWN_MARKET) for point in points]
    with_legs = any(numbers is not None for numbers in legs)
    if with_legs:
        rows = [
            row | {f"{name}_{OWN_MARKET}": own and own[name] for name in OF_OWN_MARKET}
            for row, own in zip(rows, legs, strict=True)
        ]
    per_year = periods_per_year([point.outcome["summary"] for point in trials])
    _add_halves(rows, panel, place, per_year)
    if trials and rank_by == "pnl_lower95" and not any(concludes(point.outcome["summary"]) for point in trials):
        rank_by = "pnl_quoting"  # there is no bound
    rank(rows, axes, rank_by)
    best = next((row for row in rows if row["rank"] == 1), None)
    regret = _regret(rows, best) if rank_by == BOUND else {}
    _add_ties(rows, axes, panel, place)
    assumptions = [_assumption(biases[key], group, axes, panel, place, rank_by) for key, group in groups.items()]
    # The choice is between designs: fill assumptions are not chosen, so it is within the one of the best row.
    played = groups.get(assumption_of(best, axes), {}) if best else next(iter(groups.values()), {})
    within = panel.of_columns([place[trial] for trial in played]) if panel else None
    numbers = [columns[place[trial]] for trial in played]
    independent = independent_trials(within.pnl) * (1 + stopped / len(played)) if within else 1.0
    worst = worst_in_units(within.pnl, five_minutes(within.counts)) if within and len(played) > 1 else None
    own = Own(independent, worst and (worst[0], f"point {numbers[worst[1]]} of this sweep"))
    chosen = forward(within, days_us, rank_by) if within else None
    blocks = PeriodBlocks.of(panel.counts, block_periods(len(panel.pnl))) if panel else None
    content = {
        "schema_version": SCHEMA_VERSION,
        "rank_by": rank_by,
        "block_s": block_periods(len(panel.pnl)) * 60 if panel else None,
        "blocks": None if blocks is None else len(blocks.sizes),
        "blocks_left_out": None if blocks is None else blocks.left_out,
        "axes": [{"name": axis.name, "values": list(axis.texts), "assumed": axis.assumed} for axis in axes],
        "points": len(points),
        "failed": sum(point.error is not None for point in points),
        **_worst_of(assumptions),
        "assumptions": assumptions,
        "halves_rank_correlation": rank_correlation(*halves(within.pnl, totals)) if within else None,
        "walkforward": _as_json(chosen, numbers, per_year),
        "worst_case": _worst_case(rows, axes, rank_by),
        "best": best,
        **regret,
        "warnings": [],
        "rows": rows,
    }
    _allow_for(content, record, points, own)
    content["warnings"] = [
        *_warnings(content, panel, _shared_warnings(points)),
        *(f"{TRIALS}{problem}" for problem in (record.problems if record else ())),
    ]
    if with_legs:
        content["warnings"].append(
            "PnL, ratios, ranks, ties, halves and selection bias are of all legs together; the other columns "
            "that mm backtest has too, and those with _own_market, are of the own market"
        )
    return SweepFindings(content, panel, chosen, columns, points)


@dataclass(frozen=True)
class Own:
    """What a sweep chose from: its independent designs, and the worst five minutes of any, in units of its design."""

    independent: float
    worst: tuple[float, str] | None

    def judged(
        self, outcome: Mapping[str, Any], record: OnRecord | None, per_block: Callable[[int], float]
    ) -> dict[str, Any]:
        """The `verdicts` of a point as of one of all tried, and its bound as a mean per block."""
        summary, pnl = outcome["summary"], np.array(_judged_minutes(outcome), np.float64)
        sample = Sample.of(pnl, len(summary["days"])) if concludes(summary) else None
        loss, name = self.worst or (0.0, "")
        tail = Tail(loss * sample.unit, name) if sample and sample.unit else None
        found = verdicts(sample, record, positions_of(summary), trials=self.independent, tail=tail)
        for name in ("", "_alone"):
            low = (found[f"verdict{name}"] or {}).get("lower95")
            found[f"pnl_lower95_chosen{name}"] = None if low is None else low * per_block(len(pnl))
        return found


def _judged_minutes(outcome: Mapping[str, Any]) -> Sequence[float]:
    """Return the PnL by minute of the least of the bounds of a point, if they were played, else its own."""
    summary, series = outcome["summary"], outcome["series"]
    least = least_of({name: play["pnl_quoting"] for name, play in (summary.get("bounds") or {}).items()})
    minutes: Sequence[float] = series["pnl"] if least is None else series["bounds"][least]
    return minutes


def _allow_for(content: dict[str, Any], record: OnRecord | None, points: Sequence[PlayedPoint], own: Own) -> None:
    """Give each row its numbers as of one of many trials, and the best its verdict; ``…_alone`` is without others."""
    content["trials"] = dict(ALONE) if record is None else record.to_json()
    outcomes = {point.trial: point.outcome for point in points if "error" not in point.outcome}
    tried = 0 if record is None else record.on_these_days

    def allowed(row: dict[str, Any], digest: str | None) -> None:
        alone = row["deflated_sharpe_alone"] = row["deflated_sharpe"]
        if alone is not None and digest is not None:
            beyond = SelectionBias(max(tried, content["n_trials"])).deflated(outcomes[digest]["summary"])
            row["deflated_sharpe"] = beyond

    for row in content["rows"]:
        digest = row["digest"] if row["digest"] in outcomes else None
        allowed(row, digest)
        row["psr_alone"] = row["psr"]
        if digest is not None:
            judged = own.judged(outcomes[digest], record, lambda periods: block_periods(periods) / periods)
            row["psr"] = judged["psr"]
            if row["rank"] == 1 and content["best"] is not None and row["digest"] == content["best"]["digest"]:
                summary = outcomes[digest]["summary"]
                bounds = {name: summary.get(name) for name in ("bounds", "open_share")}
                days = len(summary["days"])
                content["best"] = {**row, **judged, "psr_alone": row["psr_alone"], "n_days": days, **bounds}
    for row in content["assumptions"]:
        allowed(row, row.pop("best_digest"))
    content["deflated_sharpe_alone"] = content["deflated_sharpe"]
    known = [row["deflated_sharpe"] for row in content["assumptions"] if row["deflated_sharpe"] is not None]
    content["deflated_sharpe"] = min(known, default=None)


def _row(point: PlayedPoint, bias: SelectionBias | None) -> Row:
    summary = point.outcome.get("summary")
    row: Row = {"rank": None, "point": point.number, **point.texts, "status": "failed" if point.error else "ok"}
    row |= {name: (summary or {}).get(name) for name in HEADLINES}
    row |= {"pnl_lower95": None if summary is None else _lower95(point), "tied": None}
    row["knows_next_move"] = None if summary is None else concludes(summary)
    if summary is not None and "margin" in summary:
        row["liquidated_at"] = summary.get("liquidated_at")
    row["inventory_abs_mean"] = ((summary or {}).get("inventory") or {}).get("abs_mean")
    if summary is not None and summary.get("one_account"):
        row |= {
            f"pnl_quoting_{symbol}": one["summary"]["pnl_quoting"] for symbol, one in point.outcome["symbols"].items()
        }
        row["std_60s_share"] = (summary["diversification"] or {}).get("std_60s_share")
        row["killed"] = summary["killed"] and summary["killed"][1]
    row["deflated_sharpe"] = None if summary is None or bias is None else bias.deflated(summary)
    if point.forwarded is not None:
        walked = point.forwarded.get("summary")
        row |= {f"walkforward_{name}": None if walked is None else walked[name] for name in FORWARDED}
    return row | {"digest": point.trial, "command": point.command, "error": point.error}


def regret_text(content: Mapping[str, Any]) -> str:
    """Return the line on a choice by bound; empty where the best by the chosen fills is the same point."""
    regret = content.get("regret")
    if not regret:
        return ""
    return (
        f"by its chosen fills point {regret['point']} would be the best, {signed(regret['pnl_quoting'])}; its bound is "
        f"{signed(regret['bound'])}: the regret of that choice is {signed(regret['loss'])}"
    )


def _regret(rows: Sequence[Row], best: Row | None) -> Row:
    """What the best by the chosen fills loses at its bound against the best by bound; null where both are one."""
    known = [row for row in rows if row[BOUND] is not None and row["pnl_quoting"] is not None]
    if best is None or not known:
        return {"regret": None}
    middle = max(known, key=lambda row: row["pnl_quoting"])
    if middle["point"] == best["point"] or middle[BOUND] >= best[BOUND]:
        return {"regret": None}
    return {
        "regret": {
            "point": middle["point"],
            "pnl_quoting": middle["pnl_quoting"],
            "bound": middle[BOUND],
            "loss": best[BOUND] - middle[BOUND],
        }
    }


def rank_value(point: PlayedPoint, rank_by: str) -> float | None:
    if "error" in point.outcome or point.outcome["summary"].get("liquidated_at"):
        return None
    if rank_by == "pnl_lower95":
        return _lower95(point)
    if rank_by == BOUND:
        bounds = point.outcome["summary"].get("bounds") or {}
        plays = [numbers["pnl_quoting"] for numbers in bounds.values()]
        return None if not plays or None in plays else float(min(plays))
    value = of_all_legs(point.outcome["summary"])[rank_by]
    return None if value is None else float(value)


def _lower95(point: PlayedPoint) -> float | None:
    if not concludes(point.outcome["summary"]):
        return None
    series = point.outcome["series"]
    pnl, counts = np.array(series["pnl"], dtype=np.float64), [count for _, count in series["spans"]]
    return _none_if_nan(float(mean_ends(pnl[:, None], counts)[0][0]))


def _add_halves(rows: Sequence[Row], panel: PnlPanel | None, place: Mapping[str, int], per_year: float) -> None:
    ratios = partial(sharpes, per_year=per_year)
    by_half = {"sharpe": halves(panel.pnl, ratios), "pnl": halves(panel.pnl, totals)} if panel else {}
    for row in rows:
        column = place.get(row["digest"])
        for name in ("sharpe", "pnl"):
            both = by_half.get(name, ()) if column is not None else ()
            first, second = (_none_if_nan(float(half[column])) for half in both) if both else (None, None)
            row |= {f"{name}_first_half": first, f"{name}_second_half": second}


def _add_ties(rows: Sequence[Row], axes: Sequence[Axis], panel: PnlPanel | None, place: Mapping[str, int]) -> None:
    """``tied``: whether a row's PnL cannot be told from the first design's, per assumption."""
    if panel is None or not any(row["knows_next_move"] for row in rows):
        return
    first = {assumption_of(row, axes): place[row["digest"]] for row in rows if row["rank"] == 1}
    for key, column in first.items():
        same = [row for row in rows if row["rank"] is not None and assumption_of(row, axes) == key]
        same = [row for row in same if row["knows_next_move"]]
        pnl = panel.pnl[:, [place[row["digest"]] for row in same]]
        for row, tied in zip(same, are_tied(pnl, panel.counts, panel.pnl[:, column]), strict=True):
            row["tied"] = tied


def _assumption(
    bias: SelectionBias,
    group: Mapping[str, PlayedPoint],
    axes: Sequence[Axis],
    panel: PnlPanel | None,
    place: Mapping[str, int],
    rank_by: str,
) -> Row:
    first_point = next(iter(group.values()))
    summaries = [each.outcome["summary"] for each in group.values()]
    ratios = [(of_all_legs(each)["returns"]["sharpe_per_period"], each) for each in summaries]
    known = [(float(ratio), each) for ratio, each in ratios if ratio is not None]
    best = max(known, key=lambda scored: scored[0], default=(0.0, None))[1]
    within = panel.of_columns([place[trial] for trial in group]) if panel else None
    lucky = None if best is None else bias.expected_best(best)
    return {
        "FILL_MODEL": first_point.outcome["summary"].get("models", {}).get("fill"),
        **{axis.name: first_point.texts[axis.name] for axis in axes if axis.fills},
        "trials": bias.trials,
        "independent_trials": within and independent_trials(within.pnl),
        "sharpe_variance": None if best is None else bias.no_skill_variance(best),
        "expected_best_sharpe": None if lucky is None else lucky * periods_per_year(summaries) ** 0.5,
        "pbo": within and _overfitting(within, rank_by, BLOCKS if bias.trials <= MANY else FEWER),
        "deflated_sharpe": None if best is None else bias.deflated(best),
        "best_digest": next((trial for trial, each in group.items() if each.outcome["summary"] is best), None),
    }


def _overfitting(panel: PnlPanel, rank_by: str, blocks: int) -> float | None:
    """Return the probability of overfitting by what the sweep ranks by, in its blocks."""
    pnl = panel.pnl
    if not rank_by.startswith("max_drawdown"):
        pnl = PeriodBlocks.of(panel.counts, block_periods(len(pnl))).sums(pnl)
    return backtest_overfitting(pnl, blocks, rank_by)


def _worst_of(assumptions: Sequence[Row]) -> Row:
    names = ("trials", "independent_trials", "sharpe_variance", "expected_best_sharpe", "pbo", "deflated_sharpe")
    known = {name: [row[name] for row in assumptions if row[name] is not None] for name in names}
    worst = {name: max(values, default=None) for name, values in known.items()}
    trials = worst.pop("trials") or 0
    return {"n_trials": trials} | worst | {"deflated_sharpe": min(known["deflated_sharpe"], default=None)}


def _none_if_nan(value: float) -> float | None:
    return None if isnan(value) else value


def _as_json(chosen: Forward | None, columns: Sequence[int], per_year: float) -> dict[str, Any] | None:
    if chosen is None:
        return None
    middle = sorted(chosen.others.tolist())
    return {
        "block": chosen.block,
        "spans": [[columns[column], *cut] for column, cut in zip(chosen.picked, chosen.cuts, strict=True)],
        "pnl": float(chosen.pnl.sum()),
        "sharpe": _none_if_nan(float(sharpes(chosen.pnl[:, None], per_year)[0])),
        "pnl_of_the_best_in_hindsight": float(chosen.others[chosen.hindsight]),
        "pnl_of_the_median": middle[(len(middle) - 1) // 2],
    }


def _worst_case(rows: Sequence[Row], axes: Sequence[Axis], rank_by: str) -> Row | None:
    chosen, assumed = [axis.name for axis in axes if not axis.assumed], [axis for axis in axes if axis.assumed]
    if not chosen or not assumed:
        return None
    sign = -1 if rank_by.startswith("max_drawdown") else 1
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in chosen), []).append(row)
    whole = {key: group for key, group in groups.items() if all(row[rank_by] is not None for row in group)}
    if not whole:
        return None
    worst = {key: min(group, key=lambda row: sign * row[rank_by]) for key, group in whole.items()}
    best = max(worst.values(), key=lambda row: sign * row[rank_by])
    return {**{name: best[name] for name in chosen}, "point": best["point"], rank_by: best[rank_by]}


def _shared_warnings(points: Sequence[PlayedPoint]) -> Counter[str]:
    summaries = [point.outcome.get("summary") or {} for point in points]
    return Counter(
        line
        for summary in summaries
        for line in summary.get("warnings", ())
        if _own_part(line, summary).split(":")[0].endswith(REPEATED)
        or _own_part(line, summary).startswith(
            tuple(f"{name} {day}: " for day in summary.get("days", ()) for name in summary["symbol"].split(JOIN))
        )
    )


def _own_part(line: str, summary: Mapping[str, Any]) -> str:
    """Return a warning without the symbol of an account."""
    symbol, _, rest = line.partition(": ")
    return rest if summary.get("one_account") and symbol in summary["symbol"].split(JOIN) else line


def _warnings(content: Mapping[str, Any], panel: PnlPanel | None, shared: Mapping[str, int]) -> list[str]:
    lines, best, trials = [], content["best"], content["n_trials"]
    if best is not None and trials > 1:
        if (deflated := content["deflated_sharpe"]) is not None and deflated < ENOUGH:
            lines.append(
                f"the best of {trials} trials is subject to selection bias: its deflated Sharpe ratio among "
                f"these is {deflated:.3f}, and noise alone exceeds {ENOUGH} in one sweep of twenty"
            )
        chosen = best["pnl_lower95_chosen"]
        if best["undone_by"] is not None:
            lines.append(f"{UNDONE}{undone_words(best['undone_by'])}")
        if chosen is not None and chosen <= 0 < (best["pnl_lower95"] or 0.0):
            lines.append(
                f"the lower bound of the best, {signed(best['pnl_lower95'])}, is not above 0 once it allows for the "
                f"choice among {trials} trials: {with_plain_minus(signed(chosen))}"
            )
        if best["n_fills"] < FEW_FILLS:
            lines.append(f"the best trial has only {best['n_fills']} fills: too few to distinguish it from chance")
        earned = quoting_of(best)
        if earned is not None and earned <= 0:
            lines.append(f"the best trial by {content['rank_by']} makes no profit")
    if (blocks := content["blocks"]) is not None and 2 <= blocks < FEW_BLOCKS:
        lines.append(
            f"all bounds and ties are of only {blocks} blocks of {content['block_s'] // 60} min, by Student's t with "
            f"{blocks - 1} degrees of freedom, which supposes that their PnL is normal: play more time"
        )
    if (pbo := content["pbo"]) is not None and pbo > EVEN_ODDS:
        lines.append(
            f"probability of backtest overfitting {pbo:.2f}: the best trial on half of the time is below the median "
            f"on the other half more often than not"
        )
    assumed = [axis["name"] for axis in content["axes"] if axis["assumed"] and len(axis["values"]) > 1]
    if assumed:
        lines.append(
            f"{', '.join(assumed)}: assumptions about the market or the account, not choices; compare points within "
            f"one assumption; a design ranks by its worst fill assumption"
        )
    lines += [f"{count} of {content['points']} points: {line}" for line, count in shared.items()]
    if any(row["sharpe_variance"] is None for row in content["assumptions"]):
        lines.append("null: sharpe_variance, expected_best_sharpe, deflated_sharpe: no trial has a Sharpe ratio")
    if panel is None and trials > 1:
        lines.append(f"null: pbo, walkforward, halves: {SERIES_DIFFER}")
    return lines
