"""Whether a trader that was killed has written that it is empty: read from its logs, from any process."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mm.base.audit_chain import STOP, audit_folder
from mm.clock import iso
from mm.errors import DataError
from mm.live.account.kill_switch import none_open_us
from mm.live.account.locks import Holder, KnownTrader
from mm.live.pages.watchdog import AuditOrders

_LAST_BYTES = 1 << 20
_FEW = 3


@dataclass
class KilledTrader:
    """A trader that is told to stop at *since_us*.

    Attributes:
        ended: It has written its end, or is gone.
        left: Orders that may be open at the exchange then, as text.
        cancelled: Orders that it has cancelled since, as text.
        none_open_us: When its guardian, or `mm trade cancel`, found no order at the exchange; 0: not since.
    """

    trader: KnownTrader
    since_us: int
    ended: bool = False
    left: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = field(default=())
    none_open_us: int = 0

    @property
    def holder(self) -> Holder:
        return self.trader.holder

    @property
    def empty(self) -> bool:
        return self.ended and not self.left

    def look(self) -> bool:
        """Read its logs; return whether it is empty."""
        out_root, symbol = self.trader.out_root, self.holder.symbol
        lives = self.trader.lives_now()
        if out_root is None:
            return False
        folder = audit_folder(out_root, symbol)
        rows = [row for log in folder.glob(f"*_{self.holder.run_id}.ndjson") for row in _last_rows(log)]
        ends = {row["client_id"]: row for row in rows if row["type"] == "cancel" and row["us"] >= self.since_us}
        self.cancelled = tuple(f"{name} {row.get('status', '')}".rstrip() for name, row in ends.items())
        found_us = none_open_us(out_root, symbol)
        self.none_open_us = found_us if found_us >= self.since_us else 0
        if rows and rows[-1]["type"] == STOP and "open" in rows[-1]:
            self.ended, self.left = True, tuple(map(str, rows[-1]["open"]))
        elif not lives:
            self.ended, self.left = True, orders_left(out_root, symbol)
        return self.empty

    def text(self, wait_s: float) -> str:
        """Say how it stands, in a sentence without an end."""
        done = f"{len(self.cancelled)} orders cancelled{f' ({_few(self.cancelled)})' if self.cancelled else ''}"
        if self.empty:
            return f"{self.trader} is empty: {done}, none open"
        if self.ended:
            return f"{self.trader} has ended, and {len(self.left)} orders may be open ({_few(self.left)})"
        listed = f"; at {iso(self.none_open_us)} the exchange listed no order of it" if self.none_open_us else ""
        return f"{self.trader} has not written within {wait_s:g} s that it is empty{listed}"

    def to_json(self) -> dict[str, Any]:
        return {
            **msgspec.to_builtins(self.holder),
            "ended": self.ended,
            "empty": self.empty,
            "cancelled": list(self.cancelled),
            "left": list(self.left),
        }


def orders_left(out_root: Path, symbol: str) -> tuple[str, ...]:
    """Orders without an end in the audit logs that the exchange was not found empty of since, as text."""
    folder = audit_folder(out_root, symbol)
    if not folder.is_dir():
        return ()
    orders = AuditOrders(folder, symbol)
    try:
        orders.follow()
    except (DataError, OSError) as error:
        return (f"unknown: {error}",)
    if none_open_us(out_root, symbol) > orders.last_us:
        return ()
    return tuple(f"{one.client_id} {one.side} {one.qty} at {one.price}" for one in orders.open)


def _last_rows(log: Path) -> list[dict[str, Any]]:
    try:
        with log.open("rb") as file:
            cut = max(0, file.seek(0, 2) - _LAST_BYTES)
            file.seek(cut)
            lines = file.read().split(b"\n")
    except OSError:
        return []
    return list(_decoded(lines[1 if cut else 0 : -1]))


def _decoded(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            continue


def _few(orders: tuple[str, ...]) -> str:
    return ", ".join(orders[:_FEW]) + (", …" if len(orders) > _FEW else "")
