"""Any window of days to points to a fit: by marks, a ladder of simulated orders, or one run for each distance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.rules import Rules
from mm.calibration.fit_result import PoissonFit, Window
from mm.calibration.points import NO_BLOCK, Points
from mm.calibration.poisson_fit import fit_poisson
from mm.calibration.predictive import HORIZON_S, predictive_ci95
from mm.calibration.recipe import Recipe
from mm.calibration.reference import BLOCK_S, block_length_us, span_of, within
from mm.calibration.simulated import Played, runs
from mm.calibration.volatility import sigma_ticks
from mm.clock import US_PER_S
from mm.instrument import E8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.calibration.marks import Marks
    from mm.tape.tape import Tape

Keep = Callable[[str, Callable[[], Played]], Played]


@dataclass(frozen=True)
class Measured:
    """What one stretch of tape showed.

    Attributes:
        fitted: The points of the fit: disjoint cells of ``marks``, independent points otherwise.
        shown: The points of ``calibration_points.csv``: cumulative for ``marks``.
        notes: What a reader of the artefact should know of the measurement.
    """

    fitted: Points
    shown: Points
    notes: tuple[str, ...] = ()


class Meter:
    """Measures any window of one or more days; the simulated orders are played once, whatever the windows.

    Attributes:
        tapes: The days, in order of time.
        recipe: How they are measured.
        played: The simulated runs by folder name (``ladder``, ``ladder_<n>``, ``delta_<d>``); empty for ``marks``.
    """

    def __init__(
        self, tape: "Tape | Sequence[Tape]", recipe: Recipe, rules: Rules | None = None, keep: Keep | None = None
    ) -> None:
        """Prepare the days; *rules* give the latencies of simulated orders, *keep* may know a run by its name."""
        self.tapes = tuple(tape) if isinstance(tape, Sequence) else (tape,)
        self.recipe = recipe
        self.played: dict[str, Played] = {}
        if recipe.method != "marks":
            for name, play in runs(self.tapes, recipe, rules):
                self.played[name] = keep(name, play) if keep else play()

    @property
    def start_us(self) -> int:
        """First instant of the first day."""
        return self.tapes[0].start_us

    @property
    def end_us(self) -> int:
        """End of the last day."""
        return self.tapes[-1].end_us

    @property
    def days(self) -> list[tuple[int, int]]:
        """First instant and end of each day."""
        return [(tape.start_us, tape.end_us) for tape in self.tapes]

    @property
    def day(self) -> str:
        """The day, or the first and the last joined by ``-``."""
        return "-".join(dict.fromkeys((self.tapes[0].days[0], self.tapes[-1].days[-1])))

    @cached_property
    def marks(self) -> "tuple[Marks, ...]":
        """The marks of each day, which are at hand whatever the method."""
        from mm.calibration.marks import MarkOptions, Marks

        recipe = self.recipe
        options = MarkOptions(recipe.reference, recipe.rule, recipe.max_delta_ticks, BLOCK_S)
        return tuple(Marks(tape, options) for tape in self.tapes)

    def parts(self, start_us: int, end_us: int) -> list[tuple[int, int, int]]:
        """Return the number, start and end of each day's part of ``[start_us, end_us)``; one at least, maybe empty."""
        spans = ((day, *within(span_of(tape), start_us, end_us)) for day, tape in enumerate(self.tapes))
        return [span for span in spans if span[1] < span[2]] or [(0, start_us, start_us)]

    def between(self, start_us: int, end_us: int) -> Measured:
        """Return what ``[start_us, end_us)`` shows; nothing at or after its end is read."""
        parts = self.parts(start_us, end_us)
        first = _first_blocks(parts)
        if self.recipe.method != "marks":
            points = joined([self._orders(*part) for part in parts], first)
            return Measured(_lighter(points, self.ladders), points)
        reach = self.reach(start_us, end_us)
        found = [self.marks[day].between(begin_us, stop_us, reach=reach) for day, begin_us, stop_us in parts]
        counts = [one.counts for one in found]
        return Measured(
            joined([one.cells for one in found], first),
            joined([one.cumulative for one in found], first),
            _mark_notes(sum(one.sweeps for one in counts), sum(one.counted for one in counts)),
        )

    @property
    def ladders(self) -> int:
        """How many permutations of a ladder were played; 1 of another method."""
        return len(self.played) if self.recipe.method == "ladder" else 1

    def of_run(self, name: str) -> Points:
        """Return the points of one simulated run over the whole days."""
        parts = self.parts(self.start_us, self.end_us)
        return joined([self._orders(*part, only=name) for part in parts], _first_blocks(parts))

    def _orders(self, day: int, start_us: int, end_us: int, only: str | None = None) -> Points:
        """Return the points of the simulated orders in a part of a day; runs of one tape share its blocks."""
        from mm.calibration.exposure import order_exposure

        window, recipe = self.tapes[day].between(start_us, end_us), self.recipe
        parts = [
            order_exposure(run.journal, window, recipe.reference, BLOCK_S, run.counted_from(recipe)).points
            for name, run in self.played.items()
            if only in (None, name)
        ]
        return joined(parts, [0] * len(parts))

    def length_s(self, start_us: int, end_us: int) -> float:
        """Return the seconds of recording in ``[start_us, end_us)``, as the blocks of its points count them."""
        parts = self.parts(start_us, end_us)
        return _first_blocks(parts)[-1] * BLOCK_S + (parts[-1][2] - parts[-1][1]) / US_PER_S

    def reach(self, start_us: int, end_us: int) -> float:
        """Return the distance of the last cell of ``[start_us, end_us)`` in ticks: from its own flow, or as given."""
        from mm.calibration.marks import reach_of

        if self.recipe.max_delta_ticks is not None:
            return self.recipe.max_delta_ticks
        return reach_of([self.marks[day].depths(a_us, b_us) for day, a_us, b_us in self.parts(start_us, end_us)])

    def predictive_ci95(self, start_us: int, end_us: int, horizon_s: float) -> tuple[float, float] | None:
        """Return the 95 % interval of the fills in the *horizon_s* after ``[start_us, end_us)``; None if too short."""
        return predictive_ci95(self.points(start_us, end_us), horizon_s)

    def sigma_ticks(self, start_us: int, end_us: int) -> float | None:
        """Return the volatility of the mid in ``[start_us, end_us)``, in ticks/√s; None where it was not seen."""
        parts = self.parts(start_us, end_us)
        return sigma_ticks((self.marks[day].path, begin_us, stop_us) for day, begin_us, stop_us in parts)

    def points(self, start_us: int, end_us: int) -> Points:
        """Return the points of ``[start_us, end_us)`` that a fit takes."""
        return self.between(start_us, end_us).fitted

    def fit_points(self, points: Points) -> PoissonFit:
        """Return the fit of *points*, as the recipe has it.

        Points of several ladders weigh as one, because one tape feeds them all; the fit's counts and seconds are those
        of all of them, as in ``calibration_points.csv``.
        """
        ladders = self.ladders
        return self._fitted(points, ladders).times(ladders)

    def fit_run(self, name: str) -> PoissonFit:
        """Return the fit of one simulated run over the whole days."""
        return self._fitted(self.of_run(name), 1)

    def _fitted(self, points: Points, ladders: int) -> PoissonFit:
        recipe = self.recipe
        return fit_poisson(
            points,
            fit_method=recipe.fit_method,
            min_exposure_s=recipe.min_exposure_s / ladders,
            min_usable_deltas=recipe.min_usable_deltas,
            max_delta_ticks=recipe.max_delta_ticks,
            intervals="block" if recipe.method == "fixed" else "profile",
        )

    def fit(self, start_us: int, end_us: int) -> tuple[PoissonFit, Measured]:
        """Return the fit of ``[start_us, end_us)`` with its provenance, and what it rests on."""
        measured = self.between(start_us, end_us)
        fit = self.fit_points(measured.fitted)
        described = replace(
            fit,
            symbol=self.tapes[0].symbol,
            day=self.day,
            method=self.recipe.method,
            tick_size=self.tapes[0].instrument.tick_e8 / E8,
            window=Window(start_us=start_us, end_us=end_us),
            hit=self.recipe.rule.hit,
            reference=self.recipe.reference,
            sigma_ticks=self.sigma_ticks(start_us, end_us),
            predictive_ci95=predictive_ci95(measured.fitted, HORIZON_S),
            predictive_horizon_s=HORIZON_S,
            warnings=(*fit.warnings, *measured.notes),
        )
        return described, measured


def _lighter(points: Points, ladders: int) -> Points:
    """Return *points* of several ladders with the counts and seconds of one in the mean."""
    if ladders == 1:
        return points
    return replace(points, exposure_s=points.exposure_s / ladders, fills=points.fills / ladders)


def joined(parts: Sequence[Points], first_blocks: Sequence[int]) -> Points:
    """Return the rows of several tables, one behind the other; the blocks of each count from its first block."""
    if len(parts) == 1:
        return parts[0]

    def column(name: str) -> "NDArray[Any]":
        return np.concatenate([getattr(part, name) for part in parts])

    blocks = [part.block + (part.block != NO_BLOCK) * first for part, first in zip(parts, first_blocks, strict=True)]
    return Points(
        delta_ticks=column("delta_ticks"),
        width_ticks=column("width_ticks"),
        exposure_s=column("exposure_s"),
        fills=column("fills"),
        side=column("side"),
        block=np.concatenate(blocks),
    )


def _first_blocks(parts: list[tuple[int, int, int]]) -> list[int]:
    """Return the block with which each part begins: all but the last fill whole blocks."""
    lengths = [-((begin_us - stop_us) // block_length_us(BLOCK_S)) for _, begin_us, stop_us in parts]
    return [0, *accumulate(lengths[:-1])]


def _mark_notes(sweeps: int, counted: int) -> tuple[str, ...]:
    """Return a note where many aggressive orders reached no probe."""
    if sweeps == 0 or counted >= 0.75 * sweeps:
        return ()
    share = 100 * (1 - counted / sweeps)
    return (f"{share:.0f} % of {sweeps} aggressive orders printed nearer than the best price of the book before them",)
