"""How late a market is by the exchange's clock, so that a line that is never silent cannot be old unnoticed.

A message is as late as it arrived after the instant that the exchange has stamped it with, by our clock. The offset of
the clocks is measured by a request for the exchange's time, which the exchange has read between sending and answer. The
strict reading is that it was read at once: the offset is then the least that fits, and no message is later than that.

The book decides: each depth message says anew how late the market is, and a later trade can only raise it, until the
next depth message. A market whose clock was never measured is `UNKNOWN_US` late, where that must be known.
"""

from mm.clock import US_PER_S

UNKNOWN_US = 86_400 * US_PER_S
"""How late a market counts while the offset of the clocks is not known."""


class Lateness:
    """How late a market is, message by message; the times of each are in µs.

    Args:
        strict: Whether a market is late while the offset of the clocks is not known; else it counts as in time.

    Attributes:
        least_us: Our clock minus the exchange's, the least that the last measurement allows; None before one.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.late_us = UNKNOWN_US if strict else 0
        self.least_us: int | None = None

    def measured(self, least_us: int) -> None:
        """Use another offset, from the next message on."""
        if self.least_us is None:
            self.late_us = 0
        self.least_us = least_us

    def depth(self, recv_us: int, exchange_us: int) -> int:
        """Return how late the market is as of a depth message; one without a stamp (0) says nothing."""
        if self.least_us is not None and exchange_us > 0:
            self.late_us = max(recv_us - exchange_us - self.least_us, 0)
        return self.late_us

    def trade(self, recv_us: int, exchange_us: int) -> int:
        """Return how late the market is as of a trade, no less than before."""
        if self.least_us is not None and exchange_us > 0:
            self.late_us = max(recv_us - exchange_us - self.least_us, self.late_us)
        return self.late_us
