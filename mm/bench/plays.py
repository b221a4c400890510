"""What a turn of ``mm bench engine`` plays inside one process.

``python -m mm.bench.plays DAY_FOLDER CACHE [QUOTE_QTY]`` opens the kept tape and prints one JSON object: seconds by
the clock and of user time of each play, medians where one is played more than once.
"""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.bench.strategy import ACCOUNT, EXECUTION, QUOTES, models

if TYPE_CHECKING:
    from mm.backtest.fills.base import OrderView, TradeView
    from mm.backtest.journal import Journal, Table
    from mm.backtest.rules import Rules
    from mm.tape.tape import Tape

REPEATS = 3
SWEEP = 20  # runs on one opened tape
PARTS = (1, 2, 4, 8)  # of as many hours as the yardstick day has
OF_PARTS = 14


class OnTrade:
    """A fill model in plain Python: the rule of ``trade_cross``."""

    def on_trade(self, order: "OrderView", trade: "TradeView") -> int:
        """Return how many lots of *order* a print fills."""
        if trade.side != order.side and order.side * (order.ticks - trade.ticks) >= 0:
            return min(order.lots, trade.lots)
        return 0


def main(folder: str, cache: str, quote_qty: str = "") -> None:
    """Play the day in each way, and print the seconds it took."""
    from mm import assemble
    from mm.backtest.io import load_day
    from mm.backtest.models import queue_prob_power, trade_cross

    opening = partial(load_day, Path(folder), cache=Path(cache))
    tape = opening()
    tape.best  # noqa: B018 - from now on it is kept
    rules = assemble.rules(tape, EXECUTION, ACCOUNT, models(quote_qty or None))
    loads = [_seconds(opening) for _ in range(REPEATS)]
    day = [_seconds(partial(_played, opening(), trade_cross(), rules)) for _ in range(REPEATS)]
    counters, orders, fills = _told(_played(tape, trade_cross(), rules))
    again = [_seconds(partial(_played, tape, trade_cross(), rules)) for _ in range(SWEEP)]
    read = [_seconds(lambda: _told(_played(tape, trade_cross(), rules))) for _ in range(SWEEP)]
    whole = [_seconds(partial(_played, replace(tape), trade_cross(), rules)) for _ in range(REPEATS)]
    queue = [_seconds(partial(_played, tape, queue_prob_power(), rules)) for _ in range(REPEATS)]
    python = [_seconds(partial(_played, tape, OnTrade(), rules)) for _ in range(REPEATS)]
    plays = {"day": day, "again": again, "read": read, "whole": whole, "queue": queue, "python": python, "load": loads}
    said = {
        "plays": {name: _median(taken) for name, taken in plays.items()},
        "parts": [_part(tape, parts, rules) for parts in (*PARTS, OF_PARTS)],
        "events": counters["events"],
        "rows": counters["rows"],
        "orders": int(orders[:, 1].max(initial=0)),
        "fills": len(fills),
    }
    print(json.dumps(said))


def _part(tape: "Tape", parts: int, rules: "Rules") -> dict[str, float]:
    """Return the user seconds that the beginning of a tape takes: its best prices, and its whole book."""
    from mm.backtest.models import trade_cross

    length_us = tape.end_us + 1 - tape.start_us
    part = tape.between(tape.start_us, tape.start_us + length_us * parts // OF_PARTS)
    best, whole = (
        _median([_seconds(partial(_played, one, trade_cross(), rules)) for _ in range(REPEATS)])["user_s"]
        for one in (part, replace(part))
    )
    return {"hours": length_us * parts / OF_PARTS / 3.6e9, "events": len(part), "best": best, "whole": whole}


def _played(tape: "Tape", fills: object, rules: "Rules") -> "Journal":
    from mm.backtest.models import avellaneda_stoikov
    from mm.backtest.replay import backtest

    return backtest(tape, avellaneda_stoikov(**QUOTES), fills, rules).journal


def _told(journal: "Journal") -> tuple[dict[str, Any], "Table", "Table"]:
    """Return what is read of a journal: the table of orders is written out when it is first asked for."""
    return journal.counters, journal.orders, journal.fills


def _seconds(do: Callable[[], object]) -> dict[str, float]:
    """Return what it takes to *do* something; to let go of what came of it is nobody's time."""
    began, began_user = time.perf_counter(), _user_s()
    done = do()
    taken = {"s": time.perf_counter() - began, "user_s": _user_s() - began_user}
    del done
    return taken


def _median(taken: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in taken) for key in taken[0]}


def _user_s() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


if __name__ == "__main__":
    main(*sys.argv[1:])
