"""``mm state init``, ``rebuild`` and ``show``: with a file, with real servers, and without any."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from audit_story import many_orders, played_logs
from mm.__main__ import main
from mm.live.state.stores import SHOWN
from mm.live.state.tables import TABLES
from state_memory import plain_tables
from state_servers import postgres_database, redis_server

SYMBOL = "BTCUSDT"


def mm(*args: object, **variables: str) -> Result:
    unset = dict.fromkeys(("STATE_URL", "LEDGER_URL", "OUT_ROOT"))
    return CliRunner().invoke(main, [str(arg) for arg in args], env={**unset, "LOG_LEVEL": "INFO", **variables})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    played_logs(tmp_path, many_orders(40), 2)
    return tmp_path


def test_file_store_is_created_rebuilt_and_shown(out: Path) -> None:
    """Without a server; a second rebuild gives the same, and rows that are not from the logs are removed."""
    assert mm("state", "init", "--out-root", out).stdout == f"{out}/state.sqlite: ready\n"
    with sqlite3.connect(out / "state.sqlite") as connection:
        connection.execute("INSERT INTO fills (symbol, trade_id, client_id) VALUES ('BTCUSDT', 999999, 'x')")
    connection.close()
    expected = plain_tables(out / "audit" / SYMBOL, SYMBOL)
    for _ in range(2):
        result = mm("state", "rebuild", "--out-root", out)
        assert result.stdout == (
            f"{out}/state.sqlite: BTCUSDT rebuilt from {len(many_orders(40).rows) + 4} rows of its audit logs\n"
        )
        shown: dict[str, Any] = json.loads(mm("state", "show", "--out-root", out, "--json").stdout)
        for table in SHOWN:
            rows = [tuple(row[name] for name in TABLES[table].columns) for row in shown[table]]
            assert sorted(rows) == sorted(expected[table])
    text = mm("state", "show", "--out-root", out, "--symbol", "btcusdt", "--last", 3).stdout.splitlines()
    assert text[0] == "positions: 1"
    assert text[1].split() == list(TABLES["positions"].columns)
    n_open = sum(row[7] in ("PENDING_NEW", "NEW", "PARTIALLY_FILLED") for row in expected["orders"])
    assert f"open orders: {n_open}" in text
    assert text[-5] == "last fills: 3"
    assert mm("state", "show", "--out-root", out, "--table", "configs").stdout.startswith("configs: 1\n")
    unknown = mm("state", "show", "--out-root", out, "--symbol", "BTCUSTD")
    assert unknown.exit_code == 3
    assert "did you mean BTCUSDT?" in unknown.stderr


def test_server_stores_are_rebuilt(out: Path, tmp_path: Path) -> None:
    """Both get the same fills."""
    with postgres_database() as url, redis_server(tmp_path / "redis") as server:
        variables = {"STATE_URL": server.url, "LEDGER_URL": url, "OUT_ROOT": str(out)}
        assert mm("state", "init", **variables).stdout.count(": ready\n") == 2
        result = mm("state", "rebuild", "--symbol", "btcusdt", "--json", **variables)
        assert [entry["symbol"] for entry in json.loads(result.stdout)["rebuilt"]] == [SYMBOL, SYMBOL]
        shown = json.loads(mm("state", "show", "--json", **variables).stdout)
        expected = [row[0] for row in plain_tables(out / "audit" / SYMBOL, SYMBOL)["fills"]]
        assert sorted(row["trade_id"] for row in shown["fills"]) == sorted(expected)
        assert "secret" not in shown["store"]
        with server.client() as client:
            entries = client.xrange(f"fills:{SYMBOL}")
        assert [int(fields["trade_id"]) for _, fields in entries] == expected
        assert not (out / "state.sqlite").exists()


@pytest.mark.parametrize("command", ["init", "rebuild"])
@pytest.mark.parametrize(
    "variables", [{"STATE_URL": "redis://:secret@127.0.0.1:1/0"}, {"LEDGER_URL": "postgresql://a:secret@127.0.0.1:1/b"}]
)
def test_unreachable_server_gives_one_line_and_exits_with_75(
    out: Path, command: str, variables: dict[str, str]
) -> None:
    """The line does not contain the password."""
    result = mm("state", command, "--out-root", out, **variables)
    assert result.exit_code == 75
    assert result.stderr.count("\n") == 1
    assert "127.0.0.1:1" in result.stderr
    assert "secret" not in result.stderr


def test_invalid_url_gives_one_line_and_exits_with_2(out: Path) -> None:
    """The line names the variable and its valid values."""
    result = mm("state", "init", "--out-root", out, LEDGER_URL="mysql://h/d")
    assert result.exit_code == 2
    assert "--ledger-url (LEDGER_URL) was 'mysql://h/d'" in result.stderr


def test_unreadable_log_leaves_the_store_unchanged(out: Path) -> None:
    """All logs are read before anything is removed."""
    assert mm("state", "rebuild", "--out-root", out).exit_code == 0
    before = json.loads(mm("state", "show", "--out-root", out, "--json").stdout)
    path = sorted((out / "audit" / SYMBOL).iterdir())[-1]
    path.write_bytes(path.read_bytes() + b"hello\n")
    result = mm("state", "rebuild", "--out-root", out)
    assert (result.exit_code, "cannot be read" in result.stderr) == (3, True)
    result = mm("state", "rebuild", "--out-root", out, "--symbol", "ETHUSDT")
    assert (result.exit_code, "ETHUSDT: no trader, folder or log of it is known" in result.stderr) == (3, True)
    assert json.loads(mm("state", "show", "--out-root", out, "--json").stdout) == before


def test_rebuild_without_valid_logs_exits_with_3(tmp_path: Path) -> None:
    """Without logs, and with a file that is not a log."""
    result = mm("state", "rebuild", "--out-root", tmp_path)
    assert (result.exit_code, "no audit logs: looked into" in result.stderr) == (3, True)
    folder = tmp_path / "audit" / SYMBOL
    folder.mkdir(parents=True)
    (folder / "a.ndjson").write_text("hello\n")
    result = mm("state", "rebuild", "--out-root", tmp_path)
    assert (result.exit_code, "a.ndjson: row 1 cannot be read" in result.stderr) == (3, True)
