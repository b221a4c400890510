"""Positions and wallets of a perpetual in plain decimals, from the exchange's public rules; for comparison."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

PLACES = Decimal("0.00000001")


def rounded(amount: Decimal) -> Decimal:
    """Return an amount in whole 1e-8, half to even."""
    with localcontext() as context:
        context.prec = 60
        return amount.quantize(PLACES, ROUND_HALF_EVEN)


class PlainWallet:
    """One user: a balance, and a position with the mean cost of what is open."""

    def __init__(self, balance: Decimal) -> None:
        self.balance = self.begins = balance
        self.quantity = self.cost = Decimal(0)
        self.cash = Decimal(0)
        self.realised: list[Decimal] = []

    def trade(self, side: int, price: Decimal, quantity: Decimal, fee_rate: Decimal) -> None:
        """Buy (+1) or sell (-1), and pay the fee of the notional."""
        fee = rounded(price * quantity * fee_rate)
        self.cash -= side * price * quantity + fee
        closed = min(quantity, abs(self.quantity)) if side * self.quantity < 0 else Decimal(0)
        if closed:
            with localcontext() as context:
                context.prec = 60
                share = rounded(self.cost * closed / abs(self.quantity))
            profit = -side * closed * price - share
            self.cost -= share
            self.balance += profit
            self.realised.append(profit)
        self.cost += side * (quantity - closed) * price
        self.quantity += side * quantity
        self.balance -= fee

    def fund(self, mark: Decimal, rate: Decimal) -> None:
        """Pay the funding of the position; a short one receives it."""
        paid = rounded(self.quantity * mark * rate)
        self.balance -= paid
        self.cash -= paid

    def equity(self, mark: Decimal) -> Decimal:
        """Return the balance and the profit that is open."""
        return self.balance + self.quantity * mark - self.cost

    def equity_by_cash(self, mark: Decimal) -> Decimal:
        """Return the same from the cash of all trades alone, without any cost."""
        return self.begins + self.cash + self.quantity * mark
