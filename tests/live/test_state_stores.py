"""The stores that a run's knobs select; none is connected, and no package imported, before its first use."""

import subprocess
import sys
from pathlib import Path

import pytest

from audit_logs import open_log
from mm.errors import UsageError
from mm.live.state.stores import LiveStore, StateStores, state_writer
from support import ROOT

REDIS, POSTGRES = "redis://127.0.0.1:1/0", "postgresql://nobody@127.0.0.1:1/nothing"


def ignore(event, **numbers):
    """Report nothing."""


def backend_types(stores, out_root):
    return [type(one).__name__ for one in stores.backends(out_root)]


@pytest.mark.parametrize(
    ("stores", "kinds"),
    [
        (StateStores(), ["SqliteState"]),
        (StateStores(state_url=REDIS), ["SqliteState", "RedisState"]),
        (StateStores(ledger_url=POSTGRES), ["PostgresState"]),
        (StateStores(state_url=REDIS, ledger_url=POSTGRES), ["PostgresState", "RedisState"]),
    ],
)
def test_knobs_select_the_stores(tmp_path, stores, kinds):
    assert backend_types(stores, tmp_path) == kinds
    assert not list(tmp_path.iterdir())


def test_sqlite_file_is_in_the_results_folder(tmp_path):
    assert StateStores().ledger(tmp_path).place == str(tmp_path / "state.sqlite")


def test_run_without_audit_log_has_writer_only_if_store_is_set():
    assert LiveStore().writer("SIMUSDT", print) is None
    writer = LiveStore(state_url=REDIS).writer("SIMUSDT", ignore)
    writer.position(1, "0.5")
    assert writer.queue == 1
    writer.close(0.1)


def test_run_with_audit_log_stores_the_rows_of_the_log(tmp_path):
    audit = open_log(tmp_path, "SIMUSDT", "R")
    audit.append("start", symbol="SIMUSDT", run_id="R", base_asset="SIM", quote_asset="USDT", venue="box")
    audit.append("stop", reason="test")
    writer = state_writer(StateStores(), tmp_path, "SIMUSDT", audit, ignore)
    assert writer.close(10.0)
    audit.close()
    ledger = StateStores().ledger(tmp_path)
    ledger.connect()
    assert [row["symbol"] for row in ledger.read("positions", None)] == ["SIMUSDT"]
    ledger.close()


@pytest.mark.parametrize("knob", [{"state_url": "http://127.0.0.1"}, {"ledger_url": "mysql://127.0.0.1/mm"}])
def test_state_command_rejects_url_of_another_kind(tmp_path, knob):
    (name, url), *_ = knob.items()
    done = subprocess.run(
        [sys.executable, "-m", "mm", "state", "show", f"--{name.replace('_', '-')}", url],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == UsageError.exit_code
    assert name.upper() in done.stderr
