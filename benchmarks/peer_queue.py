"""hftbacktest's queue model as a fill model of mm, rule by rule, to explain the differences in fills."""

from mm.backtest.fills.base import BookView, OrderView, TradeView


class PeerQueue:
    """Fill as hftbacktest's ``power_prob_queue_model`` does; for orders so small that any print fills them completely.

    Args:
        exponent: Exponent of the power law.
        behind: Whether the quantity behind an order is the displayed one less the queue ahead, although prints have
            shortened that queue and not yet the display; False counts prints on both sides, as our model does.

    In both cases, prints since the last book event do not shorten the queue that an order joins; in our model they do.
    """

    def __init__(self, exponent: float = 3.0, behind: bool = True) -> None:
        self.exponent, self.behind = exponent, behind
        self.ahead: dict[int, float] = {}
        self.printed: dict[int, float] = {}  # lots at the order's price since the display changed
        self.print_id = -1
        self.print_lots: float = 0

    def on_rest(self, order: OrderView, book: BookView) -> None:
        """Join the queue at its end."""
        self.ahead[order.id] = float(book.lots_at(order.side, order.ticks))
        self.printed[order.id] = 0

    def on_trade(self, order: OrderView, trade: TradeView) -> float:
        """Advance by prints at the order's price; a print beyond it fills the order."""
        if trade.side == order.side:
            return 0
        if trade.id != self.print_id:  # later orders are called with the lots that earlier ones left
            self.print_id, self.print_lots = trade.id, trade.lots
        beyond = order.side * (order.ticks - trade.ticks)
        if beyond:
            return order.lots if beyond > 0 else 0
        self.ahead[order.id] -= self.print_lots
        self.printed[order.id] += self.print_lots
        return order.lots if self.ahead[order.id] <= -1 else 0

    def on_level(self, order: OrderView, before_lots: float, after_lots: float) -> None:
        """Advance by the cancelled lots ahead."""
        if before_lots == after_lots:
            return
        ahead, printed = self.ahead[order.id], self.printed[order.id]
        cancelled, self.printed[order.id] = before_lots - after_lots - printed, 0
        if cancelled >= 0:
            behind = before_lots - ahead - (0 if self.behind else printed)
            weight, other = abs(ahead) ** self.exponent, abs(behind) ** self.exponent
            if weight + other:
                share = weight / (weight + other)
                ahead -= max(share * cancelled, cancelled - behind)
            else:
                ahead = after_lots
        self.ahead[order.id] = min(ahead, after_lots)

    def on_book(self, order: OrderView, book: BookView, _elapsed_us: int) -> float:
        """Fill an order if the other side's best price reaches it."""
        best = book.ask_ticks if order.side > 0 else book.bid_ticks
        return order.lots if best and order.side * (order.ticks - best) >= 0 else 0
