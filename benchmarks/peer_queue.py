"""hftbacktest's queue as a fill model of ours, rule by rule: what makes its fills others than those of our queue."""

from mm.backtest.fills.base import BookView, OrderView, TradeView


class PeerQueue:
    """Fill as hftbacktest's ``power_prob_queue_model`` does; for orders so small that no print is short of them.

    Args:
        exponent: Of the power law.
        behind: Whether what stands behind an order is the display less the queue ahead, though prints have shortened
            that queue and not yet the display; else prints count on both sides, as in ours.

    In both, prints since the last book event do not shorten the queue that an order joins; in ours they do.
    """

    def __init__(self, exponent: float = 3.0, behind: bool = True) -> None:
        self.exponent, self.behind = exponent, behind
        self.ahead: dict[int, float] = {}
        self.printed: dict[int, int] = {}  # at an order's price, since the display changed
        self.print_id, self.print_lots = -1, 0

    def on_rest(self, order: OrderView, book: BookView) -> None:
        """Join the queue at its end."""
        self.ahead[order.id] = float(book.lots_at(order.side, order.ticks))
        self.printed[order.id] = 0

    def on_trade(self, order: OrderView, trade: TradeView) -> int:
        """Move forward with prints at the price; a print beyond it fills."""
        if trade.side == order.side:
            return 0
        if trade.id != self.print_id:  # later orders are shown what the earlier ones left of it
            self.print_id, self.print_lots = trade.id, trade.lots
        beyond = order.side * (order.ticks - trade.ticks)
        if beyond:
            return order.lots if beyond > 0 else 0
        self.ahead[order.id] -= self.print_lots
        self.printed[order.id] += self.print_lots
        return order.lots if self.ahead[order.id] <= -1 else 0

    def on_level(self, order: OrderView, before_lots: int, after_lots: int) -> None:
        """Move forward with what was cancelled ahead."""
        if before_lots == after_lots:
            return
        ahead, printed = self.ahead[order.id], self.printed[order.id]
        gone, self.printed[order.id] = before_lots - after_lots - printed, 0
        if gone >= 0:
            behind = before_lots - ahead - (0 if self.behind else printed)
            weight, other = abs(ahead) ** self.exponent, abs(behind) ** self.exponent
            if weight + other:
                share = weight / (weight + other)
                ahead -= max(share * gone, gone - behind)
            else:
                ahead = after_lots
        self.ahead[order.id] = min(ahead, after_lots)

    def on_book(self, order: OrderView, book: BookView, _elapsed_us: int) -> int:
        """Fill an order that the other side's best price reaches."""
        best = book.ask_ticks if order.side > 0 else book.bid_ticks
        return order.lots if best and order.side * (order.ticks - best) >= 0 else 0
