"""Damages kept tapes in many ways, and compares a run on each with a run on the undamaged day.

``PYTHONPATH=.:tests python tests/tape/damaged_tapes.py --flips 2000`` applies every named damage and that many random
bit flips, and prints the outcome of each kind: ``noted`` (rebuilt, with one note), ``same`` (the flipped byte has no
meaning) or ``different``. A hang is aborted after ten minutes with a stack trace.
"""

import argparse
import faulthandler
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from mm import Rules, backtest, load_day
from mm.tape import keep, level_changes
from mm.tape.columns import ARRAYS, DTYPES
from named import model_of
from strategies import START_US, Story, price, qty

Content = dict[str, bytes]
MOST = 2**63 - 1


def day_story(seed: int = 7) -> Story:
    """Return half an hour of a day: a moving book, prints, a gap and a second snapshot."""
    chance, steps, mid = random.Random(seed), [], 10_000
    us, update = START_US, 10
    for step in range(400):
        us += chance.randint(1, 7_000_000)
        update += 1
        if step % 200 == 0:
            if step:
                hole = {"from_id": 1, "to_id": 2, "from_us": us, "to_us": us, "cause": "test"}
                steps.append(("gap", us, "gap", 1, hole))
            book = [[[price(mid - side * n), qty(n)] for n in range(1, 6)] for side in (1, -1)]
            steps.append(("snapshot", us, "resync" if step else "initial", update, *book, 1))
            continue
        before, mid = mid, mid + chance.choice((-1, 0, 0, 1))
        removed = [[[price(before - side), qty(0)]] * (before != mid) for side in (1, -1)]
        shown = [[[price(mid - side * chance.randint(1, 4)), qty(chance.randint(1, 9))]] for side in (1, -1)]
        best = [[[price(mid - side), qty(chance.randint(1, 9))]] for side in (1, -1)]
        sides = ({cell[0]: cell for cell in removed[n] + shown[n] + best[n]} for n in (0, 1))
        steps.append(("diff", us, us // 1000, update, update, *([*side.values()] for side in sides)))
        if chance.random() < 0.4:
            side = chance.choice((1, -1))
            of = (step, us // 1000, price(mid + side), qty(chance.randint(1, 3)), side < 0, step, step)
            steps.append(("trade", us + 1, us // 1000, *of, "ws"))
    return Story([[("event", START_US, "run_start", 0, {"version": "1", "knobs": {}}), *steps]])


class Bench:
    """A day with a kept tape, the bytes of the kept files, and the results of the undamaged day."""

    def __init__(self, root: Path) -> None:
        self.folder = day_story().write(root / "data")
        self.cache = root / "tapes"
        self.outcome()  # builds the tape; the next run builds the index of its levels
        self.results, self.warnings = self.outcome(), load_day(self.folder).meta.warnings
        self.files: Content = {path.name: path.read_bytes() for path in self.cache.glob("*.npy")}
        self.tape, self.levels = sorted(self.files, key=len)  # .npy, .levels.npy
        self.kept = {self.tape: DTYPES, self.levels: level_changes.KEPT}
        self.labels = {self.tape: "tape", self.levels: "levels"}

    def outcome(self) -> list[bytes]:
        """Return all numbers of a run on the kept tape: its columns, and journals of two fill models."""
        tape = load_day(self.folder, cache=self.cache)
        grid = tape.instrument
        rules = Rules(grid.tick_e8, grid.lot_e8, start_lots=100, quote_lots=2 * tape.step_lots)
        found = [getattr(tape, name).tobytes() for name in ARRAYS]
        found.append(repr((tape.days, grid, tape.step_lots, tape.start_us, tape.end_us)).encode())
        for fills in (model_of("trade_cross"), model_of("queue_prob_power")):
            journal = backtest(tape, model_of("fixed_spread", delta_ticks=1), fills, rules).journal
            found += [table.tobytes() for table in (journal.orders, journal.fills, journal.state)]
        self.notes = tape.meta.warnings
        return found

    def fill_cache(self, files: Content) -> None:
        """Replace the files of the cache by these."""
        shutil.rmtree(self.cache)
        self.cache.mkdir()
        for name, content in files.items():
            (self.cache / name).write_bytes(content)

    def read(self, name: str) -> keep.KeptColumns:
        """Return an undamaged file."""
        self.fill_cache(self.files)
        return keep.read_columns(self.cache / name, self.kept[name])

    def outcome_of(self, damaged: Content) -> str:
        """Return the outcome of a run on damaged files; the next run must find no damage."""
        self.fill_cache(self.files | damaged)
        results, notes = self.outcome(), self.notes[len(self.warnings) :]
        is_clean = self.outcome() == self.results and self.notes == self.warnings
        if results != self.results or not is_clean or len(notes) > 1:
            return "different"
        return "noted" if notes and "damaged (" in notes[0] and "\n" not in notes[0] else "same"

    def columns(self, name: str) -> dict[str, slice]:
        """Return the position of each column's bytes in a file."""
        places = {}
        for column, items in self.read(name).columns.items():
            begin = items.ctypes.data - np.frombuffer(items.base, np.uint8).ctypes.data
            if items.nbytes:
                places[column] = slice(begin, begin + items.nbytes)
        return places

    def craft(self, name: str, changes: dict[str, object], entry: dict[str, object] | None = None) -> Content:
        """Return a file with changed columns and valid checksums, as if the writer had been wrong."""
        file = self.read(name)
        crafted = self.cache.parent / name  # another file: the columns are mapped from the undamaged one
        keep.write_columns(crafted, file.entry | (entry or {}), file.columns | changes)
        return {name: crafted.read_bytes()}


def flipped(content: bytes, bit: int) -> bytes:
    """Return *content* with one bit changed."""
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def named_damages(bench: Bench) -> Iterator[tuple[str, Content]]:
    """Yield every named damage of the kept files; the outcome of each must be ``noted``."""
    for name, content in bench.files.items():
        label = bench.labels[name]
        places = bench.columns(name)
        for column, place in places.items():
            for what, byte in (("first", place.start), ("last", place.stop - 1)):
                yield f"flip in {label}: {column}, {what} byte", {name: flipped(content, 8 * byte + 3)}
        for a, b in pairwise(places):
            first_bytes, second_bytes = content[places[a]], content[places[b]]
            if len(first_bytes) == len(second_bytes) and first_bytes != second_bytes:
                swapped = bytearray(content)
                swapped[places[a]], swapped[places[b]] = second_bytes, first_bytes
                yield f"swap in {label}: {a} and {b}", {name: bytes(swapped)}
        for length in (0, 1, 100, len(content) // 2, len(content) - 100, len(content) - 1):
            yield f"cut {label}: to {length} bytes", {name: content[:length]}
        at = min(place.start for place in places.values())
        yield f"fill {label}: zeros", {name: content[:at] + bytes(4096) + content[at + 4096 :]}
        yield f"fill {label}: no file at all", {name: b"x" * len(content)}
        yield f"fill {label}: its own begin again", {name: content[:at] + content[: len(content) - at]}
        yield f"fill {label}: a block elsewhere", {name: content[:at] + content[at + 64 :] + bytes(64)}
        for key in (b'"digest"', b'"files"', b'"key"', b'"code"', b'"start_us"', b'"step_lots"', b'"low_ticks"'):
            if key in content:  # in the entry
                damaged = content.replace(key, key.swapcase())
                yield f"entry of {label}: {key.decode()}", {name: damaged}
    yield from crafted_damages(bench)


def crafted_damages(bench: Bench) -> Iterator[tuple[str, Content]]:
    """Yield files with valid checksums whose columns kernels must not read."""
    wrong: dict[str, dict[str, tuple[int, ...]]] = {
        bench.tape: {
            "first_row": (-1, MOST, -MOST),
            "kind": (0, 9),
            "row_side": (0, 2, -2),
            "row_ticks": (0, -5, MOST, 2**61),
            "row_lots": (-1, -MOST),
            "event_us": (MOST,),
            "top_event": (-1, MOST),
            "top_bid_ticks": (-1, MOST),
            "top_ask_lots": (-1,),
        },
        bench.levels: {
            "begin": (-1, MOST),
            "change": (-1, 2**31 - 1),
            "mark": (-1, 2**31 - 1),
        },
    }
    for name, columns in wrong.items():
        label = bench.labels[name]
        kept = bench.read(name).columns
        for column, values in columns.items():
            items = kept[column]
            for value in values:
                changed = items.copy()
                changed[len(changed) // 2] = value  # of a change both fields
                yield f"crafted {label}: {column} {value}", bench.craft(name, {column: changed})
            for what, other in (("shorter", items[:-1]), ("longer", np.append(items, items[-1:])), ("gone", items[:0])):
                yield f"crafted {label}: {column} {what}", bench.craft(name, {column: other})
            yield f"crafted {label}: {column} as floats", bench.craft(name, {column: np.zeros(len(items))})
    for key, value in (("step_lots", 0), ("start_us", MOST), ("end_us", -MOST), ("days", None), ("meta", [])):
        yield f"crafted tape: {key} {value}", bench.craft(bench.tape, {}, {key: value})


def random_flips(bench: Bench, count: int, seed: int) -> Iterator[tuple[str, Content]]:
    """Yield bit flips anywhere in a file."""
    chance = random.Random(seed)
    for _ in range(count):
        name = chance.choice((bench.tape, bench.levels))
        bit = chance.randrange(8 * len(bench.files[name]))
        yield f"flip anywhere: bit {bit} of {name}", {name: flipped(bench.files[name], bit)}


def main() -> None:
    """Print JSON: the number of outcomes per kind of damage, and the damages with a bad outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    faulthandler.dump_traceback_later(600, exit=True)
    ends: dict[str, Counter[str]] = {}
    bad = []
    with tempfile.TemporaryDirectory() as root:
        bench = Bench(Path(root))
        flips = random_flips(bench, args.flips, args.seed)
        for damages, allowed in ((named_damages(bench), {"noted"}), (flips, {"noted", "same"})):
            for what, damaged in damages:
                end = bench.outcome_of(damaged)
                ends.setdefault(what.partition(":")[0], Counter())[end] += 1
                if end not in allowed:
                    bad.append(f"{what}: {end}")
    print(json.dumps({"ends": ends, "bad": bad}, indent=1))


if __name__ == "__main__":
    main()
