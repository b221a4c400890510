"""How late a market is by the exchange's clock, so that data on a line that is never silent cannot be old unnoticed.

A message is late by its arrival, by our clock, minus the exchange's stamp. A request for the exchange's time measures
the clocks' offset; the exchange read its clock between request and response. The strict reading assumes it did so at
once: the offset is then the least that fits, and no message is later than computed.

Each depth message sets the lateness anew; a later trade can only raise it. A market whose clock was never measured is
`UNKNOWN_US` late where that matters.
"""

from mm.clock import US_PER_S

UNKNOWN_US = 86_400 * US_PER_S
"""How late a market counts while the offset of the clocks is not known."""


class Lateness:
    """How late a market is (µs), message by message.

    Args:
        strict: Whether an unknown clock offset counts as late; else it counts as in time.

    Attributes:
        least_us: Our clock minus the exchange's, at least; None before a measurement.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.late_us = UNKNOWN_US if strict else 0
        self.least_us: int | None = None

    def measured(self, least_us: int) -> None:
        """Use another offset from the next message on."""
        if self.least_us is None:
            self.late_us = 0
        self.least_us = least_us

    def depth(self, recv_us: int, exchange_us: int) -> int:
        """Return the lateness as of a depth message; a stamp of 0 says nothing."""
        if self.least_us is not None and exchange_us > 0:
            self.late_us = max(recv_us - exchange_us - self.least_us, 0)
        return self.late_us

    def trade(self, recv_us: int, exchange_us: int) -> int:
        """Return the lateness as of a trade, never less than before."""
        if self.least_us is not None and exchange_us > 0:
            self.late_us = max(recv_us - exchange_us - self.least_us, self.late_us)
        return self.late_us
