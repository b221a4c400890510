"""Source code of user models that look ahead in different ways, and of similar correct models."""

PEEKERS = '''
import csv
import json
import os
import random
import time
from bisect import bisect_right
from pathlib import Path

import mm
from mm import Quotes

DAY = "SIMUSDT/20260105"
TRADES = f"{DAY}/trades_ws_SIMUSDT_20260105.csv"
AHEAD_US = 5_000_000


def leaning(view, lean):
    """Join the best prices; a tick better on the side to which the price will move."""
    return Quotes(view.bid_ticks + (lean > 0), view.ask_ticks - (lean < 0))


class Future:
    """Future prices by instant."""

    def __init__(self, us, prices):
        self.us, self.prices = us, prices

    @classmethod
    def of_file(cls, path):
        with open(path) as file:
            rows = list(csv.DictReader(file))
        return cls([int(row["recv_time_us"]) for row in rows], [float(row["price"]) for row in rows])

    def lean(self, us):
        now, then = (self.prices[max(bisect_right(self.us, at) - 1, 0)] for at in (us, us + AHEAD_US))
        return (then > now) - (then < now)


class Reads:
    """Reads the day's file from its usual path, or from a given path."""

    def __init__(self, path=f"data/{TRADES}"):
        self.future = Future.of_file(path)

    def quote(self, view):
        return leaning(view, self.future.lean(view.us))


class ReadsByVariable(Reads):
    """Reads from the path in an environment variable."""

    def __init__(self):
        super().__init__(f"{os.environ['DATA_ROOT']}/{TRADES}")


class Loads(Reads):
    """Loads the day with the package's own function."""

    def __init__(self):
        tape = mm.load_day(f"data/{DAY}")
        self.future = Future(tape.event_us[tape.top_event].tolist(), tape.top_bid_ticks.tolist())


class ReadsNatively(Reads):
    """Reads with a library that opens files outside Python, from a path relative to the source."""

    def __init__(self):
        import polars as pl

        trades = pl.read_csv(Path(__file__).resolve().parent / "data" / TRADES)
        self.future = Future(trades["recv_time_us"].to_list(), trades["price"].to_list())


class Remembers:
    """Stores prices of an earlier run in its class."""

    seen = {}

    def quote(self, view):
        lean = self.seen.get(view.us + AHEAD_US, view.mid2_ticks) - view.mid2_ticks
        self.seen[view.us] = view.mid2_ticks
        return leaning(view, lean)


class RemembersOnDisk:
    """Stores prices of an earlier run in a file."""

    def __init__(self):
        self.path = Path("memory.json")
        self.old = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.new = {}

    def quote(self, view):
        self.new[view.us] = view.mid2_ticks
        if len(self.new) == 400:
            self.path.write_text(json.dumps(self.new))
        return leaning(view, self.old.get(str(view.us + AHEAD_US), view.mid2_ticks) - view.mid2_ticks)


class StoredAnswers:
    """Has the answers as a parameter, by instant."""

    def __init__(self, answers):
        self.answers = answers

    def quote(self, view):
        return leaning(view, self.answers.get(str(view.us), 0))


class LooksAround:
    """Searches the objects of the process for a tape."""

    def __init__(self):
        import gc

        from mm.tape.tape import Tape

        gc.collect()  # frees objects of earlier runs
        tape = next(one for one in gc.get_objects() if isinstance(one, Tape))
        self.future = Future(tape.event_us[tape.top_event].tolist(), tape.top_bid_ticks.tolist())

    quote = Reads.quote


class Raises(Reads):
    """Raises where the future that it reads ends."""

    def quote(self, view):
        if self.future.us[-1] < view.us:
            raise LookupError("no future left")
        return super().quote(view)


class Clock:
    def quote(self, view):
        return leaning(view, time.perf_counter_ns() // 1000 % 3 - 1)


class Dice:
    def quote(self, view):
        return leaning(view, random.choice((-1, 0, 1)))


class SeededDice:
    """Correct: draws depend on the seed."""

    def __init__(self, seed):
        self.draw = random.Random(seed)

    def quote(self, view):
        return leaning(view, self.draw.choice((-1, 0, 1)))


class TimeOfDay:
    """Correct: the time of day is allowed."""

    def quote(self, view):
        return leaning(view, view.us // 10_000_000 % 3 - 1)


class Momentum:
    """Correct, with a memory of its own run: leans to where the price came from."""

    def __init__(self):
        self.last = 0

    def quote(self, view):
        lean, self.last = view.mid2_ticks - (self.last or view.mid2_ticks), view.mid2_ticks
        return leaning(view, lean)


class Reader(Momentum):
    """Correct: reads data of an earlier day."""

    def __init__(self):
        super().__init__()
        with open("data/SIMUSDT/20260104/instrument.json") as file:
            json.load(file)


class FillsGood:
    """A fill model that leaves out fills that will lose."""

    def __init__(self, path=f"data/{TRADES}"):
        self.future = Future.of_file(path)

    def on_trade(self, order, trade):
        reached = order.side * (order.ticks - trade.ticks) >= 0 and order.side != trade.side
        return trade.lots if reached and order.side * self.future.lean(trade.us) >= 0 else 0


class Never:
    def quote(self, view):
        return None
'''

AT_IMPORT = '''
from peeking import DAY, Future, Reads, leaning

FUTURE = Future.of_file("data/SIMUSDT/20260105/trades_ws_SIMUSDT_20260105.csv")


class ReadsAtImport(Reads):
    """Reads the day's file when its module is imported, before any run."""

    def __init__(self):
        self.future = FUTURE
'''

COMPILED = '''
from mm.backtest.quotes.base cimport QuoteModel, View, Want
from libc.stdint cimport int64_t

cdef int64_t SEEN[100000]
cdef int64_t RUNS = 0


cdef class Remembers(QuoteModel):
    """Stores prices of an earlier run in module memory, by number of the call."""
    cdef int64_t calls

    def __init__(self) -> None:
        global RUNS
        RUNS += 1

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef int64_t then = SEEN[(self.calls + 20) % 100000] if RUNS > 1 else 0
        SEEN[self.calls % 100000] = view.top.bid_ticks
        self.calls += 1
        want.bid_ticks = view.top.bid_ticks - (1 if then and then < view.top.bid_ticks else 0)
        want.ask_ticks = view.top.ask_ticks
        return 0
'''
