"""A day folder read and estimated with the standard library alone: independent of the code that wrote the day."""

import csv
import gzip
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path


@dataclass(frozen=True)
class Sweep:
    """One aggressive order: its side (the resting one: ``bid`` is hit by sellers) and depths in ticks from the mid."""

    side: str
    nearest: float
    deepest: float


def rows(path: Path, kind: str) -> list[dict[str, str]]:
    (file,) = path.glob(f"{kind}_*.csv")
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def diffs(path: Path) -> Iterator[dict]:
    (file,) = path.glob("diffs/*.ndjson.gz")
    with gzip.open(file, "rt") as stream:
        yield from map(json.loads, stream)


def snapshot(path: Path) -> dict[str, dict[str, str]]:
    (file,) = path.glob("snapshots/*.csv")
    sides: dict[str, dict[str, str]] = {"bid": {}, "ask": {}}
    with file.open(newline="") as stream:
        for row in csv.DictReader(stream):
            sides[row["side"]][row["price"]] = row["qty"]
    return sides


def mids(path: Path, tick: str) -> list[tuple[int, Decimal]]:
    """Return (recv_seq, mid in ticks) of every frame."""
    frames = rows(path, "orderbook_ws_depth")
    return [
        (int(f["recv_seq"]), (Decimal(f["bid1_price"]) + Decimal(f["ask1_price"])) / 2 / Decimal(tick)) for f in frames
    ]


def sweeps(path: Path, tick: str) -> list[Sweep]:
    """Group prints of one side and trade time, and measure them from the last mid before the first of them."""
    mid_at = iter(mids(path, tick))
    seq, mid = next(mid_at)
    following = next(mid_at, None)
    groups: dict[tuple[str, str], list[Decimal]] = {}
    for trade in rows(path, "trades_ws"):
        while following and following[0] < int(trade["recv_seq"]):
            seq, mid = following
            following = next(mid_at, None)
        assert seq < int(trade["recv_seq"]), "a trade before the first frame"
        side = "bid" if trade["is_buyer_maker"] == "true" else "ask"
        depth = Decimal(trade["price"]) / Decimal(tick) - mid
        groups.setdefault((trade["trade_time_ms"], side), []).append(depth if side == "ask" else -depth)
    return [Sweep(side, float(min(depths)), float(max(depths))) for (_, side), depths in groups.items()]


def geometric_k(beyond: list[float]) -> tuple[float, float]:
    """Return the maximum-likelihood decay per tick of whole-tick reaches past the first level, and its error."""
    n = len(beyond)
    k = math.log(1 + n / sum(beyond))
    p = 1 - math.exp(-k)
    return k, p / math.sqrt((1 - p) * n)


def sigma2(path: Path, tick: str, seconds: float) -> tuple[float, float]:
    """Return the mid's variance per second and its error, if each 100 ms step is a difference of two Poisson draws."""
    path_of_mid = [float(mid) for _, mid in mids(path, tick)]
    total = sum((b - a) ** 2 for a, b in itertools.pairwise(path_of_mid))
    variance = total / seconds
    a_step = variance * 0.1
    return variance, math.sqrt(seconds * 10 * (2 * a_step**2 + a_step)) / seconds
