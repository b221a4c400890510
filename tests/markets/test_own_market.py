"""The example of a market of one's own: one file is enough to import and play it."""

import importlib.util
import shutil

import pytest

from captured import events
from day_files import defects_of
from mm.dayfolder.layout import DayFolder
from mm.errors import BrokenFile
from mm.market_data.capture_import import captures_of, import_captures
from mm.markets.registry import MARKETS
from mm.tape.load import load_day
from support import ROOT, run_python

EXAMPLE = ROOT / "docs" / "examples" / "own_market.py"


@pytest.fixture
def acme(monkeypatch):
    """Return the example as a module; its market is known only in this test."""
    monkeypatch.setattr(MARKETS, "_by_name", dict(MARKETS))
    spec = importlib.util.spec_from_file_location("own_market", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "own_market", module)
    spec.loader.exec_module(module)
    return module


def imported(acme, path):
    """Import a capture of the example's market, and return its day."""
    data = path.with_name("data")
    report = import_captures([path], "ACMEUSD", data, run_id="r", form=captures_of(acme.ACME))
    (day,) = report.days
    return DayFolder(data, "ACMEUSD", day.day)


def test_example_prints_a_played_day(tmp_path):
    """As its reader runs it: in an empty folder, without a word of set-up."""
    shutil.copy(EXAMPLE, tmp_path)
    done = run_python("own_market.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Acme 1320 messages, 120 of them trades\n")
    assert "fixed_spread quotes" in done.stdout


def test_lost_change_of_ones_own_market_ends_the_book_until_the_next_snapshot(acme, tmp_path):
    """The rule of its declaration is what recorder, check and tape go by."""
    path = tmp_path / "acme.txt"
    acme.capture(path)
    whole = imported(acme, path)
    assert not events(whole, "gap")
    assert load_day(whole.path).meta.market is acme.ACME
    shutil.rmtree(tmp_path / "data")
    lines = path.read_text().splitlines(keepends=True)
    book = lines[0].split(" ", 1)[1]
    again = lines[700].split(" ", 1)[0]  # a change; the service begins again there
    path.write_text("".join([*lines[:400], *lines[401:700], f"{again} {book.replace('41', '1', 1)}"]))
    day = imported(acme, path)
    (gap,) = events(day, "gap")
    assert gap["from_id"] == gap["to_id"]
    assert [row["last_update_id"] for row in events(day, "snapshot_loaded")] == [41, 1]
    assert not [defect for defect in defects_of(day) if "gap" not in defect.kind]
    tape = load_day(day.path)
    gap_us = int(lines[400].split(" ", 1)[0])
    assert any(gap_us - 200_000 <= begin <= gap_us for begin, _ in tape.meta.hindsight) or tape.meta.counts.get("gaps")


def test_day_of_a_market_that_is_not_known_is_an_error_with_the_known_ones(acme, tmp_path, monkeypatch):
    """Another process does not know the market: its day is never read as one of Spot."""
    path = tmp_path / "acme.txt"
    acme.capture(path, seconds=20)
    day = imported(acme, path)
    monkeypatch.setattr(MARKETS, "_by_name", {name: market for name, market in MARKETS.items() if name != "acme"})
    with pytest.raises(BrokenFile, match=r"acme-spot.*binance-spot"):
        load_day(day.path)
