"""Calibration, backtest and walk-forward with defaults and two funded balances, checked against the CSV files.

The data are recorded captures of Binance Spot, and simulated days with other price scales.
"""

import csv
import json
import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from lab import Done, Lab, mm

from captures import CAPTURES

pytestmark = pytest.mark.slow  # a process for each case

Span = tuple[int, int]
SHORT_US = 600_000_000
LATENCY_US = 50_000  # order latency: a side is empty for this long after each fill
FEW_US = 95_000_000  # a capture this short may be too short for a fit


@dataclass(frozen=True)
class Case:
    """A symbol's day and its initial balances; the window and step of its walk-forward are in minutes."""

    capture: str
    symbol: str
    day: str
    window: str
    step: str
    cash: str = "100000000"
    inventory: str = "1000"
    sim: tuple[str, ...] = ()

    def data(self, lab: Lab) -> Path:
        """Return the data root; skip the test if the capture is not available."""
        if self.sim:
            return lab.sim(self.capture, "--symbol", self.symbol, *self.sim)
        capture = CAPTURES[self.capture]
        if not capture.path.is_dir():
            pytest.skip(f"the recorded capture {capture.folder} is not at hand")

        def make(folder: Path) -> None:
            for symbol in capture.symbols:
                done = mm("data", "import", *capture.words(folder, symbol), cwd=folder)
                assert done.code == 0, done.err

        return lab.once(f"captures/{self.capture}", make) / "data"

    def play(self, lab: Lab, command: str, kind: str, *flags: str, **variables: str) -> Done:
        """Run a command once for this case."""
        where = {"SYMBOL": self.symbol, "DAY": self.day, "DATA_ROOT": str(self.data(lab))}
        return lab.command(f"defaults/{self.name}-{kind}", command, "--json", *flags, **where, **variables)

    @property
    def name(self) -> str:
        """Return the case's name."""
        return f"{self.capture}-{self.symbol}-{self.day}"

    @property
    def funds(self) -> dict[str, str]:
        """Return balances that limit no quote."""
        return {"INITIAL_CASH": self.cash, "INITIAL_INVENTORY": self.inventory}


RECORDED = [
    Case("nexo", "NEXOUSDT", "20240723", "60", "15", inventory="1000000"),
    Case("nexo", "NEXOUSDT", "20240724", "120", "15", inventory="1000000"),
    Case("btc", "BTCUSDT", "20240809", "3", "1"),
    Case("multi", "BTCUSDT", "20210404", "0.5", "0.25"),
    Case("multi", "ETHUSDT", "20210404", "0.5", "0.25"),
    Case("multi", "DOTUSDT", "20210404", "0.5", "0.25"),
    Case("depth5", "BTCUSDT", "20260607", "0.3", "0.1"),
    Case("trx", "TRXUSDT", "20250304", "2", "1", inventory="1000000"),
]
SIM_FINE = ("--start-price", "0.00002", "--tick-size", "0.00000001", "--qty-step", "1", "--level-qty", "100000")
SIM_COARSE = ("--start-price", "60000", "--tick-size", "10", "--qty-step", "0.00001", "--level-qty", "1")
SIMULATED = [
    Case("fine", "FINEUSDT", "20260105", "10", "5", inventory="100000000", sim=SIM_FINE),
    Case("coarse", "COARSEUSDT", "20260105", "10", "5", sim=SIM_COARSE),
    Case("wide", "WIDEUSDT", "20260105", "10", "5", sim=("--spread-ticks", "40", "--k", "0.02")),
]
every_case = pytest.mark.parametrize("case", RECORDED + SIMULATED, ids=lambda case: case.name)


@dataclass(frozen=True)
class Tops:
    """Best prices of the first snapshot and of the frames file, by receive time."""

    us: list[int]
    bid: list[Decimal]
    ask: list[Decimal]

    def at(self, us: int) -> Iterator[tuple[Decimal, Decimal]]:
        """Yield the best prices at *us*; two pairs if a frame arrived at that instant."""
        for place in {bisect_right(self.us, us) - 1, bisect_left(self.us, us) - 1}:
            if place >= 0:
                yield self.bid[place], self.ask[place]


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@lru_cache(maxsize=16)
def tops(folder: Path) -> Tops:
    """Return the best prices of a day folder, from its first snapshot on."""
    (path,), (events,) = folder.glob("orderbook_ws_depth_*.csv"), folder.glob("events_*.csv")
    loaded = next(row for row in table(events) if row["type"] == "snapshot_loaded")
    levels = table(folder / json.loads(loaded["details_json"])["path"])
    bids, asks = ([Decimal(row["price"]) for row in levels if row["side"] == side] for side in ("bid", "ask"))
    found = Tops([int(loaded["recv_time_us"])], [max(bids)], [min(asks)])
    for row in table(path):
        if row["bid1_price"] and row["ask1_price"]:
            found.us.append(int(row["recv_time_us"]))
            found.bid.append(Decimal(row["bid1_price"]))
            found.ask.append(Decimal(row["ask1_price"]))
    return found


def crossing(orders: list[dict[str, str]], book: Tops) -> list[dict[str, str]]:
    """Return the orders whose price crossed the latest book at the time they were sent."""
    return [
        row
        for row in orders
        if row["action"] == "PLACE"
        and all(
            Decimal(row["price"]) >= ask if row["side"] == "BUY" else Decimal(row["price"]) <= bid
            for bid, ask in book.at(int(row["recv_us"]))
        )
    ]


def resting(orders: list[dict[str, str]], end_us: int) -> dict[str, list[tuple[int, int, Decimal]]]:
    """Return the resting intervals of orders with their prices, by side."""
    spans: dict[str, list[tuple[int, int, Decimal]]] = defaultdict(list)
    live: dict[str, tuple[int, str, Decimal]] = {}
    for row in orders:
        if row["action"] == "PLACE":
            live[row["order_id"]] = (int(row["active_recv_us"]), row["side"], Decimal(row["price"]))
        elif row["action"] == "REJECT":
            del live[row["order_id"]]
        elif row["action"] in {"CANCEL_ACK", "EXPIRE", "CLOSE_FILLED"}:
            begin_us, side, price = live.pop(row["order_id"])
            spans[side].append((begin_us, int(row["recv_us"]), price))
    for begin_us, side, price in live.values():
        spans[side].append((begin_us, end_us, price))
    return {side: sorted(span for span in found if span[0] < span[1]) for side, found in spans.items()}


def merged(spans: list[tuple[int, int, Decimal]]) -> list[Span]:
    """Return sorted spans without their overlaps."""
    union: list[Span] = []
    for begin, end, _ in spans:
        if union and begin <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((begin, end))
    return union


def common_us(first: list[Span], second: list[Span]) -> int:
    """Return the total overlap of two lists of spans."""
    return sum(max(min(a[1], b[1]) - max(a[0], b[0]), 0) for a, b in overlapping(first, second))


def overlapping(first: list[Span], second: list[Span]) -> Iterator[tuple[Span, Span]]:
    """Yield the pairs of spans that can overlap, in one pass."""
    i = j = 0
    while i < len(first) and j < len(second):
        yield first[i], second[j]
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1


def median_distance(spans: dict[str, list[tuple[int, int, Decimal]]], book: Tops) -> Decimal:
    """Return the median distance from the mid of resting orders, weighted by resting time."""
    weighed = []
    for side, found in spans.items():
        for begin_us, end_us, price in found:
            mid = max(sum(pair) / 2 for pair in book.at(begin_us))
            weighed.append((mid - price if side == "BUY" else price - mid, end_us - begin_us))
    weighed.sort()
    half, passed = sum(weight for _, weight in weighed) / 2, 0
    for distance, weight in weighed:
        passed += weight
        if passed >= half:
            return distance
    raise AssertionError("no order rested")


def finite(value: Any) -> bool:
    """Whether all numbers of a JSON value are finite."""
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def check_run(case: Case, lab: Lab, done: Done, fit: Any) -> Any:
    """Check the outputs of a run with defaults; return its summary."""
    assert done.code == 0, done.err
    summary, folder = done.last, Path(done.last["path"]).parent
    assert finite(summary)
    book = tops(case.data(lab) / case.symbol / case.day)
    orders = table(folder / f"orders_{case.symbol}.csv")
    rejects = Counter(row["reject_reason"] for row in orders if row["action"] == "REJECT")
    assert summary["rejects"] == dict(rejects)
    assert summary["n_rejects"] == rejects.total()
    assert summary["n_orders"] == sum(row["action"] == "PLACE" for row in orders)
    assert summary["n_fills"] == len(table(folder / f"fills_{case.symbol}.csv"))
    assert not crossing(orders, book)
    schedule = folder.parent / "poisson_schedule.json"
    begin_us = book.us[0]
    inevitable_us = 0
    if schedule.exists():  # a walk-forward does not quote before its first segment
        begin_us = max(begin_us, json.loads(schedule.read_text())["segments"][0]["start_us"])
        inevitable_us = LATENCY_US * summary["n_fills"]  # drawn up to four times per second: a fifth of the time
    covered_us, spans = book.us[-1] - begin_us, resting(orders, book.us[-1])
    both_us = common_us(merged(spans["BUY"]), merged(spans["SELL"]))
    assert (both_us + inevitable_us) / covered_us >= (0.8 if covered_us < SHORT_US or case.symbol == "BTCUSDT" else 0.9)
    if fit is not None:
        median_ticks = float(median_distance(spans, book)) / fit["tick_size"]
        assert fit["min_delta_ticks"] <= median_ticks <= fit["max_delta_ticks"]
    return summary


def fit_of(case: Case, lab: Lab) -> Any:
    """Return the fit of a case's day; None if the capture is too short, which the fit reports as its reason."""
    done = case.play(lab, "calibrate", "calibrate")
    assert done.code in {0, 4}, done.err
    fit = done.last
    assert finite(fit)
    if done.code == 0:
        return fit
    assert fit["reason"]
    book = tops(case.data(lab) / case.symbol / case.day)
    assert book.us[-1] - book.us[0] < FEW_US
    return None


@pytest.mark.slow
@every_case
def test_default_backtest_quotes_near_market(lab: Lab, case: Case) -> None:
    """Without a fit, k is 1 per tick: for a one-tick spread (TRXUSDT) the bid is one tick below the best bid.

    For a spread of 40 ticks it is far inside the spread, so distances are compared on the recorded captures only.
    """
    fit = None if case.sim else fit_of(case, lab)
    summary = check_run(case, lab, case.play(lab, "backtest", "backtest", **case.funds), fit)
    if case.capture == "trx":
        assert summary["n_fills"] > 0 or any(note.startswith("nothing filled") for note in summary["warnings"])
    else:
        assert summary["n_fills"] > 0


@every_case
def test_backtest_with_fit_quotes_within_fitted_distances(lab: Lab, case: Case) -> None:
    fit = fit_of(case, lab)
    if fit is None:
        pytest.skip("a minute of this capture is too little for a fit")
    done = case.play(lab, "backtest", "fitted", FILL_PARAMS_FILE=fit["path"], **case.funds)
    assert check_run(case, lab, done, fit)["n_fills"] > 0


@pytest.mark.slow
@every_case
def test_default_walk_forward_has_fills(lab: Lab, case: Case) -> None:
    windows = ("--wf-train-window-min", case.window, "--wf-step-min", case.step)
    if case.capture == "trx":  # a spread of one tick: in minutes, all fills of a queue model are at the best price
        refused = case.play(lab, "walkforward", "refused", *windows, **case.funds)
        assert refused.code == 4
        assert "boundary_k_pos" in refused.err
        assert "--fill-model" in refused.err
        windows = (*windows, "--fill-model", "trade_cross")
    done = case.play(lab, "walkforward", "walkforward", *windows, **case.funds)
    assert check_run(case, lab, done, fit_of(case, lab))["n_fills"] > 0
