"""Days as lists of recorder steps, for the tests of the tape."""

import gzip
import json

from plain_day import PlainBook, text_of

from mm.dayfolder.manifest import unseal
from mm.tape.tape import GAP, KEYFRAME, KIND_NAMES, SNAPSHOT, TRADE
from strategies import START_US, Story, price, qty

BOOK = ([[price(99), qty(5)]], [[price(101), qty(7)]])


def at(second):
    return START_US + second * 1_000_000


def diff(second, first, last, bids=(), asks=()):
    levels = [[[price(ticks), qty(lots)] for ticks, lots in side] for side in (bids, asks)]
    return ("diff", at(second), at(second) // 1000, first, last, *levels)


def trade(second, trade_id, ticks=100, maker=True, source="ws"):
    stamp = at(second) // 1000
    return ("trade", at(second), stamp, trade_id, stamp, price(ticks), qty(2), maker, trade_id, trade_id, source)


def snapshot(second, last_id, tag="initial", book=BOOK):
    return ("snapshot", at(second), tag, last_id, *book, 1)


START = ("event", at(0), "run_start", 0, {"version": "1", "knobs": {}})
PLAIN = [START, diff(1, 8, 9), snapshot(2, 10), diff(3, 11, 12, [(100, 3)]), trade(4, 1), diff(5, 13, 13, [(100, 0)])]


def write_day(tmp_path, *runs, **options):
    """Write an unsealed day, so that a test may change its files; its manifest lists their contents."""
    folder = Story([list(run) for run in runs]).write(tmp_path, **options)
    unseal(folder)
    return folder


def kinds(tape):
    return [KIND_NAMES[kind] for kind in tape.kind.tolist() if kind != KEYFRAME]


def tape_events(tape):
    """Return the events of a tape without keyframes, in the form of `plain_events`."""
    columns = zip(tape.event_us.tolist(), tape.event_exch_us.tolist(), tape.recv_seq.tolist(), strict=True)
    return [
        (*stamps, int(tape.event_id[number]), KIND_NAMES[int(tape.kind[number])], tape.rows(number))
        for number, stamps in enumerate(columns)
        if tape.kind[number] != KEYFRAME
    ]


def rewrite(path, change):
    """Replace the text of *path*, compressed or plain."""
    text = change(text_of(path))
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def remove_columns(folder, *columns):
    """Remove columns and keys from a day's files, as in files of older recorders."""

    def drop_cells(text):
        rows = [line.split(",") for line in text.splitlines()]
        kept = [place for place, name in enumerate(rows[0]) if name not in columns]
        return "".join(",".join(row[place] for place in kept) + "\n" for row in rows)

    def drop_keys(text):
        rows = [json.loads(line) for line in text.splitlines()]
        return "".join(json.dumps({key: row[key] for key in row if key not in columns}) + "\n" for row in rows)

    rewrite(folder.trades, drop_cells)
    rewrite(folder.diffs, drop_keys)


def check_keyframes(tape):
    """Assert that every keyframe is the book after the events before it, and the last event of its quarter hour."""
    book = PlainBook()
    for number, kind in enumerate(tape.kind.tolist()):
        if kind == KEYFRAME:
            assert tape.rows(number) == [
                *((1, *level) for level in sorted(book.bids.items(), reverse=True)),
                *((-1, *level) for level in sorted(book.asks.items())),
            ]
            quarter = 900_000_000
            assert tape.event_us[number] // quarter < tape.event_us[number + 1] // quarter
        elif kind != TRADE:
            book = PlainBook() if kind in (SNAPSHOT, GAP) else book
            book.apply(tape.rows(number))
