"""Our orders and trades of a day, from the audit logs of the trades that recorded it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mm.backtest.days_without_us import OwnActivity, RecordedOrder
from mm.base.audit_chain import audit_path, read_rows
from mm.errors import BrokenFile
from mm.instrument import e8

_RESTING = frozenset(("LIMIT_MAKER", "LIMIT"))


@dataclass(slots=True)
class _Order:
    side: int
    price_e8: int
    sent_e8: int
    qty_e8: int
    rests: bool
    filled_e8: int = 0
    left_e8: list[tuple[int, int]] = field(default_factory=list)
    fills: list[tuple[int, int]] = field(default_factory=list)

    def note(self, row: dict[str, Any], *, ended: bool = False) -> None:
        if row.get("exchange_us"):
            self.left_e8.append((int(row["exchange_us"]), 0 if ended else max(self.qty_e8 - self.filled_e8, 0)))


def own_activity(path: Path) -> OwnActivity:
    """Instants are the exchange's; BrokenFile if it is no audit log, or too old to have them."""
    orders: dict[str, _Order] = {}
    moved: list[tuple[_Order, str]] = []
    trade_ids = set()
    for row in read_rows(path):
        kind, action, order = row["type"], row.get("action"), orders.get(row.get("client_id", ""))
        if kind == "intent" and action in ("place", "replace"):
            side, qty_e8, rests = 1 if row["side"] == "BUY" else -1, e8(row["qty"]), row["kind"] in _RESTING
            orders[row["client_id"]] = _Order(side, e8(row["price"] or "0"), qty_e8, qty_e8, rests)
        elif kind == "fill":
            trade_ids.add(int(row["trade_id"]))
            if order is not None:
                order.filled_e8 += e8(row["qty"])
                order.fills.append((int(row.get("exchange_us", 0)), int(row["trade_id"])))
                order.note(row)
        elif kind == "ack" and order is not None:
            if "exchange_us" not in row:
                raise BrokenFile(f"{path}: row {row['seq']} has no exchange_us: the log is of an older version")
            order.qty_e8 = e8(row["qty"]) if action == "amend" else order.qty_e8
            if "price" in row:  # it has left its price for another
                order.note(row, ended=True)
                moved.append((order, row["client_id"]))
                left_e8 = order.qty_e8 - order.filled_e8
                order = replace(order, price_e8=e8(row["price"]), sent_e8=left_e8, left_e8=[], fills=[])
                orders[row["client_id"]] = order
            order.note(row)
        elif kind == "cancel" and order is not None:
            order.note(row, ended=True)
    recorded = [
        RecordedOrder(
            order.side,
            order.price_e8,
            order.sent_e8,
            tuple(sorted(order.left_e8, key=lambda step: (step[0], -step[1]))),
            tuple(sorted(order.fills)),
            client_id,
        )
        for order, client_id in [*moved, *((order, client_id) for client_id, order in orders.items())]
        if order.rests and order.left_e8
    ]
    return OwnActivity(tuple(recorded), frozenset(trade_ids))


def is_of_contract(path: Path) -> bool:
    return bool(next(read_rows(path), {}).get("contract"))


def logs_of_day(out_root: Path, symbol: str, day: str, runs: Iterable[str]) -> list[Path]:
    return [path for run in runs if (path := audit_path(out_root, symbol, day, run)).is_file()]
