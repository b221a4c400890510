"""What a hosted exchange records of alice, and checks that the trader's page, logs and state store have the same."""

import json
from decimal import ROUND_HALF_EVEN, Decimal

from trading_box import page

E8 = Decimal("0.00000001")
NOTHING = (Decimal(0), Decimal(0))


def samples(port, *names):
    """Return the samples of families on a trader's page: value by name with labels."""
    found = (line.rsplit(" ", 1) for line in page(port) if line.startswith(names))
    return {name: Decimal(value) for name, value in found}


def logs(box, symbol):
    """Return the audit logs of a symbol, the oldest first."""
    return sorted((box.folder / "out" / "audit" / symbol).glob("*.ndjson"), key=lambda path: path.stat().st_ctime_ns)


def rows_of(box, symbol, *types):
    """Return the rows of some types of all logs of a symbol."""
    rows = [json.loads(line) for path in logs(box, symbol) for line in path.read_text().splitlines()]
    return [row for row in rows if row["type"] in types]


class ExchangeBooks:
    """What alice has by the exchange's own record of her trades.

    Args:
        box: The exchange.
        symbols: Her symbols.
        before: Position and cash by symbol that she has from an earlier exchange.

    Attributes:
        symbols: As given.
        trades: Her trades by symbol.
    """

    def __init__(self, box, symbols, before=None):
        self.box, self.symbols, self._before = box, symbols, before or {}
        self.trades = {symbol: box.call(lambda symbol=symbol: list(box.fills(symbol))) for symbol in symbols}

    def held(self, symbol):
        """Return position and cash, changed by all trades of a symbol."""
        position, cash = self._before.get(symbol, NOTHING)
        grid = self.box.box.symbols[symbol].exchange.rules.instrument
        for one in self.trades[symbol]:
            price, qty, fee = Decimal(grid.price(one.ticks)), Decimal(grid.qty(one.lots)), Decimal(one.fee_e8)
            position += one.side * qty - (fee * E8 if one.side > 0 else 0)
            cash -= one.side * price * qty + (fee * E8 if one.side < 0 else 0)
        return position, cash

    def pnl(self, symbol):
        """Return the PnL of a symbol at the middle of bob's quotes."""
        position, cash = self.held(symbol)
        return cash + (position * self.box.mids[symbol] / 100).quantize(E8, ROUND_HALF_EVEN)

    def assert_balances(self):
        """The balances are those that the trades of this exchange explain."""
        found, cash = self.box.balances(), Decimal(0)
        for symbol in self.symbols:
            had, then = self._before.get(symbol, NOTHING), self.held(symbol)
            position, cash = then[0] - had[0], cash + then[1] - had[1]
            assert Decimal(found[symbol.removesuffix("USDT")]).scaleb(-8) == 1_000 + position
        assert Decimal(found["USDT"]).scaleb(-8) == 1_000_000 + cash

    def assert_page(self, port, process):
        """Position and PnL of a trader's page become the exchange's."""
        want = {f'mm_position{{symbol="{one}"}}': self.held(one)[0] for one in self.symbols}
        want |= {f'mm_pnl{{symbol="{one}",part="total"}}': self.pnl(one) for one in self.symbols}
        shown = {}

        def same():
            shown.update(samples(port, "mm_position", "mm_pnl"))
            return want.items() <= shown.items()

        try:
            self.box.until(same, "the exchange's position and PnL on the page", 60, process)
        except AssertionError as error:
            raise AssertionError(f"{want} is not in {shown}") from error

    def assert_logs(self, earlier=0):
        """Each trade is in the logs once, after *earlier* ones of another exchange; the last run ended with the same.

        Nothing else has moved the account: the balances of another exchange are a transfer.
        """
        for symbol in self.symbols:
            grid = self.box.box.symbols[symbol].exchange.rules.instrument
            theirs = [(one.trade_id, one.order_id, Decimal(grid.qty(one.lots))) for one in self.trades[symbol]]
            fills = [
                (row["trade_id"], row["order_id"], Decimal(row["qty"])) for row in rows_of(self.box, symbol, "fill")
            ]
            assert sorted(fills[earlier:]) == sorted(theirs)
            assert not rows_of(self.box, symbol, "kill", *([] if earlier else ["transfer"]))
            assert "ACCOUNT" not in {row["limit"] for row in rows_of(self.box, symbol, "breach")}
            position, cash = self.held(symbol)
            stop = rows_of(self.box, symbol, "stop")[-1]
            assert (Decimal(stop["position"]), Decimal(stop["cash"])) == (position, 1_000_000 + cash)

    def assert_store(self):
        """The tables that other programs read have every fill of the logs, and the exchange's totals."""
        assert self.box.run("state", "rebuild").returncode == 0
        shown = self.box.run("state", "show", "--json")
        assert shown.returncode == 0, shown.stderr
        tables = json.loads(shown.stdout)
        totals = {row["symbol"]: row for row in tables["positions"]}
        for symbol in self.symbols:
            row, named = totals[symbol], ("trade_id", "order_id", "client_id", "price", "qty", "commission")
            booked = sorted(tuple(one[name] for name in named) for one in rows_of(self.box, symbol, "fill"))
            stored = [tuple(one[name] for name in named) for one in tables["fills"] if one["symbol"] == symbol]
            assert sorted(stored) == booked
            assert row["fills"] == len(booked)
            assert (Decimal(row["position"]), Decimal(row["cash"])) == self.held(symbol)
