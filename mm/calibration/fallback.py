"""What stands in for a window whose fit is not usable."""

import math
from dataclasses import dataclass, replace

from mm.calibration.windows import WindowFit
from mm.errors import UsageError

POLICIES = ("carry_forward", "global_default", "skip_segment")


@dataclass(frozen=True, slots=True)
class Fallback:
    """What stands in for a window whose fit is not usable.

    Attributes:
        policy: ``carry_forward`` (the last usable fit), ``global_default`` (fixed A and k) or
            ``skip_segment`` (nothing: no quotes).
        max_age_s: Parameters older than this are not carried.
        default: A (1/s) and k (1/tick) of ``global_default``.
    """

    policy: str = "carry_forward"
    max_age_s: float = math.inf
    default: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise UsageError(
                f"FALLBACK_POLICY (--fallback-policy) is {self.policy!r}; choose one of {', '.join(POLICIES)}"
            )
        if (self.policy == "global_default") != (self.default is not None):
            raise UsageError(
                f"FALLBACK_POLICY (--fallback-policy) is {self.policy!r} and the default A and k are {self.default}; "
                f"global_default needs them, the other policies do not use them"
            )
        if self.default is not None and not all(0 < value < math.inf for value in self.default):
            raise UsageError(f"the default A and k are {self.default}; both must be positive numbers")
        if not self.max_age_s >= 0:
            raise UsageError(f"the largest age of carried parameters is {self.max_age_s} s; it must not be negative")

    def instead(self, own: WindowFit, last: WindowFit | None, age_s: float) -> tuple[WindowFit, str, str]:
        """Return what is used instead of *own*, which is not usable, the source of it, and what was done.

        Args:
            own: The window's own fit.
            last: The last usable one; None where there was none yet.
            age_s: How much older than *own* it is.
        """
        if self.default is not None:
            A, k = self.default
            return replace(own, A=A, k=k), "default", "the default A and k are used"
        if self.policy == "skip_segment":
            return own, "none", "the segment is skipped"
        if last is None:
            return own, "none", "there is no earlier fit to carry"
        if age_s > self.max_age_s:
            return own, "none", f"the last usable fit is {age_s:g} s old, more than the {self.max_age_s:g} s allowed"
        return last, "carried", "the last usable fit is carried"
