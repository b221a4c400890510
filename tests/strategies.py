"""Hypothesis strategies: small recorded days that can be written to a folder, and valid tapes."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from day_files import RowWriter
from mm import DayFolder, Tape
from mm.instrument import Instrument

SIM = Instrument("SIMUSDT", tick_e8=1_000_000, lot_e8=100_000, min_notional_e8=500_000_000)
DAY = "20260105"
START_US = 1_767_596_400_000_000


@dataclass
class Story:
    """The content of a recorded day.

    Attributes:
        runs: The steps of each run: a method of RowWriter and its arguments.
        finer: Whether quantities are finer than the exchange's step.
    """

    runs: list[list[tuple]] = field(default_factory=list)

    def write(self, root, *, symbol="SIMUSDT", day=DAY, instrument=SIM, seal=True):
        """Write the day under *root* and return its folder; sealing waits for the disk."""
        folder = DayFolder(root, symbol, day)
        for number, steps in enumerate(self.runs):
            with RowWriter(folder, f"run{number}", top_n=3, instrument=instrument) as writer:
                for method, *args in steps:
                    getattr(writer, method)(*args)
                if seal:
                    writer.seal()
        return folder


def decimal(units, places):
    """Return *units* of 10**-places as the exchange writes them, with eight places."""
    return f"{units // 10**places}.{units % 10**places:0{places}d}{'0' * (8 - places)}"


def price(ticks):
    """Return a price of SIM."""
    return decimal(ticks, 2)


def qty(lots):
    """Return a quantity of SIM."""
    return decimal(lots, 3)


def levels(low, high, most=3, least_lots=0):
    """Draw levels in the exchange's format, prices from *low* to *high* ticks, in any order."""
    level = st.tuples(st.integers(low, high), st.integers(least_lots, 9))
    unique = st.lists(level, max_size=most, unique_by=lambda pair: pair[0])
    return unique.map(lambda pairs: [[price(ticks), qty(lots)] for ticks, lots in pairs])


@st.composite
def stories(draw, runs=2, size=25):
    """Draw a day of up to *runs* runs with early and late snapshots, gaps, repeats and overlaps of ids, clock steps."""
    at, last_id, trade_id = START_US, draw(st.integers(1, 5_000)), 0
    story = Story()
    for _ in range(draw(st.integers(1, runs))):
        steps = [("event", at, "run_start", 0, {"version": "1", "knobs": {}})]
        for _ in range(draw(st.integers(0, size))):
            at += draw(st.sampled_from((0, 1, 1_000, 90_000, 100_000_000, -2_000)))
            match draw(st.sampled_from(("diff",) * 6 + ("trade",) * 3 + ("snapshot", "snapshot", "gap", "resync"))):
                case "diff":
                    first = last_id + draw(st.sampled_from((1,) * 8 + (0, -2, 3, -2_000)))
                    end = first + draw(st.sampled_from((0, 1, 4)))
                    last_id = max(end, 1)
                    bids, asks = draw(levels(95, 102)), draw(levels(100, 106))
                    steps.append(("diff", at, at // 1000, max(first, 1), last_id, bids, asks))
                case "trade":
                    trade_id += draw(st.sampled_from((1, 1, 1, 0, 3)))
                    lots, ticks = draw(st.integers(1, 9)), draw(st.integers(95, 106))
                    trade = (trade_id, at // 1000, price(ticks), qty(lots), draw(st.booleans()), trade_id, trade_id)
                    source = draw(st.sampled_from(("ws", "rest")))
                    steps.append(("trade", at, None if source == "rest" else at // 1000, *trade, source))
                case "snapshot":
                    snapshot_id = max(last_id + draw(st.sampled_from((0, 0, -1, -3, 2))), 1)
                    tag = draw(st.sampled_from(("initial", "resync", "carried")))
                    book = draw(levels(95, 102, 4, 1)), draw(levels(100, 106, 4, 1))
                    steps.append(("snapshot", at, tag, snapshot_id, *book, 1))
                case "gap":
                    details = {"from_id": 1, "to_id": 2, "from_us": at, "to_us": at, "cause": "test"}
                    steps.append(("gap", at, "gap", 1, details))
                case "resync":
                    steps.append(("event", at, "resync_start", 1, {"cause": "test"}))
        story.runs.append(steps)
    return story


@st.composite
def tape_events(draw, size=30, gaps=True):
    """Draw events for `Tape.of`: an uncrossed book, trades at and near its prices, gaps followed by a snapshot."""
    us, drawn, bids, asks = 0, [], {}, {}
    valid = False
    for _ in range(draw(st.integers(1, size))):
        us += draw(st.sampled_from((0, 0, 1, 7, 250_000, 60_000_000)))
        kind = draw(st.sampled_from(("depth",) * 4 + ("trade",) * 3 + ("gap", "keyframe") * gaps))
        if kind == "trade":
            side, exch_us = draw(st.sampled_from((1, -1))), max(us - draw(st.integers(0, 2)), 0)
            drawn.append((us, "trade", side, draw(st.integers(94, 107)), draw(st.integers(1, 9)), exch_us))
        elif kind == "gap" and valid:
            drawn.append((us, "gap"))
            bids, asks, valid = {}, {}, False
        elif kind == "keyframe" and valid:
            drawn.append((us, "keyframe"))
        elif valid:
            drawn.append((us, "depth", *draw(_uncrossed_change(bids, asks))))
        else:
            bids.update(draw(st.dictionaries(st.integers(95, 100), st.integers(1, 9), max_size=3)))
            asks.update(draw(st.dictionaries(st.integers(101, 106), st.integers(1, 9), max_size=3)))
            drawn.append((us, "snapshot", [*bids.items()], [*asks.items()]))
            valid = True
    return drawn


@st.composite
def _uncrossed_change(draw, bids, asks):
    """Draw a change of both sides that does not cross the book; *bids* and *asks* are updated."""
    middle = draw(st.integers(98, 103))
    changes = []
    for book, low, high in ((bids, middle - 5, middle - 1), (asks, middle, middle + 5)):
        change = draw(st.dictionaries(st.integers(low, high), st.integers(0, 9), max_size=3))
        crossed = [ticks for ticks in book if not low - 50 * (book is bids) <= ticks <= high + 50 * (book is asks)]
        change.update(dict.fromkeys(crossed, 0))
        book.update(change)
        for ticks in [ticks for ticks, lots in book.items() if lots == 0]:
            del book[ticks]
        changes.append([*change.items()])
    return changes


def tapes(size=30, gaps=True):
    """Draw valid tapes of up to *size* events."""
    return tape_events(size, gaps).map(lambda events: Tape.of(SIM, events))
