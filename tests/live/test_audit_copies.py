"""Copies of audit logs elsewhere: shipping, restoring, retention, heads, and what each finds."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_story import BTC, stories
from mm.base.audit_chain import seal
from mm.errors import BrokenFile, TryLater
from mm.live.audit import copies as audit_copies
from mm.live.audit.books import BOOKS, rebuild_symbol
from mm.live.audit.copies import append_copy, read_heads, send_heads, verify_series
from mm.live.audit.history import read_history
from mm.live.audit.log import AuditLog, logs_of
from mm.live.state.follow import AuditFollower, bring_up
from mm.live.state.sqlite import SqliteState
from mm.live.state.stores import SHOWN
from support import ROOT, run_python

US, DAY_US = 1_795_176_000_000_000, 86_400_000_000
FOLDER = Path("out/audit/BTCUSDT")


class Ledger:
    """Audit logs below a folder, run by run, and the program called there."""

    def __init__(self, home):
        self.home, self.folder, self.number = Path(home), Path(home) / FOLDER, 0

    def run(self, rows, *, stopped=True):
        """Write the log of one run, a day after the one before; return its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.number += 1
        us = US + self.number * DAY_US
        known = read_history(self.folder, "BTCUSDT", "box", us)
        log = AuditLog(self.folder / f"2026{self.number:04}_r.ndjson", sync=False, clock=lambda: us)
        knobs = {"gamma": self.number // 2}
        log.start(BTC, f"r{self.number}", venue="box", initial_inventory="0", knobs=knobs, **{BOOKS: known.kept()})
        for kind, fields in rows:
            log.append(kind, **fields)
        if stopped:
            log.append("stop")
        log.close()
        return log.path

    def mm(self, *words):
        """Return code and standard error or output of a command."""
        archive = (
            () if words[0] == "verify" else ("--archive", "elsewhere", *(["--head", "heads"] * (words[0] == "ship")))
        )
        done = run_python("-m", "mm", "audit", *words, *archive, cwd=self.home)
        return done.returncode, done.stderr if done.returncode else done.stdout

    def tables(self, name="state"):
        """Return what a store has after it was brought up."""
        store = SqliteState(self.home / "out" / f"{name}.sqlite")
        store.connect()
        bring_up(store, self.folder, "BTCUSDT")
        found = {table: sorted(map(str, store.read(table, None))) for table in SHOWN}
        store.close()
        return found


def trades(number):
    """Return an order that stays open, and one that fills."""
    order = {"side": 1, "price": "100.00", "qty": "2.0"}
    fill = {"trade_id": number, "order_id": number, "qty": "2.0", "commission": "0.001", "commission_asset": "USDT"}
    rows = []
    for name in (f"o{number}", f"f{number}"):
        rows.append(("intent", {"action": "place", "kind": "LIMIT_MAKER", "client_id": name, **order}))
        rows.append(("ack", {"action": "place", "client_id": name, "order_id": number}))
    return [*rows, ("fill", {**order, **fill, "client_id": f"f{number}", "maker": True})]


@pytest.fixture
def ledger(tmp_path):
    """Three runs, shipped, and in the state store."""
    made = Ledger(tmp_path)
    for number in range(3):
        made.run(trades(number))
    code, said = made.mm("ship")
    assert code == 0, said
    made.tables()
    return made


def rewrite(path, change):
    """Change the rows of a log, and compute all of its hashes anew, as who owns the folder can."""
    prev, lines = b"0" * 64, []
    for row in change([json.loads(line) for line in path.read_text().splitlines()]):
        bare = {name: value for name, value in row.items() if name not in ("prev", "hash")}
        line, prev = seal(json.dumps(bare, separators=(",", ":")).encode(), prev)
        lines.append(line)
    path.write_bytes(b"".join(lines))


def test_copies_grow_with_the_logs_and_equal_them(ledger):
    """Torn rows are left out until they are whole; an interrupted copy goes on where it ended."""
    log = ledger.run(trades(3), stopped=False)
    whole = log.read_bytes()
    log.write_bytes(whole[:-10])
    copy = ledger.home / "elsewhere" / "BTCUSDT" / log.name
    assert ledger.mm("ship")[0] == 0
    assert copy.read_bytes() == whole[: whole[:-1].rfind(b"\n") + 1]
    with copy.open("ab") as file:
        file.write(whole[copy.stat().st_size : -30])
    log.write_bytes(whole)
    assert ledger.mm("ship")[0] == 0
    for one in logs_of(ledger.folder):
        assert (ledger.home / "elsewhere" / "BTCUSDT" / one.name).read_bytes() == one.read_bytes()
    assert copy.stat().st_mode & 0o077 == 0


@given(st.data(), st.integers(0, 400))
@settings(max_examples=40)
def test_any_cut_of_copy_and_log_is_mended_or_found(data, cut):
    """A copy cut anywhere is completed; a log cut within what was shipped is refused, and its copy not touched."""
    with tempfile.TemporaryDirectory() as home:
        made = Ledger(home)
        log = made.run(trades(0))
        copy, whole = Path(home) / "copy", log.read_bytes()
        cut = min(cut, len(whole))
        copy.write_bytes(whole[:-cut] if cut else whole)
        assert append_copy(log, copy).rows == len(whole.splitlines())
        assert copy.read_bytes() == whole
        at = data.draw(st.integers(0, len(whole) - 1))
        log.write_bytes(whole[:at])
        with pytest.raises(BrokenFile, match="cut off"):
            append_copy(log, copy)
        changed = bytes((whole[at] ^ 1,))
        log.write_bytes(whole[:at] + changed + whole[at + 1 :])
        with pytest.raises(BrokenFile, match="differs"):
            append_copy(log, copy)
        assert copy.read_bytes() == whole


def drop_end(ledger):
    path = logs_of(ledger.folder)[-1]
    rewrite(path, lambda rows: rows[:-3])


def drop_last(ledger):
    logs_of(ledger.folder)[-1].unlink()


def change_all(ledger):
    """Change a fill of the first log, and all hashes in all logs."""
    hashes = {}
    for path in logs_of(ledger.folder):

        def change(rows):
            for row in rows:
                if row["type"] == "fill" and row["trade_id"] == 0:
                    row["price"] = "99.00"
                for entry in row.get("earlier", ()):
                    entry["hash"] = hashes[entry["file"]]
            return rows

        rewrite(path, change)
        hashes[path.name] = json.loads(path.read_text().splitlines()[-1])["hash"]


@pytest.mark.parametrize("harm", [drop_end, drop_last, change_all])
def test_harm_that_the_folder_cannot_show_is_found_by_what_was_kept_elsewhere(ledger, harm):
    """Whoever owns the folder can recompute it whole: heads, a noted hash and copies contradict."""
    folder = str(FOLDER)
    noted = json.loads((ledger.home / "heads").read_text().splitlines()[-1])["hash"]
    assert ledger.mm("verify", folder, "--heads", "heads", "--last-hash", noted)[0] == 0
    harm(ledger)
    assert ledger.mm("verify", folder, "--open")[0] == 0
    for words in (("--heads", "heads"), ("--last-hash", noted)):
        code, said = ledger.mm("verify", folder, "--open", *words)
        assert (code, len(said.splitlines())) == (3, 1), said
    if harm is not drop_last:
        before = {one: one.read_bytes() for one in (ledger.home / "elsewhere" / "BTCUSDT").iterdir()}
        assert ledger.mm("ship")[0] == 3
        assert {one: one.read_bytes() for one in before} == before


def test_series_verifies_every_log_and_names_the_row(ledger):
    answer = verify_series(ledger.folder, {}, None, open_end=False)
    assert [one["rows"] for one in answer["logs"]] == [
        len(one.read_bytes().splitlines()) for one in logs_of(ledger.folder)
    ]
    path = logs_of(ledger.folder)[1]
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(first + b"\n" + rest.replace(b"100.00", b"100.01", 1))
    with pytest.raises(BrokenFile, match=rf"{path.name}: row 2"):
        verify_series(ledger.folder, {}, None, open_end=False)


def test_last_log_without_a_stop_is_accepted_only_if_that_is_asked_for(ledger):
    """A killed trader's has none, and neither has one whose end was cut off."""
    path = logs_of(ledger.folder)[-1]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(BrokenFile, match=path.name):
        verify_series(ledger.folder, {}, None, open_end=False)
    assert verify_series(ledger.folder, {}, None, open_end=True)["logs"][-1]["stopped"] is False


def test_heads_of_other_symbols_say_nothing_of_this_one(ledger):
    """One file, or one webhook, has those of all."""
    path = ledger.home / "heads"
    own = read_heads(path, "BTCUSDT")
    path.write_text(path.read_text() + path.read_text().replace("BTCUSDT", "ETHUSDT"))
    assert read_heads(path, "BTCUSDT") == own
    assert [one.symbol for one in read_heads(path, "ETHUSDT")] == ["ETHUSDT"]


def test_restore_brings_back_what_is_missing_or_cut_and_nothing_else(ledger):
    """A longer log stays; one that differs is refused."""
    first, second, third = logs_of(ledger.folder)
    whole = {one: one.read_bytes() for one in (first, second, third)}
    first.unlink()
    second.write_bytes(whole[second][:-100])
    with third.open("ab") as file:
        file.write(b"torn")
    code, said = ledger.mm("restore")
    assert code == 0, said
    assert (first.read_bytes(), second.read_bytes()) == (whole[first], whole[second])
    assert third.read_bytes() == whole[third] + b"torn"
    code, said = ledger.mm("restore")
    assert (code, said.count("\n")) == (0, 1)
    second.write_bytes(whole[second].replace(b"100.00", b"100.01"))
    assert ledger.mm("restore")[0] == 3
    assert b"100.01" in second.read_bytes()


def test_retention_removes_only_what_is_shipped_verified_and_stored(ledger):
    """The latest stays always; totals, tables and the next start are the same without the removed ones."""
    old, middle, last = logs_of(ledger.folder)
    copies = ledger.home / "elsewhere" / "BTCUSDT"
    before = (ledger.tables("whole"), read_history(ledger.folder, "BTCUSDT", "box", US).kept())
    whole = old.read_bytes()
    for spoil, mend in (
        (lambda: (copies / old.name).rename(copies / "away"), lambda: (copies / "away").rename(copies / old.name)),
        (lambda: old.write_bytes(whole + b"{}\n"), lambda: old.write_bytes(whole)),
        ((ledger.home / "out/state.sqlite").unlink, ledger.tables),
    ):
        spoil()
        code, said = ledger.mm("prune", "--keep-days", "0", "--symbol", "BTCUSDT")
        assert code in (0, 3), said
        assert old.exists()
        mend()
        shutil.copy(copies / middle.name, middle)
    assert ledger.mm("prune", "--keep-days", "100000")[1].count("\n") == 1
    assert ledger.mm("prune", "--keep-days", "0", "--dry-run")[1].count("would remove") == 2
    assert ledger.mm("prune", "--keep-days", "0")[1].count("removed") == 2
    assert logs_of(ledger.folder) == [last]
    assert read_history(ledger.folder, "BTCUSDT", "box", US).kept() == before[1]
    assert rebuild_symbol(ledger.folder, "BTCUSDT").position_e8 == 6 * 10**8
    assert ledger.tables() == before[0]
    ledger.run(trades(3))
    assert rebuild_symbol(ledger.folder, "BTCUSDT").position_e8 == 8 * 10**8
    assert ledger.mm("ship")[0] == 0
    assert ledger.mm("verify", str(FOLDER), "--heads", "heads")[0] == 0
    assert ledger.mm("restore")[0] == 0
    assert ledger.tables("anew") == ledger.tables()


@given(st.lists(stories(), min_size=2, max_size=4), st.integers(1, 3))
@settings(max_examples=25)
def test_store_that_starts_at_the_current_log_gets_the_tables_of_all_logs(found, cut):
    """Whatever the store has of the earlier ones; complete ones are not read again."""
    with tempfile.TemporaryDirectory() as home:
        made = Ledger(home)
        for at, story in enumerate(found):
            made.run([(kind, dict(fields)) for kind, fields in story.rows])
            if at + 1 == min(cut, len(found) - 1):
                made.tables("stepwise")
        store = SqliteState(made.home / "out" / "stepwise.sqlite")
        store.connect()
        follower = AuditFollower(made.folder, "BTCUSDT", store)
        while follower.step():
            pass
        store.close()
        read = [tail.path for tail in follower._logs.tails]
        assert read == logs_of(made.folder)[min(cut, len(found) - 1) :]
        assert made.tables("stepwise") == made.tables("whole")


def test_heads_are_one_line_per_change_and_a_webhook_that_hangs_is_given_up(ledger, monkeypatch):
    """What hangs costs its time limit, and the copies are written before."""
    monkeypatch.setattr(audit_copies, "ANSWER_S", 0.5)
    heads = read_heads(ledger.home / "heads", "BTCUSDT")
    assert (len(heads), heads[0].rows) == (1, 7)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for url in (f"http://127.0.0.1:{silent.getsockname()[1]}/?key=secret", "http://127.0.0.1:1/?key=secret"):
            with pytest.raises(TryLater, match="not taken") as error:
                send_heads(heads, url)
            assert "secret" not in str(error.value)


def test_webhook_receives_the_heads(ledger):
    received = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            caller, _ = server.accept()
            with caller:
                text = b""
                while b"\n" not in text.partition(b"\r\n\r\n")[2]:
                    text += caller.recv(65_536)
                received.append(json.loads(text.partition(b"\r\n\r\n")[2]))
                caller.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        code, said = ledger.mm("ship", "--head", url)
    assert code == 0, said
    assert received[0]["file"] == logs_of(ledger.folder)[-1].name


def test_full_disk_of_the_copies_is_75_and_mended_by_the_next_time(ledger):
    """Rows that were written stay; the trader's logs are not touched."""
    log = ledger.run(trades(3) * 400)
    command = [sys.executable, "-m", "mm", "audit", "ship", "--archive", "elsewhere"]
    limited = ["bash", "-c", f"ulimit -f 64; trap '' XFSZ; exec {' '.join(command)}"]
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    full = subprocess.run(limited, cwd=ledger.home, env=known, capture_output=True, text=True, timeout=60, check=False)
    assert (full.returncode, len(full.stderr.splitlines())) == (75, 1), full.stderr
    assert ledger.mm("ship")[0] == 0
    assert (ledger.home / "elsewhere" / "BTCUSDT" / log.name).read_bytes() == log.read_bytes()
