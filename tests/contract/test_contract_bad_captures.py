"""Broken or unexpected captures: rejected in one line, or imported with a report of the fault."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import hand
import pytest
from lab import Done, Lab, mm

pytestmark = pytest.mark.slow  # a process for each case

FLAGS = ("--symbol", "TINYUSDT", "--tick-size", "0.01", "--qty-step", "0.001")


def imported(lab: Lab, name: str, content: bytes, *flags: str) -> Done:
    """Import a capture with exactly these bytes."""

    def make(folder: Path) -> None:
        (folder / "cap.dat").write_bytes(content)
        done = mm("data", "import", "cap.dat", *(flags or FLAGS), cwd=folder)
        (folder / "done.json").write_text(json.dumps([done.code, done.out, done.err]))

    folder = lab.once(f"capture/{name}", make)
    return Done(*json.loads((folder / "done.json").read_text()), folder)


def lines(change: Callable[[list[str]], None] | None = None) -> bytes:
    text = hand.small(40)
    if change:
        change(text)
    return ("\n".join(text) + "\n").encode()


def put(number: int, text: str) -> Callable[[list[str]], None]:
    def change(all_lines: list[str]) -> None:
        all_lines[number - 1] = text

    return change


def futures(all_lines: list[str]) -> None:
    all_lines[21] = all_lines[21].replace('"U":', '"pu": 1, "U":')


REJECTED = {
    "empty": (b"", ("cap.dat", "empty")),
    "empty gzip": (gzip.compress(b""), ("cap.dat",)),
    "a table": (b"a,b,c\n1,2,3\n", ("cap.dat:1:",)),
    "binary": (bytes(range(256)) * 8, ("cap.dat",)),
    "futures": (lines(futures), ("cap.dat:22:", "pu")),
}


@pytest.mark.parametrize("name", REJECTED)
def test_file_that_is_no_spot_capture_is_rejected_in_one_line(lab: Lab, name: str) -> None:
    """Exit 3; the line contains file and line number; no day folder."""
    content, needles = REJECTED[name]
    done = imported(lab, name, content)
    assert done.code == 3, done
    (line,) = done.err.splitlines()
    assert all(needle in line for needle in needles), line
    assert not (done.cwd / "data").exists()


def test_capture_of_other_symbol_is_rejected(lab: Lab) -> None:
    """A REST response has no symbol; a typo in --symbol must not create a day from another symbol's book."""
    done = imported(lab, "other symbol", lines(), "--symbol", "TINYUSDC", *FLAGS[2:])
    assert done.code == 3, done.out
    assert "TINYUSDT" in done.err
    assert not (done.cwd / "data").exists()


def test_missing_capture_is_rejected_with_its_path(lab: Lab) -> None:
    """Exit 3; the line contains the path."""
    done = lab.command("capture/absent", "data", "import", "absent.dat", *FLAGS)
    assert done.code == 3
    assert "absent.dat" in done.err
    assert len(done.err.splitlines()) == 1


def test_import_does_not_overwrite_existing_day(lab: Lab) -> None:
    """A second import into the same folder is rejected and changes nothing."""

    def make(folder: Path) -> None:
        (folder / "cap.dat").write_bytes(lines())
        assert mm("data", "import", "cap.dat", *FLAGS, cwd=folder).code == 0

    folder = lab.once("capture/twice", make)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = mm("data", "import", "cap.dat", *FLAGS, cwd=folder)
    assert done.code in {2, 3}
    assert len(done.err.splitlines()) == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_whole_lines_of_truncated_gzip_are_imported(lab: Lab) -> None:
    """All whole lines are imported, and the import reports that the rest is lost."""
    whole = gzip.compress(lines())
    done = imported(lab, "truncated", whole[: len(whole) * 2 // 3])
    assert done.code == 0
    (warning,) = [line for line in done.out.splitlines() + done.err.splitlines() if "lost" in line]
    assert "cap.dat" in warning
    assert "complete lines" in warning


@pytest.mark.parametrize("text", ["garbage", f"{hand.T0 + 5_500_000} {{broken"])
def test_line_that_is_no_json_is_reported_with_its_number(lab: Lab, text: str) -> None:
    """The other lines are imported, and the import reports file and line number of the bad one."""
    done = imported(lab, f"broken {len(text)}", lines(put(22, text)))
    assert done.code == 0
    assert "cap.dat:22" in done.out + done.err


@pytest.mark.parametrize(("unit", "cut"), [("ms", 13), ("us", 16), ("ns", 19)])
def test_receive_times_are_read_in_three_units(lab: Lab, unit: str, cut: int) -> None:
    """Receive times in ms, µs or ns give the same time."""
    text = [f"{line.split(' ', 1)[0]}000"[:cut] + " " + line.split(" ", 1)[1] for line in hand.small(40)]
    done = imported(lab, unit, ("\n".join(text) + "\n").encode())
    assert done.code == 0
    (trades,) = done.cwd.rglob("trades_ws_*.csv")
    first = trades.read_text().splitlines()[1].split(",")
    assert first[9] == str(hand.T0 + 600_000)


def test_split_and_compressed_capture_gives_same_day(lab: Lab) -> None:
    """Split between two lines, compressed or not: the same day."""

    def make(folder: Path) -> None:
        text = lines().decode().splitlines(keepends=True)
        (folder / "one.gz").write_bytes(gzip.compress("".join(text[:33]).encode()))
        (folder / "two.txt").write_text("".join(text[33:]))
        (folder / "all.txt").write_text("".join(text))
        for number, names in enumerate((["all.txt"], ["one.gz", "two.txt"])):
            done = mm("data", "import", *names, *FLAGS, "--data-root", f"d{number}", cwd=folder, RUN_ID="x")
            assert done.code == 0, done.err

    folder = lab.once("capture/parts", make)
    for pattern in ("trades_ws_*", "depth_diffs_*", "orderbook_ws_*"):
        (one,), (two,) = (folder / "d0").rglob(pattern), (folder / "d1").rglob(pattern)
        assert one.read_bytes() == two.read_bytes()


TICKS = ("0.07", "0.02", "100")


@pytest.mark.parametrize("tick", TICKS)
@pytest.mark.parametrize("first", [0, 1], ids=["snapshot", "no snapshot"])
def test_tick_size_that_leaves_no_book_is_rejected(lab: Lab, tick: str, first: int) -> None:
    """Exit 3, one line with the tick, a price and the remedy; such an import once looked like a success."""
    content = ("\n".join(hand.small(40)[first:]) + "\n").encode()
    done = imported(lab, f"tick {tick} {first}", content, "--symbol", "TINYUSDT", "--tick-size", tick)
    assert done.code == 3, done.out
    (line,) = done.err.splitlines()
    needles = ("prices of the capture, such as ", f"tick size {tick},", "multiple of 0.01:", "--tick-size (TICK_SIZE)")
    assert all(needle in line for needle in needles), line
    assert not (done.cwd / "data").exists()


def test_import_without_snapshot_reports_day_that_never_synced(lab: Lab) -> None:
    """Exit 3 and one line, but all messages are stored."""
    done = imported(lab, "no snapshot", ("\n".join(hand.small(40)[1:]) + "\n").encode())
    assert done.code == 3
    assert len(done.err.splitlines()) == 1
    assert (done.cwd / "data/TINYUSDT/20260105").is_dir()
    assert done.out.splitlines()[-1].endswith("data/TINYUSDT/20260105: never synced, so it cannot be replayed")
