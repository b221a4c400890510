"""Days in, one fit out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from mm.backtest.rules import Rules
from mm.calibration.fit_result import PoissonFit
from mm.calibration.meter import Measured, Meter
from mm.calibration.recipe import Recipe
from mm.calibration.spreads import large_tick

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.tape.tape import Tape


@dataclass(frozen=True)
class Calibration:
    """A fit with what it rests on.

    Attributes:
        fit: Of the whole days.
        measured: The points behind it.
        meter: What measured them, for windows of the days and for the runs of simulated orders.
    """

    fit: PoissonFit
    measured: Measured
    meter: Meter

    @property
    def runs(self) -> dict[str, "Result"]:
        """The simulated runs by folder name."""
        return {name: run.result for name, run in self.meter.played.items() if run.result is not None}


def measure(tape: "Tape | Sequence[Tape]", recipe: Recipe | None = None, rules: Rules | None = None) -> Calibration:
    """Calibrate whole days and return the fit with what it rests on and what stands beside it."""
    meter = Meter(tape, recipe or Recipe(), rules)
    fit, measured = meter.fit(meter.start_us, meter.end_us)
    return Calibration(replace(fit, warnings=(*fit.warnings, *large_tick(meter))), measured, meter)


@dataclass(frozen=True)
class Permutations:
    """The fits of ladders that held the same distances in other orders, and that of the marks.

    Attributes:
        count: How many usable ones.
        A: Their mean, in 1/s.
        k: Their mean, in 1/tick.
        sd_A: Standard deviation of A from order to order.
        sd_k: That of k.
        marks_A: A of the marks of the same days; None where their fit is not usable.
        marks_k: Their k.
    """

    count: int
    A: float
    k: float
    sd_A: float
    sd_k: float
    marks_A: float | None
    marks_k: float | None

    def __str__(self) -> str:
        """Return all of it in two lines."""
        marks = "not usable" if self.marks_A is None else f"A {self.marks_A:.4g} /s, k {self.marks_k:.4g} /tick"
        return (
            f"{self.count} permutations of the ladder: A {self.A:.4g} /s (sd {self.sd_A:.2g}), k {self.k:.4g} /tick "
            f"(sd {self.sd_k:.2g}), the fit averages them; marks on the same data: {marks}. A ladder's orders are away "
            f"while they follow the mid, which is when fills are likeliest: it sees fewer than marks, the more the "
            f"farther from the touch"
        )


def permutations(found: Calibration, rules: Rules | None) -> Permutations | None:
    """Return the fits of each order of the ladder's distances; None of another method, or with fewer than two fits.

    Args:
        found: The fit of all of them.
        rules: As for it.
    """
    recipe, meter = found.meter.recipe, found.meter
    if recipe.method != "ladder":
        return None
    fits = [meter.fit_run(name) for name in meter.played]
    pairs = [(fit.A, fit.k) for fit in fits if fit.A is not None and fit.k is not None]
    if len(pairs) < 2:
        return None
    rates, decays = zip(*pairs, strict=True)
    marks = Meter(meter.tapes, replace(recipe, method="marks"), rules)
    beside = marks.fit_points(marks.points(meter.start_us, meter.end_us))
    return Permutations(
        len(pairs), fmean(rates), fmean(decays), stdev(rates), stdev(decays), marks_A=beside.A, marks_k=beside.k
    )


def calibrate(tape: "Tape | Sequence[Tape]", recipe: Recipe | None = None, rules: Rules | None = None) -> PoissonFit:
    """Return the fit of λ(δ) = A exp(-k δ) to one or more days.

    Args:
        tape: A day, a window of one (``tape.between``), or days in order of time, which are pooled.
        recipe: Method and options; None is ``marks`` with its defaults.
        rules: Latencies and timers of simulated orders, for ``ladder`` and ``fixed``.
    """
    return measure(tape, recipe, rules).fit
