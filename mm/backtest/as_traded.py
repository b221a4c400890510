"""Replays a trade on its recorded day: at the instants at which it acted, with its own fills or a fill model's.

``mm trade`` writes each step of its engine besides the market's events (`mm.live.run.step_log`). With the trade's own
fills the replay repeats its orders row by row; with a fill model it differs from where the model does.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from mm.backtest.fills.base import FillModel
from mm.backtest.journal import LEGS, Journal
from mm.backtest.latency import Latencies
from mm.errors import BrokenFile, DataError
from mm.tape.columns import Ints

if TYPE_CHECKING:
    from mm.tape.tape import Tape

STEP, HEARD = "step", "heard"
FILL_REASONS = ("exchange:maker", "exchange:taker")


def steps_name(symbol: str) -> str:
    return f"steps_{symbol}.ndjson"


class TradeFills(FillModel):
    """Fills nothing: the fills are the trade's."""

    name = "as_traded"
    reasons = FILL_REASONS


class Row(NamedTuple):
    """One thing that a trade's engine, or its market without our orders, was given.

    Attributes:
        number: Among the rows of all symbols of the trade, in their order.
        events: Number of events of its market before it.
    """

    number: int
    us: int
    events: int
    what: str
    given: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class AsTraded:
    """The steps of a trade's engine.

    Attributes:
        rows: What it was given, in order.
        grid_e8: Tick and lot, 1e-8.
        seen_e8: Those of the other markets that the strategy saw, by name in OTHERS.
        own_views: Names under which it saw its own market.
        rules, risk: Plain values at the trade's start.
        reported: Whether orders end as in the trade; else a fill model decides, with the trade's latencies.
        legs: The other markets in which the strategy had orders.
        tapes: The days of all others.
    """

    path: Path
    rows_run_id: str
    end_us: int
    grid_e8: tuple[int, int]
    rules: Mapping[str, Any]
    risk: Mapping[str, Any] | None
    reported: bool
    rows: Sequence[Row] = field(repr=False)
    seen_e8: Mapping[str, tuple[int, int]]
    own_views: Sequence[str]
    legs: "Mapping[str, AsTraded]"
    tapes: "Mapping[str, Tape]" = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, *, reported: bool) -> Self:
        try:
            with path.open(encoding="utf-8") as file:
                head = json.loads(next(file))
                rows = [Row(n, us, events, what, tuple(given)) for n, us, events, what, *given in map(json.loads, file)]
            terms = head["rules"], head["risk"]
            if terms[1] is not None:
                terms[1]["widen_bands"] = tuple(map(tuple, terms[1]["widen_bands"]))
            given = head["rows_run_id"], head["end_us"], tuple(head["grid_e8"]), *terms, reported, rows
            seen_e8 = {name: tuple(grid) for name, grid in head["seen_e8"].items()}
        except (OSError, StopIteration, ValueError, LookupError, TypeError) as error:
            raise BrokenFile(f"{path}: not the steps of a trade ({error}); restore the file") from error
        folders = sorted((path.parent / LEGS).glob("*"))
        legs = {one.name: cls.read(steps, reported=reported) for one in folders for steps in one.glob(steps_name("*"))}
        seen_e8 = {name: grid for name, grid in seen_e8.items() if name not in legs and name not in head["own_views"]}
        return cls(path, *given, seen_e8, head["own_views"], legs)

    @property
    def fills(self) -> TradeFills | None:
        """None: those of a fill model."""
        return TradeFills() if self.reported else None

    @property
    def beside(self) -> Collection[str]:
        return {*self.seen_e8, *self.own_views, *self.legs}

    def received(self, name: str) -> "tuple[str, tuple[int, int], int]":
        """Return the run, grid and end of another market's recorded day."""
        if name in self.legs:
            return self.legs[name].rows_run_id, self.legs[name].grid_e8, self.legs[name].end_us
        return self.rows_run_id, self.seen_e8.get(name, self.grid_e8), self.end_us

    @property
    def accepted_us(self) -> dict[int, int]:
        return {given[0]: us for _, us, _, what, given in self.rows if what == "accepted"}

    @property
    def base_fee_lots(self) -> Ints:
        return np.array([given[4] for *_, what, given in self.rows if what == "filled"], np.int64)

    def latencies(self) -> Latencies | None:
        """Latency of each order and cancel by order id; a missing one repeats the previous."""
        begun: dict[tuple[str, int], int] = {}
        took: dict[str, dict[int, int]] = {"sent": {}, "leaving": {}}
        step_us = 0
        for _, us, _, what, given in self.rows:
            if what == STEP:
                step_us = us
            elif what in took:
                begun[what, given[0]] = step_us
            elif what in ("accepted", "rejected", "closed"):
                name = "leaving" if what == "closed" else "sent"
                if (sent_us := begun.pop((name, given[0]), None)) is not None:
                    took[name][given[0]] = us - sent_us
        most = max((max(of, default=0) for of in took.values()), default=0)
        if not took["sent"]:
            return None
        orders, cancels = (_by_id(of, most) for of in (took["sent"], took["leaving"] or took["sent"]))
        return Latencies(orders, cancels, in_order=True)


def _by_id(took: Mapping[int, int], most: int) -> Ints:
    last, found = next(iter(took.values())), list[int]()
    for order_id in range(1, most + 1):
        last = took.get(order_id, last)
        found.append(last)
    return np.array(found, np.int64)


def with_acceptances(journal: Journal, accepted_us: Mapping[int, int]) -> Journal:
    """Let orders rest from the instants at which the exchange accepted them."""
    orders = journal.orders.copy()
    if len(orders):
        known = np.full(int(orders.order_id.max()) + 1, journal.counters["last_us"] + 1, np.int64)
        for order_id, us in accepted_us.items():
            if order_id < len(known):
                known[order_id] = us
        named = orders.order_id > 0
        orders.active_us[named] = known[orders.order_id[named]]
    return replace(journal, orders=orders)


def as_reported(journal: Journal, traded: AsTraded) -> Journal:
    """Let orders rest as the exchange reported it, and tell fills from their commissions."""
    return replace(with_acceptances(journal, traded.accepted_us), base_fee_lots=traded.base_fee_lots)


def steps_path(out_root: Path, symbol: str, run: str) -> Path:
    """Return the step log of a trade, given by its folder or RUN_ID.

    Raises:
        DataError: If there is none, or several.
    """
    folders = [Path(run)] if Path(run).is_dir() else sorted((out_root / "trade" / symbol).glob(f"*_{run}"))
    found = [path for folder in folders if (path := folder / steps_name(symbol)).is_file()]
    if len(found) != 1:
        what = "no trade" if not found else f"{len(found)} trades"
        where = out_root / "trade"
        raise DataError("{as_traded} {}: {} of {} with {} below {}", run, what, symbol, steps_name(symbol), where)
    return found[0]
