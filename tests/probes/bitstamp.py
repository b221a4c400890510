"""Recorded Bitstamp orders replayed through a matching engine: a log with real arrivals and cancellations.

The recording begins without a book and misses some deletions, so its orders are sent to an engine of the project,
which matches crossing orders; the resting orders and the log are therefore consistent.
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
    """Yield the rows of the log made by the orders in the first *most* lines of *path*."""
    engine = Matching()
    engine_ids: dict[int, int] = {}
    with bz2.open(path, "rt", encoding="ascii") as lines:
        for number, line in enumerate(islice(lines, most)):
            ms, kind, content = line.split(" ", 2)
            if kind.startswith("order_") and kind != "order_book":
                _send(engine, engine_ids, int(ms) * 1000, kind, json.loads(content))
            if number % PIECE == 0:
                yield from map(tuple, engine.take_log().tolist())
    yield from map(tuple, engine.take_log().tolist())


def _send(engine: Matching, engine_ids: dict[int, int], us: int, kind: str, order: dict[str, str]) -> None:
    """Apply one message to the engine: a new order, a reduction, or a deletion."""
    name = int(order["id"])
    lots = round(float(order["amount"]) * 10**8 / LOT_E8)
    if kind == "order_created":
        ticks = round(float(order["price"]) / TICK)
        if lots and 0 < ticks < 2**40:
            engine_ids[name] = engine.submit(us, 1000, 1 if int(order["order_type"]) == 0 else -1, ticks, lots)
    elif kind == "order_deleted":
        engine.cancel(us, engine_ids.pop(name, 0))
    elif (resting := engine.order(engine_ids.get(name, 0))) is not None and 0 < lots < resting[3]:
        engine.reduce(us, engine_ids[name], lots)
