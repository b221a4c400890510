"""The environment of the gateway: its settings and the state of earlier runs, background tasks, client ids."""

import os
from base64 import b32encode
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from time import time_ns
from typing import TYPE_CHECKING

from mm.live.account.account_check import AccountCheck
from mm.live.knobs import Contracts, OrderAccess
from mm.live.venues.canceller import OWN_PREFIX

if TYPE_CHECKING:
    from mm.live.account.unreconciled import UnreconciledSince
    from mm.live.audit.books import AuditOrder

AUDIT_TYPES = (
    *("start", "intent", "ack", "fill", "cancel", "reject", "transfer", "payment", "position", "mark", "adopt"),
    *("breach", "kill", "rearm", "params", "stop"),
)
"""The row types of an audit log."""


@dataclass(frozen=True, kw_only=True)
class GatewayRun:
    """The symbol and settings of a gateway, and the state of earlier runs.

    Attributes:
        earlier: Orders of earlier runs that may be open, from the audit log.
        unreconciled: With FLATTEN_AFTER_S, since when earlier processes could not reconcile the position.
        last_trade_id: The largest booked trade id; None if the ledger has no trade: trades before the start are not
            counted.
    """

    symbol: str
    run_id: str
    access: OrderAccess
    earlier: Iterable["AuditOrder"] = ()
    booked: Mapping[int, int] = field(default_factory=dict)
    last_trade_id: int | None = None
    matched_us: int = 0
    begun_us: int = 0
    contract: "Contracts | None" = None
    unreconciled: "UnreconciledSince | None" = None
    account: AccountCheck | None = None
    ids: "ClientIds | None" = None
    runs: Collection[str] = ()


class ClientIds:
    """Client ids of orders: prefix, run, counter and side; no two runs share one.

    Args:
        nonce: Distinguishes processes of one run id; default: time, process id and random bytes.
    """

    def __init__(self, run_id: str, nonce: bytes | None = None) -> None:
        nonce = nonce if nonce is not None else f"{time_ns()} {os.getpid()} ".encode() + os.urandom(8)
        digest = blake2b(run_id.encode() + b"\0" + nonce, digest_size=8).digest()
        self.run = OWN_PREFIX + b32encode(digest).decode().rstrip("=").lower()
        self._count = 0

    def next(self, side: int) -> str:
        self._count += 1
        return f"{self.run}-{self._count}{'b' if side > 0 else 's'}"

    def next_stop(self) -> str:
        self._count += 1
        return f"{self.run}-p{self._count}"
