"""The exponent of ``queue_prob_power`` under which our orders would have filled when they did.

Each order is played on its recorded day without our orders, for a grid of exponents. A print that passed it by at its
price shows that lots were ahead just before; its first fill shows that none were left. An end without a fill shows
nothing: cancellations may have emptied the queue since. The model's lots ahead e (below 0: printed since the front was
reached) are logistic around the true lots, with a scale that grows as the root of the lots ahead on arrival, as sums of
cancellations do:

    passed by: probability that the true lots are above 0      filled next: and are not at the fill

The exponent maximises the likelihood. Its interval holds the exponents whose slope of the likelihood, by blocks of
three minutes, does not differ significantly from 0.

Each run is also scored with the exponent and the scale that maximise the likelihood of the other runs.
"""

from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.days_without_us import OwnActivity, RecordedOrder, without_us
from mm.backtest.fills.base import QueueByExponents
from mm.backtest.models import queue_back, queue_front, queue_prob_power
from mm.base.estimate import NO_ESTIMATE, Estimate, column_ends
from mm.clock import US_PER_MS, US_PER_S
from mm.instrument import E8
from mm.probes.exponent_truth import AgreedExponent
from mm.probes.queue_exponent import EXPONENTS
from mm.probes.queue_score import BLOCK_US, LEAST_BLOCKS, Bin, OrderBlocks, reliability, trade_instants
from mm.probes.virtual_orders import Outcomes, VirtualOrders, manual_exchange, on_exchange_time
from mm.tape.tape import DEPTH, GAP, SNAPSHOT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.instrument import Instrument
    from mm.tape.tape import Ints, Tape

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Strings = NDArray[np.str_]

LEAST_ORDERS = 50  # that had to wait
LARGE = 0.5  # of the lots ahead on arrival
SCALES = np.geomspace(0.003, 3.0, 301)  # tried, in the median of lots ahead on arrival; coarse ones bend the likelihood
DEFINITION = (
    "our own orders on their recorded days without us; likelihood of lots ahead at the last print that passed them by, "
    "and of none at their first fill; an order that filled would have lived as long as the next one that did not and "
    "outlived its fill; intervals over blocks of {block_s:g} s"
)


@dataclass(frozen=True, eq=False)
class OwnOrders:
    """Our orders that rested on a day, as columns, on its tape's clock.

    Attributes:
        known_us: When the queue was used up, or the order ended.
        place: Ticks behind its side's best price on arrival.
    """

    us: "Ints"
    known_us: "Ints"
    end_us: "Ints"
    side: "Ints"
    ticks: "Ints"
    lots: "Ints"
    place: "Ints"
    filled: "Bools"
    client_id: Sequence[str]

    def __len__(self) -> int:
        return len(self.us)


@dataclass(frozen=True, eq=False)
class Played:
    """Orders under several exponents.

    Attributes:
        passed: Lots ahead just before the last print that reached the price and passed the order by; on arrival if none
            did.
        ahead: Lots ahead at the first fill, or at the end.
    """

    joined: "Floats"
    passed: "Floats"
    ahead: "Floats"
    filled: "Bools"
    sent: "Bools"

    def select(self, exponents: slice) -> "Played":
        return replace(
            self,
            passed=self.passed[:, exponents],
            ahead=self.ahead[:, exponents],
            filled=self.filled[:, exponents],
        )


@dataclass(frozen=True)
class OwnExponent(AgreedExponent):
    """The exponent that agrees with our own fills; ``too_few`` may also be blocks of time.

    ``wide`` and ``at_edge`` have an interval too, and backtests do not take the exponent up.

    Attributes:
        left_out: Orders that say nothing of a queue, by reason.
        message_us: Median time between depth messages; None without any. What joins and leaves between two messages
            shows as its difference, so every order of a market may tell another exponent than its fills.
        large: At least half of the lots ahead: the market may have reacted.
    """

    n_fills: int
    message_us: int | None
    left_out: dict[str, int]
    large: list[dict[str, Any]]
    held_out: "HeldOut | None" = None

    @property
    def shown(self) -> bool:
        return self.exponent is not None and self.low is not None


@dataclass(frozen=True)
class HeldOutScore:
    """Fills of one model on orders that it was not fitted to.

    Attributes:
        log_score: Mean log-likelihood per order, in nats; None for a model without a likelihood.
        bias: Share filled less the exchange's.
        missed_lots, false_lots: Lots of the orders in *misses* and *false_fills*.
    """

    hits: int
    misses: int
    false_fills: int
    log_score: float | None
    bias: Estimate
    missed_lots: int
    false_lots: int


@dataclass(frozen=True)
class HeldOut:
    """Each run scored with what the other runs tell.

    Attributes:
        exponents: Fitted to the other runs, by run; one of the tried exponents.
        models: ``fit``, and models that were fitted to none of the runs.
    """

    n_orders: int
    n_fills: int
    exponents: dict[str, float]
    models: dict[str, HeldOutScore]


def own_exponent(days: "Iterable[tuple[Tape, OwnActivity]]", run_of: Mapping[str, str] | None = None) -> OwnExponent:
    """*run_of*: the run of each client order id; two or more runs are scored, each with the fit to the others."""
    markets, left_out, between_us = [], dict[str, int](), []
    for tape, own in days:
        between_us.append(np.diff(tape.event_us[tape.kind == DEPTH]))
        market, orders, reasons = own_orders(tape, own)
        markets.append((market, orders))
        for reason, count in reasons.items():
            left_out[reason] = left_out.get(reason, 0) + count
    messages = np.concatenate([np.empty(0, np.int64), *between_us])
    message_us = int(np.median(messages)) if len(messages) else None
    return fit_to_orders(markets, run_of or {}, left_out, message_us)


def fit_to_orders(
    markets: "Sequence[tuple[Tape, OwnOrders]]",
    run_of: Mapping[str, str],
    left_out: Mapping[str, int],
    message_us: int | None,
) -> OwnExponent:
    """*markets*: each day without our orders, and our orders of that day."""
    orders = joined([part for _, part in markets])
    default = float(queue_prob_power().exponent)
    tried = _played(markets, np.append(EXPONENTS, default))
    waits = tried.sent & (tried.joined > 0)
    left_out = {
        **left_out,
        "crossed the book": int((~tried.sent).sum()),
        "nothing ahead": int((tried.sent & ~waits).sum()),
    }
    left_out = {reason: count for reason, count in left_out.items() if count}
    count, fills = int(waits.sum()), int(orders.filled[waits].sum())
    definition = DEFINITION.format(block_s=BLOCK_US / 1e6)
    best, status = NO_ESTIMATE, "too_few"
    if count >= LEAST_ORDERS and fills:
        losses = _losses(tried.select(slice(-1)), orders.filled, waits)
        best, status = _best(losses, orders.us[waits])
    if best.value is None:
        return OwnExponent(
            "too_few", definition, None, None, None, count, None, None, [], fills, message_us, left_out, []
        )
    exponent, low, high = (None if end is None else float(np.exp(end)) for end in (best.value, best.low, best.high))
    fitted = _played(markets, np.array([exponent]))
    blocks, every = OrderBlocks(orders.us[waits], 0), np.ones(count)
    bias, default_bias = (
        blocks.ratio(filled[waits].astype(float) - orders.filled[waits], every)
        for filled in (fitted.filled[:, 0], tried.filled[:, -1])
    )
    bins = _reliability(orders, fitted, waits, markets[0][0].instrument.lot_e8 / E8)
    large = _large(orders, tried.joined, waits)
    runs = np.array([run_of.get(client_id, "") for client_id in orders.client_id])
    scored = _held_out(markets, orders, tried, waits, runs) if len(set(runs[waits].tolist())) > 1 else None
    counts = fills, message_us, left_out, large, scored
    return OwnExponent(status, definition, exponent, low, high, count, bias, default_bias, bins, *counts)


def own_orders(tape: "Tape", own: OwnActivity) -> "tuple[Tape, OwnOrders, dict[str, int]]":
    """The day without our orders, our orders, both on the exchange's clock, and how many are left out by reason."""
    exact = _at_distinct_instants(tape)
    market = without_us(exact, replace(own, trade_ids=frozenset()))
    prints = Prints.of(exact)
    breaks_us = exact.event_us[(exact.kind == GAP) | (exact.kind == SNAPSHOT)].tolist()
    rows, left_out = [], {"off the recorded time": 0, "filled on arrival": 0, "behind another of ours": 0}
    behind: dict[tuple[int, int], int] = {}
    for order in sorted(own.orders, key=lambda order: order.left_e8[0][0]):
        us, price = order.left_e8[0][0], (order.side, order.price_e8)
        end_us = order.left_e8[-1][0] if order.left_e8[-1][1] == 0 else max(order.left_e8[-1][0], exact.end_us)
        known_us = prints.instant_of(order) if order.fills else end_us
        was_until, behind[price] = behind.get(price, 0), max(behind.get(price, 0), end_us)
        if known_us > exact.end_us or us < exact.start_us or bisect(breaks_us, us) != bisect(breaks_us, known_us):
            left_out["off the recorded time"] += 1
        elif known_us <= us:
            left_out["filled on arrival"] += 1
        elif us < was_until:
            left_out["behind another of ours"] += 1
        else:
            rows.append((us, known_us, order))
    return market, _columns(market, rows), left_out


@dataclass(frozen=True, eq=False)
class Prints:
    """A day's prints: instants by id, and (instant, lots) by side and price of the orders that they filled."""

    us_by_id: dict[int, int]
    at_price: dict[tuple[int, int], list[tuple[int, int]]]
    instrument: "Instrument"

    @classmethod
    def of(cls, tape: "Tape") -> "Prints":
        at = tape.trades
        rows, us = tape.first_row[:-1][at], tape.event_us[at].tolist()
        at_price: dict[tuple[int, int], list[tuple[int, int]]] = {}
        columns = (column[rows].tolist() for column in (tape.row_side, tape.row_ticks, tape.row_lots))
        for print_us, taker, ticks, lots in zip(us, *columns, strict=True):
            at_price.setdefault((-taker, ticks), []).append((print_us, lots))
        return cls(dict(zip(tape.event_id[at].tolist(), us, strict=True)), at_price, tape.instrument)

    def instant_of(self, order: RecordedOrder) -> int:
        """When the order's first fill was printed.

        An import may number prints anew: then the nearest print at its price, if possible of as many lots.
        """
        fill_us, number = order.fills[0]
        us = self.us_by_id.get(number, 0)
        if abs(us - fill_us) < US_PER_S:
            return us
        left = next((left for us, left in order.left_e8 if us >= fill_us and left < order.qty_e8), 0)
        lots = (order.qty_e8 - left) // self.instrument.lot_e8
        prints = self.at_price.get((order.side, order.price_e8 // self.instrument.tick_e8), [])
        first, last = (bisect(prints, (fill_us + by_us, 0)) for by_us in (-US_PER_MS, US_PER_MS))
        near = [(size != lots, abs(us - fill_us), us) for us, size in prints[first:last]]
        return min(near)[2] if near else fill_us


def _at_distinct_instants(tape: "Tape") -> "Tape":
    step = np.arange(len(tape))
    # prints are stamped in ms, and a book of every change is not: the log knows the µs
    instants = trade_instants(tape.order_log) if tape.order_log is not None else {}
    us = np.maximum.accumulate(on_exchange_time(tape, instants).event_us - step) + step
    return replace(tape, event_us=us, start_us=int(us[0]), end_us=int(us[-1]))


def _columns(market: "Tape", rows: list[tuple[int, int, RecordedOrder]]) -> OwnOrders:
    grid = market.instrument
    us, known_us = (np.array([row[at] for row in rows], np.int64) for at in (0, 1))
    side = np.array([order.side for *_, order in rows], np.int64)
    ticks = np.array([order.price_e8 // grid.tick_e8 for *_, order in rows], np.int64)
    filled = np.array([bool(order.fills) for *_, order in rows], bool)
    at = np.searchsorted(market.event_us[market.top_event], us, side="right") - 1
    best: Ints = np.where(side > 0, market.top_bid_ticks[at], market.top_ask_ticks[at])
    return OwnOrders(
        us=us,
        known_us=known_us,
        end_us=_planned_ends(us, known_us, filled, market.end_us),
        side=side,
        ticks=ticks,
        lots=np.array([order.qty_e8 // grid.lot_e8 for *_, order in rows], np.int64),
        place=side * (best - ticks),
        filled=filled,
        client_id=[order.client_id for *_, order in rows],
    )


def _planned_ends(us: "Ints", known_us: "Ints", filled: "Bools", last_us: int) -> "Ints":
    """A filled order would have lived as long as the next unfilled one that outlived its fill."""
    life, end_us = known_us - us, known_us.copy()
    unfilled = np.flatnonzero(~filled)
    for number in np.flatnonzero(filled).tolist():
        outlived = unfilled[life[unfilled] > life[number]]
        after = min(int(np.searchsorted(outlived, number)), len(outlived) - 1)
        end_us[number] = us[number] + (life[outlived[after]] if len(outlived) else 2 * life[number])
    return np.minimum(end_us, last_us)


def joined(parts: Sequence[OwnOrders]) -> OwnOrders:
    names = ("us", "known_us", "end_us", "side", "ticks", "lots", "place", "filled")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return OwnOrders(**columns, client_id=[client_id for part in parts for client_id in part.client_id])


def _played(markets: "Sequence[tuple[Tape, OwnOrders]]", exponents: "Floats") -> Played:
    parts = [play_own(market, orders, exponents) for market, orders in markets]
    return Played(*(np.concatenate([getattr(part, name) for part in parts]) for name in Played.__dataclass_fields__))


def play_own(market: "Tape", orders: OwnOrders, exponents: "Floats") -> Played:
    """Play to the ends of orders of one step, with all exponents at once."""
    queues = QueueByExponents(exponents, len(orders))
    exchange = manual_exchange(market, queues)
    ids: dict[int, int] = {}
    joined_lots, sent = np.zeros(len(orders)), np.zeros(len(orders), bool)
    known, printed, passed = (np.zeros((len(orders), len(exponents))) for _ in range(3))
    is_known = np.zeros(len(orders), bool)
    filled = np.zeros((len(orders), len(exponents)), bool)

    def ahead(number: int) -> "Floats":
        waits = exchange.ahead_lots(ids[number]) is not None
        return queues.ahead_lots(ids[number]) * market.step_lots if waits else np.zeros(len(exponents))

    for us, action, number, lots in _due(market, orders):
        if action and not sent[number]:
            continue
        exchange.advance(us)
        if action == _ARRIVES:
            ids[number] = exchange.place(int(orders.side[number]), int(orders.ticks[number]), market.step_lots)
            exchange.advance(us)
            sent[number] = exchange.ahead_lots(ids[number]) is not None
            joined_lots[number] = ahead(number)[0]
            passed[number] = joined_lots[number]
        elif action == _PRINTS:
            now = ahead(number)
            if not is_known[number]:
                passed[number] = now - printed[number]
            printed[number] += np.maximum(lots - now, 0.0)
        elif action == _IS_KNOWN:
            known[number], is_known[number] = ahead(number) - printed[number], True
        else:
            filled[number] = (printed[number] > 0) | (exchange.ahead_lots(ids[number]) is None)
            exchange.cancel(ids[number])
    return Played(joined_lots, passed, known, filled, sent)


_ARRIVES, _IS_KNOWN, _PRINTS, _ENDS = range(4)


def _due(market: "Tape", orders: OwnOrders) -> list[tuple[int, int, int, int]]:
    """Instant, kind, order and reached lots of what happens; a print is looked at just before it."""
    at = market.trades
    trade_us, rows = market.event_us[at], market.first_row[:-1][at]
    ticks, lots, taker = market.row_ticks[rows], market.row_lots[rows], market.row_side[rows]
    due = []
    columns = (orders.us, orders.known_us, orders.end_us, orders.side, orders.ticks)
    for number, (us, known_us, end_us, side, price) in enumerate(zip(*(one.tolist() for one in columns), strict=True)):
        due += [(us, _ARRIVES, number, 0), (known_us - 1, _IS_KNOWN, number, 0), (end_us, _ENDS, number, 0)]
        first, last = np.searchsorted(trade_us, [us, end_us], side="right").tolist()
        reaches = (taker[first:last] == -side) & (side * (price - ticks[first:last]) >= 0)
        found = first + np.flatnonzero(reaches)
        due += [
            (print_us - 1, _PRINTS, number, size)
            for print_us, size in zip(trade_us[found].tolist(), lots[found].tolist(), strict=True)
        ]
    return sorted(due)


def _losses_by_scale(played: Played, filled: "Bools", waits: "Bools") -> "Iterator[Floats]":
    """Yield each waiting order's negative log-likelihood per exponent, for each of `SCALES`."""
    joined_lots = played.joined[waits, None]
    unit = np.sqrt(joined_lots * np.median(joined_lots))
    passed, ahead, on_arrival = (lots / unit for lots in (played.passed[waits], played.ahead[waits], joined_lots))
    filled = filled[waits, None]
    for scale in SCALES.tolist():
        loss = np.logaddexp(0.0, -passed / scale)  # -ln P(true lots > 0), and of (true lots <= 0) thereafter
        went = np.maximum(passed - ahead, 1e-9) / scale
        loss = loss + np.where(filled, np.logaddexp(0.0, ahead / scale) - np.log(-np.expm1(-went)), 0.0)
        yield loss - np.logaddexp(0.0, -on_arrival / scale)  # it had to wait on arrival


def _losses(played: Played, filled: "Bools", waits: "Bools") -> "Floats":
    """Each waiting order's negative log-likelihood per exponent, each with its best scale."""
    best = np.full((int(waits.sum()), played.ahead.shape[1]), np.inf)
    for loss in _losses_by_scale(played, filled, waits):
        better = loss.sum(axis=0) < best.sum(axis=0)
        best[:, better] = loss[:, better]
    return best


def _held_out(
    markets: "Sequence[tuple[Tape, OwnOrders]]", orders: OwnOrders, tried: Played, waits: "Bools", runs: "Strings"
) -> HeldOut | None:
    """*tried*: under `EXPONENTS` and the default exponent. None where fewer than two runs leave fills to fit to."""
    names, run = np.unique(runs[waits], return_inverse=True)
    filled = orders.filled[waits]
    fills = np.bincount(run, filled, len(names))
    folds = np.flatnonzero(fills.sum() - fills > 0)
    if len(folds) < 2:
        return None
    sums = np.zeros((len(SCALES), len(names), tried.ahead.shape[1]))
    for scale, loss in enumerate(_losses_by_scale(tried, orders.filled, waits)):
        np.add.at(sums[scale], run, loss)
    others = sums.sum(axis=1, keepdims=True) - sums
    best_scale = others.argmin(axis=0)  # by run and exponent
    by_run = np.take_along_axis(sums, best_scale[None], axis=0)[0]
    chosen = others.min(axis=0)[:, : len(EXPONENTS)].argmin(axis=1)
    scored = np.isin(run, folds)
    fixed = {"exponent 1": int(np.abs(np.log(EXPONENTS)).argmin()), "default": len(EXPONENTS)}
    at = {"fit": chosen, **{name: np.full(len(names), number) for name, number in fixed.items()}}
    under = {name: tried.filled[waits][np.arange(len(run)), column[run]] for name, column in at.items()}
    score_of = {name: -float(by_run[folds, column[folds]].sum()) / int(scored.sum()) for name, column in at.items()}
    for name, model in (("queue_back", queue_back), ("queue_front", queue_front)):
        under[name] = np.concatenate([_filled_under(model, market, part) for market, part in markets])[waits]
    blocks, every = OrderBlocks(orders.us[waits][scored], 0), np.ones(int(scored.sum()))
    truth, lots = filled[scored], orders.lots[waits][scored]
    models = {}
    for name, all_orders in under.items():
        model_fills = all_orders[scored]
        missed, false = truth & ~model_fills, model_fills & ~truth
        models[name] = HeldOutScore(
            hits=int((truth & model_fills).sum()),
            misses=int(missed.sum()),
            false_fills=int(false.sum()),
            log_score=score_of.get(name),
            bias=blocks.ratio(model_fills.astype(float) - truth, every),
            missed_lots=int(lots[missed].sum()),
            false_lots=int(lots[false].sum()),
        )
    exponents = {str(names[fold]): float(EXPONENTS[chosen[fold]]) for fold in folds.tolist()}
    return HeldOut(int(scored.sum()), int(truth.sum()), exponents, models)


def _filled_under(model: "Callable[[], object]", market: "Tape", orders: OwnOrders) -> "Bools":
    """Which orders of one step would have filled under a queue model by their ends."""
    exchange, ids = manual_exchange(market, model()), dict[int, int]()
    filled = np.zeros(len(orders), bool)
    due = [(us, 0, number) for number, us in enumerate(orders.us.tolist())]
    due += [(us, 1, number) for number, us in enumerate(orders.end_us.tolist())]
    for us, ends, number in sorted(due):
        exchange.advance(us)
        if ends:
            filled[number] = exchange.ahead_lots(ids[number]) is None
            exchange.cancel(ids[number])
        else:
            ids[number] = exchange.place(int(orders.side[number]), int(orders.ticks[number]), market.step_lots)
    return filled


def _best(losses: "Floats", us: "Ints") -> tuple[Estimate, str]:
    """ln n of the least loss with interval, and status."""
    at = int(losses.sum(axis=0).argmin())
    inside = min(max(at, 1), len(EXPONENTS) - 2)
    step = float(np.log(EXPONENTS[1] / EXPONENTS[0]))
    left, middle, right = losses[:, inside - 1 : inside + 2].T
    bend = float((left - 2 * middle + right).sum()) / step**2
    is_edge = at != inside or bend <= 0
    value = float(np.log(EXPONENTS[at]))
    if not is_edge:
        value -= float((right - left).sum()) / (2 * step) / bend
    _, block = np.unique(us // BLOCK_US, return_inverse=True)
    slopes = np.zeros((int(block.max()) + 1, len(EXPONENTS) - 2))
    np.add.at(slopes, block, losses[:, 2:] - losses[:, :-2])
    if len(slopes) < LEAST_BLOCKS:
        return NO_ESTIMATE, "too_few"
    mean, _, half = column_ends(slopes, np.ones(len(slopes)), least=LEAST_BLOCKS)
    low, high = _ends(mean / np.maximum(half, 1e-300), inside - 1)
    every = low <= np.log(EXPONENTS[0]) and high >= np.log(EXPONENTS[-1])
    status = "wide" if every else "at_edge" if is_edge else "ok"
    return Estimate(value, None, min(low, value), max(high, value), len(slopes)), status


def _ends(slope: "Floats", at: int) -> tuple[float, float]:
    """ln n below and above the exponent *at* at which the slope, in half intervals, reaches -1 and 1.

    Far from the best exponent the likelihood is no parabola, and its slope varies less where it is flat. Without an
    end, the end of the tried exponents counts.
    """
    tried = np.log(EXPONENTS)
    ends = []
    for away in (-1, 1):
        side = away * slope[at::away]
        beyond = np.flatnonzero(side >= 1)
        if not len(beyond) or len(side) < 2:
            ends.append(float(tried[0 if away < 0 else -1]))
            continue
        last = max(int(beyond[0]), 1)
        share = (1 - side[last - 1]) / (side[last] - side[last - 1])
        ends.append(float(tried[1 + at] + away * (tried[1] - tried[0]) * (last - 1 + share)))
    return ends[0], ends[1]


def _reliability(orders: OwnOrders, played: Played, waits: "Bools", lot: float) -> list[Bin]:
    checks = np.where(waits, played.joined, 0.0)[:, None]
    turn = np.zeros(len(orders), np.int64)
    columns = VirtualOrders(orders.us, orders.side, orders.ticks, orders.place, turn, 0, (0,))
    truth, model = (
        Outcomes(np.where(filled, orders.known_us, -1), checks, waits)
        for filled in (orders.filled, played.filled[:, 0])
    )
    return reliability(columns, truth, model, lot)


def _large(orders: OwnOrders, joined_lots: "Floats", waits: "Bools") -> list[dict[str, Any]]:
    share = np.divide(orders.lots, joined_lots, out=np.zeros(len(orders)), where=waits)
    found = np.flatnonzero(share >= LARGE)
    return [
        {
            "client_id": orders.client_id[number],
            "us": int(orders.us[number]),
            "lots": int(orders.lots[number]),
            "ahead_lots": float(joined_lots[number]),
        }
        for number in found[np.argsort(-share[found], kind="stable")].tolist()
    ]
