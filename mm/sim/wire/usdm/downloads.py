"""Histories that are requested and downloaded later: a user's incomes, orders, trades."""

import csv
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from mm.sim.exchange.accounts import DAY_US
from mm.sim.exchange.trades import TimeSpan, within

if TYPE_CHECKING:
    from mm.sim.exchange.usdm.exchange import UsdmExchange
    from mm.sim.wire.usdm.answers import UsdmTexts

DOWNLOADS = ("income", "order", "trade")
DOWNLOAD_PATH = "/download"
DOWNLOADS_KEPT_US = DAY_US


class Asked(NamedTuple):
    account: int
    kind: str
    span: TimeSpan
    us: int


@dataclass(slots=True)
class Downloads:
    _asked: dict[int, Asked] = field(default_factory=dict)

    def ask(self, account: int, kind: str, span: TimeSpan, us: int) -> int:
        number = len(self._asked) + 1
        self._asked[number] = Asked(account, kind, span, us)
        return number

    def find(self, account: int, number: int) -> tuple[int, Asked] | None:
        asked = self._asked.get(number)
        return (number, asked) if asked and asked.account == account else None

    def text(self, number: int, contracts: "list[tuple[UsdmExchange, UsdmTexts]]") -> str | None:
        asked = self._asked.get(number)
        if asked is None:
            return None
        if asked.kind == "income":  # of the wallet, which is for all contracts
            contracts = contracts[:1]
        rows = [row for exchange, texts in contracts for row in _rows(asked, exchange, texts)]
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]) if rows else ["time"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: int(row["time"])))
        return out.getvalue()


def _rows(asked: Asked, exchange: "UsdmExchange", texts: "UsdmTexts") -> list[dict[str, Any]]:
    number, span = asked.account, asked.span
    if asked.kind == "income":
        incomes = exchange.wallet(number).income
        return [texts.income(row) for row in within(incomes, span, len(incomes), lambda row: row.us)]
    if asked.kind == "order":
        orders = exchange.users.all(number)
        return [texts.queried(order) for order in within(orders, span, len(orders), lambda order: order.us)]
    fills = exchange.users.fills(number)
    return [texts.own_trade(fill) for fill in within(fills, span, len(fills), lambda fill: fill.us)]
