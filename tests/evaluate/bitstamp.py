"""A recorded day of orders, one by one, as the log of a matching engine: real arrivals and real cancellations.

The recording begins without a book and misses some deletions, so its orders are sent to an engine of the project,
which trades what crosses; whatever then rests is consistent with itself, and so is its log.
"""

import bz2
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import Row

TICK, LOT_E8 = 0.01, 10**4
PIECE = 20_000


def log_rows(path: Path, most: int | None = None) -> Iterator[Row]:
    """Yield the rows of the log that the orders of *path*, of its first *most* lines, leave."""
    engine = Matching()
    known: dict[int, int] = {}
    with bz2.open(path, "rt", encoding="ascii") as lines:
        for number, line in enumerate(islice(lines, most)):
            ms, kind, content = line.split(" ", 2)
            if kind.startswith("order_") and kind != "order_book":
                _send(engine, known, int(ms) * 1000, kind, json.loads(content))
            if number % PIECE == 0:
                yield from map(tuple, engine.take_log().tolist())
    yield from map(tuple, engine.take_log().tolist())


def _send(engine: Matching, known: dict[int, int], us: int, kind: str, order: dict[str, str]) -> None:
    """Send the content of one message: an order, a reduction of it, or its end."""
    name = int(order["id"])
    lots = round(float(order["amount"]) * 10**8 / LOT_E8)
    if kind == "order_created":
        ticks = round(float(order["price"]) / TICK)
        if lots and 0 < ticks < 2**40:
            known[name] = engine.submit(us, 1000, 1 if int(order["order_type"]) == 0 else -1, ticks, lots)
    elif kind == "order_deleted":
        engine.cancel(us, known.pop(name, 0))
    elif (rests := engine.order(known.get(name, 0))) is not None and 0 < lots < rests[3]:
        engine.reduce(us, known[name], lots)
