"""Options of a calibration: what is measured, from which reference, and how it is fitted."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from mm.calibration.reference import AUTO, OWN_BEST, check_reference
from mm.calibration.sweeps import HitRule
from mm.errors import UsageError

METHODS = ("marks", "ladder", "fixed")
DISTANCES = ("current", "anchor")
DELTAS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)
# Under a fill model, from the mid: prices are whole ticks, so a distance in whole ticks and the one half a tick farther
# off are the same price under an odd spread, but not when the mid moves by half a tick; near the touch both are used.
FROM_MID = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 5.0, 5.5, 8.0, 8.5, 13.0)
FROM_BEST = (0.0, *DELTAS)


@dataclass(frozen=True)
class FillsMeasured:
    name: str
    params: dict[str, Any]
    make: Callable[[], object] = field(compare=False)


@dataclass(frozen=True)
class CalibrationConfig:
    """Options of the measurement of points and of their fit; docs/calibration.md explains methods and estimators.

    Attributes:
        method: ``marks``, ``ladder`` or ``fixed``.
        deltas: Distances of ``ladder`` and ``fixed``, in ticks, increasing. None is 1 to 13 with the hit rule, and from
            the touch to the reach of the flow under a fill model.
        dwell_ms: Time for which the ladder quotes a distance.
        mid_move_threshold_ticks: Move of the reference after which simulated orders follow it.
        reference: Reference price of distances: ``mid``, ``micro``, ``best`` or ``sweep``; or ``auto``, which
            `calibrate`, `build_schedule` and `walkforward` replace by the best predictor, but a `Calibrator` does not
            accept.
        rule: Condition for a sweep to hit an order.
        fills: Fill model of ``ladder`` and ``fixed``, which replaces *rule* except for its quantity (0: the clip of the
            rules). Orders then follow the reference at every requote, as in a backtest. None uses the rule.
        distance: Of a simulated order: from the ``current`` reference, or from the ``anchor`` of its quote.
        permutations: Number of the ladder's orders of distances, with seeds from *seed* on.
        fit_method: ``poisson_mle``, ``poisson_firth`` or ``log_linear``.
        min_exposure_s: Distances with less exposure are left out.
        min_usable_deltas: Fewer distances give no usable fit.
        max_delta_ticks: Distances beyond are left out; for ``marks``, the last cell. None is the reach of the flow in
            the measured window (``marks``), or the largest distance of its orders (``ladder``, ``fixed``).
    """

    method: str = "marks"
    deltas: tuple[float, ...] | None = None
    dwell_ms: float = 60_000.0
    mid_move_threshold_ticks: float = 2.0
    reference: str = AUTO
    rule: HitRule = field(default_factory=HitRule)
    fills: FillsMeasured | None = None
    distance: str = "current"
    seed: int = 0
    permutations: int = 8
    fit_method: str = "poisson_mle"
    min_exposure_s: float = 5.0
    min_usable_deltas: int = 3
    max_delta_ticks: float | None = None

    def __post_init__(self) -> None:
        if self.permutations < 1:
            raise UsageError(f"a ladder of {self.permutations} permutations; give 1 or more")
        if self.method not in METHODS:
            raise UsageError(f"calibration method {self.method!r} is not known; choose {', '.join(METHODS)}")
        if self.reference != AUTO:
            check_reference(self.reference)
        if self.distance not in DISTANCES:
            raise UsageError(f"distance is {self.distance!r}; choose one of {', '.join(DISTANCES)}")
        if self.fills is not None:
            self._check_fills(self.fills)

    def _check_fills(self, fills: FillsMeasured) -> None:
        if self.method == "marks":
            raise UsageError("{fills} is {}, and marks have no orders; choose the method fixed or ladder", fills.name)
        if replace(self.rule, order_e8=0) != HitRule():
            raise UsageError(
                "{fills} is {}, which determines the fills; leave out the hit rule: a strict hit, a queue ahead, "
                "prints that are not grouped as sweeps",
                fills.name,
            )

    @property
    def distances(self) -> tuple[float, ...]:
        """Distances of ``ladder`` and ``fixed``, in ticks: as given, or the defaults for the reference."""
        if self.deltas is not None:
            return self.deltas
        if self.fills is None:
            return DELTAS
        return FROM_BEST if self.reference in OWN_BEST else FROM_MID
