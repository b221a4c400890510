"""How a tape becomes points, and points a fit."""

from dataclasses import dataclass, field

from mm.calibration.sweeps import HitRule
from mm.errors import UsageError

METHODS = ("marks", "ladder", "fixed")
DISTANCES = ("current", "anchor")


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
        rule: What a sweep must bring to an order.
        distance: Of a simulated order: from the ``current`` reference, or from the ``anchor`` of its quote.
        seed: Of the ladder's order.
        permutations: How many orders of its distances a ladder is played with, seeds counted from *seed*.
        fit_method: ``poisson_mle``, ``poisson_firth`` or ``log_linear``.
        min_exposure_s: Distances with less exposure are left out.
        min_usable_deltas: Fewer distances give no usable fit.
        max_delta_ticks: Distances beyond are left out; of ``marks``, the last cell. None is as far as the flow of the
            measured window reaches (``marks``), or as its orders stood (``ladder``, ``fixed``).
    """

    method: str = "marks"
    deltas: tuple[float, ...] = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)
    dwell_ms: float = 60_000.0
    mid_move_threshold_ticks: float = 2.0
    reference: str = "mid"
    rule: HitRule = field(default_factory=HitRule)
    distance: str = "current"
    seed: int = 0
    permutations: int = 8
    fit_method: str = "poisson_mle"
    min_exposure_s: float = 5.0
    min_usable_deltas: int = 3
    max_delta_ticks: float | None = None

    def __post_init__(self) -> None:
        if self.permutations < 1:
            raise UsageError(f"a ladder of {self.permutations} permutations measures nothing; give 1 or more")
        if self.method not in METHODS:
            raise UsageError(f"calibration method {self.method!r} is not known; choose {', '.join(METHODS)}")
        if self.distance not in DISTANCES:
            raise UsageError(
                f"CALIB_DISTANCE (--calib-distance) is {self.distance!r}; choose one of {', '.join(DISTANCES)}"
            )
