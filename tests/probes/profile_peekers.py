"""Source code of user models and signals that know the played day, and of honest ones that read or write files."""

SOURCE = '''
import random
from bisect import bisect_right
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

import mm
from mm import Quotes

AHEAD_US = 5_000_000


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


class Decays:
    """Leans to where the mid went in the last seconds, and draws a number each time."""

    def __init__(self):
        self.us, self.moved, self.mid2, self.draw = 0, 0.0, 0, random.Random(3)

    def quote(self, view):
        if self.us:
            self.moved *= 2 ** (-(view.us - self.us) / 3e6)
            self.moved += view.mid2_ticks - self.mid2
        self.us, self.mid2 = view.us, view.mid2_ticks
        return leaning(view, self.moved + self.draw.uniform(-1, 1))


class Yesterday:
    """Loads the day before, as a user's strategy does."""

    def __init__(self):
        tape = mm.load_day("data/SIMUSDT/20260104")
        self.mid2 = int(tape.top_bid_ticks[-1] + tape.top_ask_ticks[-1])

    def quote(self, view):
        return leaning(view, self.mid2 - view.mid2_ticks)


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
        np.loadtxt("profiles/constants.csv", delimiter=",")
'''
