"""Optuna chooses a sweep's designs one after another, instead of a grid."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mm.base.knobs import axes_of
from mm.errors import UsageError
from mm.play.setup import AnySetup
from mm.sweep.findings import PlayedPoint, rank_value
from mm.sweep.grid import FLAG, RANGE, AnyPoint, Axis, axes_from, points_of

if TYPE_CHECKING:
    from optuna.trial import Trial

BATCH = 8  # designs chosen at a time, whatever the number of processes, so that it does not change the search
STARTUP = 10  # random designs before the sampler learns, and before any is given up
HELD_OUT = 3  # best designs that are played on the days held out
_WHOLE = re.compile(r"[-+]?\d+")
_WIDE = 10  # ratio of the ends from which a range is searched on a logarithmic scale
Play = Callable[[Sequence[AnyPoint]], list[PlayedPoint]]


@dataclass(frozen=True)
class AxisRange:
    """An axis that is searched continuously."""

    low: float
    high: float
    whole: bool

    @property
    def log(self) -> bool:
        return self.low > 0 and self.high >= _WIDE * self.low

    def ask(self, trial: "Trial", name: str) -> str:
        if self.whole:
            return str(trial.suggest_int(name, round(self.low), round(self.high), log=self.log))
        return f"{trial.suggest_float(name, self.low, self.high, log=self.log):.6g}"


@dataclass(frozen=True)
class Space:
    """The axes of a search, with the ends of ranges as values, and the ranges by name."""

    written: Sequence[tuple[str, tuple[str, ...]]]
    axes: Sequence[Axis]
    ranges: dict[str, AxisRange]

    @classmethod
    def of(cls, text: str, setup: AnySetup) -> "Space":
        """Raises UsageError if a range is empty, a name unknown, or nothing is left to choose."""
        written, ranges = [], dict[int, AxisRange]()
        for place, (name, texts) in enumerate(axes_of(text)):
            bounds = RANGE.fullmatch(texts[0]) if len(texts) == 1 else None
            if bounds is None:
                written.append((name, texts))
                continue
            low, high = bounds.groups()
            if not float(low) < float(high):
                raise UsageError(f"{FLAG}: {name}={texts[0]} is empty; write LOW..HIGH with LOW below HIGH")
            whole = bool(_WHOLE.fullmatch(low) and _WHOLE.fullmatch(high))
            ranges[place] = AxisRange(float(low), float(high), whole)
            written.append((name, (low, high)))
        axes = axes_from(written, setup)
        chosen = [axis for axis in axes if not axis.assumed]
        if not chosen:
            raise UsageError(f"{FLAG}: every axis is an assumption, so there is nothing to search; add a parameter")
        assumed = next((axes[place].name for place in ranges if axes[place].assumed), None)
        if assumed is not None:
            raise UsageError(f"{FLAG}: {assumed} is an assumption, which is not searched; list its values")
        return cls(written, axes, {axes[place].name: bounds for place, bounds in ranges.items()})

    def ask(self, trial: "Trial") -> dict[str, str]:
        return {
            axis.name: self.ranges[axis.name].ask(trial, axis.name)
            if axis.name in self.ranges
            else str(trial.suggest_categorical(axis.name, axis.texts))
            for axis in self.axes
            if not axis.assumed
        }

    def points(self, design: dict[str, str], setup: AnySetup, unfit: str, first: int) -> list[AnyPoint]:
        """One per assumption, numbered from *first*."""
        written = [
            (name, (design[axis.name],) if axis.name in design else texts)
            for (name, texts), axis in zip(self.written, self.axes, strict=True)
        ]
        points: Sequence[AnyPoint] = points_of(axes_from(written, setup), setup, unfit)
        return [replace(point, number=first + place) for place, point in enumerate(points)]

    def axes_of(self, points: Sequence[PlayedPoint]) -> list[Axis]:
        axes = []
        for axis in self.axes:
            texts = list(dict.fromkeys(point.texts[axis.name] for point in points))
            if axis.name in self.ranges:
                texts.sort(key=float)
            axes.append(replace(axis, texts=tuple(texts), values=tuple(texts)))
        return axes


@dataclass
class Searched:
    points: list[PlayedPoint]
    grid: list[AnyPoint]
    history: list[dict[str, Any]]

    @property
    def stopped(self) -> int:
        return sum(row["stopped"] for row in self.history)


@dataclass(frozen=True)
class Search:
    space: Space
    setup: AnySetup
    first_day: AnySetup | None
    play: Play
    rank_by: str
    unfit: str

    def run(self, budget: int, seed: int, step: Callable[[int], None]) -> Searched:
        """*step* gets the number of designs finished since the last call."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=True)
        study = optuna.create_study(
            direction="minimize" if self.rank_by == "max_drawdown" else "maximize",
            sampler=sampler,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP),
        )
        searched, states = Searched([], [], []), optuna.trial.TrialState
        while len(searched.history) < budget:
            trials = [study.ask() for _ in range(min(BATCH, budget - len(searched.history)))]
            designs = [self.space.ask(trial) for trial in trials]
            stopped = [False] * len(trials)
            if self.first_day is not None:
                for place, worth in enumerate(self.worths(designs, self.first_day, 0)[0]):
                    if worth is not None:
                        trials[place].report(worth, 0)
                        stopped[place] = bool(trials[place].should_prune())
            kept = [design for design, gone in zip(designs, stopped, strict=True) if not gone]
            worths, grid, played = self.worths(kept, self.setup, len(searched.points))
            searched.grid += grid
            searched.points += played
            left = iter(worths)
            for trial, design, gone in zip(trials, designs, stopped, strict=True):
                worth = None if gone else next(left)
                study.tell(trial, worth, states.PRUNED if gone else states.FAIL if worth is None else None)
                searched.history.append(
                    {"design": len(searched.history) + 1, **design, "worth": worth, "stopped": gone}
                )
            step(len(trials))
        return searched

    def worths(
        self, designs: Sequence[dict[str, str]], setup: AnySetup, before: int
    ) -> tuple[list[float | None], list[AnyPoint], list[PlayedPoint]]:
        """Each design's worth under its worst assumption, and the points, numbered after *before*."""
        grid: list[AnyPoint] = []
        sizes = []
        for design in designs:
            own = self.space.points(design, setup, self.unfit, before + len(grid) + 1)
            sizes.append(len(own))
            grid += own
        played = self.play(grid)
        left = iter(played)
        worst = max if self.rank_by == "max_drawdown" else min
        worths: list[float | None] = []
        for size in sizes:
            values = [rank_value(next(left), self.rank_by) for _ in range(size)]
            known = [value for value in values if value is not None]
            worths.append(worst(known) if len(known) == size else None)
        return worths, grid, played

    def held_out(self, searched: Searched, setup: AnySetup, days: int, held_days: int) -> list[dict[str, Any]]:
        """Quoting PnL per day of the best designs, on held-out days and in the search."""
        sign = 1 if self.rank_by == "max_drawdown" else -1
        known = [row for row in searched.history if row["worth"] is not None]
        best = sorted(known, key=lambda row: sign * row["worth"])[:HELD_OUT]
        names = [axis.name for axis in self.space.axes if not axis.assumed]
        rows = []
        for row in best:
            design = {name: row[name] for name in names}
            seen, unseen = (self.worths([design], each, 0)[2] for each in (self.setup, setup))
            rows.append(
                {
                    "design": row["design"],
                    **design,
                    "pnl_per_day": _least_pnl(seen, days),
                    "held_out_pnl_per_day": _least_pnl(unseen, held_days),
                }
            )
        return rows


def _least_pnl(points: Sequence[PlayedPoint], days: int) -> float | None:
    values = [rank_value(point, "pnl_quoting") for point in points]
    known = [value for value in values if value is not None]
    return min(known) / days if known and len(known) == len(values) else None


def held_out(days: Sequence[str], share: float) -> tuple[Sequence[str], Sequence[str]]:
    if len(days) < 3 or share == 0:
        return days, ()
    count = min(max(1, round(share * len(days))), len(days) - 1)
    return days[: len(days) - count], days[len(days) - count :]
