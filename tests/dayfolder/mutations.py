"""Mutations of a recorded day, and the ones that `mm data check` finds, with and without the manifest.

``python tests/dayfolder/mutations.py`` records the simulated exchange, applies one mutation at a time, and prints the
table of docs/evidence/measured.md; ``--all`` prints every mutation with its first defect.

Without a manifest, a mutation counts as found if it causes a defect that the unchanged day does not have.
"""

import csv
import gzip
import io
import json
import shutil
import sys
from collections import Counter
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[1 + up]) for up in (0, 1)]
    sys.path.append(str(Path(__file__).resolve().parents[1] / "market_data"))


from day_files import defects_of
from mm import DayFolder
from mm.dayfolder.line_files import gzip_member

HOUR_US = 3_600_000_000
SCRIPT = """
at time 8 do drop n=1
at time 14 do drop n=2 of=trade
at time 20 do close code=1006
at time 26 do bad_json
"""
SECONDS = 40
PLAUSIBLE = (
    "trades: another quantity",
    "diffs: a quantity deep in the book",
    "events: the last row, run_stop, is gone",
    "instrument: a finer tick",
)
"""Mutations that only the hashes of the manifest reveal, as docs/data.md says."""


def record_day(root):
    """Return a day with a gap, a trade gap filled by REST, a closed connection and a quarantined message."""
    from simulated import simulate, slow

    day, _ = simulate(SCRIPT + slow(6), SECONDS, root)
    return DayFolder.at(day.path)


# Functions that change the files of a day.


def text_of(path):
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def write(path, text):
    path.write_bytes(gzip_member(text.encode()) if path.suffix == ".gz" else text.encode())


def lines(of, change, *, header=True):
    """Return a mutation that applies *change* to the lines of a file, without its header."""

    def mutate(folder):
        path = of(folder)
        found = text_of(path).splitlines(keepends=True)
        head = found[:header]
        rest = found[header:]
        change(rest)
        write(path, "".join(head + rest))

    return mutate


def table(of, change):
    """Return a mutation that applies *change* to the rows of a CSV, header first."""

    def mutate(folder):
        path = of(folder)
        rows = list(csv.reader(io.StringIO(path.read_text())))
        change(rows)
        out = io.StringIO()
        for row in rows:
            out.write(
                ",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' if "{" in cell else cell for cell in row) + "\n"
            )
        path.write_text(out.getvalue())

    return mutate


def cell(of, column, value, pick=0.5):
    """Return a mutation that sets one cell to *value* (or its result); *pick* is a position or a predicate of rows."""

    def change(rows):
        at = rows[0].index(column)
        row = _picked(rows, pick)
        row[at] = str(value(row[at]) if callable(value) else value)

    return table(of, change)


def later(of, pick=0.5, by_us=HOUR_US):
    """Return a mutation that shifts the receive time of one row."""

    def change(rows):
        row, head = _picked(rows, pick), rows[0]
        us = int(row[head.index("recv_time_us")]) + by_us
        row[head.index("recv_time_us")], row[head.index("recv_time_ms")] = str(us), str(us // 1000)

    return table(of, change)


def _picked(rows, pick):
    if callable(pick):
        return next(row for row in rows[1:] if pick(row))
    return rows[1 + round(pick * (len(rows) - 2))]


def kind(name):
    return lambda row: row[4] == name


def details(name, **values):
    """Return a mutation of the details of the first event of a kind; a value may be a function of the old one."""

    def change(rows):
        row = _picked(rows, kind(name))
        old = json.loads(row[6])
        new = {key: value(old[key]) if callable(value) else value for key, value in values.items()}
        row[6] = json.dumps({**old, **new}, separators=(",", ":"))

    return table(events, change)


def without(of, pick):
    return table(of, lambda rows: rows.remove(_picked(rows, pick)))


def diff(change):
    """Return a mutation of a depth message in the middle of the day whose best bid is in the next frame."""

    def mutate(folder):
        frames_by_seq = {row.split(",")[2]: row for row in text_of(folder.frames).splitlines()}

        def alter(rows):
            for at in range(len(rows) // 2, len(rows)):
                message = json.loads(rows[at])
                frame = frames_by_seq.get(str(message["recv_seq"]), "")
                if len(message["b"]) > 1 < len(message["a"]) and ",".join(message["b"][0]) in frame:
                    rows[at] = json.dumps(change(message) or message, separators=(",", ":")) + "\n"
                    return
            raise AssertionError("no such message")

        lines(diffs, alter, header=False)(folder)

    return mutate


def snapshot_level(change):
    """Return a mutation of a snapshot at a level that is still in the first frame after it."""

    def mutate(folder):
        rows = text_of(snapshot(folder)).splitlines()[1:]
        last_id = int(rows[0].split(",")[5])
        frames_of = text_of(folder.frames).splitlines()[1:]
        frame = next(row for row in frames_of if int(row.rsplit(",", 1)[1]) > last_id)
        at = next(at for at, row in enumerate(rows) if ",".join(row.split(",")[3:5]) in frame)
        lines(snapshot, lambda found: change(found, at))(folder)

    return mutate


def _other_qty(rows, at):
    cells = rows[at].split(",")
    rows[at] = ",".join([*cells[:4], "7.77700000", *cells[5:]])


def delete_file(of):
    return lambda folder: of(folder).unlink()


def empty_file(of):
    return lambda folder: of(folder).write_bytes(b"")


def halve_file(of):
    return lambda folder: of(folder).write_bytes(of(folder).read_bytes()[: of(folder).stat().st_size // 2])


def drop_second_half(rows):
    del rows[len(rows) // 2 :]


def remove(at, count=1):
    def change(rows):
        begin = round(at * (len(rows) - count))
        del rows[begin : begin + count]

    return change


def double(rows):
    rows.insert(len(rows) // 2, rows[len(rows) // 2])


def swap(rows):
    at = len(rows) // 2
    rows[at - 1], rows[at] = rows[at], rows[at - 1]


def move_to_end(rows):
    rows.append(rows.pop(len(rows) // 2))


def rename_column(rows):
    rows[0][3] += "_x"


def drop_column(rows):
    for row in rows:
        del row[3]


def swap_columns(rows):
    for row in rows:
        row[2], row[3] = row[3], row[2]


def replaced(of, old, new):
    def mutate(folder):
        text = text_of(of(folder))
        assert old in text, old
        write(of(folder), text.replace(old, new))

    return mutate


def swap_snapshots(folder):
    """Swap the contents of two snapshots."""
    first, second = sorted(folder.snapshots.iterdir())[:2]
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def remove_five_seconds(folder):
    """Remove five seconds from all message files; the ledger is unchanged."""
    us = json.loads(text_of(folder.diffs).splitlines()[100])["recv_us"]

    def inside(stamp):
        return us <= int(stamp) < us + 5_000_000

    def outside(stamp_of):
        return lambda rows: rows.__setitem__(slice(None), [row for row in rows if not inside(stamp_of(row))])

    lines(frames, outside(lambda row: row.split(",")[-2]))(folder)
    lines(trades, outside(lambda row: row.split(",")[9]))(folder)
    lines(diffs, outside(lambda row: json.loads(row)["recv_us"]), header=False)(folder)


events, gaps, diffs, frames, trades = map(attrgetter, ("events", "gaps", "diffs", "frames", "trades"))
quarantine, schema, instrument = map(attrgetter, ("quarantine", "schema", "instrument"))


def snapshot(folder):
    return sorted(folder.snapshots.iterdir())[0]


TABLES = {"events": events, "gaps": gaps, "frames": frames, "trades": trades}
STREAMS = {**TABLES, "diffs": diffs}
FILES = {**STREAMS, "quarantine": quarantine, "schema": schema, "instrument": instrument, "snapshot": snapshot}
ROWS = {
    "the first row is gone": remove(0),
    "a row is gone": remove(0.5),
    "ten rows are gone": remove(0.5, 10),
    "a row stands twice": double,
    "two rows are swapped": swap,
    "a row stands at the end": move_to_end,
    "the second half is gone": drop_second_half,
}


def _deep(message):
    """Change the level of the message that is farthest from the touch."""
    side = max("ab", key=lambda side: len(message[side]))
    message[side][-1][1] = "123.45600000"


def _lists():
    """Yield name and mutation for changes of rows, files and columns."""
    for name, of in STREAMS.items():
        for what, change in ROWS.items():
            if name == "gaps" and what == "ten rows are gone":
                continue
            yield f"{name}: {what}", lines(of, change, header=of is not diffs)
    for name, of in {**TABLES, "diffs": diffs}.items():
        last = "the last row, run_stop, is gone" if name == "events" else "the last row is gone"
        yield f"{name}: {last}", lines(of, remove(1.0), header=of is not diffs)
    for name, of in FILES.items():
        yield f"{name}: the file is gone", delete_file(of)
        yield f"{name}: the file is empty", empty_file(of)
        yield f"{name}: the second half of its bytes is gone", halve_file(of)
    for name, of in {**TABLES, "snapshot": snapshot}.items():
        yield f"{name}: a column has another name", table(of, rename_column)
        yield f"{name}: a column is gone", table(of, drop_column)
        yield f"{name}: two columns are swapped", table(of, swap_columns)
    yield "quarantine: a row stands twice", lines(quarantine, double, header=False)
    yield "all files: five seconds of messages are gone", remove_five_seconds


def _cells():
    yield "trades: a price ten times as high", cell(trades, "price", lambda text: f"{10 * float(text):.8f}")
    yield "trades: a price of zero", cell(trades, "price", "0.00000000")
    yield "trades: a price off the tick", cell(trades, "price", lambda text: text[:-3] + "500")
    yield "trades: another quantity", cell(trades, "qty", "1.23400000")
    yield "trades: a quantity of zero", cell(trades, "qty", "0.00000000")
    yield "trades: a quantity off the step", cell(trades, "qty", "1.23450000")
    yield "trades: a quantity that no order may have", cell(trades, "qty", "99000000.00000000")
    yield "trades: a negative quantity", cell(trades, "qty", lambda text: "-" + text)
    yield "trades: another id", cell(trades, "trade_id", lambda text: int(text) + 1_000)
    yield "trades: the id of the one before", cell(trades, "trade_id", lambda text: int(text) - 1)
    yield "trades: a first id of another trade", cell(trades, "first_trade_id", lambda text: int(text) - 1)
    yield "trades: a last id of another trade", cell(trades, "last_trade_id", lambda text: int(text) + 1)
    yield "trades: a side that is none", cell(trades, "is_buyer_maker", "1")
    yield "trades: another run", cell(trades, "run_id", "R9")
    yield "trades: another recv_seq", cell(trades, "recv_seq", lambda text: int(text) + 100_000)
    yield "trades: received an hour later", later(trades)
    yield "trades: the last one received an hour later", later(trades, 1.0)
    yield "trades: received an hour earlier", later(trades, by_us=-HOUR_US)
    yield "trades: traded a day later", cell(trades, "trade_time_ms", lambda text: int(text) + 86_400_000)
    yield "trades: sent an hour later", cell(trades, "event_time_ms", lambda text: int(text) + 3_600_000)
    yield "trades: from REST, with a time of the stream", cell(trades, "source", "rest")
    yield "diffs: another first id", diff(lambda row: row.update(U=row["U"] + 1))
    yield "diffs: another last id", diff(lambda row: row.update(u=row["u"] + 1))
    yield "diffs: a price off the tick", diff(lambda row: row["b"][0].__setitem__(0, "99.99500000"))
    yield "diffs: a price of zero", diff(lambda row: row["b"][0].__setitem__(0, "0.00000000"))
    yield "diffs: a quantity at the touch", diff(lambda row: row["b"][0].__setitem__(1, "7.77700000"))
    yield "diffs: a quantity off the step", diff(lambda row: row["b"][-1].__setitem__(1, "7.77750000"))
    yield "diffs: a quantity deep in the book", diff(_deep)
    yield "diffs: a level is gone", diff(lambda row: row["b"].pop(0) and None)
    yield "diffs: bids and asks exchanged", diff(lambda row: row.update(a=row["b"], b=row["a"]))
    yield "diffs: sent an hour later", diff(lambda row: row.update(E=row["E"] + HOUR_US))
    yield (
        "diffs: received an hour later",
        diff(lambda row: row.update(recv_us=row["recv_us"] + HOUR_US, recv_ms=row["recv_ms"] + HOUR_US // 1000)),
    )
    yield "diffs: another recv_seq", diff(lambda row: row.update(recv_seq=row["recv_seq"] + 100_000))
    yield "diffs: another run", diff(lambda row: row.update(run_id="R9"))
    yield "diffs: a key has another name", diff(lambda row: {("x" if key == "E" else key): row[key] for key in row})
    yield "diffs: a key more", diff(lambda row: row.update(pu=1))
    yield "frames: another best bid", cell(frames, "bid1_price", "98.00000000")
    yield "frames: another quantity at the last level", cell(frames, "ask10_qty", "1.00000000")
    yield "frames: another epoch", cell(frames, "epoch_id", "7")
    yield "frames: another last id", cell(frames, "last_update_id", lambda text: int(text) + 1)
    yield "frames: received an hour later", later(frames)
    yield "frames: sent a second later", cell(frames, "event_time_ms", lambda text: int(text) + 1_000)
    yield "frames: another recv_seq", cell(frames, "recv_seq", lambda text: int(text) + 1)
    yield "gaps: another range", cell(gaps, "details", lambda text: text.replace('"to_id":', '"to_id":1'), 0)
    yield "gaps: received an hour later", later(gaps)
    yield "gaps: another type", cell(gaps, "event", "trade_gap", 0)


def _ledger():
    for name in ("run_start", "snapshot_loaded", "gap", "resync_start", "resync_done", "trade_gap", "backfill"):
        yield f"events: the first {name} is gone", without(events, kind(name))
    yield "events: a type that is none", cell(events, "type", "snap")
    yield "events: another type", cell(events, "type", "stall", kind("resync_done"))
    yield "events: no details", cell(events, "details_json", "{}", kind("gap"))
    yield "events: details that are no JSON", cell(events, "details_json", "{from", kind("gap"))
    yield "events: another epoch", cell(events, "epoch_id", "9", kind("snapshot_loaded"))
    yield "events: another event id", cell(events, "event_id", "77", kind("gap"))
    yield "events: another run", cell(events, "run_id", "R9", kind("gap"))
    yield "events: another recv_seq", cell(events, "recv_seq", lambda text: int(text) + 1, kind("trade_gap"))
    yield "events: received an hour later", later(events)
    yield "events: received an hour earlier", later(events, by_us=-HOUR_US)
    yield "events: a gap that is shorter", details("gap", to_id=lambda last: last - 1)
    yield "events: a gap that is longer", details("gap", to_id=lambda last: last + 5)
    yield "events: a trade gap that is shorter", details("trade_gap", to_id=lambda last: last - 1)
    yield "events: a backfill of more", details("backfill", to_id=lambda last: last + 3)
    yield "events: another id of a snapshot", details("snapshot_loaded", last_update_id=lambda last: last + 1)
    yield "events: another file of a snapshot", details("snapshot_loaded", path="snapshots/snapshot_9_initial.csv")
    yield "events: another id of a resync", details("resync_done", last_update_id=lambda last: last + 1)


def _whole_files():
    yield "snapshot: a row of the best ten is gone", snapshot_level(list.pop)
    yield "snapshot: a quantity of the best ten", snapshot_level(_other_qty)
    yield "snapshot: a price off the tick", cell(snapshot, "price", lambda text: text[:-3] + "500")
    yield "snapshot: a level stands twice", lines(snapshot, double)
    yield "snapshot: a quantity of zero", cell(snapshot, "qty", "0.00000000", 0)
    yield "snapshot: another lastUpdateId", cell(snapshot, "lastUpdateId", lambda text: int(text) + 1)
    yield "snapshot: another side", cell(snapshot, "side", "ask", 0)
    yield "snapshot: another event", cell(snapshot, "event_id", "77")
    yield "snapshot: two files exchanged", swap_snapshots
    yield "snapshot: a file more", lambda folder: (folder.snapshots / "snapshot_99_refresh.csv").write_text("x\n")
    yield "instrument: a coarser tick", replaced(instrument, '"tickSize": "0.01000000"', '"tickSize": "0.05000000"')
    yield "instrument: a coarser step", replaced(instrument, '"stepSize": "0.00100000"', '"stepSize": "0.01000000"')
    yield "instrument: a finer tick", replaced(instrument, '"tickSize": "0.01000000"', '"tickSize": "0.00100000"')
    yield "instrument: another symbol", replaced(instrument, '"SIMUSDT"', '"BTCUSDT"')
    yield "schema: another symbol", replaced(schema, "SIMUSDT", "BTCUSDT")
    yield "schema: another day", replaced(schema, "20260105", "20260106")
    yield "schema: other columns", replaced(schema, "trade_time_ms", "time_ms")
    yield "schema: a version to come", replaced(schema, '"schema_version": 1', '"schema_version": 9')


MUTATIONS = dict(pair for group in (_lists(), _cells(), _ledger(), _whole_files()) for pair in group)


def found(pristine, name, place, *, sealed):
    """Return the defects that a mutation causes in a copy of *pristine*."""
    copy = DayFolder(Path(place), pristine.symbol, pristine.day)
    shutil.rmtree(copy.path, ignore_errors=True)
    shutil.copytree(pristine.path, copy.path)
    if not sealed:
        copy.manifest.unlink()
    before = [] if sealed else defects_of(copy)
    MUTATIONS[name](copy)
    return [defect for defect in defects_of(copy) if defect not in before]


def main(*, every):
    """Print the table of docs/evidence/measured.md."""
    with TemporaryDirectory() as root:
        pristine = record_day(root)
        missed = {True: [], False: []}
        kinds = Counter()
        for name in MUTATIONS:
            for sealed in (True, False):
                defects = found(pristine, name, Path(root) / "copy", sealed=sealed)
                if not defects:
                    missed[sealed].append(name)
                elif not sealed:
                    kinds[defects[0].kind] += 1
                if every:
                    first = (
                        f"{defects[0].file}:{defects[0].row} {defects[0].kind}: {defects[0].message}"
                        if defects
                        else "-"
                    )
                    print(f"{'with' if sealed else 'without'}  {name}: {first}"[:200])
    total = len(MUTATIONS)
    print("| manifest | mutations | found |")
    print("|---|---|---|")
    for sealed, title in ((True, "sealed"), (False, "none")):
        print(f"| {title} | {total} | {total - len(missed[sealed])} |")
    for name in missed[False]:
        print(f"not found without a manifest: {name}")
    for name in missed[True]:
        print(f"not found: {name}")


if __name__ == "__main__":
    main(every="--all" in sys.argv)
