"""The totals of earlier logs at a start are equal with and without a checkpoint."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_story import BTC, stories
from mm.live.audit import AuditLog, logs_of
from mm.live.audit_chain import verify
from mm.live.books_checkpoint import BOOKS, clear_checkpoints
from mm.live.trade_history import ACCOUNT, RunHistory, read_history
from support import ROOT

NOON_US, DAY_US = 1_795_176_000_000_000, 86_400_000_000
VENUE = "box"


def totals(history: RunHistory) -> object:
    """Return everything that a start takes from the logs."""
    return (json.dumps(history.books.kept()), history.begin, history.clean_days, history.booked)


class Logs:
    """The logs of one symbol, written as a trader writes them, start by start."""

    def __init__(self, folder):
        self.folder, self.number, self.notes = folder, 0, []

    def note(self, event, **fields):
        self.notes.append((event, fields["why"]))

    @property
    def us(self):
        return NOON_US + self.number * DAY_US

    def read(self):
        return read_history(self.folder, "BTCUSDT", VENUE, self.us, self.note)

    def plain(self):
        return read_history(self.folder, "BTCUSDT", VENUE, self.us)

    def run(self, rows, venue=VENUE, *, stopped=True, clears=True):
        """Run a trade that writes rows and stops; return the history at its start."""
        self.number += 1
        known = read_history(self.folder, "BTCUSDT", venue, self.us, self.note)
        log = AuditLog(self.folder / f"{self.number:02}.ndjson", sync=False, clock=lambda: self.us)
        books = known.keep(self.folder, venue)
        log.start(BTC, str(self.number), venue=venue, initial_inventory="0", knobs={"a": self.number}, **{BOOKS: books})
        if clears:
            clear_checkpoints(self.folder, venue, books)
        if self.number == 1:
            log.append("params", knobs={}, **{ACCOUNT: {"base": "1", "quote": "2", "mid": "3"}})
        for type_, fields in rows:
            log.append(type_, **fields)
        if stopped:
            log.append("stop")
        log.close()
        return known

    def checkpoint(self, venue=VENUE):
        (found,) = self.folder.glob(f"books_{venue}_*.json")
        return found


@pytest.fixture
def logs(tmp_path):
    """Three logs with fills, open orders and a breach."""
    found = Logs(tmp_path)
    for number in range(3):
        found.run(day_rows(number))
    return found


def day_rows(number):
    client_id = f"mm-{number}-1b"
    order = {"client_id": client_id, "side": 1, "price": "100.00", "qty": "2.0"}
    fill = {"trade_id": number, "order_id": number, "qty": "1.0", "commission": "0.001", "commission_asset": "BNB"}
    return [
        ("intent", {"action": "place", "kind": "LIMIT_MAKER", **order}),
        ("ack", {"action": "place", "client_id": client_id, "order_id": number}),
        ("fill", {**order, **fill, "maker": True}),
        *([("breach", {"limit": "MAX_MOVE"})] if number == 1 else []),
    ]


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(stories(4), st.sampled_from([VENUE, VENUE, "testnet"]), st.booleans()), max_size=5))
def test_start_totals_equal_sum_of_all_logs(days):
    """Also among logs of another venue and of killed runs."""
    with tempfile.TemporaryDirectory() as folder:
        found = Logs(Path(folder))
        for story, venue, stopped in days:
            known = found.run(story.rows, venue, stopped=stopped)
            assert totals(found.read()) == totals(found.plain())
            assert len(known.ends) <= found.number
        assert found.notes == []


def test_only_logs_after_checkpoint_are_read(logs, monkeypatch):
    import mm.live.trade_history as history

    read, before = [], history.read_rows
    monkeypatch.setattr(history, "read_rows", lambda path: read.append(path.name) or before(path))
    known = logs.read()
    assert read == ["03.ndjson"]
    assert (known.books.starts, set(known.booked)) == (3, {0, 1, 2})
    assert len(known.books.open_orders()) == 3


def test_row_1_contains_checkpoint_hash_and_log_verifies(logs):
    path = logs_of(logs.folder)[-1]
    row = json.loads(path.read_text().splitlines()[0])
    assert row[BOOKS] == hashlib.sha256(logs.checkpoint().read_bytes()).hexdigest()
    assert verify(path.read_bytes()).row is None


def changed(logs):
    """Change the position in the checkpoint."""
    path = logs.checkpoint()
    path.write_text(path.read_text().replace('"position_e8":', '"position_e8":1', 1))


def missing(logs):
    logs.checkpoint().unlink()


def torn(logs):
    path = logs.checkpoint()
    path.write_bytes(path.read_bytes()[:-20])


def log_cut(logs):
    path = logs_of(logs.folder)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def log_shortened(logs):
    path = logs_of(logs.folder)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"100.00"', b'"10.0"')
    path.write_bytes(b"".join(lines))


def log_removed(logs):
    logs_of(logs.folder)[0].unlink()


def log_between(logs):
    elsewhere = logs.folder / "elsewhere" / "00.ndjson"
    log = AuditLog(elsewhere, sync=False, clock=lambda: NOON_US)
    log.start(BTC, "0", venue=VENUE)
    log.close()
    elsewhere.rename(logs.folder / "00.ndjson")


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (changed, "was changed"),
        (missing, "cannot be read"),
        (torn, "was changed"),
        (log_cut, "01.ndjson has changed"),
        (log_shortened, "01.ndjson has changed"),
        (log_removed, "different set of logs"),
        (log_between, "different set of logs"),
    ],
)
def test_checkpoint_inconsistent_with_logs_is_ignored_and_logged(logs, harm, why):
    harm(logs)
    known = logs.read()
    assert totals(known) == totals(logs.plain())
    ((event, reason),) = logs.notes
    assert event == "audit_read_anew"
    assert why in reason


def test_forged_checkpoint_with_matching_name_is_ignored(logs):
    """Its name and content agree, but row 1 of the log differs."""
    path = logs.checkpoint()
    data = path.read_bytes().replace(b'"position_e8":', b'"position_e8":1', 1)
    path.unlink()
    path.with_name(f"books_{VENUE}_{hashlib.sha256(data).hexdigest()[:16]}.json").write_bytes(data)
    assert totals(logs.read()) == totals(logs.plain())
    assert len(logs.notes) == 1


def test_checkpoint_of_another_version_is_ignored(logs, monkeypatch):
    monkeypatch.setattr("mm.live.books_checkpoint._code", lambda: "other")
    assert totals(logs.read()) == totals(logs.plain())
    assert "another version" in logs.notes[0][1]


def test_one_checkpoint_per_venue_is_kept(logs):
    logs.run([], "testnet")
    logs.run([])
    assert len(list(logs.folder.glob("books_*.json"))) == 2
    assert logs.notes == []


KILLED = """
import os, signal, sys
sys.path[:0] = [{tests!r}, {live!r}]
from pathlib import Path
from test_books_checkpoint import Logs, day_rows
left = int(sys.argv[2])
real = Path.write_bytes, Path.replace, Path.unlink, os.pwrite
def counted(call):
    def counting(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return counting
Path.write_bytes, Path.replace, Path.unlink, os.pwrite = map(counted, real)
found = Logs(Path(sys.argv[1]))
found.number = 3
found.run(day_rows(3))
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", range(8))
def test_kill_at_any_step_of_start_loses_no_totals(logs, after):
    """At the write of the file, its rename, row 1 and the removal of the old file."""
    code = KILLED.format(tests=str(ROOT / "tests"), live=str(ROOT / "tests" / "live"))
    command = [sys.executable, "-c", code, str(logs.folder), str(after)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    assert totals(logs.read()) == totals(logs.plain())
    assert logs.notes == []
    logs.number = 4
    logs.run(day_rows(4))
    assert totals(logs.read()) == totals(logs.plain())
    assert logs.notes == []
