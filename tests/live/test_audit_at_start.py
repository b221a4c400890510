"""A start takes its totals from the latest audit log, and refuses logs that were changed."""

import json
import shutil
import tempfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_story import BTC, stories
from mm.base.audit_chain import Witness, seal, verify_lines
from mm.errors import BrokenFile
from mm.live.audit.books import CLIENT_IDS, rebuild_symbol, runs_in
from mm.live.audit.history import ACCOUNT, BOOKS, RunHistory, read_history
from mm.live.audit.log import AuditLog, logs_of

NOON_US, DAY_US = 1_795_176_000_000_000, 86_400_000_000
VENUE = "box"


class Logs:
    """The logs of one symbol, written as a trader writes them, start by start."""

    def __init__(self, folder):
        self.folder, self.number, self.written = folder, 0, None

    @property
    def us(self):
        return NOON_US + self.number * DAY_US

    def read(self):
        return read_history(self.folder, "BTCUSDT", VENUE, self.us, self.written)

    def run(self, rows, venue=VENUE, *, stopped=True):
        """Run a trade that writes rows and stops; return the history at its start."""
        self.number += 1
        known = read_history(self.folder, "BTCUSDT", venue, self.us)
        log = AuditLog(self.folder / f"{self.number:02}.ndjson", sync=False, clock=lambda: self.us)
        log.start(BTC, str(self.number), venue=venue, initial_inventory="0", knobs={}, **{BOOKS: known.kept()})
        if known.begin is None:
            log.append("params", knobs={}, **{ACCOUNT: {"base": "1", "quote": "2", "mid": "3"}})
        for type_, fields in rows:
            log.append(type_, **fields)
        if stopped:
            log.append("stop")
        log.close()
        if venue == VENUE:
            self.written = Witness(log.end.file, log.end.rows, log.end.hash, "BTCUSDT.equity.json")
        return known

    def rewrite(self, change, at=-1):
        """Change a log, and compute all of its hashes anew."""
        path, lines, prev = logs_of(self.folder)[at], [], b"0" * 64
        for row in change([json.loads(line) for line in path.read_text().splitlines()]):
            bare = {name: value for name, value in row.items() if name not in ("prev", "hash")}
            line, prev = seal(json.dumps(bare, separators=(",", ":")).encode(), prev)
            lines.append(line)
        path.write_bytes(b"".join(lines))


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


@pytest.fixture
def logs(tmp_path):
    """Three logs with fills, open orders and a breach."""
    found = Logs(tmp_path)
    for number in range(3):
        found.run(day_rows(number))
    return found


@pytest.mark.parametrize(("limit", "clean"), [("MAX_ORDERS_PER_S", 1), ("MAX_MOVE", 0)])
def test_orders_that_waited_for_our_own_rate_are_no_breach_of_a_day(tmp_path, limit, clean):
    """A size ramp goes on."""
    found = Logs(tmp_path)
    found.run([("breach", {"limit": limit})])
    found.run([])
    assert found.read().clean_days == clean


def totals(history: RunHistory) -> object:
    """Return what a start takes from the logs."""
    return (json.dumps(history.kept()), history.clean_days, history.last_trade_id)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(stories(4), st.sampled_from([VENUE, VENUE, "testnet"]), st.booleans()), max_size=5))
def test_start_totals_equal_sum_of_all_logs(days):
    """Also among logs of another venue and of killed runs."""
    with tempfile.TemporaryDirectory() as folder:
        found = Logs(Path(folder))
        for story, venue, stopped in days:
            found.run(story.rows, venue, stopped=stopped)
            whole, known = rebuild_symbol(found.folder, "BTCUSDT", VENUE), found.read().books
            assert sorted(known.kept()["orders"], key=str) == sorted(whole.kept()["orders"], key=str)
            assert known.kept()["ledger"] == whole.kept()["ledger"]


def test_only_the_latest_log_is_read(logs):
    """Row 1 of it has the totals of the earlier ones, which may be elsewhere."""
    before = totals(logs.read())
    for path in logs_of(logs.folder)[:2]:
        path.unlink()
    assert totals(logs.read()) == before
    known = logs.read()
    assert set(known.booked) == {0, 1, 2}
    assert len(known.books.open_orders()) == 3
    assert known.begin is not None


def test_names_of_all_earlier_runs_are_known_from_the_latest_log(logs):
    """From its intents, its row 1, or the row 1 alone where no order was logged: a copy may lack the rows behind."""
    known = logs.read().books
    logs.number += 1
    log = AuditLog(logs.folder / f"{logs.number:02}.ndjson", sync=False, clock=lambda: logs.us)
    kept = {BOOKS: logs.read().kept(), CLIENT_IDS: "mm-last"}
    log.start(BTC, "last", venue=VENUE, initial_inventory="0", knobs={}, **kept)
    log.close()
    assert set(known.runs) == {"mm-0", "mm-1", "mm-2"}
    assert set(logs.read().books.runs) == runs_in(logs.folder) == {*known.runs, "mm-last"}
    for path in logs_of(logs.folder)[:-1]:
        path.unlink()
    assert runs_in(logs.folder) == {*known.runs, "mm-last"}


def test_row_1_contains_totals_and_log_verifies(logs):
    path = logs_of(logs.folder)[-1]
    row = json.loads(path.read_text().splitlines()[0])
    assert [trade_id for trade_id, _ in row[BOOKS]["ledger"]["_booked"]] == [0, 1]
    assert verify_lines(BytesIO(path.read_bytes())).row is None


def edited(logs):
    path = logs_of(logs.folder)[-1]
    path.write_bytes(path.read_bytes().replace(b'"qty":"1.0"', b'"qty":"9.0"'))


def totals_edited(logs):
    path = logs_of(logs.folder)[-1]
    path.write_bytes(path.read_bytes().replace(b'"position_e8":', b'"position_e8":1', 1))


def venue_edited(logs):
    path = logs_of(logs.folder)[-1]
    path.write_bytes(path.read_bytes().replace(b'"venue":"box"', b'"venue":"api"', 1))


def cut(logs):
    path = logs_of(logs.folder)[-1]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))


def replaced(logs):
    logs.rewrite(lambda rows: [{**row, "qty": "9.0"} if row["type"] == "fill" else row for row in rows])


def removed(logs):
    logs_of(logs.folder)[-1].unlink()


def row_removed(logs):
    path = logs_of(logs.folder)[-1]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (edited, "03.ndjson: row 4: its hash does not match"),
        (totals_edited, "03.ndjson: row 1 was changed"),
        (venue_edited, "03.ndjson: row 1 was changed"),
        (cut, "03.ndjson: row 4: BTCUSDT.equity.json records 5 rows: the end was cut off"),
        (replaced, "03.ndjson: row 5: BTCUSDT.equity.json has a different hash of it"),
        (removed, "03.ndjson: the audit log is missing"),
        (row_removed, "03.ndjson: row 3: it has the number 4"),
    ],
)
def test_changed_log_is_refused(logs, harm, why):
    harm(logs)
    with pytest.raises(BrokenFile, match=why.replace("(", r"\(")):
        logs.read()


def test_log_changed_before_a_log_of_another_venue_is_refused(logs):
    """Row 1 of the other one has its last hash."""
    logs.run([], "testnet")
    logs.written = None
    logs.rewrite(lambda rows: [{**row, "qty": "9.0"} if row["type"] == "fill" else row for row in rows], at=2)
    with pytest.raises(BrokenFile, match=r"03.ndjson: row 5: 04.ndjson has a different hash of it"):
        logs.read()


@pytest.mark.parametrize("left", [0, 1, 40])
def test_killed_log_is_read_up_to_its_last_whole_row(logs, left):
    """A kill may leave a torn row at the end, after the rows that are known to be written."""
    before = totals(logs.read())
    path = logs_of(logs.folder)[-1]
    lines = path.read_bytes().splitlines(keepends=True)
    logs.written = Witness(path.name, 4, json.loads(lines[3])["hash"], "BTCUSDT.equity.json")
    path.write_bytes(b"".join([*lines[:-1], lines[-1][:left]]))
    assert totals(logs.read()) == before
    logs.run(day_rows(4))
    assert set(logs.read().booked) == {0, 1, 2, 4}


def test_copy_in_another_folder_starts_alike(logs, tmp_path):
    shutil.copytree(logs.folder, tmp_path / "copy")
    again = Logs(tmp_path / "copy")
    again.number = logs.number
    assert totals(again.read()) == totals(logs.read())
