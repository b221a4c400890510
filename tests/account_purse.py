"""The balances of one account in plain Python, booked from the order and fill rows of its markets alone."""

from dataclasses import dataclass, field

from mm.backtest.journal import ACTIONS, REJECT_REASONS
from mm.instrument import E8

SHORT = {"insufficient_cash", "insufficient_inventory"}


@dataclass
class Open:
    """An open order."""

    side: int
    ticks: int
    lots: int
    arrives_us: int
    cancelling: bool = False


@dataclass
class Purse:
    """Balances by asset in 1e-16, and the open orders of all markets.

    Attributes:
        rules: The rules of each market, by symbol in their order.
        assets: Its base and quote asset.
        ends_us: The end of its data, from which on it has no orders.
    """

    rules: dict
    assets: dict
    held: dict
    open: dict = field(default_factory=dict)
    ends_us: dict = field(default_factory=dict)
    judged: int = 0
    refused: int = 0

    def cost(self, symbol, side, ticks, lots):
        """Return what an order locks, of its asset."""
        rules = self.rules[symbol]
        if side < 0:
            return lots * rules.lot_e8 * E8
        notional = ticks * lots * rules.tick_lot_e16
        return notional + round_half_even(notional * rules.maker_fee_e8, E8 * E8) * E8

    def locked(self, asset, keeps):
        """Return what open orders lock of an asset, of those for which *keeps* of symbol and order."""
        return sum(
            self.cost(symbol, one.side, one.ticks, one.lots)
            for (symbol, _), one in self.open.items()
            if self.assets[symbol][one.side > 0] == asset and keeps(symbol, one)
        )

    def covers(self, symbol, side, ticks, lots, keeps):
        asset = self.assets[symbol][side > 0]
        return self.held[asset] - self.locked(asset, keeps) >= self.cost(symbol, side, ticks, lots)

    def take(self, symbol, row, fees):
        """Book a row of the orders, of which *fees* are those of its fill."""
        self.open = {key: one for key, one in self.open.items() if row[0] <= self.ends_us[key[0]]}
        us, order_id, action, _, side, ticks, lots, left, active_us, *_, reason, _ = row
        action, reason, key = ACTIONS[action], REJECT_REASONS[reason], (symbol, order_id)
        at_requote = lambda owner, one: owner != symbol or not one.cancelling  # noqa: E731
        if action == "PLACE" or (action == "SKIP" and reason in SHORT):
            assert self.covers(symbol, side, ticks, lots, at_requote) is (action == "PLACE"), (symbol, row)
            self.judged, self.refused = self.judged + 1, self.refused + (action == "SKIP")
        if action == "PLACE":
            self.open[key] = Open(side, ticks, lots, active_us)
        elif action == "CANCEL_REQ":
            self.open[key].cancelling = True
        elif action == "REJECT":
            one = self.open.pop(key)
            if reason in SHORT:
                assert not self.covers(symbol, side, one.ticks, one.lots, lambda _, other: other.arrives_us <= us), row
                self.refused += 1
        elif action == "FILL":
            done, base, quote = self.open[key].lots - left, *self.assets[symbol]
            self.held[base] += side * done * self.rules[symbol].lot_e8 * E8
            self.held[quote] -= side * done * ticks * self.rules[symbol].tick_lot_e16 + fees.pop(0) * E8
            self.open[key].lots = left
        elif action in ("CANCEL_ACK", "CLOSE_FILLED", "EXPIRE"):
            del self.open[key]
        for asset, held in self.held.items():
            resting = self.locked(asset, lambda _, other: other.arrives_us < us)
            assert held >= resting - E8 * len(self.open), (asset, held, resting, row)  # fees are rounded by fill


def round_half_even(value, unit):
    whole, rest = divmod(value, unit)
    return whole + (2 * rest > unit or (2 * rest == unit and whole % 2 == 1))


def purse_of(markets, cash_e8, results):
    """Return the purse of an account after the rows of its markets: at an instant, those of the first market first.

    *cash_e8* is in the quote asset of the first, or by asset.
    """
    rules = {symbol: market.rules for symbol, market in markets.items()}
    assets = {symbol: market.instrument.assets for symbol, market in markets.items()}
    held = dict.fromkeys((asset for pair in assets.values() for asset in pair), 0)
    for symbol, market in markets.items():
        held[assets[symbol][0]] += market.rules.start_lots * market.rules.lot_e8 * E8
    cash = cash_e8 if isinstance(cash_e8, dict) else {next(iter(assets.values()))[1]: cash_e8}
    for asset, amount_e8 in cash.items():
        held[asset] += amount_e8 * E8
    purse = Purse(rules, assets, held, ends_us={symbol: market.tapes[-1].end_us for symbol, market in markets.items()})
    fees = {symbol: result.journal.fills[:, 5].tolist() for symbol, result in results.items()}
    rows = [
        (row[0], place, number, symbol, row)
        for place, (symbol, result) in enumerate(results.items())
        for number, row in enumerate(result.journal.orders.tolist())
    ]
    for *_, symbol, row in sorted(rows, key=lambda found: found[:3]):
        purse.take(symbol, row, fees[symbol])
    assert not any(fees.values())
    return purse
