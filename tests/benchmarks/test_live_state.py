"""The measurement of audit log and state store, at a small scale."""

from pathlib import Path

import pytest

from benchmarks import live_state

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


@pytest.fixture(autouse=True)
def _small_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APPENDS", "SYNCED", "FILLS"):
        monkeypatch.setattr(live_state, name, 100)
    monkeypatch.setattr(live_state, "TICKS", 1_000)
    monkeypatch.setenv("LEDGER_URL", "postgresql://root@127.0.0.1:1/none")
    monkeypatch.setenv("STATE_URL", "redis://127.0.0.1:1/0")


def test_rows_without_a_server_are_measured_and_missing_servers_noted(tmp_path: Path) -> None:
    """Measurements without a server are above 0; each missing server is a note with a hint."""
    found = live_state.appends(tmp_path)
    folder = live_state.write_fills(tmp_path / "fills")
    found |= live_state.reading(folder)
    found["sqlite_fills"] = live_state.storing(folder, live_state.SqliteState(tmp_path / "state.sqlite"))
    assert set(found) <= set(live_state.NAMES)
    assert all(value > 0 for value in found.values())
    notes: list[str] = []
    assert live_state.servers(folder, notes) == {}
    assert [note.partition(":")[0] for note in notes] == ["no PostgreSQL", "no Redis"]
    assert set(live_state.NAMES) - set(found) == {"postgres_fills", "redis_fills", "redis_ticks"}
    assert set(live_state.AIMS) <= set(live_state.NAMES)
