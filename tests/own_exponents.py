"""How often the interval of ``mm fills fit --trades`` holds the exponent: two tables of docs/evidence/measured.md.

Orders of a simulated market are taken for ours. Each of its orders is cancelled at one rate, so the exponent is 1. In
the second table the orders fill by a known exponent instead.

``PYTHONPATH=.:tests python tests/own_exponents.py`` replaces the tables on the page, in twenty minutes.
"""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mm import Tape
from mm.backtest.fills.base import QueueByExponents
from mm.dayfolder.order_log import OrderLog
from mm.play.own_activity import own_activity
from mm.probes.log_tape import _events
from mm.probes.own_orders import OwnExponent, OwnOrders, fit_to_orders, own_exponent
from mm.probes.queue_exponent import EXPONENTS
from mm.probes.virtual_orders import manual_exchange
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
KNOWN_TABLE = re.compile(r"^\| exponent \| fitted [^\n]*\n(?:\|[^\n]*\n)+", re.MULTILINE)
KNOWN_HEAD = (
    "| exponent | fitted | interval has it | errors: fit, exponent 1, default 3, back, front | "
    "log score: fit, exponent 1, default 3 |\n|---|---|---|---|---|\n"
)
KNOWN, KNOWN_SEEDS = (0.5, 3.0), range(201, 211)
S = 1_000_000
LIFE_US = 15 * S


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


def orders_filled_by(tape, exponent):
    """Return orders at the best prices; each fills at the first print whose middle is beyond the lots ahead of it."""
    draws = np.random.default_rng(0)
    us = np.arange(tape.start_us + 60 * S, tape.end_us - LIFE_US, 2 * S) + draws.integers(0, S)
    side = draws.choice([-1, 1], len(us))
    at = np.searchsorted(tape.event_us[tape.top_event], us, side="right") - 1
    ticks = np.where(side > 0, tape.top_bid_ticks[at], tape.top_ask_ticks[at])
    trade_us, first = tape.event_us[tape.trades], tape.first_row[:-1][tape.trades]
    taker, price, printed = tape.row_side[first], tape.row_ticks[first], tape.row_lots[first]
    due = [(joins, 0, number, 0) for number, joins in enumerate(us.tolist())]
    for number in range(len(us)):
        reaches = (taker == -side[number]) & (side[number] * (ticks[number] - price) >= 0)
        lives = (trade_us > us[number]) & (trade_us <= us[number] + LIFE_US)
        found = np.flatnonzero(reaches & lives)
        due += [
            (us_ - 1, 1, number, lots)
            for us_, lots in zip(trade_us[found].tolist(), printed[found].tolist(), strict=True)
        ]
    queues = QueueByExponents(np.array([exponent]), len(us))
    exchange, ids, known_us = manual_exchange(tape, queues, LIFE_US + 1), {}, us + LIFE_US
    filled = np.zeros(len(us), bool)
    for at_us, is_print, number, lots in sorted(due):
        exchange.advance(at_us)
        if not is_print:
            ids[number] = exchange.place(int(side[number]), int(ticks[number]), tape.step_lots)
        elif not filled[number]:
            waits = exchange.ahead_lots(ids[number]) is not None
            if not waits or queues.ahead_lots(ids[number])[0] * tape.step_lots <= lots / 2:
                filled[number], known_us[number] = True, at_us + 1
    lots, place = np.full(len(us), tape.step_lots), np.zeros(len(us), np.int64)
    names = [f"o{number}" for number in range(len(us))]
    return OwnOrders(us, known_us, us + LIFE_US, side, ticks, lots, place, filled, names)


def fit_of_known(folder: Path, exponent: float, seed: int) -> OwnExponent:
    """Return the fit to an hour of orders in three runs that fill by this exponent."""
    day = simulate_day(folder, MARKETS[0].scenario, hours=1, seed=seed)
    tape = full_book(load_day(day), day.order_log)
    orders = orders_filled_by(tape, exponent)
    run_of = {name: f"run{number % 3}" for number, name in enumerate(orders.client_id)}
    return fit_to_orders([(tape, orders)], run_of, {}, None)


def known_rows() -> Iterator[str]:
    """Yield the rows of the second table."""
    for exponent in KNOWN:
        fits = []
        for seed in KNOWN_SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                fits.append(fit_of_known(Path(folder), exponent, seed))
        models = [fit.held_out.models for fit in fits]
        names = ("fit", "exponent 1", "default", "queue_back", "queue_front")
        errors = [np.mean([one[name].misses + one[name].false_fills for one in models]) for name in names]
        scores = [np.mean([one[name].log_score for one in models]) for name in names[:3]]
        held = sum(fit.low <= exponent <= fit.high for fit in fits)
        least, most = (end(fit.exponent for fit in fits) for end in (min, max))
        yield (
            f"| {exponent:g} | {least:.2f} to {most:.2f} | {held} of {len(fits)} | "
            f"{', '.join(f'{one:.0f}' for one in errors)} | {', '.join(f'{one:.2f}' for one in scores)} |\n"
        )


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    for table, measured in ((TABLE, HEAD + "".join(rows())), (KNOWN_TABLE, KNOWN_HEAD + "".join(known_rows()))):
        text = table.sub(lambda _, measured=measured: measured, text, count=1)
    PAGE.write_text(text, encoding="utf-8")
