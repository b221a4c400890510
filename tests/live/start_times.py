"""Seconds from the start of a trader to its first order at an exchange in a box that fails every few seconds.

    PYTHONPATH=.:tests:tests/live python tests/live/start_times.py [--starts 20] [--fault-s 0 10 4] [--seed 1]

A start is that of a process, with Python's own; one that ends with 75 is followed by the next, and its time counts on.
The trader is ended with SIGTERM some seconds later, so that all starts but the first find a position. The faults are
those of the soak, drawn at random, at random phases of the starts. A line of JSON is printed for each market and
interval (0: no faults).
"""

import argparse
import json
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

from soak import LIMITS, MARKET, Soaked, _end
from test_trade_faults import FAULTS as OF_SPOT
from test_trade_usdm_faults import FAULTS as OF_CONTRACTS
from trading_box import Venue
from usdm_box import ContractBox

from serving import serving

MARKETS = {"spot": (Venue, OF_SPOT, ()), "usdm": (ContractBox, OF_CONTRACTS, ("--market", "usdm"))}
LOOK_S, TRADES_S, LONGEST_S = 0.05, 3.0, 600.0
APART_S = 20.0
"""Between two starts: more than three a minute wait for the exchange's limit of requests, not for the trader."""


class Faults:
    """Faults of an exchange at a steady interval; none for 0."""

    def __init__(self, one: Soaked, every_s: float) -> None:
        self._one, self._every_s = one, every_s
        self._due_s = time.monotonic() + one.chance.uniform(0, every_s)

    def pass_for(self, seconds: float) -> None:
        ends_s = time.monotonic() + seconds
        while self._every_s and self._due_s <= ends_s:
            time.sleep(max(0.0, self._due_s - time.monotonic()))
            self._one.cause()
            self._due_s += self._every_s
        time.sleep(max(0.0, ends_s - time.monotonic()))


def started(one: Soaked, faults: Faults) -> float:
    """Return the seconds of one start, and end it some seconds later."""
    since_us, symbol = one.now_us(), one.symbols[0]
    one.start()
    begun_s = one.begun_s
    while not one.account(symbol, since_us)["orders"] and time.monotonic() < begun_s + LONGEST_S:
        one.supervise()
        faults.pass_for(LOOK_S)
    seconds = time.monotonic() - begun_s
    faults.pass_for(one.chance.uniform(0, TRADES_S))
    assert one.process is not None
    if one.process.poll() is None:
        one.process.terminate()
    while one.process.poll() is None:
        faults.pass_for(LOOK_S)
    faults.pass_for(max(0.0, begun_s + APART_S - time.monotonic()))
    return seconds


def measure(folder: Path, market: str, every_s: float, starts: int, seed: int) -> dict:
    """Return what was found of one market and interval."""
    kind, named, flags = MARKETS[market]
    with ExitStack() as stack:
        ready = stack.enter_context(serving(*MARKET, *flags, "--seed", str(seed), longest_s=starts * LONGEST_S))[1]
        own = {**LIMITS, "SYMBOL": ready["symbol"], "LOG_LEVEL": "INFO"}
        one = Soaked(kind(folder, ready), own, named, random.Random(seed), 1.0)
        one.start()
        stack.callback(_end, one)
        one.process.kill()  # the first start of a folder makes its files
        one.process.wait()
        faults = Faults(one, every_s)
        found = [started(one, faults) for _ in range(starts)]
    cuts = quantiles(found, n=10, method="inclusive")
    return {
        "market": market,
        "fault_every_s": every_s,
        "starts": starts,
        "median_s": round(cuts[4], 2),
        "ninth_decile_s": round(cuts[8], 2),
        "longest_s": round(max(found), 2),
        "processes": one.seen["starts"] - 1,
        "faults": one.seen["faults"],
        "wrong": one.wrong,
    }


def main() -> int:
    """Print a line for each market and interval; exit with 1 if a start ended as it should not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument(
        "--fault-s", type=float, nargs="+", default=[0.0, 10.0, 4.0], help="between two faults; 0: none"
    )
    parser.add_argument("--markets", nargs="+", choices=list(MARKETS), default=list(MARKETS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a new folder for all files, instead of a temporary one")
    chosen = parser.parse_args()
    wrong = False
    with tempfile.TemporaryDirectory() as place:
        for market in chosen.markets:
            for every_s in chosen.fault_s:
                folder = (chosen.keep or Path(place)) / f"{market}_{every_s:g}"
                folder.mkdir(parents=True)
                line = measure(folder, market, every_s, chosen.starts, chosen.seed)
                print(json.dumps(line), flush=True)
                wrong = wrong or bool(line["wrong"])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
