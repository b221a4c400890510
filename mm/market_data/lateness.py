"""How late a market is by the exchange's clock, so that a busy line with old data is noticed."""

from mm.clock import US_PER_S

UNKNOWN_US = 86_400 * US_PER_S
"""How late a market counts while the offset of the clocks is not known."""


class Lateness:
    """How late a market is (µs), message by message.

    Attributes:
        least_us: Our clock minus the exchange's, at least; None before a measurement.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.late_us = UNKNOWN_US if strict else 0
        self.least_us: int | None = None

    def measured(self, least_us: int) -> None:
        if self.least_us is None:
            self.late_us = 0
        self.least_us = least_us

    def depth(self, recv_us: int, exchange_us: int) -> int:
        if self.least_us is not None and exchange_us > 0:
            self.late_us = max(recv_us - exchange_us - self.least_us, 0)
        return self.late_us

    def trade(self, recv_us: int, exchange_us: int) -> int:
        if self.least_us is not None and exchange_us > 0:
            self.late_us = max(recv_us - exchange_us - self.least_us, self.late_us)
        return self.late_us
