"""A start and a running trader compare audit log and account with the exchange, and stop where they differ."""

import json
import re
import shutil
import urllib.error
import urllib.request

import pytest
from trading_box import Venue, ended, venue
from trading_truth import assert_equal_books, booked

from mm.base.audit_chain import seal
from state_servers import free_port


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """Yield an exchange after one trade with fills."""
    with venue(tmp_path_factory.mktemp("trade")) as box:
        with box.trader() as process:
            box.filled(3, process)
            code, output, _ = ended(process)
            assert code == 0, output
        yield box


def test_files_of_a_trade_are_readable_by_their_owner_alone(traded):
    """Audit log and state have every order, and the size of the account."""
    stored = [path for path in (traded.folder / "out").rglob("*") if path.is_file() and path.parent.name != "logs"]
    secret = [path for path in stored if "audit" in path.parts or path.name.startswith("state.sqlite")]
    assert {path.suffix for path in secret} >= {".ndjson", ".sqlite"}
    assert [path for path in secret if path.stat().st_mode & 0o077] == []


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True)


def edited(path):
    """The quantity of a fill is ten times as large."""
    lines = lines_of(path)
    at = next(at for at, line in enumerate(lines) if b'"type":"fill"' in line)
    lines[at] = lines[at].replace(b'"qty":"', b'"qty":"9')
    path.write_bytes(b"".join(lines))


def resealed(path):
    """The same, with all later hashes computed anew, and without the other record of the log."""
    edited(path)
    reseal(path, lambda line: line)


def reseal(path, change):
    lines, prev = [], b"0" * 64
    for line in map(change, lines_of(path)):
        row = {name: value for name, value in json.loads(line).items() if name not in ("prev", "hash")}
        sealed, prev = seal(json.dumps(row, separators=(",", ":")).encode(), prev)
        lines.append(sealed)
    path.write_bytes(b"".join(lines))
    (path.parents[2] / "risk" / "SIMUSDT.equity.json").unlink()


def commission_resealed(path):
    """A fill's commission is larger, which changes position or cash by its side, with all hashes computed anew."""
    reseal(path, lambda line: line.replace(b'"commission":"0.', b'"commission":"1.', 1))


def cut(path):
    """All rows from the first fill on are missing."""
    lines = lines_of(path)
    at = next(at for at, line in enumerate(lines) if b'"type":"fill"' in line)
    path.write_bytes(b"".join(lines[:at]))


def unstopped(path):
    """Only the last row, of the orderly end, is missing."""
    path.write_bytes(b"".join(lines_of(path)[:-1]))


def emptied(path):
    """A log with its first row only."""
    path.write_bytes(lines_of(path)[0])


def removed(path):
    path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (edited, "its hash does not match its content: it was changed"),
        (resealed, "the venue was reset: it does not have trade"),
        (commission_resealed, "the venue was reset: it does not have trade"),
        (cut, "the end was cut off"),
        (unstopped, "the end was cut off"),
        (emptied, "the end was cut off"),
        (removed, "the audit log is missing"),
    ],
)
def test_start_refuses_a_changed_log_with_one_line(traded, tmp_path, harm, why):
    shutil.copytree(traded.folder / "out", tmp_path / "out")
    box = Venue(tmp_path, traded.ready)
    harm(box.logs()[-1])
    before = traded.account()["orders"]
    done = box.run("trade")
    assert done.returncode == 3, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert re.search(why, last), done.stderr
    assert "OUT_ROOT" in last or "ADOPT" in last
    assert "Traceback" not in done.stderr
    assert traded.account()["orders"] == before


@pytest.mark.slow
def test_start_refuses_the_log_of_another_account(traded, tmp_path):
    shutil.copytree(traded.folder / "out", tmp_path / "out")
    box = Venue(tmp_path, traded.ready, user="bob")
    before = box.account()["orders"]
    done = box.run("trade")
    assert done.returncode == 3, done.stderr
    assert "the newest that is booked" in done.stderr
    mine = [one for one in box.account()["orders"] if one["clientOrderId"].startswith("mm-")]
    assert mine == [one for one in before if one["clientOrderId"].startswith("mm-")]


@pytest.mark.slow
def test_torn_last_row_of_a_killed_log_still_starts(traded, tmp_path):
    with venue(tmp_path) as box:
        with box.trader() as process:
            box.until(lambda: len(booked(box)) >= 1, "a fill", process=process)
        path = box.logs()[-1]
        path.write_bytes(path.read_bytes() + b'{"seq":')
        with box.trader() as process:
            known = len(box.account()["orders"])
            box.until(lambda: len(box.account()["orders"]) > known, "an order", process=process)
            code, output, _ = ended(process)
            assert code == 0, output
        assert_equal_books(box)


def ready(port):
    """Return status and text of the health page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:  # it does not listen yet
        return 0, ""


@pytest.mark.slow
def test_account_changed_by_others_stops_a_trader_and_the_next_start(tmp_path):
    """The orders of the account are cancelled, nothing is placed, and both asset and amounts are named."""
    with venue(tmp_path) as box:
        port = free_port()
        with box.trader(METRICS_PORT=str(port), RECONCILE_INTERVAL_S="1") as process:
            box.until(lambda: ready(port)[0] == 200, "quotes", process=process)
            box.order("BUY", "3", user="alice")
            found = box.until(
                lambda: (r := ready(port))[0] == 503 and "differs" in r[1] and r, "a stop", process=process
            )
            assert "SIM" in found[1]
            assert "by the audit log" in found[1]
            box.until(lambda: not box.account()["openOrders"], "the cancels", process=process)
            orders = len(box.account()["orders"])
            box.until_with_updates(lambda: True, "a moment", process)
            assert len(box.account()["orders"]) == orders
            assert [row["limit"] for row in box.rows("breach") if row["limit"] == "ACCOUNT"] == ["ACCOUNT"]
            code, output, _ = ended(process)
            assert (code, "the account differs" in output) == (3, True), output
        orders = len(box.account()["orders"])
        done = box.run("trade")
        assert done.returncode == 3, done.stderr
        assert "the account differs" in done.stderr.splitlines()[-1]
        assert "ADOPT" in done.stderr.splitlines()[-1]
        assert len(box.account()["orders"]) == orders
        for adopt in ("1", "0"):  # the second start goes on with the accepted account
            with box.trader(ADOPT=adopt) as process:
                box.until(lambda known=orders: len(box.account()["orders"]) > known, "an order", process=process)
                code, output, _ = ended(process)
                assert code == 0, output
            orders = len(box.account()["orders"])


@pytest.mark.slow
def test_size_ramp_below_the_minimum_notional_is_refused(tmp_path):
    with venue(tmp_path) as box:
        done = box.run("trade", SIZE_RAMP="[0.1, 1]")
        assert done.returncode == 2, done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert "SIZE_RAMP" in last
        assert "minimum notional" in last
        assert box.account()["orders"] == []
        qty = last.partition("QUOTE_QTY) to ")[2].partition(" ")[0]
        with box.trader(SIZE_RAMP="[0.1, 1]", QUOTE_QTY=qty) as process:
            box.until(lambda: box.account()["orders"], "an order", process=process)
            assert ended(process)[0] == 0
