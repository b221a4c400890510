"""One tape in, one fit out: by marks, by a ladder of simulated orders, or by one run for each distance."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mm.backtest.rules import Rules
from mm.calibration.fit_result import PoissonFit, Window
from mm.calibration.points import Points
from mm.calibration.poisson_fit import fit_poisson
from mm.errors import UsageError
from mm.instrument import E8

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.backtest.tape import Tape

METHODS = ("marks", "ladder", "fixed")
BLOCK_S = 300.0  # of the block-robust errors


@dataclass(frozen=True)
class Recipe:
    """How a tape becomes points, and points a fit.

    Attributes:
        method: ``marks`` (every aggressive order's depth), ``ladder`` (orders that hold one distance
            after another) or ``fixed`` (a run of orders for each distance).
        deltas: Distances of ``ladder`` and ``fixed``, in ticks, increasing; ``marks`` measures all.
        dwell_ms: How long the ladder holds a distance.
        mid_move_threshold_ticks: How far the reference moves until a simulated order follows.
        reference: What distances are measured from: ``mid``, ``micro`` or ``best``.
        hit: ``touch`` (a print at the price or beyond) or ``strict`` (beyond).
        seed: Of the ladder's order.
        fit_method: ``poisson_mle``, ``poisson_firth`` or ``log_linear``.
        min_exposure_s: Distances with less exposure are left out.
        min_usable_deltas: Fewer distances give no usable fit.
        max_delta_ticks: Distances beyond are left out; of ``marks``, the last cell.
    """

    method: str = "marks"
    deltas: tuple[float, ...] = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)
    dwell_ms: float = 60_000.0
    mid_move_threshold_ticks: float = 2.0
    reference: str = "mid"
    hit: str = "touch"
    seed: int = 0
    fit_method: str = "poisson_mle"
    min_exposure_s: float = 5.0
    min_usable_deltas: int = 3
    max_delta_ticks: float = 50.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"calibration method {self.method!r} is not known; choose {', '.join(METHODS)}")


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


@dataclass(frozen=True)
class Calibration:
    """A fit with what it rests on."""

    fit: PoissonFit
    measured: Measured
    runs: Mapping[str, "Result"] = field(default_factory=dict)


class Meter:
    """Measures any window of one tape; the simulated orders are played once, whatever the windows.

    Attributes:
        runs: The simulated runs by folder name (``ladder``, ``delta_<d>``); empty for ``marks``.
    """

    def __init__(self, tape: "Tape", recipe: Recipe, rules: Rules | None = None) -> None:
        """Prepare *tape*; *rules* give the latencies and timers of simulated orders."""
        self.tape, self.recipe = tape, recipe
        self.runs: dict[str, Result] = {}
        if recipe.method == "marks":
            from mm.calibration.marks import MarkOptions, Marks

            options = MarkOptions(recipe.reference, recipe.hit, recipe.max_delta_ticks, BLOCK_S)
            self._marks = Marks(tape, options)
        else:
            self.runs = dict(_simulated(tape, recipe, rules or _default_rules(tape)))

    def between(self, start_us: int, end_us: int) -> Measured:
        """Return what ``[start_us, end_us)`` shows; nothing at or after its end is read."""
        if self.recipe.method == "marks":
            marks = self._marks.between(start_us, end_us)
            return Measured(marks.cells, marks.cumulative, _mark_notes(marks.counts.sweeps, marks.counts.counted))
        from mm.calibration.exposure import order_exposure

        window = self.tape.between(start_us, end_us)
        parts = [
            order_exposure(run.journal, window, self.recipe.reference, BLOCK_S).points for run in self.runs.values()
        ]
        points = _joined(parts)
        return Measured(points, points)

    def points(self, start_us: int, end_us: int) -> Points:
        """Return the points of ``[start_us, end_us)`` that a fit takes."""
        return self.between(start_us, end_us).fitted

    def fit_points(self, points: Points) -> PoissonFit:
        """Return the fit of *points*, as the recipe has it."""
        recipe = self.recipe
        return fit_poisson(
            points,
            fit_method=recipe.fit_method,
            min_exposure_s=recipe.min_exposure_s,
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
            symbol=self.tape.symbol,
            day="-".join(dict.fromkeys((self.tape.days[0], self.tape.days[-1]))),
            method=self.recipe.method,
            tick_size=self.tape.instrument.tick_e8 / E8,
            window=Window(start_us=start_us, end_us=end_us),
            hit=self.recipe.hit,
            reference=self.recipe.reference,
            warnings=(*fit.warnings, *measured.notes),
        )
        return described, measured


def measure(tape: "Tape", recipe: Recipe | None = None, rules: Rules | None = None) -> Calibration:
    """Calibrate a whole tape and return the fit with the points and runs it rests on."""
    meter = Meter(tape, recipe or Recipe(), rules)
    fit, measured = meter.fit(tape.start_us, tape.end_us)
    return Calibration(fit, measured, meter.runs)


def calibrate(tape: "Tape", recipe: Recipe | None = None, rules: Rules | None = None) -> PoissonFit:
    """Return the fit of λ(δ) = A exp(-k δ) to a tape.

    Args:
        tape: A day, or a window of one (``tape.between``).
        recipe: Method and options; None is ``marks`` with its defaults.
        rules: Latencies and timers of simulated orders, for ``ladder`` and ``fixed``.
    """
    return measure(tape, recipe, rules).fit


def _simulated(tape: "Tape", recipe: Recipe, rules: Rules) -> "Iterator[tuple[str, Result]]":
    """Yield the runs of simulated one-lot orders, by folder name; balances do not bind them."""
    from mm.backtest.fills.trade_cross import TradeCross
    from mm.backtest.replay import backtest
    from mm.calibration.quotes import CalibrationLadder, FixedDelta

    probes = replace(rules, enforce_balances=False, min_notional_e8=0, quote_lots=1, step_lots=1)
    fills = TradeCross(strict=recipe.hit == "strict")
    threshold, reference = recipe.mid_move_threshold_ticks, recipe.reference
    if recipe.method == "ladder":
        ladder = CalibrationLadder(
            recipe.deltas, recipe.dwell_ms, threshold, seed=recipe.seed, start_us=tape.start_us, reference=reference
        )
        yield "ladder", backtest(tape, ladder, fills, probes)
        return
    for delta in recipe.deltas:
        yield f"delta_{delta:g}", backtest(tape, FixedDelta(delta, threshold, reference), fills, probes)


def _default_rules(tape: "Tape") -> Rules:
    return Rules(tick_e8=tape.instrument.tick_e8, lot_e8=tape.instrument.lot_e8)


def _joined(parts: list[Points]) -> Points:
    """Return the rows of several tables, one behind the other."""
    import numpy as np

    columns = ("delta_ticks", "exposure_s", "fills", "side", "block", "width_ticks")
    return Points.of(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns})


def _mark_notes(sweeps: int, counted: int) -> tuple[str, ...]:
    """Return a note where many aggressive orders reached no probe."""
    if sweeps == 0 or counted >= 0.75 * sweeps:
        return ()
    share = 100 * (1 - counted / sweeps)
    return (f"{share:.0f} % of {sweeps} aggressive orders printed nearer than the best price of the book before them",)
