"""A desk's book, orders and fills as messages: its ticks and lots as decimals, its sides and instants as the wire's."""

from msgspec import Raw

from mm.api.desk import NAMES, Desk, remaining_lots, status_of
from mm.api.messages import NULL, BookMessage, FillEvent, ListedFill, OpenOrder, Side, number
from mm.clock import US_PER_S
from mm.sim.exchange.orders import Fill, UserOrder

SIDES: dict[str, int] = {"buy": +1, "sell": -1}
SIDE_NAMES: dict[int, Side] = {+1: "buy", -1: "sell"}
BOOK_LEVELS = 10


class DeskMessages:
    def __init__(self, desk: Desk) -> None:
        self._desk, self._grid = desk, desk.grid

    def book(self, levels: int = BOOK_LEVELS) -> BookMessage:
        desk, tick_e8, lot_e8 = self._desk, self._grid.tick_e8, self._grid.lot_e8
        (bid, ask), both = desk.best(), all(desk.best())
        bids, asks = (
            [[number(ticks * tick_e8), number(lots * lot_e8)] for ticks, lots in desk.depth(side, levels)]
            for side in (+1, -1)
        )
        return BookMessage(
            mid=number((bid + ask) * tick_e8 * 5, 9) if both else NULL,
            best_bid=number(bid * tick_e8) if bid else NULL,
            best_ask=number(ask * tick_e8) if ask else NULL,
            spread=number((ask - bid) * tick_e8) if both else NULL,
            bids=bids,
            asks=asks,
            timestamp=desk.us / US_PER_S,
        )

    def fill(self, fill: Fill) -> ListedFill:
        return ListedFill(
            order_id=fill.order_id,
            side=SIDE_NAMES[fill.side],
            price=self._price(fill.ticks),
            size=self.size(fill.lots),
            timestamp=fill.us / US_PER_S,
            trade_id=fill.trade_id,
            liquidity="maker" if fill.is_maker else "taker",
            fee=number(fill.fee_e8),
        )

    def fill_event(self, fill: Fill) -> FillEvent:
        return FillEvent(
            order_id=fill.order_id,
            side=SIDE_NAMES[fill.side],
            price=self._price(fill.ticks),
            size=self.size(fill.lots),
            timestamp=fill.us / US_PER_S,
        )

    def order(self, order: UserOrder) -> OpenOrder:
        return OpenOrder(
            order_id=order.order_id,
            side=SIDE_NAMES[order.request.side],
            type=NAMES[order.request.type],
            price=self._price(order.request.ticks),
            size=self.size(order.lots),
            filled=self.size(order.filled_lots),
            remaining=self.size(remaining_lots(order)),
            status=status_of(order),
            timestamp=order.us / US_PER_S,
        )

    def size(self, lots: int) -> Raw:
        return number(lots * self._grid.lot_e8)

    def _price(self, ticks: int) -> Raw:
        return number(ticks * self._grid.tick_e8)
