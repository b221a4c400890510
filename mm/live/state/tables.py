"""The content of the state store, and the interface of a store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mm.base.knobs import ServerUrl
from mm.errors import TryLater
from mm.live.audit.books import Changes
from mm.live.venues.fills import SIDE_NAMES, AccountFill


class StoreUnavailable(TryLater):
    """A state store cannot be reached, or refuses for now."""


@dataclass(frozen=True, slots=True)
class StateTable:
    """*replaces*: a later row replaces an earlier one of the same key; else the first stays."""

    columns: Mapping[str, str]
    key: tuple[str, ...]
    replaces: bool


def _columns(text: str) -> dict[str, str]:
    return {name: kind or "text" for name, _, kind in (word.partition(":") for word in text.split())}


_TRADED = "side price:decimal qty:decimal"
TABLES: Mapping[str, StateTable] = {
    "fills": StateTable(
        _columns(
            f"trade_id:int symbol order_id:int client_id {_TRADED} commission:decimal commission_asset us:int run_id"
        ),
        ("symbol", "trade_id", "client_id"),
        False,
    ),
    "orders": StateTable(
        _columns(f"client_id order_id:int symbol {_TRADED} filled:decimal status us:int run_id"),
        ("symbol", "client_id"),
        True,
    ),
    "positions": StateTable(
        _columns(
            "symbol position:decimal cash:decimal fees:json fills:int last_trade_id:int us:int run_id funding:decimal "
            "entry_price:decimal liquidation_price:decimal mark_price:decimal margin:decimal "
            "maintenance_margin:decimal seen_us:int"
        ),
        ("symbol",),
        True,
    ),
    "configs": StateTable(_columns("version:int symbol knobs:json hash us:int"), ("symbol", "version"), False),
    "cursors": StateTable(_columns("symbol file rows:int"), ("symbol", "file"), True),
}
"""Tables for readers; ``cursors`` is internal."""


@dataclass(frozen=True, slots=True)
class StateBatch:
    symbol: str
    file: str
    first: int
    last: int
    total: int
    changes: Changes

    def follows(self, stored: Mapping[str, int]) -> bool:
        return stored.get(self.file, 0) == self.first and sum(stored.values()) == self.total

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        changes = self.changes
        found = {
            "fills": [fill_row(fill, self.symbol, run_id) for fill, run_id in changes.fills],
            "orders": [order.row() for order in changes.orders.values()],
            "positions": [changes.position] if changes.position else [],
            "configs": list(changes.configs),
        }
        return {table: rows for table, rows in found.items() if rows}


def fill_row(fill: AccountFill, symbol: str, run_id: str) -> tuple[Any, ...]:
    side = SIDE_NAMES[fill.side]
    head = (fill.trade_id, symbol, fill.order_id, fill.client_id, side, fill.price, fill.qty)
    return (*head, fill.commission, fill.commission_asset, fill.us, run_id)


@dataclass(frozen=True, slots=True)
class Tick:
    """One entry of a stream; *id* is ``ms-number`` and always increases, so an entry sent twice is stored once."""

    stream: str
    id: str
    fields: Mapping[str, str]


class StateBackend(Protocol):
    """A kind of store; its methods belong to one thread and raise StoreUnavailable."""

    place: str

    def connect(self) -> None: ...

    def progress(self, symbol: str) -> dict[str, int]: ...

    def apply(self, batch: StateBatch) -> bool:
        """Store all of it or nothing; False if the store is not at the start of the batch."""

    def forget(self, symbol: str) -> None: ...

    def close(self) -> None: ...


def place_of(url: str) -> str:
    return ServerUrl(url).place
