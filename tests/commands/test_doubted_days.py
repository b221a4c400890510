"""What is said of days whose book and trades disagree, from an import to the results of a backtest."""

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

import mm
from mm.commands.data import data_check, data_coverage, data_import

START_US = 1_767_600_000_000_000
DAY = Path("data/SIMUSDT/20260105")


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def book(seconds):
    """Return the rows of a book that changes its second level at *seconds*."""
    return [(s, "bid", "99.98", 1 + s % 7) for s in seconds]


def trades(seconds, price):
    """Return the rows of buys at *seconds*."""
    return [(s + 0.5, "buy", price, 1) for s in seconds]


ALIVE = [(0, "bid", "99.99", 9), (0, "ask", "100.01", 9), *book(range(1, 401)), *trades(range(1, 401), "100.01")]
STANDING = trades(range(401, 1_401), "100.03")
LATER = [*book(range(1_401, 1_801)), *trades(range(1_401, 1_801), "100.01")]


def called(command, *args):
    """Return what a command prints, as text and as JSON."""
    result = CliRunner().invoke(command, [*args, "--json"])
    assert result.exit_code == 0, result.output
    *lines, last = result.stdout.splitlines()
    text = CliRunner().invoke(command, args).stdout if command is not data_import else "\n".join(lines)
    return text, json.loads(last)


def imported(rows, root="data"):
    """Import *rows* as a table, and return the warnings."""
    rows = sorted(rows, key=lambda row: row[0])
    files = {"book.csv": ("bid", "ask"), "trades.csv": ("buy", "sell")}
    for name, sides in files.items():
        lines = [f"{START_US + round(s * 1e6)},{side},{price},{qty}\n" for s, side, price, qty in rows if side in sides]
        Path(name).write_text("".join(["time,side,price,qty\n", *lines]))
    options = ("--symbol", "SIMUSDT", "--data-root", root, "--tick-size", "0.01", "--qty-step", "1")
    return called(data_import, *files, "--format", "table", *options)[1]["warnings"]


@pytest.mark.parametrize(
    ("rows", "spans"),
    [
        (ALIVE + STANDING, [(0, 400)]),  # its stream ended
        (ALIVE + STANDING + book([80_000]), [(0, 400)]),  # and a last row has the time of another hour
        (ALIVE + STANDING + LATER, [(0, 400), (1_401, 1_800.5)]),
    ],
)
def test_book_that_trades_print_through_for_minutes_is_no_market(rows, spans):
    """From its last message on; import, check, coverage and summary say so, with the same seconds, and none fails."""
    assert any("no message while 941 trades print through it" in warning for warning in imported(rows))
    tape = mm.load_day(DAY)
    summary = mm.backtest(tape, ("fixed_spread", {"delta_ticks": 1}), "trade_cross").summary
    assert [[(us - START_US) / 1e6 for us in span] for span in summary["spans"]] == [list(span) for span in spans]
    seconds = sum(end - begin for begin, end in spans)
    assert summary["seconds_covered"] == seconds
    text, report = called(data_check, str(DAY))
    assert report["ok"]
    assert report["covered_s"] == pytest.approx(seconds, abs=0.6)  # to the last message of the book
    assert "no message while 941 trades print through it" in text
    assert called(data_coverage, str(DAY))[1]["days"][0]["covered_s"] == pytest.approx(seconds, abs=0.6)


def test_span_without_a_market_is_known_from_what_came_before_its_end():
    """What comes later changes nothing of it, so that no result depends on the future."""
    rows = ALIVE + STANDING + LATER
    imported(rows)
    whole = mm.load_day(DAY)
    for seconds in (300, 1_402, 1_700):
        imported([row for row in rows if row[0] < seconds], f"until_{seconds}")
        part = mm.load_day(f"until_{seconds}/SIMUSDT/20260105")
        before = whole.between(whole.start_us, START_US + seconds * 1_000_000)
        assert [before.event_us.tolist(), before.kind.tolist()] == [part.event_us.tolist(), part.kind.tolist()]
        assert [*map(before.rows, range(len(before)))] == [*map(part.rows, range(len(part)))]
    received = mm.load_day(DAY, as_received=True)  # a live program heard nothing of it
    assert Counter(received.kind.tolist())[4] == 0
    assert Counter(whole.known_at(START_US + 410_000_000).kind.tolist())[4] == 0


@pytest.mark.parametrize(
    "rows",
    [
        ALIVE + trades(range(401, 1_401), "100.01"),
        ALIVE + trades(range(401, 460), "100.03") + trades(range(460, 1_401), "100.01"),  # the book is late, a minute
    ],
)
def test_book_that_stands_still_but_may_be_true_is_only_warned_of(rows):
    """Trades at its best prices prove nothing about it: the time counts, and import and check say the seconds."""
    warnings = imported(rows)
    assert any("the book stands still for 1,000 s" in warning for warning in warnings)
    text, report = called(data_check, str(DAY))
    assert (report["ok"], report["standing_s"]) == (True, 0)
    assert "the book stands still for 1,000 s" in text
    assert mm.load_day(DAY).meta.excluded == ()


@pytest.mark.parametrize("right", [0, 400, 5_000])
def test_import_says_that_sides_are_swapped(right):
    """It needs no check to find out, nor are they swapped all day: the first *right* trades are as they should be."""
    swapped = [(s + 900, "sell", price, qty) for s, side, price, qty in ALIVE if side == "buy"]
    live = [row for row in ALIVE if row[1] != "buy"] + book(range(900, 1_301))
    early = [(s * 400 / right, "buy", "100.01", 1) for s in range(right)] if right else []
    warnings = imported(live + early + swapped)
    assert any("400 trades" in warning and "the side is swapped" in warning for warning in warnings)


def test_trades_of_another_symbol_are_said_before_their_numbers_are_read():
    """Of two symbols in a file without their column, prices are far apart: import, check and backtest say so."""
    rows = ALIVE + trades([s + 0.1 for s in range(1, 401)], "10001")
    said = "400 trades (recv_seq "
    assert any(said in warning and "another symbol" in warning for warning in imported(rows))
    assert CliRunner().invoke(data_check, [str(DAY)]).exit_code == 3
    assert any(said in warning for warning in mm.backtest(mm.load_day(DAY)).summary["warnings"])


def test_coverage_of_a_clock_that_was_set_back_is_that_of_the_tape():
    """By more than the day had lasted: its end is not before its begin, and no time passes until the clock is there."""
    snapshot = {"lastUpdateId": 10, "bids": [["99.99", "1.5"]], "asks": [["100.01", "2"]]}
    lines = [f"{START_US} {json.dumps(snapshot)}\n"]
    for n in range(1, 201):
        us = START_US + n * 1_000_000 - (n > 100) * 7_200_000_000
        diff = {"e": "depthUpdate", "E": us // 1000, "s": "SIMUSDT", "U": 10 + n, "u": 10 + n, "b": [], "a": []}
        lines.append(f"{us} {json.dumps({'stream': 'simusdt@depth', 'data': diff})}\n")
    Path("capture.txt").write_text("".join(lines))
    called(data_import, "capture.txt", "--symbol", "SIMUSDT")
    text, report = called(data_coverage, str(DAY))
    assert "-" not in text.splitlines()[1]
    tape = mm.load_day(DAY)
    assert report["days"][0]["covered_s"] == (tape.end_us - tape.start_us) / 1e6 == 100
