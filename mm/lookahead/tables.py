"""What a model did, as the tables of a run tell it, and the first row at which two runs part."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from mm.backtest.journal import FILL_COLUMNS, ORDER_COLUMNS, STATE_COLUMNS, Journal
from mm.backtest.result import Result

NEVER_US = 1 << 62
_TABLES = ("orders", "fills")


@dataclass(frozen=True, slots=True)
class Parting:
    """The first row that two runs do not share.

    Attributes:
        us: Its instant.
        did: What the first run did then, in words; "nothing" where its next row is later.
        other: What the other one did.
    """

    us: int
    did: str
    other: str


def write(result: Result, folder: Path, back_us: int = 0) -> Path:
    """Write the tables of a run, all of its instants *back_us* earlier, and return their folder."""
    replace(result, journal=_earlier(result.journal, back_us) if back_us else result.journal).write_tables(folder)
    return folder


def parting(first: Path, second: Path, until_us: int = NEVER_US) -> Parting | None:
    """Return where two runs part before *until_us*; None where they do not."""
    found = [one for table in _TABLES for one in _parting(first, second, table) if one.us < until_us]
    return min(found, key=lambda one: one.us, default=None)


def first_decision(folder: Path) -> int | None:
    """Return the instant of the first order that was sent; None where there is none."""
    path = next(folder.glob("orders_*.csv"))
    with path.open(newline="", encoding="utf-8") as file:
        return next((int(row["recv_us"]) for row in csv.DictReader(file) if row["action"] == "PLACE"), None)


def has_fills(folder: Path) -> bool:
    """Return whether anything was filled in a run."""
    with next(folder.glob("fills_*.csv")).open(encoding="utf-8") as file:
        return sum(1 for _ in file) > 1


def short(text: str) -> str:
    """Return a decimal of a table without the zeros behind its last figure."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _parting(first: Path, second: Path, table: str) -> Iterator[Parting]:
    """Yield the first row at which a table of two runs is not the same."""
    paths = [next(folder.glob(f"{table}_*.csv")) for folder in (first, second)]
    with paths[0].open(encoding="utf-8") as one, paths[1].open(encoding="utf-8") as other:
        names = next(csv.reader([one.readline()]))
        other.readline()
        for lines in zip_longest(one, other):
            if lines[0] != lines[1]:
                rows = [dict(zip(names, next(csv.reader([line])), strict=True)) if line else None for line in lines]
                us = min(int(row["recv_us"]) for row in rows if row)
                did, instead = (_told(row) if row and int(row["recv_us"]) == us else "nothing" for row in rows)
                yield Parting(us, did, instead)
                return


def _told(row: Mapping[str, str]) -> str:
    """Return a row of orders or fills in words."""
    order = f"order {row['order_id']}, {row['side']} {short(row['qty'])} at {short(row['price'])}"
    if "reason" in row:
        return f"fill of {order} ({row['reason']})"
    return f"{row['action']} {order} {row['reject_reason'] or row['cancel_reason']}".rstrip()


def _earlier(journal: Journal, by_us: int) -> Journal:
    tables = {"orders": ORDER_COLUMNS, "fills": FILL_COLUMNS, "state": STATE_COLUMNS}
    moved = {}
    for name, columns in tables.items():
        table = getattr(journal, name).copy()
        instants = [place for place, column in enumerate(columns) if column == "us" or column.endswith("_us")]
        table[:, instants] = np.where(table[:, instants] == -1, -1, table[:, instants] - by_us)
        moved[name] = table
    return replace(journal, **moved)
