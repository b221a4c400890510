"""How often the interval of ``mm fills fit --trades`` holds the exponent: a table of docs/evidence/measured.md.

Orders of a simulated market are taken for ours. Each of its orders is cancelled at one rate, so the exponent is 1.

``PYTHONPATH=.:tests python tests/own_exponents.py`` replaces the table on the page, in a quarter of an hour.
"""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mm import Tape
from mm.dayfolder.order_log import OrderLog
from mm.play.own_activity import own_activity
from mm.probes.log_tape import _events
from mm.probes.own_orders import OwnExponent, own_exponent
from mm.probes.queue_exponent import EXPONENTS
from mm.sim.flow.recorder import Batches
from mm.tape.load import load_day
from own_trades import orders_near_the_touch, write_log
from simulation import DAY, SYMBOL, simulate_day
from support import ROOT

PAGE = ROOT / "docs" / "evidence" / "measured.md"
TABLE = re.compile(r"^\| own fills in \| [^\n]*\n(?:\|[^\n]*\n)+", re.MULTILINE)
HEAD = (
    "| own fills in | the book comes | hours, orders that waited, filled | holds 1 | has no end of its own | "
    "median interval |\n|---|---|---|---|---|---|\n"
)
SEEDS, FIRST = 20, 101
TRUE = 1.0


@dataclass(frozen=True)
class Market:
    """A market with order queues; `each_change`: its book shows each change, instead of those of 100 ms."""

    scenario: str
    orders: int
    each_change: bool

    def fit(self, folder: Path, seed: int) -> OwnExponent:
        """Return the fit to an hour of it."""
        day = simulate_day(folder / "data", self.scenario, hours=1, seed=seed)
        rows = orders_near_the_touch(folder / "data", SYMBOL, DAY, self.orders, seed=seed)
        own = own_activity(write_log(folder / "out", SYMBOL, DAY, f"seed{seed}", rows))
        tape = load_day(day)
        return own_exponent([(full_book(tape, day.order_log) if self.each_change else tape, own)])


MARKETS = (
    Market("large_tick", 1500, each_change=True),
    Market("large_tick", 1500, each_change=False),
    Market("zero_intelligence", 1000, each_change=False),
)


def full_book(tape: Tape, log: Path) -> Tape:
    """Return a tape of the log's market with a message for each instant at which it changes, after its prints."""
    rows = np.column_stack(list(OrderLog.open(log).columns.values()))
    begin_us = int(rows[0, 0]) - 1
    events = _events(*Batches(begin_us, 1).messages_of(rows))
    changes = sorted(events, key=lambda event: (event[0], event[1] != "trade"))
    full = Tape.of(tape.instrument, [(begin_us, "snapshot", [], []), *changes])
    return replace(full, event_exch_us=full.event_us)


def holds(fit: OwnExponent) -> bool:
    """Return whether the interval has the true exponent."""
    return fit.low is not None and fit.high is not None and fit.low <= TRUE <= fit.high


def rows() -> Iterator[str]:
    """Yield the rows of the table."""
    for market in MARKETS:
        fits = []
        for seed in range(FIRST, FIRST + SEEDS):
            with tempfile.TemporaryDirectory() as folder:
                fits.append(market.fit(Path(folder), seed))
        ends = np.array([(fit.low, fit.high) for fit in fits if fit.low is not None], float)
        endless = ((ends[:, 0] <= EXPONENTS[0] * 1.001) | (ends[:, 1] >= EXPONENTS[-1] * 0.999)).sum()
        low, high = np.median(ends, axis=0)
        orders, fills = (np.mean([getattr(fit, name) for fit in fits]) for name in ("n_orders", "n_fills"))
        book = "with each change" if market.each_change else "every 100 ms"
        none = SEEDS - len(ends)
        yield (
            f"| `{market.scenario}` | {book} | {SEEDS}, {orders:,.0f}, {fills:,.0f} | {sum(map(holds, fits))} | "
            f"{endless + none} | {low:.2f} to {high:.2f} |\n"
        )


if __name__ == "__main__":
    measured = HEAD + "".join(rows())
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda _: measured, text, count=1), encoding="utf-8")
