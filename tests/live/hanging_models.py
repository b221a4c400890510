"""Strategies that hang once the file ``hang`` exists, in the way that the variable HANG names."""

import os
import re
import time
from pathlib import Path

import mm

FAR_TICKS = 150  # no trade of the market reaches these quotes


def loop():
    """Hang in Python code."""
    while True:
        pass


def stubborn_loop():
    """Hang in Python code that swallows every error."""
    while True:
        try:
            loop()
        except BaseException:
            continue


def sleep():
    """Hang in a call that gives the interpreter back."""
    time.sleep(600)


def held():
    """Hang in C code that holds the interpreter."""
    sum(range(10**13))


def matching():
    """Hang in a compiled module, which holds the interpreter as that of a user may."""
    re.match(r"(a+)+$", "a" * 64 + "b")


HOW = {one.__name__: one for one in (loop, stubborn_loop, sleep, held, matching)}


class Hangs:
    """Quotes far from the market, and hangs in ``quote``."""

    def quote(self, view):
        if Path("hang").exists():
            HOW[os.environ["HANG"]]()
        return mm.Quotes(view.bid_ticks - FAR_TICKS, view.ask_ticks + FAR_TICKS)


class HedgesAndHangs:
    """Rests an order in the own market and one in the second, and hangs in ``on_event``."""

    def on_event(self, market, orders):
        if Path("hang").exists():
            HOW[os.environ["HANG"]]()
        second = market.other("second")
        if not len(orders):
            orders.submit(1, market.bid_ticks - FAR_TICKS)
        if second.bid_ticks and not len(orders.at("second")):
            orders.at("second").submit(1, second.bid_ticks - FAR_TICKS)
