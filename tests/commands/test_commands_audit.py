"""``mm audit verify`` and ``show``: exit codes, row numbers in messages, and one line per row."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from audit_logs import open_log
from mm.__main__ import main
from mm.instrument import E8, Instrument

BTC = Instrument("BTCUSDT", E8 // 100, 1_000, 5 * E8, "BTC", "USDT")


def mm(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def write_log(out: Path, run_id: str, *, stop: bool = True) -> Path:
    log = open_log(out, "BTCUSDT", run_id, clock=lambda: 1_767_596_400_000_000)
    log.start(BTC, run_id)
    log.append("intent", action="place", client_id="a-1", side=1, price="100.01", qty="0.5", kind="LIMIT_MAKER")
    log.append("reject", action="place", client_id="a-1", code=-2010, message="would\nmatch it")
    if stop:
        log.append("stop")
    log.close()
    return log.path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_log(tmp_path, "r1")


def test_verify_accepts_a_complete_log(path: Path) -> None:
    """Exit code 0, with the number of rows and the last hash."""
    result = mm("audit", "verify", path)
    last = json.loads(path.read_bytes().splitlines()[-1])["hash"]
    assert result.exit_code == 0
    assert result.stdout == (f"{path}: unchanged, rows 1 to 4; the log ends with a stop row\nlast hash {last}\n")
    answer = json.loads(mm("audit", "verify", path, "--json").stdout)
    assert (answer["ok"], answer["rows"], answer["last_hash"], answer["path"]) == (True, 4, last, str(path))


def test_verify_names_a_changed_row(path: Path) -> None:
    """Exit code 3; --json reports the row as well."""
    path.write_bytes(path.read_bytes().replace(b"100.01", b"100.02"))
    result = mm("audit", "verify", path)
    assert result.exit_code == 3
    assert result.stderr == f"error: {path}: row 2: its hash does not match its content: it was changed\n"
    result = mm("audit", "verify", path, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["row"] == 2


def test_verify_of_a_killed_run_needs_open_flag(tmp_path: Path) -> None:
    """The last row may be torn, which is reported."""
    path = write_log(tmp_path, "r1", stop=False)
    path.write_bytes(path.read_bytes()[:-40])
    result = mm("audit", "verify", path)
    assert (result.exit_code, "row 3" in result.stderr, "--open" in result.stderr) == (3, True, True)
    result = mm("audit", "verify", path, "--open")
    assert result.exit_code == 0
    assert "unchanged, rows 1 to 2; the log is open" in result.stdout
    assert "row 3 is incomplete" in result.stdout


def test_verify_detects_truncated_end_by_the_next_log(tmp_path: Path) -> None:
    """Also with --open, which accepts any end that no other log contradicts."""
    path = write_log(tmp_path, "r1", stop=False)
    write_log(tmp_path, "r2")
    assert "1 later log has its hash" in mm("audit", "verify", path, "--open").stdout
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    result = mm("audit", "verify", path, "--open")
    assert result.exit_code == 3
    assert "row 3: 20260105_r2.ndjson records 3 rows: the end was cut off" in result.stderr


def test_show_prints_one_line_per_row(path: Path) -> None:
    """Number, time, type and fields; a line break in a message adds no line."""
    lines = mm("audit", "show", path).stdout.splitlines()
    assert len(lines) == 4
    assert lines[1] == (
        "     2  2026-01-05T07:00:00.000000Z  intent  action=place  client_id=a-1  side=BUY  price=100.01  qty=0.5"
        "  kind=LIMIT_MAKER"
    )
    assert r'message="would\nmatch it"' in lines[2]
    assert mm("audit", "show", path, "--type", "reject").stdout.splitlines() == [lines[2]]
    assert mm("audit", "show", path, "--client-id", "a-1").stdout.splitlines() == lines[1:3]
    assert mm("audit", "show", path, "--type", "fill").stdout == ""
    rows = json.loads(mm("audit", "show", path, "--type", "intent", "--json").stdout)["rows"]
    assert [row["seq"] for row in rows] == [2]


def test_missing_or_foreign_file_gives_one_error_line(tmp_path: Path) -> None:
    """A missing file, and a file that is not an audit log."""
    for command in ("verify", "show"):
        result = mm("audit", command, tmp_path / "a.ndjson")
        assert result.exit_code == 3
        assert result.stderr.count("\n") == 1
        assert "cannot be read (No such file or directory)" in result.stderr
    (tmp_path / "b.ndjson").write_text("hello\n")
    assert "row 1: the line does not have the form" in mm("audit", "verify", tmp_path / "b.ndjson").stderr
    assert "row 1 cannot be read" in mm("audit", "show", tmp_path / "b.ndjson").stderr
    assert mm("audit", "show", tmp_path / "b.ndjson", "--type", "nonsense").exit_code == 2
