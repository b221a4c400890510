"""Another trader on the same symbol and account: on another host, or with another OUT_ROOT.

A client id names the run that made it. A run and its predecessors stand in the audit logs; an id of the form of ours
that names another run is of another trader. Two that trade beside each other would cancel each other's orders, and book
each other's fills: both end.
"""

from collections.abc import Iterable

from mm.clock import US_PER_S
from mm.errors import TryLater
from mm.live.venues.canceller import is_closing, is_ours, run_of

COPIED_US = 60 * US_PER_S
"""No request is on its way for longer: later, a new order of a predecessor is of a trader with a copy of its log."""


class OtherTraders:
    def __init__(self, symbol: str, runs: Iterable[str]) -> None:
        self._symbol, self._runs = symbol, frozenset(runs)
        self.begun_us = 0
        self.found = self.before = ""

    @property
    def error(self) -> TryLater | None:
        if not self.found:
            return None
        return TryLater(
            f"another trader of {self._symbol} is on this account: {self.found}, and no run of the audit logs here has "
            f"that id; only one may trade: stop the other one, or if it is dead, mm trade cancel, close a contract's "
            f"position, and start again"
        )

    def has_written(self, client_id: str) -> bool:
        return is_ours(client_id) and run_of(client_id) not in self._runs

    def sees_order(self, client_id: str) -> None:
        self.found = self.found or f"it has the order {client_id}"

    def sees_trade(self, client_id: str, trade_id: int, us: int) -> None:
        """A trade from before this run may come from a dead trader."""
        text = f"trade {trade_id} is of the order {client_id}"
        if us < self.begun_us:
            self.before = text
        else:
            self.found = self.found or text

    def sees_event(self, client_id: str, us: int, *, new: bool) -> bool:
        """Whether an unknown order is of another trader; *new*: it is open without a fill."""
        copied = new and self.begun_us > 0 and us > self.begun_us + COPIED_US
        if self.has_written(client_id) or (is_ours(client_id) and copied and not is_closing(client_id)):
            self.sees_order(client_id)
            return True
        return False
