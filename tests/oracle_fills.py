"""The oracle's fill models, written from docs/specification/engine.md."""

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from oracle_market import BUY, DEPTH, GAP, KEYFRAME, NEVER, SELL, SNAPSHOT, TRADE, Book, Event, Order, Trade, unit

LOT_E8 = 1_000  # of the drawn tapes
FARTHEST_US = 10**13  # after every tape
Table = Any  # numbers by input, or by side and input
Answer = tuple[int, str]  # lots, and the name of the model


class FillModel:
    """The hooks of a fill model."""

    name: str
    expected_fills: float | None = None
    step_lots = 1  # lots of the tape in an order step, of the run

    def use_step(self, step_lots: int) -> None:
        """Set the lots of the tape in an order step, before a run."""
        self.step_lots = step_lots

    def steps(self, lots: float) -> float:
        """Return lots of the tape in order steps."""
        return lots / self.step_lots

    def on_event(self, event: Event) -> None:
        """Receive an event at the exchange before the other hooks."""

    def crosses(self, order: Order, book: Book) -> bool:
        """Return whether an arriving order meets the other side."""
        other = book.best(-order.side)
        return bool(other) and order.accepts(other)

    def offered(self, trade: Trade) -> int:
        """Return the lots of a trade that are available to all our orders."""
        return trade.lots

    def on_rest(self, order: Order, book: Book) -> None:
        """Receive an order that came to rest."""

    def on_trade(self, order: Order, trade: Trade, taken: int) -> Answer:
        """Return how much of an order a trade fills, of which other orders took *taken* lots."""
        return 0, self.name

    def on_level(self, order: Order, before: int, after: int, printed: int) -> None:
        """Receive the lots displayed at an order's price, and those traded there."""

    def on_book(self, order: Order, book: Book, us: int) -> Answer:
        """Return how much of an order a book event fills."""
        return 0, self.name

    # Only for models that draw fills

    def moved(self, event: Event, book: Book) -> bool:
        """Return whether a book event changed the reference, so that new stretches begin."""
        return False

    def printed(self, event: Event) -> bool:
        """Return whether new stretches begin after a trade and its fills."""
        return False

    def accept(self, order: Order) -> None:
        """Count an order that comes to rest."""

    def begin(self, order: Order, book: Book, us: int) -> None:
        """Begin a stretch of a resting order."""

    def end(self, order: Order, us: int) -> None:
        """End the stretch of an order, if it is in one."""


class TradeCross(FillModel):
    """A resting order fills when a trade prints at or through its price."""

    name = "trade_cross"

    def __init__(self, strict: bool = False, share: float = 1.0, penetration_ticks: int = 0) -> None:
        self.share, self.through_ticks = share, max(penetration_ticks, 1) if strict else penetration_ticks

    def offered(self, trade: Trade) -> int:
        return math.floor(Fraction(str(self.share)) * trade.lots)

    def on_trade(self, order: Order, trade: Trade, taken: int) -> Answer:
        reached = order.side * (order.ticks - trade.ticks) >= self.through_ticks
        return (max(self.offered(trade) - taken, 0) if order.side != trade.side and reached else 0), self.name


class PriceCross(FillModel):
    """A resting order fills when the other side's best price reaches its price."""

    name = "price_cross"

    def __init__(self, penetration_ticks: int = 0) -> None:
        self.penetration_ticks = penetration_ticks

    def on_book(self, order: Order, book: Book, us: int) -> Answer:
        other = book.best(-order.side)
        reached = other and order.side * (order.ticks - other) >= self.penetration_ticks
        return (order.left if reached else 0), self.name


class Queue(FillModel):
    """A resting order fills when the lots ahead of it at its price are gone."""

    name = "queue"

    def share(self, ahead: float, behind: float) -> float:
        """Return the share of a cancellation that was ahead."""
        return 0.0

    def on_rest(self, order: Order, book: Book) -> None:
        displayed = book.lots_at(order.side, order.ticks)
        order.ahead = self.steps(max(displayed - book.printed_at(order.side, order.ticks), 0))

    def on_trade(self, order: Order, trade: Trade, taken: int) -> Answer:
        beyond = order.side * (order.ticks - trade.ticks)
        if order.side == trade.side or beyond < 0:
            return 0, self.name
        if beyond:
            order.ahead = 0.0
            return trade.lots - taken, self.name
        r = self.steps(trade.lots - taken) - order.ahead
        order.ahead = max(-r, 0.0)
        return math.floor(max(r, 0)) * self.step_lots, self.name

    def on_level(self, order: Order, before: int, after: int, printed: int) -> None:
        cancelled = self.steps(before - printed - after)
        if cancelled > 0 and order.ahead > 0:
            behind = max(self.steps(before - printed) - order.ahead, 0)
            order.ahead = max(order.ahead - self.share(order.ahead, behind) * cancelled, 0.0)
        order.ahead = min(order.ahead, self.steps(after))

    def on_book(self, order: Order, book: Book, us: int) -> Answer:
        other = book.best(-order.side)
        return (min(order.left, order.offered) if other and order.accepts(other) else 0), self.name


class QueueFront(Queue):
    """All cancellations were ahead."""

    def share(self, ahead: float, behind: float) -> float:
        return 1.0


class QueueBack(Queue):
    """All cancellations were behind; a print advances an order only beyond what the book's decreases have."""

    def __init__(self) -> None:
        self.print: Trade | None = None
        self.open = False  # whether an earlier order of ours stays at the print's price

    def on_rest(self, order: Order, book: Book) -> None:
        super().on_rest(order, book)
        order.given = 0.0

    def on_trade(self, order: Order, trade: Trade, taken: int) -> Answer:
        if self.print is not trade:
            self.print, self.open = trade, False
        if order.side == trade.side or order.ticks != trade.ticks:
            return super().on_trade(order, trade, taken)
        left = self.steps(trade.lots - taken)
        unknown = max(left - order.given, 0.0)
        order.given = max(order.given - left, 0.0)
        reached = math.floor(max(unknown - order.ahead, 0.0)) * self.step_lots
        order.ahead = max(order.ahead - unknown, 0.0)
        lots = 0 if self.open else reached
        self.open |= lots < order.left
        return lots, self.name

    def on_level(self, order: Order, before: int, after: int, printed: int) -> None:
        given = max(order.ahead - self.steps(after), 0.0)
        order.given += given
        order.ahead -= given


class QueueProbPower(Queue):
    """Cancellations are split by a power of the lots."""

    def __init__(self, exponent: float) -> None:
        self.exponent = exponent

    def share(self, ahead: float, behind: float) -> float:
        a, b = ahead**self.exponent, behind**self.exponent
        return a / (a + b)


class QueueProbLog(Queue):
    """Cancellations are split by the logarithm of the lots."""

    def share(self, ahead: float, behind: float) -> float:
        a, b = math.log(1 + ahead), math.log(1 + behind)
        return a / (a + b)


class Users(FillModel):
    """A user's object with some of the four hooks."""

    def __init__(self, model: object) -> None:
        self.model, self.name = model, type(model).__name__

    def on_rest(self, order: Order, book: Book) -> None:
        if hasattr(self.model, "on_rest"):
            self.model.on_rest(self.shown_order(order), self.shown_book(book))

    def on_trade(self, order: Order, trade: Trade, taken: int) -> Answer:
        left = trade._replace(lots=self.shown(trade.lots - taken))
        found = self.model.on_trade(self.shown_order(order), left) if hasattr(self.model, "on_trade") else 0
        return found * self.step_lots, self.name

    def on_level(self, order: Order, before: int, after: int, printed: int) -> None:
        if hasattr(self.model, "on_level"):
            self.model.on_level(self.shown_order(order), self.shown(before), self.shown(after))

    def on_book(self, order: Order, book: Book, us: int) -> Answer:
        if not hasattr(self.model, "on_book"):
            return 0, self.name
        found = self.model.on_book(self.shown_order(order), self.shown_book(book), us - order.last_book_us)
        return found * self.step_lots, self.name

    def shown(self, lots: int) -> float:
        """Return lots of the tape as a model sees them."""
        return shown_lots(lots, self.step_lots)

    def shown_order(self, order: Order) -> SimpleNamespace:
        """Return a hook's view of an order."""
        named = {name: getattr(order, name) for name in ("id", "side", "ticks")}
        return SimpleNamespace(**named, lots=self.shown(order.left), live_us=order.active_us)

    def shown_book(self, book: Book) -> SimpleNamespace:
        """Return a hook's view of the book."""
        sides = {"bid_ticks": book.best(BUY), "ask_ticks": book.best(SELL)}
        lots = {"bid_lots": self.shown(book.best_lots(BUY)), "ask_lots": self.shown(book.best_lots(SELL))}
        at = partial(lots_at, book, self.step_lots)
        return SimpleNamespace(us=book.us, **sides, **lots, mid2_ticks=book.mid2, lots_at=at)


def shown_lots(lots: int, step_lots: int) -> float:
    """Return lots of the tape in order steps, a fraction if they are finer."""
    return lots / step_lots if lots % step_lots else lots // step_lots


def lots_at(book: Book, step_lots: int, side: int, ticks: int) -> float:
    """Return what is displayed at a price, in order steps."""
    return shown_lots(book.lots_at(side, ticks), step_lots)


class Hybrid(FillModel):
    """Several models at once: the largest answer counts, the first one on ties."""

    def __init__(self, models: Iterable[FillModel]) -> None:
        self.models = list(models)
        drawing = [model for model in self.models if isinstance(model, Poisson | Predicted)]
        self.drawn = drawing[0] if drawing else FillModel()
        for hook in ("on_event", "moved", "printed", "accept", "begin", "end"):
            setattr(self, hook, getattr(self.drawn, hook))

    @property
    def expected_fills(self) -> float | None:
        return self.drawn.expected_fills

    def use_step(self, step_lots: int) -> None:
        for model in self.models:
            model.use_step(step_lots)

    def on_rest(self, order: Order, book: Book) -> None:
        for model in self.models:
            model.on_rest(order, book)

    def on_trade(self, order: Order, trade: Trade, taken: int) -> Answer:
        answers = [model.on_trade(order, trade, taken) for model in self.models]
        return self.most(min(order.left, trade.lots - taken), answers)

    def on_level(self, order: Order, before: int, after: int, printed: int) -> None:
        for model in self.models:
            model.on_level(order, before, after, printed)

    def on_book(self, order: Order, book: Book, us: int) -> Answer:
        return self.most(order.left, [model.on_book(order, book, us) for model in self.models])

    def most(self, left: int, answers: list[Answer]) -> Answer:
        """Return the answer that fills most, up to *left* lots."""
        return max(answers, key=lambda answer: min(answer[0], left))


class Poisson(FillModel):
    """An order fills with intensity A·exp(−k·delta); a piece is (start_us, end_us, A_bid, k_bid, A_ask, k_ask, k).

    A negative delta counts as 0, since nothing was measured inside the spread. A piece of eleven fields ends with a
    curve for both sides with points (delta, intensity), which replaces the exponential.
    """

    name = "poisson"

    def __init__(self, pieces: Iterable[tuple], reference: str = "mid", seed: int = 0) -> None:
        self.pieces, self.reference, self.seed = pieces, reference, seed
        self.last_reference: tuple | None = None  # at its last change
        self.moved_at = (0, 0)  # instant and recv_seq of the book event that last changed the reference
        self.accepted = {BUY: 0, SELL: 0}  # orders since then
        self.expected_fills = 0.0

    def moved(self, event: Event, book: Book) -> bool:
        bid, ask = book.best(BUY), book.best(SELL)
        reference = {
            "mid": (bid > 0, ask > 0, book.mid2),
            "best": (bid, ask),
            "micro": (bid, ask, book.best_lots(BUY), book.best_lots(SELL)),
        }[self.reference]
        if reference == self.last_reference:
            return False
        self.last_reference, self.moved_at, self.accepted = reference, (event.us, event.recv_seq), {BUY: 0, SELL: 0}
        return True

    def accept(self, order: Order) -> None:
        self.accepted[order.side] += 1

    def begin(self, order: Order, book: Book, us: int) -> None:
        self.end(order, us)
        order.delta, order.since_us = self.delta(order, book), us
        order.due_us = self.due(order, self.draw(order.side))

    def end(self, order: Order, us: int) -> None:
        """Add the expected fills of the stretch."""
        if order.since_us != NEVER:
            self.expected_fills += sum(rate * (stop - start) for start, stop, rate in self.parts(order, us))

    def draw(self, side: int) -> float:
        us, recv_seq = self.moved_at
        return unit_exponential(self.seed, us, recv_seq, 2 * self.accepted[side] + (side == BUY))

    def delta(self, order: Order, book: Book) -> float | None:
        """Return the distance from the reference in ticks, None while a side is empty."""
        if not book.mid2:
            return None
        bid, ask, bid_lots, ask_lots = book.best(BUY), book.best(SELL), book.best_lots(BUY), book.best_lots(SELL)
        reference = {
            "mid": book.mid2 / 2,
            "best": book.best(order.side),
            "micro": (bid * ask_lots + ask * bid_lots) / (bid_lots + ask_lots),
        }[self.reference]
        return order.side * (reference - order.ticks)

    def parts(self, order: Order, until_us: float = math.inf) -> Iterator[tuple[int, int, float]]:
        """Yield the parts of constant intensity of a stretch: begin, end, intensity per µs."""
        for start, stop, a_bid, k_bid, a_ask, k_ask, _, *more in self.pieces:
            begin, end = max(start, order.since_us), min(stop, until_us)
            if begin < end and order.delta is not None:
                a, k = (a_bid, k_bid) if order.side == BUY else (a_ask, k_ask)
                curve = more[3] if more else ()
                rate = along(curve, order.delta) if curve else a * math.exp(-k * max(order.delta, 0.0))
                yield begin, end, rate * 1e-6

    def due(self, order: Order, left: float) -> int | None:
        """Return the instant at which the integrated intensity reaches *left*, None if it never does."""
        for begin, end, rate in self.parts(order):
            wait = left / rate if rate else math.inf
            if wait < end - begin:
                return begin + int(wait)
            left -= rate * (end - begin)
        return None


class Hawkes(Poisson):
    """An order fills with the Poisson intensity times lambda_i/mean_i of a process that the recorded orders excite.

    *block* is as in JSON; sums are over all orders so far, and the instant of a fill is found by bisection. A piece may
    end with its own means of bids and asks.
    """

    name = "hawkes"

    def __init__(self, pieces: Iterable[tuple], reference: str, seed: int, block: dict[str, Any]) -> None:
        super().__init__(pieces, reference, seed)
        hit = ("bid", "ask")
        self.mu = np.array([block["mu_per_s"][side] for side in hit])
        n = [[[one["branching"][i][j] for j in hit] for i in hit] for one in block["kernels"]]
        self.n = np.array(n).reshape(-1, 2, 2)
        self.beta = np.array([one["beta_per_s"] for one in block["kernels"]])
        mean = block.get("mean_per_s")
        if mean is None:
            self.mean = np.linalg.solve(np.eye(2) - self.n.sum(axis=0), self.mu)
        else:
            self.mean = np.array([mean[side] for side in hit])
        self.sweeps = block.get("sweeps", True)
        self.orders: list[list[int]] = [[], []]  # instants of those that hit bids and asks
        self.stamp: dict[int, int] = {}

    def printed(self, event: Event) -> bool:
        side = event.rows[0][0]
        same, self.stamp[side] = self.stamp.get(side, 0), event.exch_us
        if not self.n.any() or (self.sweeps and event.exch_us and event.exch_us == same):
            return False
        self.orders[0 if side == SELL else 1].append(event.us)
        self.moved_at, self.accepted = (event.us, event.recv_seq), {BUY: 0, SELL: 0}
        return True

    def mean_at(self, us: int, i: int) -> float:
        (means,) = (piece[12:14] for piece in self.pieces if piece[0] <= us < piece[1])
        return means[i] if means else self.mean[i]

    def begin(self, order: Order, book: Book, us: int) -> None:
        self.end(order, us)
        order.delta, order.since_us = self.delta(order, book), us
        order.known = tuple(len(one) for one in self.orders)
        order.due_us = self.due(order, self.draw(order.side))

    def end(self, order: Order, us: int) -> None:
        if order.since_us != NEVER:
            self.expected_fills += self.integral(order, us)

    def integral(self, order: Order, until_us: float) -> float:
        """Return the integrated intensity of a stretch up to an instant."""
        if not self.n.any():
            return sum(rate * (stop - start) for start, stop, rate in self.parts(order, until_us))
        i, total = (0 if order.side == BUY else 1), 0.0
        for start, stop, rate in self.parts(order, until_us):
            mean = self.mean_at(start, i)
            more = self.mu[i] / mean * (stop - start) * 1e-6
            for j in (0, 1):
                ages = (start - np.array(self.orders[j][: order.known[j]], float)) * 1e-6
                for n, beta in zip(self.n[:, i, j], self.beta, strict=True):
                    lasts = -math.expm1(-beta * (stop - start) * 1e-6)
                    more += n * float(np.exp(-beta * ages).sum()) * lasts / mean
            total += rate * more * 1e6
        return total

    def due(self, order: Order, left: float) -> int | None:
        if not self.n.any():
            return super().due(order, left)
        low, high = order.since_us, order.since_us + 1
        while self.integral(order, high) <= left:
            if high > FARTHEST_US:
                return None
            low, high = high, high + 2 * (high - order.since_us)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.integral(order, middle) <= left else (low, middle)
        return low


class Predicted(FillModel):
    """An order fills with intensity -ln(1 - p)/horizon, p by a logistic predictor of the book's imbalance and spread.

    *weights* has a row for bids and one for asks: of the imbalance, the spread in ticks, the volume bought less sold in
    the last second (base asset) and the distance; *mean* and *scale* are those of the inputs.
    """

    name = "predicted"

    def __init__(
        self, weights: Table, bias: Table, scaler: Table, distances: Sequence[float], horizon_s: float, seed: int = 0
    ) -> None:
        self.weights, self.bias, (self.mean, self.scale) = weights, bias, scaler
        self.least, self.most = min(distances), max(distances)
        self.horizon_s, self.seed = horizon_s, seed
        self.book, self.prints, self.since_us = Book(), [], 0
        self.row: list[float] | None = None  # of the last diff; None if a value is unknown
        self.moved_at, self.accepted, self.expected_fills = (0, 0), {BUY: 0, SELL: 0}, 0.0

    def on_event(self, event: Event) -> None:
        if event.kind == TRADE:
            side, _, lots = event.rows[0]
            if self.book.valid:
                self.prints.append((event.us, side * lots))
            return
        if event.kind == KEYFRAME and self.book.valid:
            return
        begins = event.kind != DEPTH and not self.book.valid
        self.book.apply(event._replace(kind=SNAPSHOT) if event.kind == KEYFRAME else event)
        if begins and event.kind != GAP:
            self.since_us, self.prints = event.us, []
        if event.kind == DEPTH and self.book.valid:
            self.row = self.values(event.us)

    def values(self, us: int) -> list[float] | None:
        """Return the signals after a diff; None if a side is empty or the last second is incomplete."""
        if not self.book.mid2 or us - self.since_us < 1_000_000:
            return None
        bid, ask = self.book.best_lots(BUY), self.book.best_lots(SELL)
        signed = sum(lots for at, lots in self.prints if us - 1_000_000 < at <= us)
        return [(bid - ask) / (bid + ask), float(self.book.best(SELL) - self.book.best(BUY)), signed * LOT_E8 / 1e8]

    def moved(self, event: Event, book: Book) -> bool:
        self.moved_at, self.accepted = (event.us, event.recv_seq), {BUY: 0, SELL: 0}
        return True

    def accept(self, order: Order) -> None:
        self.accepted[order.side] += 1

    def begin(self, order: Order, book: Book, us: int) -> None:
        self.end(order, us)
        order.since_us, order.due_us, order.delta = us, None, self.rate(order, book)
        if order.delta:
            key = (*self.moved_at, 2 * self.accepted[order.side] + (order.side == BUY))
            order.due_us = us + int(unit_exponential(self.seed, *key) / (order.delta * 1e-6))

    def end(self, order: Order, us: int) -> None:
        if order.since_us != NEVER and order.delta is not None:
            self.expected_fills += order.delta * 1e-6 * (us - order.since_us)

    def rate(self, order: Order, book: Book) -> float | None:
        """Return the intensity in 1/s; None while a side is empty."""
        if not book.mid2:
            return None
        delta = order.side * (book.mid2 / 2 - order.ticks)
        if self.row is None or delta > self.most:
            return 0.0
        row = [*self.row, max(delta, self.least)]
        scaled = [min(max((x - m) / s, -5.0), 5.0) for x, m, s in zip(row, self.mean, self.scale, strict=True)]
        side = 0 if order.side == BUY else 1
        score = self.bias[side]
        for weight, x in zip(self.weights[side], scaled, strict=True):
            score += weight * x
        return -math.log1p(-1 / (1 + math.exp(-score))) / self.horizon_s


def along(curve: tuple[tuple[float, float], ...], delta: float) -> float:
    """Return the intensity of a curve: log-linear between points, constant before and extrapolated beyond."""
    if delta <= curve[0][0]:
        return math.exp(math.log(curve[0][1]))
    before = max(place for place, (at, _) in enumerate(curve[:-1]) if at <= delta)
    (d0, r0), (d1, r1) = curve[before : before + 2]
    return math.exp(math.log(r0) + (math.log(r1) - math.log(r0)) * ((delta - d0) / (d1 - d0)))


def unit_exponential(seed: int, *keys: int) -> float:
    """Return the unit exponential draw of a seed and its keys."""
    return -math.log(unit(seed, *keys))
