"""The verdict on a PnL, made in one place: its interval beside the trials on record and losses not seen yet.

A sample is what a verdict needs to know of a series, so that a finished run is judged again from its summary alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.risk import LEAST_PERIODS
from mm.backtest.metrics.spans import PERIOD_US, PeriodBlocks
from mm.base.arrays import Floats, Ints
from mm.base.estimate import LEAST_DRAWS, LEVEL, cosines, estimated, student_quantile
from mm.base.numbers import ABOVE, BELOW, UNDECIDED, noun, number, percent, sign_of, signed
from mm.clock import US_PER_S, iso
from mm.trials.moves import Moves

if TYPE_CHECKING:
    from mm.trials.on_record import OnRecord

GAIN, WARN, LOSS = "gain", "warn", "loss"  # colours
TOO_SHORT = "too short to test"
FEW_LOSSES = 20  # losing periods, below which a verdict says what would undo it
TIMES_THE_LARGEST = 10.0  # losses so many times the largest seen are thought possible
TAIL_PERIODS = 5  # of 60 s, in a block of the pooled tail
ALL_TAKEN, TEN_TAKEN = math.exp(-1.0), math.exp(-0.1)  # chance of no loss of the size of a PnL, of ten times that
KEPT = 0.95  # of the periods in which something changed: the others may be the losses that the unit is to measure
POWER = 0.8416212335729143  # normal quantile of .8
PERIOD_S = PERIOD_US // US_PER_S
DAY_S = 86_400
_COLUMNS = 256  # designs per chunk
_HALVINGS = 60
S_PER_H, DAYS_FROM_H = 3_600, 48

Positions = Mapping[str, Mapping[str, Any]]
NO_POSITIONS: Positions = {}
Degrees = Callable[[int], int]


@dataclass(frozen=True)
class Tail:
    """A loss that the judged design has not had: what another one lost, or the market's largest move at its inventory.

    Attributes:
        loss: In money of the judged design, above 0.
        from_run: The run of that design, or the day of the move.
        start_us: Begin of the block; None for a move.
    """

    loss: float
    from_run: str
    start_us: int | None = None


@dataclass(frozen=True)
class Sample:
    """What a verdict needs to know of a PnL by period.

    Attributes:
        error: Standard error of *total*; None if all periods are equal.
        largest: The largest loss of a period, at least 0.
        unit: See `robust_units`; None in results of older versions.
    """

    total: float
    error: float | None
    periods: int
    period_s: int
    losing: int
    largest: float
    unit: float | None
    days: int = 1
    degrees_of: Degrees = cosines
    least: int = LEAST_PERIODS
    changed: int | None = None

    @classmethod
    def of(cls, changes: Floats, days: int = 1) -> "Sample":
        """Make a sample of the PnL per 60 s, with a long-run error."""
        count = len(changes)
        flat = count < LEAST_PERIODS or changes.min() == changes.max()
        return cls(
            total=float(changes.sum()),
            error=None if flat else estimated(changes).times(count).error,
            periods=count,
            period_s=PERIOD_S,
            losing=int(np.count_nonzero(changes < 0)),
            largest=max(-float(changes.min(initial=0.0)), 0.0),
            unit=float(robust_units(changes[:, None])[0]),
            days=days,
            changed=int(np.count_nonzero(changes)),
        )

    @classmethod
    def of_days(cls, daily: Floats, unit: float | None) -> "Sample":
        """Make a sample of independent days; *unit* is that of their minutes."""
        count = len(daily)
        return cls(
            total=float(daily.sum()),
            error=estimated(daily, independent=True).times(count).error if count else None,
            periods=count,
            period_s=DAY_S,
            losing=int(np.count_nonzero(daily < 0)),
            largest=max(-float(daily.min(initial=0.0)), 0.0),
            unit=unit,
            days=count,
            degrees_of=lambda days: days - 1,
            least=2,
        )

    @classmethod
    def of_summary(cls, summary: Mapping[str, Any]) -> "Sample":
        """Make the sample of a finished run, or of the play of its queue's bounds that is judged."""
        returns, alone = summary["returns"], summary["verdict_alone"]
        returns = returns | (summary.get("judged") or {})
        count, low, high = returns["periods"], alone["lower95"], alone["upper95"]
        return cls(
            total=(returns["mean"] or 0.0) * count if low is None else (low + high) / 2,
            error=None if low is None else (high - low) / 2 / student_quantile(cosines(count)),
            periods=count,
            period_s=returns["period_s"],
            losing=round((returns["lost"] or 0.0) * count),
            largest=max(-(returns["worst"] or 0.0), 0.0),
            unit=returns.get("robust_unit"),
            days=len(summary["days"]),
            changed=None if summary.get("psr_alone") is not None else 0,
        )

    def to_summary(self) -> dict[str, float | None]:
        """Return what a finished run needs of it, by the names of ``returns`` in a summary."""
        return {"lost": self.losing / self.periods, "worst": -self.largest, "robust_unit": self.unit}

    @property
    def days_to_decide(self) -> int | None:
        """How many such days decide it in 80 % of cases, if the mean is what it seems, without other trials."""
        if not self.total or not self.error:
            return None
        wanted, before = self.days + 1, set[int]()
        while wanted not in before:
            before.add(wanted)
            wide = student_quantile(self.degrees_of(self.periods * wanted // self.days)) + POWER
            wanted = max(math.ceil(self.days * (wide * self.error / self.total) ** 2), self.days + 1)
        return wanted


@dataclass(frozen=True)
class Verdict:
    """A sign with its interval, and what would undo it.

    Attributes:
        psr: 1 − p of the one-sided test that the mean is not above 0, of the same interval.
    """

    content: dict[str, Any]
    undone_by: dict[str, Any] | None = None
    psr: float | None = None

    @property
    def text(self) -> str:
        return str(self.content["text"])


def judge(sample: Sample, *, trials: float = 1.0, tail: Tail | None = None, stressed: float = 0.0) -> Verdict | None:
    """Return whether the expected *total* of a sample is above 0 or below, at 95 %; None if all periods are equal.

    Among several independent *trials* all intervals hold at once. The lower end also allows for as many losses of the
    *tail*'s size as the sample cannot exclude: −ln α with its own one-sided level α, as of a Poisson count of none.
    Both allowances add as independent errors. *stressed*: a loss that would undo the verdict.
    """
    if sample.periods < sample.least:
        return Verdict(_content(TOO_SHORT))
    if not sample.error:
        return None
    value, error, degrees = sample.total, sample.error, sample.degrees_of(sample.periods)
    wide, loss = student_quantile(degrees, trials), 0.0 if tail is None else tail.loss
    unseen = -math.log(-math.expm1(math.log(LEVEL) / max(trials, 1.0)) / 2)
    low, plain = value - math.hypot(wide * error, unseen * loss), value - wide * error
    high = value + wide * error
    text, without = (sign_of(end, high) if sample.periods >= LEAST_DRAWS else UNDECIDED for end in (low, plain))
    told = None
    if tail is not None:
        start = None if tail.start_us is None else iso(tail.start_us)
        told = {"from_run": tail.from_run, "block_start": start, "scaled_loss": loss, "decides": text != without}
    enough = sample.days_to_decide if text == UNDECIDED and text == without else None
    content = _content(text, low, high, enough, told)
    known = sample.changed is None or sample.changed >= LEAST_PERIODS
    return Verdict(content, _undone(sample, text, stressed), _psr(sample, degrees, trials, loss) if known else None)


def _content(
    text: str,
    low: float | None = None,
    high: float | None = None,
    enough: int | None = None,
    tail: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {"text": text, "lower95": low, "upper95": high, "days_to_decide": enough, "tail": tail}


def _psr(sample: Sample, degrees: int, trials: float, loss: float) -> float | None:
    """.975 where the interval begins at 0: the one-sided level at which it does, for all trials at once."""
    from mm.base.special import stdtrit

    value, error = sample.total, sample.error or 0.0
    low, high = 0.0, 0.5  # of the level; the interval becomes wider from high to low
    for _ in range(_HALVINGS):
        level = (low + high) / 2
        half = -float(stdtrit(degrees, level)) * error
        half = math.hypot(half, math.log(level) * loss) if value > 0 else half
        low, high = (low, level) if half <= abs(value) else (level, high)
    sure = math.exp(max(trials, 1.0) * math.log1p(-2 * min(high, 0.5 - 1e-15)))
    return 0.5 + math.copysign(sure, value) / 2


def _undone(sample: Sample, text: str, stressed: float) -> dict[str, Any] | None:
    """The one loss that takes a PnL above 0 back, where it is thinkable."""
    loss = sample.total
    near = sample.losing < FEW_LOSSES or max(TIMES_THE_LARGEST * sample.largest, stressed) >= loss
    if text != ABOVE or not near:
        return None
    return {
        "loss": loss,
        "times_the_largest": loss / sample.largest if sample.largest else None,
        "stressed_loss": stressed,
        "once_in_s": once_in(sample.periods * sample.period_s),
        "losing_periods": sample.losing,
    }


def robust_units(pnl: Floats) -> Floats:
    """Each column's root mean square per period, without the largest twentieth of its changes; 0 without any.

    It does not contain the rare losses that are measured in it, and is proportional to a design's clip. NaN was not
    played.
    """
    units = np.zeros(pnl.shape[1])
    for begin in range(0, pnl.shape[1], _COLUMNS):
        part = pnl[:, begin : begin + _COLUMNS]
        played = np.isfinite(part)
        squares = np.sort(np.where(played, part, 0.0).astype(np.float64) ** 2, axis=0)
        changed = np.count_nonzero(squares, axis=0)
        left_out = np.ceil((1 - KEPT) * changed).astype(np.int64)
        sums = np.concatenate([np.zeros((1, part.shape[1])), np.cumsum(squares, axis=0)])
        kept = np.take_along_axis(sums, (len(part) - left_out)[None, :], axis=0)[0]
        units[begin : begin + _COLUMNS] = np.sqrt(kept / np.maximum(played.sum(axis=0), 1))
    return units


def worst_in_units(pnl: Floats, blocks: Sequence[Ints]) -> tuple[float, int, int] | None:
    """The worst of some blocks of any column, in the column's `robust_units`: loss, column, block.

    Columns that changed in under 20 periods have no unit to speak of. NaN was not played. None without a loss.
    """
    found: tuple[float, int, int] | None = None
    for begin in range(0, pnl.shape[1] if blocks else 0, _COLUMNS):
        part = pnl[:, begin : begin + _COLUMNS]
        units = robust_units(part)
        units[np.count_nonzero(np.nan_to_num(part), axis=0) < LEAST_PERIODS] = 0.0
        sums = np.array([part[block].sum(axis=0, dtype=np.float64) for block in blocks])
        losses = np.divide(-sums, units, out=np.zeros_like(sums), where=(units > 0) & np.isfinite(sums))
        at = int(losses.argmax()) if losses.size else 0
        if losses.size and losses.flat[at] > (found[0] if found else 0.0):
            block, column = divmod(at, losses.shape[1])
            found = float(losses.flat[at]), begin + column, block
    return found


def five_minutes(counts: Sequence[int]) -> list[Ints]:
    """Blocks of `TAIL_PERIODS`, each within one of some spans of *counts* periods."""
    number_of = PeriodBlocks.of(counts, TAIL_PERIODS).number
    edges = np.flatnonzero(np.diff(number_of, prepend=-2, append=-2)).tolist()
    return [np.arange(*pair) for pair in pairwise(edges) if number_of[pair[0]] >= 0]


def tail_on_record(record: "OnRecord | None", sample: Sample, *, of_days: bool = False) -> Tail | None:
    """The worst five minutes (or day) of any design on record, in units of the design judged.

    None below two designs, and for a sample without a unit.
    """
    if record is None or record.on_these_days < 2 or not sample.unit:
        return None
    blocks = record.days_of_periods() if of_days else five_minutes([count for _, count in record.spans])
    worst = worst_in_units(record.pnl, blocks)
    if worst is None:
        return None
    loss, column, block = worst
    return Tail(loss * sample.unit, record.runs[column], int(record.begins_us[blocks[block][0]]))


def worse(*tails: Tail | None) -> Tail | None:
    return max((tail for tail in tails if tail is not None and tail.loss > 0), key=lambda tail: tail.loss, default=None)


def largest_loss(positions: Positions, moves: Mapping[str, Moves]) -> Tail | None:
    """What the largest move of another day on record takes from the largest positions, by symbol."""
    return worse(
        *(
            Tail(move.loss(positions[symbol]["value"]), f"{symbol} {day}")
            for symbol, days in moves.items()
            if symbol in positions
            for day, move in days.items()
        )
    )


def verdicts(
    sample: Sample | None,
    record: "OnRecord | None" = None,
    positions: Positions = NO_POSITIONS,
    *,
    trials: float = 1.0,
    tail: Tail | None = None,
    of_days: bool = False,
) -> dict[str, Any]:
    """Return ``verdict``, ``undone_by`` and ``psr``, and the same ``_alone``, as if nothing else were on record.

    Args:
        sample: None where nothing is concluded.
        positions: The ``largest_position`` of each symbol.
        trials: Independent designs that the command itself chose from.
        tail: The worst block of these.
    """
    own = max((position["loss"] for position in positions.values()), default=0.0)
    moved = None if record is None else largest_loss(positions, record.moves)
    found: dict[str, Verdict | None] = {"": None, "_alone": None}
    if sample is not None:
        seen = worse(tail, tail_on_record(record, sample, of_days=of_days), moved)
        tried = trials if record is None else max(trials, record.independent)
        stressed = max(own, moved.loss if moved else 0.0)
        found = {
            "": judge(sample, trials=tried, tail=seen, stressed=stressed),
            "_alone": judge(sample, trials=trials, tail=tail, stressed=own),
        }
    return {
        f"{key}{name}": value
        for name, judged in found.items()
        for key, value in (
            ("verdict", judged and judged.content),
            ("undone_by", judged and judged.undone_by),
            ("psr", judged and judged.psr),
        )
    }


def positions_of(summary: Mapping[str, Any]) -> Positions:
    """Return the largest positions of a run, or of each symbol of an account; none with legs, which may hedge each
    other.
    """
    if summary.get("legs"):
        return NO_POSITIONS
    if "positions" in (judged := summary.get("judged") or {}):
        return dict(judged["positions"])
    each = summary.get("symbols") or {summary["symbol"]: summary}
    return {symbol: one["largest_position"] for symbol, one in each.items() if one.get("largest_position")}


def colour(verdict: Mapping[str, Any] | None, undone: Mapping[str, Any] | None) -> str:
    """``gain``, ``loss``, ``warn`` for one above 0 that one thinkable loss undoes, or empty."""
    text = (verdict or {}).get("text")
    return {ABOVE: WARN if undone else GAIN, BELOW: LOSS}.get(str(text), "")


def words(verdict: Mapping[str, Any] | None, days: int) -> str:
    """The verdict of *days*, with its interval, what decides it, and how many days would."""
    if verdict is None:
        return "without a verdict"
    text = str(verdict["text"])
    if verdict["lower95"] is None:
        return text
    whose = "of this day" if days == 1 else f"of these {days} days"
    told = f"{text} (95 %: {signed(verdict['lower95'])} to {signed(verdict['upper95'])}, {whose})"
    if (tail := verdict.get("tail")) and tail["decides"]:
        lost = "moved by as much" if tail["block_start"] is None else f"lost as much at {tail['block_start'][:16]}"
        told += f"; {text} only because {tail['from_run']} {lost} as {number(tail['scaled_loss'])} is here"
    if enough := verdict.get("days_to_decide"):
        told += f"; {enough:,} fresh days like {'this' if days == 1 else 'these'} would decide it in 4 of 5 cases"
    return told


def unseen(verdict: Mapping[str, Any] | None, seconds: float) -> str:
    """What a verdict above 0 cannot exclude in so many *seconds*; empty for another."""
    if (verdict or {}).get("text") != ABOVE:
        return ""
    return (
        f"{_span(seconds)} exclude only losses that come more often than once in {_span(once_in(seconds))}: of "
        f"worthless designs whose rare loss is as large as this PnL, {percent(ALL_TAKEN)} look like this, ten times as "
        f"large {percent(TEN_TAKEN)}"
    )


def once_in(seconds: float) -> float:
    return seconds / -math.log(1 - LEVEL)


def undone_words(undone: Mapping[str, Any], one: str = "minute", several: str = "minutes") -> str:
    losing, times, stressed = undone["losing_periods"], undone["times_the_largest"], undone.get("stressed_loss")
    size = "none was seen" if times is None else f"{number(times, 2)} times the largest seen"
    moved = f", the largest move on record {number(stressed)} at the largest inventory" if stressed else ""
    return (
        f"{losing} losing {noun(losing, one, several)}: one loss of {number(undone['loss'])} ({size}{moved}) undoes "
        f"it; this time excludes it only if it comes more often than once in {_span(undone['once_in_s'])}"
    )


def _span(seconds: float) -> str:
    hours = seconds / S_PER_H
    if hours >= DAYS_FROM_H:
        return f"{number(hours / 24, 2)} days"
    return f"{number(hours, 2)} h" if hours >= 1 else f"{number(seconds / 60, 2)} min"
