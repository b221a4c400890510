"""Records of a contract beside book and trades: marks, next funding, liquidations, open interest."""

import csv
import gzip
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from mm.clock import US_PER_S
from mm.dayfolder.layout import LIQUIDATION, MARK, OPEN_INTEREST, PACKED, DayFolder, existing
from mm.errors import BrokenFile, OffGrid
from mm.instrument import e8

FRESH_US = 5 * US_PER_S
"""Age up to which a mark price, of which there is one each second, counts as the present one."""


class MarkRow(NamedTuple):
    """A mark price; prices and rate in 1e-8, 0 for an unknown index, *funding_ms* None without a next payment."""

    recv_us: int
    mark_e8: int
    index_e8: int
    rate_e8: int
    funding_ms: int | None


class LiquidationRow(NamedTuple):
    """A forced order: *side* +1 if it bought; filled quantity and mean price, 1e-8."""

    recv_us: int
    side: int
    filled_e8: int
    average_e8: int


class InterestRow(NamedTuple):
    """Reported open interest, 1e-8 of the base asset."""

    recv_us: int
    amount_e8: int


ContractRow = MarkRow | LiquidationRow | InterestRow


class ContractCoverage(msgspec.Struct, frozen=True):
    marks: int
    marked_s: float
    longest_pause_s: float
    liquidations: int
    open_interests: int
    best_prices: int


def contract_rows(folder: DayFolder) -> Iterator[ContractRow]:
    path = existing(folder.contract)
    for number, row in enumerate(_rows(path) if path else (), start=1):
        try:
            yield _row(row)
        except (KeyError, ValueError, TypeError, OffGrid) as error:
            raise BrokenFile(f"{path}:{number + 1}: the row cannot be read ({error}); run `mm data check`") from error


def _row(row: dict[str, str]) -> ContractRow:
    recv_us, kind = int(row["recv_time_us"]), row["kind"]
    if kind == MARK:
        rate, paid = row["funding_rate"], row["next_funding_ms"]
        return MarkRow(
            recv_us, e8(row["mark_price"]), e8(row["index_price"] or "0"), e8(rate or "0"), int(paid) if paid else None
        )
    if kind == LIQUIDATION:
        side = {"buy": 1, "sell": -1}[row["side"]]
        return LiquidationRow(recv_us, side, e8(row["filled_qty"]), e8(row["average_price"]))
    if kind == OPEN_INTEREST:
        return InterestRow(recv_us, e8(row["open_interest"]))
    raise ValueError(f"kind is {kind!r}")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == PACKED else path.open(encoding="utf-8") as file:
        yield from csv.DictReader(line for line in file if line.endswith("\n"))


def cover_contract(folder: DayFolder) -> ContractCoverage | None:
    best, rows = existing(folder.best), list(contract_rows(folder))
    if not rows and best is None:
        return None
    marks = [row.recv_us for row in rows if isinstance(row, MarkRow)]
    pauses = [later - earlier for earlier, later in pairwise(marks)]
    return ContractCoverage(
        marks=len(marks),
        marked_s=sum(min(pause, FRESH_US) for pause in pauses) / US_PER_S,
        longest_pause_s=max(pauses, default=0) / US_PER_S,
        liquidations=sum(isinstance(row, LiquidationRow) for row in rows),
        open_interests=sum(isinstance(row, InterestRow) for row in rows),
        best_prices=sum(1 for _ in _rows(best)) if best else 0,
    )
