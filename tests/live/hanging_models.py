"""Strategies that hang once the file ``hang`` exists, in the way that the variable HANG names."""

import os
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


HOW = {one.__name__: one for one in (loop, stubborn_loop, sleep, held)}


class Hangs:
    """Quotes far from the market, and hangs in ``quote``."""

    def quote(self, view):
        if Path("hang").exists():
            HOW[os.environ["HANG"]]()
        return mm.Quotes(view.bid_ticks - FAR_TICKS, view.ask_ticks + FAR_TICKS)
