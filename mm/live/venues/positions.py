"""What an account of contracts has beside balances: positions, margin, payments, setup."""

from typing import NamedTuple

from mm.errors import Mismatch, UsageError
from mm.instrument import E8, decimal_text, e8, short_text


class PositionSeen(NamedTuple):
    """A position; quantities in 1e-8 of the base asset, the rest in 1e-8 of the quote asset.

    *initial_e8* is the margin that its size needs at its leverage.
    """

    qty_e8: int = 0
    entry_e8: int = 0
    mark_e8: int = 0
    unrealized_e8: int = 0
    liquidation_e8: int = 0
    maintenance_e8: int = 0
    own_margin_e8: int = 0
    initial_e8: int = 0
    us: int = 0

    @property
    def margin_e8(self) -> int:
        return self.own_margin_e8 or self.initial_e8

    def row(self) -> dict[str, str]:
        shown = {
            "qty": self.qty_e8,
            "entry_price": self.entry_e8,
            "mark_price": self.mark_e8,
            "liquidation_price": self.liquidation_e8,
            "margin": self.margin_e8,
            "maintenance_margin": self.maintenance_e8,
        }
        return {name: decimal_text(value_e8) for name, value_e8 in shown.items()}


class MarginSeen(NamedTuple):
    equity_e8: int
    maintenance_e8: int
    available_e8: int


class PositionIncome(NamedTuple):
    """A payment for a position that is no trade: funding, a clearance after a liquidation."""

    id: str
    symbol: str
    asset: str
    amount_e8: int
    us: int

    @property
    def kind(self) -> str:
        return self.id.partition(":")[0]


def closing_order(qty_e8: int, mark_e8: int, slippage: str, tick_e8: int) -> tuple[int, str, str] | None:
    """Return side, price and quantity of an order that closes a position, at most *slippage* from the mark price."""
    if not qty_e8 or not mark_e8:
        return None
    side, far_e8 = -1 if qty_e8 > 0 else 1, mark_e8 * e8(slippage) // E8
    price_e8 = side * (side * (mark_e8 + side * far_e8) // tick_e8) * tick_e8  # towards the mark
    return side, short_text(price_e8), short_text(abs(qty_e8))


class MarginCalled(NamedTuple):
    """The exchange warns that the margin of positions is low."""

    symbols: tuple[str, ...]
    us: int


class SetupChanged(NamedTuple):
    """The setup of a symbol, or of the account (empty symbol), has changed."""

    symbol: str


class RuleSeen(NamedTuple):
    """One of the exchange's trading rules by which it judges an account's orders.

    Attributes:
        trigger: The value from which it is broken.
        until_us: Until when only orders that reduce are accepted because it was broken, µs; 0 if it is not.
    """

    name: str
    whose: str
    value: float
    trigger: float
    until_us: int

    @property
    def share(self) -> float:
        return self.value / self.trigger if self.trigger else 0.0


class StopSeen(NamedTuple):
    """An order that waits at the exchange to close a position."""

    symbol: str
    client_id: str
    side: int
    trigger_e8: int
    order_id: int
    waits: bool


class ContractSetup(NamedTuple):
    """An account's setup for a symbol.

    *most_notional_e8* is the largest notional at that leverage, in 1e-8 of the quote asset; 0 for no bound.
    """

    hedged: bool
    several_assets: bool
    isolated: bool
    leverage: int
    most_notional_e8: int

    @property
    def margin_type(self) -> str:
        return "isolated" if self.isolated else "cross"


def check_setup(symbol: str, setup: ContractSetup, leverage: int | None, margin_type: str | None) -> None:
    """Raise Mismatch if the account is not set up for a trader, or has another leverage or margin type."""
    if setup.hedged:
        raise Mismatch(
            f"{symbol}: the account is in hedge mode, in which a sell opens a short beside a long instead of closing "
            f"it, so that a maker's position would only grow; set one-way mode at the exchange"
        )
    if setup.several_assets:
        raise Mismatch(f"{symbol}: the account is in multi-assets mode; set single-asset mode at the exchange")
    if margin_type is not None and setup.margin_type != margin_type:
        raise Mismatch(
            "{}: its margin type is {}, but {margin_type} is {}; change one of them, the exchange's at the exchange",
            symbol,
            setup.margin_type,
            margin_type,
        )
    if leverage is not None and setup.leverage != leverage:
        raise Mismatch(
            "{}: its leverage is {}, but {leverage} is {}; change one of them, the exchange's at the exchange",
            symbol,
            setup.leverage,
            leverage,
        )


def check_bracket(symbol: str, setup: ContractSetup, most_e8: int, price_e8: int) -> None:
    """Raise UsageError if the largest position, in 1e-8 of the base asset, exceeds the bracket of its leverage."""
    notional_e8 = most_e8 * price_e8 // E8
    if setup.most_notional_e8 and notional_e8 > setup.most_notional_e8:
        raise UsageError(
            "{}: {max_position} is worth {}, but at a leverage of {} the exchange allows {}; lower one of them",
            symbol,
            short_text(notional_e8),
            setup.leverage,
            short_text(setup.most_notional_e8),
        )
