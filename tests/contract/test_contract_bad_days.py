"""Damaged day folders: each fault is reported in one line with its place, and no partial run folder is left."""

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import hand
import pytest
from lab import Done, Lab
from outside import json_of, text_of

pytestmark = pytest.mark.slow  # a process for each case

SYMBOL, DAY = "TINYUSDT", "20260105"
TRADES, EVENTS = f"trades_ws_{SYMBOL}_{DAY}.csv", f"events_{SYMBOL}_{DAY}.csv"
DIFFS, SNAPSHOT = f"diffs/depth_diffs_{SYMBOL}_{DAY}.ndjson.gz", "snapshots/snapshot_3_initial.csv"
FRAMES = f"orderbook_ws_depth_{SYMBOL}_{DAY}.csv"
QUOTES = {"QUOTE_MODEL": "fixed_spread", "QUOTE_PARAMS_JSON": '{"delta_ticks": 1}'}
Damage = Callable[[Path], None]


def line_of(name: str, number: int, change: Callable[[str], str]) -> Damage:
    """Return a function that changes one line (counted from 1) of a file of the day."""

    def damage(day: Path) -> None:
        lines = text_of(day / name).split("\n")
        after = change(lines[number - 1])
        assert after != lines[number - 1]
        lines[number - 1] = after
        write(day / name, "\n".join(lines))

    return damage


def write(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def emptied(name: str) -> Damage:
    return lambda day: (day / name).write_bytes(b"") and None


def removed(name: str) -> Damage:
    return lambda day: (day / name).unlink()


def cut(name: str, size: int) -> Damage:
    return lambda day: (day / name).write_bytes((day / name).read_bytes()[:size]) and None


def swap(old: str, new: str) -> Callable[[str], str]:
    return lambda line: line.replace(old, new, 1)


def field(key: str, change: Callable[[int], int]) -> Callable[[str], str]:
    """Return a function that changes numbers of a diff."""

    def apply(line: str) -> str:
        diff = json.loads(line)
        return json.dumps({name: change(diff[name]) if name in key.split() else diff[name] for name in diff})

    return apply


def cell(number: int, change: Callable[[str], str]) -> Callable[[str], str]:
    def apply(line: str) -> str:
        cells = line.split(",")
        cells[number] = change(cells[number])
        return ",".join(cells)

    return apply


#: Name -> damage, and what the only line of stderr must contain: file and line, or row and value.
REJECTED: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "missing snapshot": (removed(SNAPSHOT), (SNAPSHOT,)),
    "empty trades": (emptied(TRADES), (TRADES, "empty")),
    "empty diffs": (emptied(DIFFS), (DIFFS, "empty")),
    "broken instrument": (lambda day: write(day / "instrument.json", "{"), ("instrument.json",)),
    "broken JSON line": (line_of(DIFFS, 21, swap('"u":', '"u"')), (f"{DIFFS}:21:",)),
    "unknown column": (line_of(TRADES, 1, swap("price", "prize")), (f"{TRADES}:1:", "price")),
    "short row": (line_of(TRADES, 21, lambda line: line[:30]), (f"{TRADES}:21:",)),
    "no number": (line_of(TRADES, 21, cell(7, lambda _: "0.x5")), (f"{TRADES}:21:", "x5")),
    "negative quantity": (line_of(TRADES, 21, cell(7, lambda qty: f"-{qty}")), (f"{TRADES}:21:", "-0.5")),
    "diff off the grid": (line_of(DIFFS, 21, swap("99.99", "99.993")), (f"{DIFFS}:21:", "99.993", "0.01")),
    "trade off the grid": (line_of(TRADES, 21, cell(6, lambda _: "99.993")), (f"{TRADES}:21:", "99.993", "0.01")),
    "snapshot off the grid": (line_of(SNAPSHOT, 4, cell(3, lambda _: "99.973")), (f"{SNAPSHOT}:4:", "99.973", "0.01")),
}

#: Name -> damage that a run tolerates, and what its only warning must contain.
WARNED: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "truncated gzip": (cut(DIFFS, 1500), (DIFFS, "complete lines are used", "lost")),
    "crossed book": (line_of(DIFFS, 21, swap("99.99", "100.50")), (DIFFS, "recv_seq")),
    "ids backwards": (line_of(DIFFS, 21, field("U u", lambda number: number - 10)), (DIFFS, r"\b(121|111|21)\b")),
    "missing id": (line_of(DIFFS, 21, field("U", lambda number: number + 1)), (DIFFS, r"\b(121|122|21)\b")),
    "clock back": (
        line_of(DIFFS, 21, field("recv_us recv_ms", lambda stamp: int(stamp - 3 * 10 ** (len(str(stamp)) - 10)))),
        (DIFFS, r"\b(21|44|1767596407500000)\b"),
    ),
    "duplicate trade": (line_of(TRADES, 21, cell(4, lambda _: "1018")), (TRADES, r"\b(1018|21)\b")),
    "no instrument": (removed("instrument.json"), ("instrument.json", "0.01")),
}


def tiny(lab: Lab) -> Path:
    """Return the data root of one minute of a quiet book."""
    done = lab.imported("tiny", hand.small(), "--symbol", SYMBOL, "--tick-size", "0.01", "--qty-step", "0.001")
    assert done.code == 0, done.err
    return done.cwd / "data"


def run_damaged(lab: Lab, name: str, damage: Damage, level: str = "ERROR") -> Done:
    """Return a backtest of the damaged day; its manifest is missing, as after a crash of the recorder."""

    def make(folder: Path) -> None:
        data = shutil.copytree(tiny(lab), folder / "data")
        day = data / SYMBOL / DAY
        next(day.glob("manifest_*")).unlink()
        damage(day)

    data = lab.once(f"bad/{name}", make) / "data"
    return lab.command(
        f"bad-run/{level}/{name}", "backtest", SYMBOL=SYMBOL, DAY=DAY, DATA_ROOT=str(data), LOG_LEVEL=level, **QUOTES
    )


def leftover_runs(folder: Path) -> list[str]:
    """Return what a rejected run must not leave: run folders, whole or partial."""
    out = folder / "out"
    there = [path for path in out.rglob("*") if path.is_dir() and "logs" not in path.relative_to(out).parts]
    return [str(path) for path in there if path.name.startswith(DAY) or "partial" in path.name]


@pytest.mark.parametrize("name", REJECTED)
def test_broken_day_is_rejected_with_file_and_line(lab: Lab, name: str) -> None:
    """Exit 3; the line contains file, line or row, and value; no run folder."""
    damage, needles = REJECTED[name]
    done = run_damaged(lab, name, damage)
    assert done.code == 3, done
    assert len(done.err.splitlines()) == 1, done.err
    assert done.out == ""
    for needle in needles:
        assert needle in done.err
    assert leftover_runs(done.cwd) == []


@pytest.mark.parametrize("name", WARNED)
def test_tolerable_fault_logs_one_warning_with_its_place(lab: Lab, name: str) -> None:
    """The warning contains the file and the affected line, row or id; beside it, that the ended day has no seal."""
    damage, needles = WARNED[name]
    done = run_damaged(lab, name, damage, level="WARNING")
    assert done.code == 0, done
    of_day = [line for line in done.err.splitlines() if "warning data_warning" in line]
    (unsealed,) = [line for line in of_day if f"{SYMBOL}/{DAY}: unsealed: the recording has ended" in line]
    (line,) = [line for line in of_day if line != unsealed]
    for needle in needles:
        assert re.search(needle, line), line
    told = json_of(next(done.cwd.rglob("summary.json")))["warnings"]
    assert f"{SYMBOL} {DAY}: unsealed: " in " ".join(told)
    assert str(done.cwd.parent) not in " ".join(told)


def test_time_after_book_fault_is_excluded(lab: Lab) -> None:
    """The time from a crossed book or an id gap to the next snapshot (here: the end) is excluded."""
    for name in ("crossed book", "missing id"):
        done = run_damaged(lab, name, WARNED[name][0], level="WARNING")
        summary = json_of(next(done.cwd.rglob("summary.json")))
        assert 9 < summary["seconds_covered"] < 12
        assert 48 < summary["seconds_excluded"] < 52


def test_reordered_columns_give_same_fills(lab: Lab) -> None:
    """The fills are the same when the columns are reordered."""

    def reorder(day: Path) -> None:
        rows = [line.split(",") for line in text_of(day / TRADES).splitlines()]
        write(day / TRADES, "\n".join(",".join([*row[7:], *row[:7]]) for row in rows) + "\n")

    plain, other = run_damaged(lab, "sound", lambda _: None), run_damaged(lab, "reordered", reorder)
    assert (plain.code, other.code) == (0, 0)
    files = [next(done.cwd.rglob("fills_*.csv")).read_bytes() for done in (plain, other)]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("day", "needle"),
    [("20260106", "20260106"), ("20260105:20260107", "20260106"), ("20260105,20260109", "20260109")],
)
def test_missing_day_is_reported_also_within_range(lab: Lab, day: str, needle: str) -> None:
    """Exit 3 before the replay; the line contains the missing folder and the existing days."""
    done = lab.command(
        f"missing/{needle}-{len(day)}", "backtest", SYMBOL=SYMBOL, DAY=day, DATA_ROOT=str(tiny(lab)), **QUOTES
    )
    assert done.code == 3
    (line,) = done.err.splitlines()
    assert f"{SYMBOL}/{needle}" in line
    assert DAY in line
    assert leftover_runs(done.cwd) == []


@pytest.mark.parametrize("command", ["calibrate", "schedule", "walkforward"])
def test_other_commands_reject_broken_day(lab: Lab, command: str) -> None:
    """All commands use the same reader of days."""
    run_damaged(lab, "broken JSON line", REJECTED["broken JSON line"][0])
    data = lab.root / "bad/broken JSON line/data"
    windows = () if command == "calibrate" else ("--wf-train-window-min", "0.2", "--wf-step-min", "0.1")
    done = lab.command(f"bad-{command}", command, *windows, SYMBOL=SYMBOL, DAY=DAY, DATA_ROOT=str(data))
    assert done.code == 3
    (line,) = done.err.splitlines()
    assert f"{DIFFS}:21:" in line
    assert leftover_runs(done.cwd) == []


def test_day_that_never_synced_is_rejected(lab: Lab) -> None:
    """Contract §1: a day that never synced exits 3, too; so does its import, which keeps the day."""
    done = lab.imported("unsynced", hand.small()[1:], "--symbol", SYMBOL, "--tick-size", "0.01", "--qty-step", "0.001")
    assert done.code == 3
    assert "never synced" in done.err
    run = lab.command("unsynced-run", "backtest", SYMBOL=SYMBOL, DAY=DAY, DATA_ROOT=str(done.cwd / "data"), **QUOTES)
    assert run.code == 3
    assert len(run.err.splitlines()) == 1
    assert leftover_runs(run.cwd) == []


def test_data_check_reports_file_and_row_of_each_fault(lab: Lab) -> None:
    """`mm data check` exits 3 and lists the defects, through both entry points."""
    for name in ("broken JSON line", "trade off the grid", "duplicate trade"):
        run_damaged(lab, name, {**REJECTED, **WARNED}[name][0])
        day = lab.root / "bad" / name / "data" / SYMBOL / DAY
        front = lab.command(f"checked/{name}", "data", "check", str(day), "--json")
        assert front.code == 3
        assert front.last["ok"] is False
        assert {(defect["file"], defect["row"]) for defect in front.last["defects"]} & {(DIFFS, 21), (TRADES, 20)}
        back = lab.command(f"checked/{name} by module", str(day), "--json", module="mm.market_data.check")
        assert (back.code, back.out) == (3, front.out)
