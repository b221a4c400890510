"""Pauses of new orders after refusals: the same order would be refused again, and an overloaded exchange is spared."""

from typing import TYPE_CHECKING

from mm.live.venues.fills import SIDE_NAMES
from mm.live.venues.refusals import Refusal, Why

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

FIRST_S, LONGEST_S = 0.5, 30.0
"""The first pause, and the longest, in s."""
_WITHOUT = frozenset((Why.CROSSES, Why.NOT_SENT, Why.REQUESTS, Why.ORDER_RATE, Why.DUPLICATE, Why.REDUCE_ONLY))
"""Refusals that need none: the next order may be accepted, nothing was sent, or other limits stop the orders."""


class OrderPauses:
    """The pauses of the orders of one symbol, by side.

    Args:
        log: Told of the second refusal in a row, of a restriction at once, and of the end.
    """

    def __init__(self, symbol: str, log: "Logger") -> None:
        self._symbol, self._log = symbol, log
        self._refused = {1: 0, -1: 0}
        self._until_s = {1: 0.0, -1: 0.0}

    def refused(self, side: int, refusal: Refusal, now_s: float) -> float:
        """How long no order of *side* is sent, in s; 0 for no new pause.

        Several orders that were under way together make one pause.
        """
        if refusal.why in _WITHOUT or now_s < self._until_s[side]:
            return 0.0
        self._refused[side] += 1
        if self._refused[side] == (1 if refusal.why is Why.RESTRICTED else 2):
            self._log.warning(
                "orders_paused",
                symbol=self._symbol,
                side=SIDE_NAMES[side],
                code=refusal.code,
                message=refusal.message,
                note=f"the next order follows after a pause, of at most {LONGEST_S:g} s, until one is accepted",
            )
        pause_s = float(min(FIRST_S * 2 ** min(self._refused[side] - 1, 10), LONGEST_S))
        self._until_s[side] = now_s + pause_s
        return pause_s

    def accepted(self, side: int) -> None:
        if self._refused[side] > 1:
            self._log.info("orders_resumed", symbol=self._symbol, side=SIDE_NAMES[side], refused=self._refused[side])
        self._refused[side], self._until_s[side] = 0, 0.0
