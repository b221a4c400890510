"""Bybit's archive: a day's book and prints from its files, in the order in which they happened."""

import gzip
import json
import zipfile
from decimal import Decimal

import pytest

from bybit_frames import BEGIN_MS, SYMBOL, BybitMarket, OwnReplay
from captured import events, rows
from day_files import defects_of
from mm.dayfolder.layout import DayFolder
from mm.errors import BrokenFile, Mismatch
from mm.formats.bybit import form_of_files
from mm.market_data.capture_import import import_captures
from mm.tape.load import load_day

HEAD = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional,RPI"
SPOT_HEAD = "id,timestamp,price,volume,side"


def book_zip(path, frames):
    """Write frames as the archive does: one member of JSON lines."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path.name.removesuffix(".zip"), "\n".join(frames) + "\n")
    return path


def prints_csv(path, prints, *, linear=True, down=False):
    """Write prints as the archive does; early files begin with the last one."""
    lines = []
    for at, told in enumerate(prints, start=1):
        if linear:
            cells = f"{told['T'] / 1000:.4f}", SYMBOL, told["S"], told["v"], told["p"], told["L"], told["i"], "1", "1"
            lines.append(",".join((*cells, "1", "true" if told["RPI"] else "false")))
        else:
            lines.append(f"{at},{told['T']},{told['p']},{told['v']},{told['S'].lower()}")
    ordered = lines[::-1] if down else lines
    with gzip.open(path, "wt") as file:
        file.write("\n".join([HEAD if linear else SPOT_HEAD, *ordered]) + "\n")
    return path


def archive(folder, seed=1, changes=80, *, linear=True, down=False, depth=200):
    """Write a stretch of a made market as files of the archive, and return them with its frames."""
    made = BybitMarket(seed, depth=depth, linear=linear)
    frames, prints = [made.snapshot()], []
    for at in range(changes):
        if at % 3 == 1:
            prints += json.loads(made.prints(1 + at % 2))["data"]
        frames.append(made.delta())
    name = f"2026-08-06_{SYMBOL}_ob{depth}.data.zip"
    csv = f"{SYMBOL}2026-08-06.csv.gz" if linear else f"{SYMBOL}_2026-08-06.csv.gz"
    files = [book_zip(folder / name, frames), prints_csv(folder / csv, prints, linear=linear, down=down)]
    return files, frames, prints


def imported(files, data, **changed):
    """Import files of the archive, and return their only day."""
    report = import_captures(files, changed.pop("symbol", SYMBOL), data, run_id="r", form=form_of_files(files))
    (day,) = report.days
    return DayFolder(data, SYMBOL, day.day)


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "spot"])
@pytest.mark.parametrize("down", [False, True], ids=["upwards", "downwards"])
def test_day_of_the_archive_has_every_change_and_print_in_their_order(tmp_path, linear, down):
    """A print comes before the change of its instant, which contains it; the market is told by the prints."""
    files, frames, prints = archive(tmp_path, linear=linear, down=down)
    day = imported(files[::-1], tmp_path / "data")
    assert json.loads(day.schema.read_text())["venue"] == ("bybit-linear" if linear else "bybit-spot")
    trades = [*rows(day.trades)]
    names = [told["i"] for told in prints] if linear else [str(at) for at in range(1, len(prints) + 1)]
    if down:  # of one instant they are the other way round again
        assert sorted(row["venue_trade_id"] for row in trades) == sorted(names)
    assert [int(row["trade_time_ms"]) for row in trades] == [told["T"] for told in prints]
    assert [row["venue_trade_id"] for row in trades] == names
    assert not defects_of(day)
    replay = OwnReplay()
    for text in frames:
        replay.take(text)
    (last,) = [*rows(day.frames)][-1:]
    assert Decimal(last["ask1_price"]) == replay.book()[-1][0][0]
    seqs = {int(row["recv_time_us"]): int(row["recv_seq"]) for row in rows(day.frames)}
    for row in trades:
        after = min((us for us in seqs if us >= int(row["recv_time_us"])), default=None)
        assert after is None or int(row["recv_seq"]) < seqs[after]
    assert load_day(day.path).meta.market.name == ("bybit" if linear else "bybit-spot")


def test_archive_has_no_times_of_receipt(tmp_path):
    """What happened is what was received, so no delay can be measured."""
    from mm.tape.feed import why_no_feed

    files, _, _ = archive(tmp_path)
    day = imported(files, tmp_path / "data")
    assert not events(day, "clock_offset")
    tape = load_day(day.path)
    assert why_no_feed(tape) == "its receive times are the exchange's"


@pytest.mark.parametrize("harm", ["cut", "html", "crc", "prints"])
def test_damaged_file_is_an_error_and_leaves_nothing(tmp_path, harm):
    """A day is whole or not there."""
    files, _, _ = archive(tmp_path, changes=600)
    book, prints = files
    if harm == "cut":
        book.write_bytes(book.read_bytes()[:-2000])
    elif harm == "html":
        book.write_bytes(b"<!DOCTYPE html><html>no such key</html>")
    elif harm == "crc":
        content = bytearray(book.read_bytes())
        content[len(content) // 2] ^= 255
        book.write_bytes(content)
    else:
        prints.write_bytes(prints.read_bytes()[:-30])
    with pytest.raises(BrokenFile, match=book.name if harm != "prints" else prints.name):
        imported(files, tmp_path / "data")
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_file_of_another_symbol_is_named(tmp_path):
    """The error says which symbol the files have."""
    files, _, _ = archive(tmp_path)
    with pytest.raises(Mismatch, match=SYMBOL):
        imported(files, tmp_path / "data", symbol="OTHERUSDT")


def test_lost_line_is_a_gap_until_the_next_snapshot(tmp_path):
    """Nothing is a book after it."""
    made = BybitMarket(3, depth=200)
    frames = [made.snapshot(), *(made.delta() for _ in range(30))]
    missing = made.u
    frames += [made.delta() for _ in range(20)] + [made.snapshot()] + [made.delta() for _ in range(5)]
    del frames[30]
    files = [book_zip(tmp_path / f"2026-08-06_{SYMBOL}_ob200.data.zip", frames)]
    day = imported(files, tmp_path / "data")
    (gap,) = events(day, "gap")
    assert (gap["from_id"], gap["to_id"]) == (missing, missing)
    shown = [int(row["last_update_id"]) for row in rows(day.frames)]
    assert not [number for number in shown if missing <= number <= missing + 20]
    assert shown[-1] == made.u
    assert int([*rows(day.frames)][-1]["event_time_ms"]) > BEGIN_MS


def test_funding_that_the_archive_does_not_hold_is_doubted(tmp_path):
    """It has no mark prices: what was due in the day is unknown, and every run says so."""
    made = BybitMarket(4, depth=200)
    frames = [made.snapshot(), made.delta()]
    made.ms = 1_786_003_195_000  # 08:00 UTC is five seconds later
    frames += [made.delta() for _ in range(100)]
    day = imported([book_zip(tmp_path / f"2026-08-06_{SYMBOL}_ob200.data.zip", frames)], tmp_path / "data")
    doubts = [row for row in events(day, "anomaly") if row["kind"] == "funding_doubt"]
    assert [row["paid_ms"] for row in doubts] == [1_786_003_200_000]
