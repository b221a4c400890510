"""A log that is removed, replaced or cut while it is written: noticed, written back, and never passed over."""

import errno
import os
import shutil
import time
from decimal import Decimal
from pathlib import Path

import pytest
from trading_box import ended, venue
from trading_truth import assert_equal_books
from usdm_box import contract_box

from mm.base.audit_chain import verify_lines
from mm.errors import BrokenFile, TryLater
from mm.instrument import E8, Instrument
from mm.live.audit import log as audit_log
from mm.live.audit.log import KEPT, AuditLog

BTC = Instrument("BTCUSDT", E8 // 100, 1_000, 5 * E8, "BTC", "USDT")


def remove(path: Path) -> None:
    path.unlink()


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def rename(path: Path) -> None:
    path.rename(path.with_name("other"))


def rename_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("other"))


def put_another(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[:-9])
    os.replace(other, path)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 9)


def write_over(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(b"x" * (2 * size))


BACK, BESIDE, CUTS = (remove, remove_folder, rename, rename_folder), (put_another,), (empty, cut, write_over)


def lost(path: Path, harm: object, monkeypatch: pytest.MonkeyPatch) -> tuple[AuditLog, str]:
    """Write a log that is harmed meanwhile; return it, and the error of its end."""
    monkeypatch.setattr(audit_log, "LOOK_S", 0.01)
    log = AuditLog(path, sync=False)
    log.start(BTC, "r1", venue="box")
    ends = time.monotonic() + 20
    while not log.end.rows and time.monotonic() < ends:
        time.sleep(0.005)
    assert log.error is None
    harm(path)  # type: ignore[operator]
    while log.error is None and time.monotonic() < ends:
        log.append("ack")
        time.sleep(0.005)
    assert isinstance(log.error, BrokenFile)
    log.append("stop")
    with pytest.raises(BrokenFile) as raised:
        log.close()
    return log, str(raised.value)


@pytest.mark.parametrize("harm", BACK)
def test_lost_log_is_written_back_with_all_of_its_rows(tmp_path, harm, monkeypatch):
    path = tmp_path / "BTCUSDT" / "20260105_r1.ndjson"
    log, why = lost(path, harm, monkeypatch)
    with path.open("rb") as lines:
        found = verify_lines(lines)
    assert (found.row, found.rows, found.stopped) == (None, log.rows, True)
    assert "written back" in why


def test_file_in_its_place_is_kept_and_the_rows_are_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "BTCUSDT" / "20260105_r1.ndjson"
    log, why = lost(path, put_another, monkeypatch)
    with path.with_name(path.name + KEPT).open("rb") as lines:
        found = verify_lines(lines)
    assert (found.row, found.rows) == (None, log.rows)
    assert KEPT in why


@pytest.mark.parametrize("harm", CUTS)
def test_cut_log_names_the_command_that_brings_back_its_copy(tmp_path, harm, monkeypatch):
    """Also where rows were written behind the cut before it was noticed."""
    _, why = lost(tmp_path / "BTCUSDT" / "20260105_r1.ndjson", harm, monkeypatch)
    assert "mm audit restore --archive DIR --symbol BTCUSDT" in why


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
def test_cut_of_rows_that_were_written_since_the_last_look_is_noticed(tmp_path, kept, monkeypatch):
    """The rows that follow stand where they would have: the file is as long as before, with a hole in it."""
    monkeypatch.setattr(audit_log, "LOOK_S", 0.5)
    log = AuditLog(tmp_path / "BTCUSDT" / "20260105_r1.ndjson", sync=False)

    def written(rows):
        for _ in range(rows):
            log.append("ack", client_id="mm-1")
        ends = time.monotonic() + 20
        while log.end.rows < log.rows and time.monotonic() < ends:
            time.sleep(0.005)

    log.start(BTC, "r1", venue="box")
    for _ in range(2):
        time.sleep(0.55)
        written(1)  # and looked at before
    written(60)
    os.truncate(log.path, round(kept * log.path.stat().st_size))
    written(60)
    ends = time.monotonic() + 20
    while log.error is None and time.monotonic() < ends:
        time.sleep(0.05)
    assert "cut or changed" in str(log.error)
    with pytest.raises(BrokenFile):
        log.close()


@pytest.mark.parametrize("harm", BACK)
def test_log_that_is_lost_after_a_full_disk_is_noticed_too(tmp_path, harm, monkeypatch):
    """The first refusal of the disk is not the last that happens to a log: its end is 3, and the rows are back."""
    path = tmp_path / "BTCUSDT" / "20260105_r1.ndjson"
    real, full = os.pwrite, [True]

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    monkeypatch.setattr(audit_log, "RETRY_S", 0.01)
    monkeypatch.setattr(audit_log, "LOOK_S", 0.01)
    monkeypatch.setattr(os, "pwrite", pwrite)
    log = AuditLog(path, sync=False)
    log.start(BTC, "r1", venue="box")
    ends = time.monotonic() + 20
    while log.error is None and time.monotonic() < ends:
        time.sleep(0.005)
    assert isinstance(log.error, TryLater), "the disk is full"
    full.clear()
    while not log.end.rows and time.monotonic() < ends:
        time.sleep(0.005)
    assert log.end.rows
    harm(path)
    while not isinstance(log.error, BrokenFile) and time.monotonic() < ends:
        time.sleep(0.005)
    log.append("stop")
    with pytest.raises(BrokenFile, match="written back"):
        log.close()


def harmed(box, harm):
    """Harm the log of a running trader; return the line of its end."""
    with box.trader() as process:
        box.until(lambda: len(box.account()["trades"]) > 2, "fills", process=process)
        harm(box.logs()[-1])
        code, output, _ = ended(process, None, 60)
    assert code == 3, output
    assert box.account()["openOrders"] == []
    (line,) = [text for text in output.splitlines() if text.startswith("error:")]
    return line


@pytest.mark.slow
def test_trader_whose_log_is_removed_ends_with_3_and_starts_again(tmp_path):
    with venue(tmp_path) as box:
        assert "written back" in harmed(box, remove)
        assert "ended with 3" in box.run("watchdog", "--once").stdout
        with box.trader() as process:
            box.until(lambda: box.account()["openOrders"], "orders", process=process)
            assert ended(process)[0] == 0
        assert_equal_books(box)


def shipped(box):
    done = box.run("audit", "ship", "--archive", "archive")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("market", [venue, contract_box])
def test_trader_whose_log_is_cut_goes_on_from_the_copy_by_the_lines_it_is_told(tmp_path, market):
    """The copy lacks the last rows too, and with them fills: they are read from the exchange."""
    with market(tmp_path) as box:
        line = harmed(box, lambda log: shipped(box) or empty(log))
        assert "mm audit restore --archive DIR --symbol SIMUSDT" in line
        refused = box.run("trade")
        assert refused.returncode == 3, refused.stderr
        log = box.logs()[-1]
        log.rename(tmp_path / "evidence")
        assert "missing" in box.run("watchdog", "--once").stdout
        restored = box.run("audit", "restore", "--archive", "archive", "--symbol", "SIMUSDT")
        assert restored.returncode == 0, restored.stderr
        refused = box.run("trade")
        assert "remove risk/SIMUSDT.equity.json" in refused.stderr
        (tmp_path / "out" / "risk" / "SIMUSDT.equity.json").unlink()
        with box.trader() as process:
            box.until(lambda: box.account()["openOrders"], "orders", process=process)
            assert ended(process)[0] == 0
        trades = box.account()["trades"]
        booked = {row["trade_id"]: Decimal(row["qty"]) for row in box.rows("fill")}
        assert booked == {int(one["id"]): Decimal(one["qty"]) for one in trades}
