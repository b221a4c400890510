"""The knobs of a run's stores, and the stores; packages are imported only when used."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mm.base.knobs import integer, knob, server_url

if TYPE_CHECKING:
    from mm.live.audit.log import AuditLog
    from mm.live.state.sqlite import SqlState
    from mm.live.state.tables import StateBackend
    from mm.live.state.writer import Reporter, StateWriter

STATE_FILE = "state.sqlite"
SHOWN = ("positions", "orders", "fills", "configs")
"""The tables, in display order."""


@dataclass(frozen=True, kw_only=True)
class LiveStore:
    """The store of the live state of a run."""

    state_url: str | None = knob(
        None,
        server_url("rediss?", "the URL of a Redis database, such as redis://127.0.0.1:6379/0"),
        "Redis for book, orders, position, PnL, ticks and fills.",
        matters=False,
    )
    stream_maxlen: int = knob(
        100_000, integer(1, 100_000_000), "Maximum entries of a Redis stream of ticks or fills.", matters=False
    )

    def live(self) -> "list[StateBackend]":
        from mm.live.state.redis import RedisState

        return [RedisState(self.state_url, self.stream_maxlen)] if self.state_url else []

    def writer(self, symbol: str, report: "Reporter") -> "StateWriter | None":
        from mm.live.state.writer import StateWriter

        stores = self.live()
        return StateWriter(symbol, stores, stream_maxlen=self.stream_maxlen, report=report) if stores else None


@dataclass(frozen=True, kw_only=True)
class StateStores(LiveStore):
    """The stores of a run's state, except its audit log."""

    ledger_url: str | None = knob(
        None,
        server_url("postgres(ql)?", "the URL of a database, such as postgresql://user@127.0.0.1/mm"),
        "PostgreSQL for fills, orders, positions and configs, instead of <OUT_ROOT>/state.sqlite.",
        matters=False,
    )

    def ledger(self, out_root: Path) -> "SqlState":
        from mm.live.state.postgres import PostgresState
        from mm.live.state.sqlite import SqliteState

        return PostgresState(self.ledger_url) if self.ledger_url else SqliteState(out_root / STATE_FILE)

    def backends(self, out_root: Path) -> "list[StateBackend]":
        return [self.ledger(out_root), *self.live()]


def state_writer(
    stores: StateStores, out_root: Path, symbol: str, audit: "AuditLog", report: "Reporter"
) -> "StateWriter":
    from mm.live.state.writer import StateWriter

    return StateWriter(symbol, stores.backends(out_root), audit, stream_maxlen=stores.stream_maxlen, report=report)
