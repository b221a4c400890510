"""Days in, one fit out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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


def calibrate(tape: "Tape | Sequence[Tape]", recipe: Recipe | None = None, rules: Rules | None = None) -> PoissonFit:
    """Return the fit of λ(δ) = A exp(-k δ) to one or more days.

    Args:
        tape: A day, a window of one (``tape.between``), or days in order of time, which are pooled.
        recipe: Method and options; None is ``marks`` with its defaults.
        rules: Latencies and timers of simulated orders, for ``ladder`` and ``fixed``.
    """
    return measure(tape, recipe, rules).fit
