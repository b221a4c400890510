"""Replays a trade on its recorded day: at the instants at which it acted, with its own fills or a fill model's.

``mm trade`` writes each step of its engine besides the market's events (`mm.live.run.step_log`). With the trade's own
fills the replay repeats its orders row by row; with a fill model it differs from where the model does.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mm.backtest.engine.live_feed import FeedEvent, feed_events
from mm.backtest.fills.base import FillModel
from mm.backtest.journal import ORDER_COLUMNS, Journal
from mm.backtest.latency import Latencies
from mm.backtest.market_without_us import MarketWithoutUs
from mm.backtest.risk import RiskLimits
from mm.base.user_code import named_hooks
from mm.clock import iso
from mm.errors import BrokenFile, DataError, Mismatch
from mm.tape.columns import Ints

if TYPE_CHECKING:
    from mm.backtest.engine.paper_exchange import PaperExchange
    from mm.backtest.rules import Rules
    from mm.tape.tape import Tape

STEP = "step"
_ID, _ACTIVE = (ORDER_COLUMNS.index(name) for name in ("order_id", "active_us"))
_ASSUMED = frozenset(("order_latency_us", "cancel_latency_us", "latency_seed", "recorded_feed", "feed_us", "feed_why"))
FILL_REASONS = ("exchange:maker", "exchange:taker")
_OF_MARKET = frozenset(("sent", "leaving", "known", "never", "stays", "traded", "moving", "moved", "moved_not"))
_OF_CLOCK = frozenset(("accepted", "rejected", "filled", "closed", "amended", "paid", "set_reached", "pull"))
_OF_TIMING = frozenset(("pull", "resume", "kill", "set_reached", "paid", "transfer"))


def steps_name(symbol: str) -> str:
    return f"steps_{symbol}.ndjson"


def head_of(rules: "Rules") -> dict[str, Any]:
    values = {one.name: getattr(rules, one.name) for one in fields(rules) if one.name not in _ASSUMED}
    plain = {name: value for name, value in values.items() if value is None or isinstance(value, int | float | str)}
    for name in ("latencies", "micro_price", "margin", "hours", "as_traded", "risk"):
        plain.pop(name, None)
    return {"rules": plain, "risk": None if rules.risk is None else asdict(rules.risk)}


class TradeFills(FillModel):
    """Fills nothing: the fills are the trade's."""

    name = "as_traded"
    reasons = FILL_REASONS


@dataclass(frozen=True, eq=False)
class AsTraded:
    """The steps of a trade's engine.

    Attributes:
        rows: Instant in µs, number of market events before, what, and its arguments.
        grid_e8: Tick and lot, 1e-8.
        rules, risk: Plain values at the trade's start.
        reported: Whether orders end as in the trade; else a fill model decides, with the trade's latencies.
    """

    path: Path
    rows_run_id: str
    end_us: int
    grid_e8: tuple[int, int]
    rules: Mapping[str, Any]
    risk: Mapping[str, Any] | None
    reported: bool
    rows: Sequence[tuple[int, int, str, tuple[Any, ...]]] = field(repr=False)

    @classmethod
    def read(cls, path: Path, *, reported: bool) -> Self:
        try:
            with path.open(encoding="utf-8") as file:
                head = json.loads(next(file))
                rows = [(us, events, what, tuple(given)) for us, events, what, *given in map(json.loads, file)]
            terms = head["rules"], head["risk"]
            if terms[1] is not None:
                terms[1]["widen_bands"] = tuple(map(tuple, terms[1]["widen_bands"]))
            return cls(path, head["rows_run_id"], head["end_us"], tuple(head["grid_e8"]), *terms, reported, rows)
        except (OSError, StopIteration, ValueError, LookupError, TypeError) as error:
            raise BrokenFile(f"{path}: not the steps of a trade ({error}); restore the file") from error

    def of(self, known: "Rules") -> "Rules":
        """Return the rules of a run with the trade's account and instants."""
        risk = None if self.risk is None else RiskLimits(**self.risk)
        known = replace(known, recorded_feed=False, feed_us=0, feed_why="as the trade received it")
        known = replace(known, **self.rules, risk=risk, margin=None, as_traded=self)
        if self.reported:
            return replace(known, latencies=None)
        # What the account holds beside the run's is not known here: the exchange judged it.
        return replace(known, latencies=self._latencies(), enforce_balances=False)

    @property
    def accepted_us(self) -> dict[int, int]:
        return {given[0]: us for us, _, what, given in self.rows if what == "accepted"}

    def _latencies(self) -> Latencies | None:
        """Latency of each order and cancel by order id; a missing one repeats the previous."""
        begun: dict[tuple[str, int], int] = {}
        took: dict[str, dict[int, int]] = {"sent": {}, "leaving": {}}
        step_us = 0
        for us, _, what, given in self.rows:
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

    def actions(self, exchange: "PaperExchange", tape: "Tape") -> Iterator[tuple[int, bool, Callable[[], None]]]:
        """Yield in order: an instant that never falls, whether it is a step of the engine, and the call.

        Raises:
            Mismatch: If the recorded day has fewer events than the trade received.
        """
        engine, market = exchange.engine, MarketWithoutUs()
        coming, now_us, fed = feed_events(tape), 0, 0
        engine.drive(reported=self.reported)

        def feed(events: Sequence[FeedEvent]) -> None:
            nonlocal now_us
            for event in events:
                now_us = max(now_us, event.us)
                late_us = event.late_us + now_us - event.us
                exchange.feed((event._replace(us=now_us, late_us=late_us),))

        def act(us: int, events: int, what: str, given: tuple[Any, ...]) -> None:
            nonlocal now_us, fed
            while fed < events:
                event = next(coming, None)
                if event is None:
                    raise Mismatch(
                        f"{tape.symbol} {tape.days[0]}: the recorded day has {fed} events; the trade had {events}"
                    )
                feed(market.without_us((event,)))
                fed += 1
            if what == STEP:
                now_us = max(now_us, us)
                with named_hooks:
                    engine.step(us)
            elif what in _OF_MARKET:
                if what == "sent" and self.reported and engine.terms_of(given[0]) != given[1:]:
                    raise self._differs(us, given, engine.terms_of(given[0]))
                correction = getattr(market, what)(*given)
                feed(() if correction is None else (correction,))
            elif self.reported or what in _OF_TIMING:
                now_us = max(now_us, us) if what in _OF_CLOCK else now_us
                engine.report(us, what, given)
                exchange.funding_e8 += given[0] if what == "paid" else 0

        at_us = 0
        for us, events, what, given in self.rows:
            at_us = max(at_us, us)
            yield at_us, what == STEP, lambda row=(us, events, what, given): act(*row)  # type: ignore[misc]
        yield max(at_us, self.end_us), False, lambda: engine.pass_time(self.end_us)

    def _differs(self, us: int, sent: tuple[int, ...], own: tuple[int, ...] | None) -> Mismatch:
        order_id, *theirs = sent
        told, played = (
            "none" if terms is None else f"{'BUY' if terms[0] > 0 else 'SELL'} {terms[2]} lots at {terms[1]} ticks"
            for terms in (theirs, own)
        )
        return Mismatch(
            "{as_traded}: at {} order {} of the trade is {}, and here {}: the decisions differ from there on; give the "
            "trade's model, knobs and files, or {traded_fills} 0, which plays the fills of a model",
            *(iso(us), order_id, told, played),
        )


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
        known = np.full(int(orders[:, _ID].max()) + 1, journal.counters["last_us"] + 1, np.int64)
        for order_id, us in accepted_us.items():
            if order_id < len(known):
                known[order_id] = us
        named = orders[:, _ID] > 0
        orders[named, _ACTIVE] = known[orders[named, _ID]]
    return replace(journal, orders=orders)


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
