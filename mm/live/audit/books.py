"""The totals of a symbol's audit logs: fills, orders, position, cash, fees and configurations.

The trader rebuilds `AuditBooks` at its start, the state store follows it, and ``mm state rebuild`` makes its tables
from it, so the log has one reader. docs/trading.md lists the rows; what counts here:

- the intent of a place or a replace is an order that may be open, until its ack, reject or end
- the ack of an amendment gives the order's quantity, and its price if it names one; intent and reject change nothing
- a fill counts once by its trade id, over all logs
- adopting an exchange that was reset forgets trade ids, which it gives again, and a contract's position
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mm.base.audit_chain import read_rows
from mm.errors import BrokenFile, OffGrid
from mm.instrument import Instrument, decimal_text, e8
from mm.live.account.ledger import Ledger
from mm.live.audit.log import logs_of, starts_of
from mm.live.venues.canceller import run_of
from mm.live.venues.fills import SIDES, AccountFill

PENDING, NEW, PARTIAL, FILLED, REJECTED = "PENDING_NEW", "NEW", "PARTIALLY_FILLED", "FILLED", "REJECTED"
OPEN_STATUSES = frozenset((PENDING, NEW, PARTIAL))
_OF_OPEN_ORDERS = ("cancel", "amend", "protect")
_NAME = "run_id"  # names a run and does not affect it: a different value is not another configuration
ADOPTED = "adopted"
"""Field of a ``params`` row of earlier versions, with a difference of the account that was accepted: a transfer."""
VENUE_RESET = "venue_reset"
"""What an ``adopt`` row accepts: the exchange no longer has the booked trades."""
COMPARED = ("reconcile", "adopted")
"""Sources of a transfer that was found when the account was compared."""
BOOKS = "books"
"""Field of row 1 with the totals of the earlier logs of the venue."""
CLIENT_IDS = "client_ids"
"""Field of row 1 with what the client ids of the run begin with."""
SEEN = ("liquidation_price", "mark_price", "margin", "maintenance_margin")
"""Columns of the table ``positions`` that are as the exchange has last shown them, in their order."""
_NOT_SEEN = (None,) * (len(SEEN) + 1)
SIZING = (
    *("quote_qty", "target_inventory", "size_ramp", "tick_size", "qty_step", "min_notional"),
    *("max_position", "max_order_notional", "account_max_notional", "leverage"),
)
"""Knobs with which nothing can be quoted any more once the exchange has other rules, or another price."""
_OF_FLATTEN = "max_cost"  # only a flatten has this knob
KEPT_RUNS = 1_000
"""Number of runs whose names are kept, by which their orders are known as ours; the oldest are dropped."""
KEPT_ENDED = 10_000
"""Number of ended orders that are kept for late fills and answers; the oldest are dropped."""


@dataclass(slots=True)
class AuditOrder:
    """One of our orders, according to the log.

    Attributes:
        reported_e8: Executed quantity that the exchange reported at its end, in 1e-8.
        status: PENDING_NEW until the exchange acknowledged it, then the exchange's status.
    """

    client_id: str
    order_id: int | None
    symbol: str
    side: str
    price: str
    qty: str
    status: str
    us: int
    run_id: str
    booked_e8: int = 0
    reported_e8: int = 0

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    def row(self) -> tuple[Any, ...]:
        filled = decimal_text(max(self.booked_e8, self.reported_e8))
        head = (self.client_id, self.order_id, self.symbol, self.side, self.price, self.qty)
        return (*head, filled, self.status, self.us, self.run_id)


@dataclass(slots=True)
class Changes:
    """What some rows of one log change: each order's latest state, and every fill and configuration."""

    fills: list[tuple[AccountFill, str]] = field(default_factory=list)
    orders: dict[str, AuditOrder] = field(default_factory=dict)
    configs: list[tuple[int, str, str, str, int]] = field(default_factory=list)
    position: tuple[Any, ...] | None = None
    position_us: int | None = None


class AuditBooks:
    """The totals of a symbol's logs, updated row by row.

    Attributes:
        ledger: Position, cash, fees and booked trade ids at the venue of the log being read; None before the first
            start that names both assets.
        traded: The knobs `SIZING` of the latest trade that sent an order; empty before it.
        matched_us: When the account last matched these totals, µs: before the first order of a log, and at a transfer
            that a comparison found; 0 if unknown.
    """

    def __init__(self, symbol: str, venue: str | None = None) -> None:
        self.symbol, self._venue = symbol, venue
        self.ledger: Ledger | None = None
        self.run_id = ""
        self.starts = self.versions = self.matched_us = self.begun_us = 0
        self.knobs: Mapping[str, Any] | None = None
        self.traded: Mapping[str, Any] = {}
        self.orders: dict[str, AuditOrder] = {}
        self.runs: dict[str, None] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._config_hash = ""
        self._counts = self._has_sent = False
        self._seen: tuple[str | int | None, ...] = _NOT_SEEN  # as the exchange has last shown the position in this log
        self._ledgers: dict[str, Ledger] = {}
        self._inventory_e8 = 0
        self._takes = {
            "start": self._start,
            "intent": self._intent,
            "ack": self._ack,
            "fill": self._fill,
            "transfer": self._transfer,
            "payment": self._payment,
            "position": self._position,
            "adopt": self._adopt,
            "cancel": self._cancel,
            "reject": self._reject,
            "params": self._params,
        }

    def apply(self, row: Mapping[str, Any], changes: Changes) -> None:
        take = self._takes.get(row["type"])
        if take is None or not (self._counts or row["type"] == "start"):
            return
        try:
            take(row, changes)
        except (KeyError, TypeError, ValueError, OffGrid) as error:
            raise BrokenFile(
                f"audit log of {self.symbol}, run {self.run_id}: row {row['seq']} ({row['type']}) lacks a field or "
                f"has an invalid value: {error}; see mm audit show"
            ) from error

    def note_position(self, changes: Changes) -> None:
        if changes.position_us is not None:
            changes.position = self.position_row(changes.position_us)

    def open_orders(self) -> list[AuditOrder]:
        return [order for order in self.orders.values() if order.is_open]

    @property
    def position_e8(self) -> int:
        return self._inventory_e8 + (self.ledger.position_e8 if self.ledger else 0)

    def position_row(self, us: int) -> tuple[Any, ...]:
        ledger = self.ledger
        fees = {asset: decimal_text(paid) for asset, paid in sorted(ledger.fees_e8.items())} if ledger else {}
        return (
            self.symbol,
            decimal_text(self.position_e8),
            decimal_text(ledger.cash_e8 if ledger else 0),
            json.dumps(fees, separators=(",", ":")),
            ledger.fills if ledger else 0,
            ledger.last_trade_id if ledger else None,
            us,
            self.run_id,
            *self._of_contract(),
        )

    def _of_contract(self) -> tuple[Any, ...]:
        ledger = self.ledger
        if ledger is None or not ledger.contract:
            return (None, None, *_NOT_SEEN)
        if not ledger.position_e8:
            return (decimal_text(ledger.paid_e8), None, *_NOT_SEEN)
        return (decimal_text(ledger.paid_e8), decimal_text(ledger.entry_e8), *self._seen)

    def kept(self) -> dict[str, Any]:
        """Ledger, open orders and number of configurations as JSON, for row 1 of the next log."""
        ledger = self.ledger.kept() if self.ledger else None
        configs = {"versions": self.versions, "config_hash": self._config_hash}
        orders = [asdict(order) for order in self.open_orders()]
        since = {"matched_us": self.matched_us, "begun_us": self.begun_us}
        runs = list(self.runs)[-KEPT_RUNS:]
        return {"ledger": ledger, "orders": orders, **configs, **since, "runs": runs, "traded": self.traded}

    def _restore(self, kept: Mapping[str, Any], venue: str, changes: Changes) -> None:
        """Take over the totals of logs that were removed, or need not be read."""
        self.runs |= dict.fromkeys(kept.get("runs", ()))
        for order in kept["orders"]:
            self._put(AuditOrder(**order), changes)
            self.runs[run_of(order["client_id"])] = None
        if kept["ledger"]:
            ledger = self._ledgers[venue] = Ledger.restored(kept["ledger"])
            self._accepted(ledger, kept.get("adopted_e8", (0, 0)))
        self.matched_us, self.begun_us = kept.get("matched_us", 0), kept.get("begun_us", 0)
        self.versions = max(self.versions, kept["versions"])
        self._config_hash = kept["config_hash"]
        self.traded = kept.get("traded", {})

    def _start(self, row: Mapping[str, Any], changes: Changes) -> None:
        self._counts = self._venue in (None, row.get("venue"))
        if not self._counts:
            return
        self.run_id = row["run_id"]
        self.starts += 1
        self._has_sent, self._seen = False, _NOT_SEEN
        if CLIENT_IDS in row:
            self.runs[row[CLIENT_IDS]] = None
        self.knobs = row.get("knobs")
        self._inventory_e8 = e8(str(row.get("initial_inventory") or "0"))
        venue = row.get("venue") or ""
        if venue not in self._ledgers and BOOKS in row:
            self._restore(row[BOOKS], venue, changes)
        if venue not in self._ledgers and row.get("base_asset") and row.get("quote_asset"):
            # The grid is not used: only the names of the assets are.
            names = Instrument(self.symbol, 1, 1, 0, row["base_asset"], row["quote_asset"])
            self._ledgers[venue] = Ledger(names, contract=row.get("contract", False))
        self.ledger, self.begun_us = self._ledgers.get(venue), self.begun_us or row["us"]
        if "knobs" in row:
            self._configure(row["knobs"], row["us"], changes)
        changes.position_us = row["us"]

    def _intent(self, row: Mapping[str, Any], changes: Changes) -> None:
        if row["action"] in _OF_OPEN_ORDERS:
            return
        if not self._has_sent:
            self._has_sent, self.matched_us = True, row["us"]
            self.runs[run_of(row["client_id"])] = None
            if self.knobs is not None and _OF_FLATTEN not in self.knobs:
                self.traded = sizing(self.knobs)
        self._put(
            AuditOrder(
                client_id=row["client_id"],
                order_id=None,
                symbol=self.symbol,
                side=row["side"],
                price=row.get("price") or "",
                qty=row["qty"],
                status=PENDING,
                us=row["us"],
                run_id=self.run_id,
            ),
            changes,
        )

    def _ack(self, row: Mapping[str, Any], changes: Changes) -> None:
        order = self.orders.get(row["client_id"])
        if order is None or row["action"] == "cancel":
            return
        order.order_id = row["order_id"]
        if order.status in (PENDING, REJECTED):
            order.status = NEW
        if row["action"] == "amend":
            order.qty, order.price = row["qty"], row.get("price", order.price)
            if order.status == FILLED and order.booked_e8 < e8(order.qty):
                order.status = PARTIAL
            elif order.is_open and order.booked_e8 >= e8(order.qty):
                order.status = FILLED
        self._touch(order, row, changes)

    def _fill(self, row: Mapping[str, Any], changes: Changes) -> None:
        fill = _fill_of(row)
        if self.ledger is None:
            raise ValueError("base_asset and quote_asset in row 1")
        if not self.ledger.book(fill):
            return
        changes.fills.append((fill, self.run_id))
        changes.position_us = row["us"]
        order = self.orders.get(fill.client_id)
        if order is None:
            return
        order.booked_e8 += e8(fill.qty)
        order.order_id = order.order_id or fill.order_id or None
        if order.is_open or order.status == REJECTED:
            order.status = FILLED if order.booked_e8 >= e8(order.qty) else PARTIAL
        self._touch(order, row, changes)

    def _cancel(self, row: Mapping[str, Any], changes: Changes) -> None:
        order = self.orders.get(row["client_id"])
        if order is None:
            return
        order.status = row.get("status") or "CANCELED"
        order.reported_e8 = max(order.reported_e8, e8(row.get("filled") or "0"))
        order.order_id = order.order_id or row.get("order_id")
        self._touch(order, row, changes)

    def _reject(self, row: Mapping[str, Any], changes: Changes) -> None:
        order = self.orders.get(row.get("client_id", ""))
        if order is None or row["action"] in _OF_OPEN_ORDERS or order.status != PENDING:
            return
        order.status = REJECTED
        self._touch(order, row, changes)

    def _transfer(self, row: Mapping[str, Any], changes: Changes) -> None:  # noqa: ARG002 - as of each type
        if self.ledger is not None:
            self.ledger.transfer(row["asset"], e8(row["amount"]))
            if row.get("source") in COMPARED:
                self.matched_us = row["us"]

    def _payment(self, row: Mapping[str, Any], changes: Changes) -> None:
        if self.ledger is not None and self.ledger.pay(row["id"], e8(row["amount"]), row["exchange_us"]):
            changes.position_us = row["us"]

    def _position(self, row: Mapping[str, Any], changes: Changes) -> None:
        shown = [row[name] if e8(row[name]) else None for name in SEEN]
        self._seen = (*shown, row["us"]) if e8(row["qty"]) else _NOT_SEEN
        changes.position_us = row["us"]

    def _adopt(self, row: Mapping[str, Any], changes: Changes) -> None:
        if self.ledger is not None and row["what"] == VENUE_RESET:
            self.ledger.forget_trades()
            if "closed" in row:
                self.ledger.lose_position()
                changes.position_us = row["us"]

    @staticmethod
    def _accepted(ledger: Ledger, amounts_e8: Sequence[int]) -> None:
        for asset, amount_e8 in zip(ledger.assets, amounts_e8, strict=True):
            if amount_e8:
                ledger.transfer(asset, amount_e8)

    def _params(self, row: Mapping[str, Any], changes: Changes) -> None:
        if ADOPTED in row and self.ledger is not None:
            self._accepted(self.ledger, [e8(row[ADOPTED][name]) for name in ("base", "quote")])
        self.knobs = row["knobs"]
        self._configure(row["knobs"], row["us"], changes)

    def _configure(self, knobs: Mapping[str, Any], us: int, changes: Changes) -> None:
        shown = {name: value for name, value in knobs.items() if name != _NAME}
        text = json.dumps(shown, sort_keys=True, separators=(",", ":"))
        found = hashlib.sha256(text.encode()).hexdigest()
        if found != self._config_hash:
            self.versions += 1
            self._config_hash = found
            changes.configs.append((self.versions, self.symbol, text, found, us))

    def _put(self, order: AuditOrder, changes: Changes) -> None:
        self.orders[order.client_id] = order
        changes.orders[order.client_id] = order

    def _touch(self, order: AuditOrder, row: Mapping[str, Any], changes: Changes) -> None:
        order.us = row["us"]
        self._put(order, changes)
        if not order.is_open:
            self._ended[order.client_id] = None
            if len(self._ended) > KEPT_ENDED:
                del self.orders[self._ended.popitem(last=False)[0]]


_VALUES = {"rate_e8": "commission_rate", "most_e8": "commission_most"}


def _fill_of(row: Mapping[str, Any]) -> AccountFill:
    return AccountFill(
        trade_id=row["trade_id"],
        order_id=row.get("order_id") or 0,
        client_id=row["client_id"],
        side=SIDES[row["side"]],
        price=row["price"],
        qty=row["qty"],
        commission=row["commission"],
        commission_asset=row["commission_asset"],
        us=row.get("exchange_us", row["us"]),
        maker=row.get("maker", False),
        quote_qty=row.get("quote_qty", ""),
        realized=row.get("realized", ""),
        **{name: e8(row[key]) for name, key in _VALUES.items() if key in row},
    )


def sizing(knobs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: knobs.get(name) for name in SIZING}


def rebuild_symbol(folder: Path, symbol: str, venue: str | None = None) -> AuditBooks:
    """Rebuild from all logs, or only *venue*'s; raises DataError."""
    books = AuditBooks(symbol, venue)
    for path in logs_of(folder):
        for row in read_rows(path):
            books.apply(row, Changes())
    return books


def runs_in(folder: Path) -> set[str]:
    found = set[str]()
    for row in starts_of(folder).values():
        found |= {*row.get(BOOKS, {}).get("runs", ()), *([row[CLIENT_IDS]] if CLIENT_IDS in row else [])}
    return found


def summed_in_the_last(starts: Mapping[Path, Mapping[str, Any]]) -> list[Path]:
    """Return the logs before each venue's last log, whose row 1 has their totals."""
    last = {row.get("venue"): at for at, row in enumerate(starts.values()) if BOOKS in row}
    first = min((last.get(row.get("venue"), 0) for row in starts.values()), default=0)
    return list(starts)[:first]
