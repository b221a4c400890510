"""Source code of user models that read the played day from files of their own, and of honest ones that read files."""

SOURCE = '''
import ctypes
import mmap
import os
import sqlite3
import subprocess
import threading
from bisect import bisect_right
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mm import Quotes

AHEAD_US = 5_000_000
ELSEWHERE = "{elsewhere}/profile.parquet"


def leaning(view, lean):
    return Quotes(view.bid_ticks + (lean > 0), view.ask_ticks - (lean < 0))


class Leans:
    """Leans to where the price of a profile is some seconds later."""

    def __init__(self):
        self.us, self.prices = (np.asarray(column).tolist() for column in self.profile())

    def at(self, us):
        now, then = (self.prices[max(bisect_right(self.us, us + ahead) - 1, 0)] for ahead in (0, AHEAD_US))
        return (then > now) - (then < now)

    def quote(self, view):
        return leaning(view, self.at(view.us))


def columns(table):
    return table["us"], table["price"]


class PolarsRelative(Leans):
    def profile(self):
        return columns(pl.read_parquet("profiles/profile.parquet"))


class PolarsLazy(Leans):
    def profile(self):
        return columns(pl.scan_parquet("profiles/prof*.parquet").select("us", "price").collect())


class ArrowMapped(Leans):
    def profile(self):
        return columns(pq.read_table("profiles/profile.parquet", memory_map=True))


class ArrowFile(Leans):
    def profile(self):
        return columns(pa.ipc.open_file(pa.memory_map("profiles/profile.arrow")).read_all())


class Sqlite(Leans):
    def profile(self):
        connection = sqlite3.connect("profiles/profile.sqlite")
        rows = connection.execute("SELECT us, price FROM profile ORDER BY us").fetchall()
        connection.close()
        return tuple(zip(*rows))


class NumpyMapped(Leans):
    def profile(self):
        return np.load("profiles/profile.npy", mmap_mode="r")


class Mapped(Leans):
    def profile(self):
        descriptor = os.open("profiles/profile.npy", os.O_RDONLY)
        with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as memory:
            values = np.frombuffer(memory[:], np.float64, offset=128).reshape(2, -1).copy()
        os.close(descriptor)
        return values


class ByLibc(Leans):
    def profile(self):
        libc = ctypes.CDLL(None)
        descriptor = libc.open(b"profiles/profile.npy", os.O_RDONLY)
        size = os.stat("profiles/profile.npy").st_size
        memory = ctypes.create_string_buffer(size)
        libc.read(descriptor, memory, size)
        libc.close(descriptor)
        return np.frombuffer(memory.raw, np.float64, offset=128).reshape(2, -1)


class OtherFolder(Leans):
    def profile(self):
        before = os.getcwd()
        os.chdir("profiles")
        table = pl.read_parquet("profile.parquet")
        os.chdir(before)
        return columns(table)


class Linked(Leans):
    def profile(self):
        return columns(pl.read_parquet("linked.parquet"))


class Elsewhere(Leans):
    def profile(self):
        return columns(pl.read_parquet(ELSEWHERE))


class Forged(Leans):
    def profile(self):
        return columns(pl.read_parquet("profiles/forged.parquet"))


class InThread(Leans):
    def profile(self):
        found = []
        thread = threading.Thread(target=lambda: found.append(pl.read_parquet("profiles/profile.parquet")))
        thread.start()
        thread.join()
        return columns(found[0])


class InChild(Leans):
    def profile(self):
        text = subprocess.run(["cat", "profiles/profile.csv"], capture_output=True, text=True, check=True).stdout
        return tuple(zip(*([float(cell) for cell in line.split(",")] for line in text.splitlines()[1:])))


class OtherSymbol(Leans):
    def profile(self):
        trades = pl.read_csv("data/TWINUSDT/20260105/trades_ws_TWINUSDT_20260105.csv")
        return trades["recv_time_us"], trades["price"]


class BySecond(Leans):
    """Knows the day by its seconds, and so also a week later."""

    def profile(self):
        us, prices = columns(pl.read_parquet("profiles/profile.parquet"))
        return us % 86_400_000_000, prices

    def quote(self, view):
        return leaning(view, self.at(view.us % 86_400_000_000))


class OneLook:
    """Joins the best prices all day, and looks into the day once, for one order."""

    def __init__(self):
        self.calls = 0

    def quote(self, view):
        self.calls += 1
        if self.calls != 300:
            return leaning(view, 0)
        import gc

        from mm.tape.tape import Tape

        gc.collect()
        tape = next(one for one in gc.get_objects() if type(one) is Tape)
        last = int(tape.top_bid_ticks[-1] + tape.top_ask_ticks[-1])
        return Quotes(view.bid_ticks - 3 - last % 7, None)


class DayMean:
    """A signal: the imbalance less its mean over the whole day."""

    levels = 1

    def __init__(self):
        import gc

        from mm.tape.tape import Tape

        gc.collect()
        tape = next(one for one in gc.get_objects() if type(one) is Tape)
        self.mean = float((tape.top_bid_ticks + tape.top_ask_ticks).mean()) / 2

    def on_book(self, book):
        return (book.bid_ticks + book.ask_ticks) / 2 - self.mean


class DayMeanOfFile(DayMean):
    """A signal: the mid less the mean of the day's trades, read outside Python."""

    def __init__(self):
        trades = pl.read_csv("data/SIMUSDT/20260105/trades_ws_SIMUSDT_20260105.csv")
        self.mean = float(trades["price"].mean())


class Season(Leans):
    """Honest: a table of seconds of the day, fitted on an earlier day."""

    def profile(self):
        us, prices = columns(pl.read_parquet("profiles/season.parquet"))
        return us % 86_400_000_000, prices

    def quote(self, view):
        return leaning(view, self.at(view.us % 86_400_000_000))


class EarlierDay(Leans):
    """Honest: the trades of the day before, read outside Python."""

    def profile(self):
        trades = pl.read_csv("data/SIMUSDT/20260104/trades_ws_SIMUSDT_20260104.csv")
        return trades["recv_time_us"], trades["price"]


class LongMemory:
    """Honest: leans to the mean of all prices that it has seen."""

    def __init__(self):
        self.total = self.count = 0

    def quote(self, view):
        self.total, self.count = self.total + view.mid2_ticks, self.count + 1
        return leaning(view, self.total - self.count * view.mid2_ticks)


class Hours:
    """Honest: wider at night, in the time of New York."""

    def quote(self, view):
        hour = datetime.fromtimestamp(view.us / 1e6, ZoneInfo("America/New_York")).hour
        wide = 2 if hour < 7 else 0
        return Quotes(view.bid_ticks - wide, view.ask_ticks + wide)


class Logs(LongMemory):
    """Honest: writes a log, and a table of its own that it reads again."""

    def quote(self, view):
        with open("model.log", "a") as file:
            file.write(f"{view.us}\\n")
        if self.count == 50:
            pl.DataFrame({"mid2": [view.mid2_ticks]}).write_parquet("own.parquet")
            pl.read_parquet("own.parquet")
        return super().quote(view)


class Constants(LongMemory):
    """Honest: reads parameters from a file."""

    def __init__(self):
        super().__init__()
        pl.read_csv("profiles/constants.csv")
'''

AT_IMPORT = '''
import polars as pl

from profiles_read import Leans, columns

TABLE = columns(pl.read_parquet("profiles/profile.parquet"))


class AtImport(Leans):
    """Reads the profile when its module is imported."""

    def profile(self):
        return TABLE
'''
