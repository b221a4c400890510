"""Source code of user models that know the played day by any key or way, and of honest ones."""

SOURCE = '''
import builtins
import ctypes
import mmap
import os
import pickle
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter, deque
from pathlib import Path

import numpy as np
import polars as pl

import mm
from mm import Quotes

KNOWN = Path("{known}")
BESIDE = Path("data/SIMUSDT/20260105")
AHEAD_US = 3_000_000
DAY_US = 86_400_000_000


def leaning(view, lean):
    return Quotes(view.bid_ticks + (lean > 0), view.ask_ticks - (lean < 0))


def moves(us, mid2):
    """At each of *us*, where the mid is a little later, less where it is."""
    us, mid2 = np.asarray(us), np.asarray(mid2)
    then = np.searchsorted(us, us + AHEAD_US, side="right") - 1
    return mid2[then] - mid2


class ByInstant:
    """Leans as a table of instants says."""

    day_us = None  # by the second of the day, which a shift by a week leaves as it is

    def __init__(self):
        us, mid2 = self.table()
        self.us, self.move = np.asarray(us), moves(us, mid2)
        if self.day_us:
            self.us = self.us % self.day_us

    def quote(self, view):
        us = view.us % self.day_us if self.day_us else view.us
        return leaning(view, self.move[max(np.searchsorted(self.us, us, side="right") - 1, 0)])


class BySecondOfDay(ByInstant):
    day_us = DAY_US


class Npy(BySecondOfDay):
    """A .npy file beside the data."""

    def table(self):
        return pl.read_parquet(KNOWN / "known.parquet").get_columns()


class Npz(BySecondOfDay):
    def table(self):
        with np.load(BESIDE / "known.npz") as file:
            return file["us"], file["mid2"]


class Pickle(ByInstant):
    def table(self):
        return pickle.loads((KNOWN / "known.pickle").read_bytes())


class SharedMemory(BySecondOfDay):
    """A file of /dev/shm, which is no folder of data."""

    def table(self):
        return np.fromfile("{shm}", np.int64).reshape(2, -1)


class Sqlite(BySecondOfDay):
    def table(self):
        connection = sqlite3.connect(KNOWN / "known.sqlite")
        rows = connection.execute("SELECT us, mid2 FROM known").fetchall()
        connection.close()
        return list(zip(*rows))


class EnvironmentPath(BySecondOfDay):
    def table(self):
        return pl.read_parquet(os.environ["KNOWN_TABLE"]).get_columns()


class ModuleCache(BySecondOfDay):
    """Whatever tape lies in the memory of the process, kept in its module."""

    def table(self):
        return TABLE


class PassedInSilence(BySecondOfDay):
    """An attribute of a module that somebody has set before."""

    def table(self):
        return builtins.known_table


class FileNames(BySecondOfDay):
    """Numbers in the names of empty files: nothing is opened."""

    def table(self):
        names = sorted(os.listdir(KNOWN / "names"))
        return np.array([name.split("_") for name in names], np.int64).T


class Mapped(BySecondOfDay):
    def table(self):
        descriptor = os.open(KNOWN / "known.bin", os.O_RDONLY)
        with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as memory:
            table = np.frombuffer(memory[:], np.int64).reshape(2, -1).copy()
        os.close(descriptor)
        return table


class ByLibc(BySecondOfDay):
    def table(self):
        libc, path = ctypes.CDLL(None), KNOWN / "known.bin"
        descriptor = libc.open(os.fsencode(path), os.O_RDONLY)
        memory = ctypes.create_string_buffer(path.stat().st_size)
        libc.read(descriptor, memory, len(memory))
        libc.close(descriptor)
        return np.frombuffer(memory.raw, np.int64).reshape(2, -1)


class Subprocess(BySecondOfDay):
    def table(self):
        text = subprocess.run(["cat", KNOWN / "known.bin"], capture_output=True, check=True).stdout
        return np.frombuffer(text, np.int64).reshape(2, -1)


class AtItsEnd(BySecondOfDay):
    """`__del__` of another object has read it."""

    def table(self):
        class Reads:
            def __del__(self):
                self.kept.append(pl.read_parquet(KNOWN / "known.parquet").get_columns())

        kept, reads = [], Reads()
        reads.kept = kept
        del reads
        return kept[0]


class ImportedFolder(BySecondOfDay):
    """A package that is installed, as it seems."""

    def table(self):
        sys.path.append(str(KNOWN / "site-packages"))
        import known_package

        sys.path.pop()
        return known_package.US, known_package.MID2


def _default(table=pl.read_parquet(KNOWN / "known.parquet")):
    return table.get_columns()


class ClosureDefault(BySecondOfDay):
    def table(self):
        return _default()


class ByTradeId:
    """The key is the last trade's id, which is the same on a shifted and a stretched day."""

    def __init__(self):
        table = pl.read_parquet(KNOWN / "trades.parquet")
        self.move = dict(zip(table["id"], table["move"]))

    def quote(self, view):
        return leaning(view, self.move.get(view.last_trade.id, 0) if view.last_trade else 0)


class ByCall:
    """The key is the number of the call."""

    def __init__(self):
        self.calls, self.move = 0, pl.read_parquet(KNOWN / "calls.parquet")["move"].to_list()

    def quote(self, view):
        self.calls += 1
        return leaning(view, self.move[min(self.calls, len(self.move)) - 1])


class ByPath:
    """The key is how prices and quantities came here."""

    def __init__(self):
        self.path, self.move = deque(maxlen=2), {}
        for move, *book in pl.read_parquet(KNOWN / "calls.parquet").iter_rows():
            self.move.setdefault(self.passed(tuple(book)), move)
        self.path.clear()

    def passed(self, book):
        if not self.path or self.path[-1] != book:
            self.path.append(book)
        return tuple(self.path)

    def quote(self, view):
        book = view.bid_ticks, view.ask_ticks, view.bid_lots, view.ask_lots
        return leaning(view, self.move.get(self.passed(book), 0))


class Requotes:
    """Honest: its own clock of 250 ms."""

    def __init__(self):
        self.next_us, self.quotes = 0, None

    def quote(self, view):
        if view.us >= self.next_us:
            self.next_us = view.us + 250_000
            self.quotes = Quotes(view.bid_ticks, view.ask_ticks)
        return self.quotes


class Decays:
    """Honest: a memory of three seconds."""

    def __init__(self):
        self.us, self.moved, self.mid2 = 0, 0.0, 0

    def quote(self, view):
        if self.us:
            self.moved = self.moved * 2 ** (-(view.us - self.us) / 3e6) + view.mid2_ticks - self.mid2
        self.us, self.mid2 = view.us, view.mid2_ticks
        return leaning(view, self.moved)


class Draws:
    """Honest: random numbers with a seed."""

    def __init__(self):
        self.draw = random.Random(5)

    def quote(self, view):
        return leaning(view, self.draw.choice((-1, 0, 1)))


class Logs(Decays):
    """Honest: writes the wall clock into a log."""

    def quote(self, view):
        with open("model.log", "a") as file:
            file.write(f"{time.time()} {view.us}\\n")
        return super().quote(view)


class Yesterday:
    """Honest: the day before, by `mm.load_day`."""

    def __init__(self):
        tape = mm.load_day("data/SIMUSDT/20260104")
        self.mid2 = int(tape.top_bid_ticks[-1] + tape.top_ask_ticks[-1])

    def quote(self, view):
        return leaning(view, self.mid2 - view.mid2_ticks)


class Vouched(ByInstant):
    """Honest: a season of the day before, in a file made today, for which --past vouches."""

    day_us = DAY_US

    def table(self):
        with open(KNOWN / "season.bin", "rb") as file:
            return np.frombuffer(file.read(), np.int64).reshape(2, -1)


class Imbalance:
    """Honest: leans to where the book does."""

    def quote(self, view):
        return leaning(view, view.bid_lots - view.ask_lots)


class TimeOfDay:
    """Honest: a pattern of the clock."""

    def quote(self, view):
        return leaning(view, view.us // 10_000_000 % 3 - 1)


class OneSided:
    """Honest: bids alone while it is cheaper than a minute ago."""

    def __init__(self):
        self.past = deque()

    def quote(self, view):
        self.past.append((view.us, view.mid2_ticks))
        while self.past[0][0] < view.us - 60_000_000:
            self.past.popleft()
        cheap = view.mid2_ticks < self.past[0][1]
        return Quotes(view.bid_ticks, None) if cheap else Quotes(None, view.ask_ticks)


TABLE = pl.read_parquet(KNOWN / "known.parquet").get_columns()
'''
