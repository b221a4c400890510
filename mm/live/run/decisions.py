"""The decision of a strategy at each requote, and its lag."""

from array import array
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.journal import AMENDED, CANCELLED, KEPT, PLACED, REJECT_REASONS, SKIP_BITS, SKIP_SHIFT, SKIPPED
from mm.instrument import Instrument, short_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Decisions, Journal

COLUMNS = (
    "us",
    "recv_seq",
    "lag_us",
    "best_bid",
    "best_ask",
    "bid_price",
    "bid_qty",
    "ask_price",
    "ask_qty",
    "bid_sent",
    "ask_sent",
)
LAG = COLUMNS.index("lag_us")
_WORDS = ((CANCELLED, "cancel"), (PLACED, "place"), (KEPT, "keep"), (AMENDED, "amend"))
QUANTILES = (0.5, 0.9, 0.99)


def decisions_of(journal: "Journal") -> "Decisions":
    if journal.decisions is None:
        raise ValueError("a journal without decisions: its rules do not record them")
    return journal.decisions


def decisions_name(symbol: str) -> str:
    return f"decisions_{symbol}.csv"


class DecisionLags:
    """Lag of each decision: actual time less its instant."""

    def __init__(self, made: Callable[[], int], clock: Callable[[], int]) -> None:
        self._made, self._clock = made, clock
        self._seen = 0
        self._until, self._at_us = array("q"), array("q")

    def note(self) -> None:
        made = self._made()
        if made != self._seen:
            self._seen = made
            self._until.append(made)
            self._at_us.append(self._clock())

    def lags_us(self, table: "Decisions") -> "NDArray[np.int64]":
        """Return the lag of each row of a journal's decisions, in µs."""
        which = np.searchsorted(np.frombuffer(self._until, np.int64), np.arange(len(table)), side="right")
        at_us: NDArray[np.int64] = np.frombuffer(self._at_us, np.int64)[which] - table.us
        return at_us


def write_decisions(path: Path, table: "Decisions", lags_us: Sequence[int], grid: Instrument) -> int:
    text = cache(short_text)  # prices and quantities repeat often

    def wanted(ticks: int, lots: int) -> str:
        return "," if lots < 0 else f"{text(ticks * grid.tick_e8)},{text(lots * grid.lot_e8)}"

    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        quotes = (table.bid_ticks, table.bid_lots, table.ask_ticks, table.ask_lots)
        columns = (table.us, table.recv_seq, table.best_bid_ticks, table.best_ask_ticks, *quotes)
        values = (column.tolist() for column in (*columns, table.bid_acted, table.ask_acted))
        for row, (us, seq, best_bid, best_ask, *wants, bid_acted, ask_acted) in enumerate(zip(*values, strict=True)):
            bid, bid_lots, ask, ask_lots = wants
            lag = lags_us[row] if len(lags_us) else ""
            file.write(
                f"{us},{seq},{lag},{text(best_bid * grid.tick_e8)},{text(best_ask * grid.tick_e8)},"
                f"{wanted(bid, bid_lots)},{wanted(ask, ask_lots)},{action_text(bid_acted)},{action_text(ask_acted)}\n"
            )
    return len(table)


def action_text(acted: int) -> str:
    words = [word for bit, word in _WORDS if acted & bit]
    if acted & SKIPPED:
        words += ["skip", REJECT_REASONS[acted >> SKIP_SHIFT & SKIP_BITS]]
    return " ".join(words)


def lag_quantiles(lags_us: Sequence[int]) -> dict[str, int | None]:
    """Return quantiles and the greatest of the lags; None without decisions."""
    names = [f"p{round(100 * share)}" for share in QUANTILES]
    if not len(lags_us):
        return dict.fromkeys([*names, "max"])
    found = [*np.quantile(lags_us, QUANTILES, method="higher").tolist(), max(lags_us)]
    return dict(zip([*names, "max"], map(int, found), strict=True))
