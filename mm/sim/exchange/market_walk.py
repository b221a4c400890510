"""What a MARKET order will do to the book, before it is sent: how much it costs and how far it reaches."""

from collections.abc import Iterator

from mm.sim.exchange.core import Core

_FIRST = 64


class Walk:
    """The resting orders that a taker meets, in the order in which it meets them.

    Args:
        core: The book.
        side: The taker's.
        account: The taker's.
        stp: The taker's self-trade prevention.
    """

    def __init__(self, core: Core, side: int, account: int, stp: str) -> None:
        self._core = core
        self._side = side
        self._account = account
        self._stp = stp

    def cost(self, lots: int) -> int:
        """Return what *lots* cost, in tick·lots, as far as they find someone to trade with."""
        left, cost_tl = lots, 0
        for is_own, ticks, there in self._meets():
            if is_own and self._stp in ("EXPIRE_TAKER", "EXPIRE_BOTH"):
                break
            taken = min(left, there)
            left -= taken
            if not is_own:
                cost_tl += taken * ticks
            if not left:
                break
        return cost_tl

    def lots_for(self, budget_tl: int) -> tuple[int, bool]:
        """Return the lots that *budget_tl* tick·lots buy or are earned by, and whether the book ends before."""
        lots = 0
        for _, ticks, there in self._meets():
            affordable = min(there, budget_tl // ticks)
            lots += affordable
            budget_tl -= affordable * ticks
            if affordable < there:
                return lots, False
        return lots, budget_tl > 0

    def _meets(self) -> Iterator[tuple[bool, int, int]]:
        """Yield of each order whether it is the taker's own and is in its way, its price and its lots."""
        seen, limit = 0, _FIRST
        while True:
            orders = self._core.orders(-self._side, limit)
            for _, account, ticks, lots in orders[seen:]:
                is_own = account == self._account and self._stp != "NONE"
                if not (is_own and self._stp == "EXPIRE_MAKER"):
                    yield is_own, ticks, lots
            if len(orders) < limit:
                return
            seen, limit = limit, 2 * limit
