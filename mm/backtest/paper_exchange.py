"""Python interface of the engine: checks, defaults and error messages; the event loop is compiled."""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from copy import copy
from fractions import Fraction
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

from mm.backtest.engine._engine import Engine
from mm.backtest.engine.contract_margin import ContractMargin
from mm.backtest.fills.base import FillModel, PythonFillModel, QueueProbPower
from mm.backtest.journal import ACTIONS, KINDS, REJECT_REASONS
from mm.backtest.margin import MarginAccount
from mm.backtest.quotes.base import compiled
from mm.backtest.rules import Rules
from mm.backtest.strategy import LegModel, Orders
from mm.backtest.trading_time import NEVER, TradingTime
from mm.base.user_code import named_hooks
from mm.clock import US_PER_S, iso
from mm.errors import Mismatch, MissingOrders, Sentence, UsageError
from mm.instrument import E8
from mm.tape._book import LEVEL_PAGE, WINDOW_MARGIN_TICKS
from mm.tape.columns import MANY_EVENTS
from mm.tape.feed import Feed
from mm.tape.lateness import lateness
from mm.tape.level_changes import level_changes

if TYPE_CHECKING:
    from mm.backtest.engine.live_feed import FeedEvent
    from mm.backtest.journal import Journal
    from mm.signals.other_feed import OtherFeed
    from mm.tape.columns import Payment
    from mm.tape.tape import Tape

STRIDE_US = 3600 * US_PER_S  # between two checks for process signals and two steps of a progress bar
MOST = 10**15  # of ticks and of lots


class PaperExchange:
    """A paper exchange for recorded or live markets, with one account, one quote model and one fill model.

    Args:
        quotes: Compiled, or any object with ``quote(view)``.
        fills: Compiled, or any object with ``on_trade`` or ``on_book``.
        keeps_orders: Whether the journal has order rows, most of its size.
        account: The margin account that several contracts share; None makes one.
        symbol: Name of the contract in that account.

    Attributes:
        legs: The other markets to which the strategy sends orders, by name.
        feeds: Clock offset and feed latency per tape, if the rules use the recorded feed.
        funding_e8: Total funding paid for our perpetual position, 1e-8 of the quote asset.
        target_funding: Instant and funding of the target inventory alone, by payment.
        funding_doubts: Payments whose rate or mark price was not received at their time; *margin* is None without its
            terms, or if events are fed.
    """

    def __init__(
        self,
        quotes: object,
        fills: object,
        rules: Rules,
        *,
        keeps_orders: bool = True,
        account: MarginAccount | None = None,
        symbol: str = "",
    ) -> None:
        self.rules = rules
        self.fills = fills if isinstance(fills, FillModel) else PythonFillModel(fills)
        self._engine = Engine(compiled(quotes), self.fills, rules, keeps_orders)
        self._last: Tape | None = None  # None before the first tape, and while events are fed
        self._best = self._feeds = False
        self._played_us = 0
        self._closed = self._held = self._ended = False
        self._time = TradingTime.of(quotes, rules.hours)
        self._turn_us = NEVER  # of a feed: the next turn of that time
        self._dark = list[tuple[int, int]]()  # stretches of the tape without the order log that the fill model plays
        self._due = deque[tuple[int, Callable[[], None]]]()
        self.legs = {name: self._leg(name, terms) for name, terms in rules.legs.items()}
        self._engine.manager.take_legs(self.legs)
        self.last_feed: Feed | None = None  # of many days, the others are released
        self.first_feed = dict[str, float]()
        self.funding_e8 = 0
        self.target_funding = list[tuple[int, int]]()
        self.funding_doubts = list["Payment"]()
        self.looks_at_margin = False  # whether the margin is looked at once the payments of now are booked
        self.margin: ContractMargin | None = None
        self.again: Clock | None = None  # what drives it, if a trade is played again
        if rules.margin is not None:
            shared = account if account is not None else MarginAccount.of(rules.start_cash_e8)
            self.margin = ContractMargin(self, shared, symbol, rules.margin, alone=account is None)

    def _leg(self, name: str, terms: Rules) -> "Leg | TradedLeg":
        if terms.as_traded is not None:
            return TradedLeg(terms, terms.as_traded.fills)
        return Leg(self.rules.others[name], terms, self.fills)

    @property
    def engine(self) -> Engine:
        """The compiled engine, for kernels that step it."""
        return self._engine

    @property
    def needs_depth(self) -> bool:
        """Whether models or rules read more of the book than its best prices and our orders' levels."""
        return self._engine.needs_book or self._judges_age  # every message counts

    @property
    def _judges_age(self) -> bool:
        return self.rules.risk is not None and self.rules.risk.feed_stale_us is not None

    @property
    def decisions(self) -> int:
        """Number of requotes in the journal; 0 if the rules do not record them."""
        return self._engine.decisions

    @property
    def best(self) -> tuple[int, int, int, int]:
        """Best bid and ask in ticks, and their lots; 0 for an empty side, all 0 without a valid book."""
        return self._engine.best

    @property
    def quoted(self) -> tuple[int, int]:
        """Prices in ticks of our best resting bid and ask; 0 for none."""
        return self._engine.manager.quoted

    @property
    def killed(self) -> tuple[int, str] | None:
        """Instant in µs from which nothing is sent, and the reason; None before."""
        return self._engine.manager.killed()

    def breaches(self, first: int) -> list[tuple[int, str, int, int, int]]:
        """Return risk limit breaches from row *first* on: instant, knob, actual and allowed value in 1e-8, side."""
        return self._engine.manager.breaches(first)

    def fills_from(self, first: int) -> list[tuple[int, int, int, int, int]]:
        """Return the fills from row *first* on: instant in µs, order id, side, ticks, lots."""
        return self._engine.fills_from(first)

    def order_rows(self, action: str, reject: str = "") -> int:
        """Return the number of order rows so far with an action and a reject reason."""
        return self._engine.manager.order_rows(ACTIONS.index(action), REJECT_REASONS.index(reject))

    def attach(self, tape: "Tape", *, best: bool = False) -> None:
        """Attach *tape* to be played next; positions, cash, orders and timers carry over.

        The unplayed rest of the previous tape is skipped, and its book dropped.

        Args:
            best: Whether only best prices, trades and the levels of our own orders are read, if the models need no more
                (`needs_depth`); then no order can take.

        Raises:
            Mismatch: If its grid differs from the rules', or it begins before the last tape ended.
        """
        grid = (tape.instrument.tick_e8, tape.instrument.lot_e8)
        if grid != (self.rules.tick_e8, self.rules.lot_e8):
            raise Mismatch(
                f"{tape.symbol} {tape.days[0]}: tick and lot are {grid[0]} and {grid[1]} (1e-8), the run's are "
                f"{self.rules.tick_e8} and {self.rules.lot_e8}; play days of one grid"
            )
        ended_us = self._last.end_us if self._last else self._engine.now_us
        if tape.start_us < ended_us:
            raise Mismatch(
                f"{tape.symbol} {tape.days[0]}: the tape begins at {tape.start_us}, before the last one "
                f"ended at {ended_us}; give the days in rising order"
            )
        require_orders(self.fills, tape)
        last = self._last
        joins = last is not None and self._played_us >= last.end_us and tape.continues(last)  # continues its book
        best = best and not self.needs_depth
        levels = tape.levels if best and self._engine.needs_levels else None
        if levels is None and self._engine.needs_levels and joins and self._best:
            levels = level_changes(tape)  # the levels of the previous tape's book are in its index alone
        # Without an index, visiting each event once takes less time than building it.
        best = best and (not self._engine.needs_levels or (levels is not None and (self._best or not joins)))
        late_us = self.rules.feed_us
        feed = tape.feed if self.rules.recorded_feed else tape.delayed(late_us) if late_us else None
        if feed:
            self.last_feed = feed
            self.first_feed = self.first_feed or feed.to_dict()
        prices = (tape.best_lots if self._engine.needs_lots else tape.price_moves) if best else None
        low, high = (0, 1) if best else _window(tape)
        behind_us = lateness(tape, strict=self.rules.strict_clock) if self._judges_age else None
        self._engine.attach(tape, low, high, joins, feed, prices, levels if best else None, behind_us)
        if self.margin is not None:
            self.margin.begin(tape, feed)
        self._last, self._best, self._feeds = tape, best, False

    def feed(self, events: "Iterable[FeedEvent]") -> None:
        """Play events as they arrive, singly or in batches; a tape of the same events gives an equal journal.

        Each event is played at its own instant, after our messages due before it. Actions due after the last event's
        market change wait for the next event or `advance`. The feed must be a complete book: after a tape, a GAP is
        inserted.

        Raises:
            UsageError: If an event is malformed, changes an invalid book, or is not later than what was played; then
                none of *events* is played. Also with a feed latency: what happens before receipt is not known yet.
            ModelError: If a model raises, or returns an invalid value.
        """
        if self.rules.feed_kind != "none":
            raise UsageError(
                "{feed_latency} is {}: what happens before it is received needs a tape; feed events in the order of "
                "receipt, with {feed_latency} none",
                self.rules.feed_kind,
            )
        if self.fills.needs_orders:
            raise UsageError(
                Sentence("{fill_model} queue_orders plays the order log of a recorded day; a feed has none")
            )
        events = tuple(events)
        if not events:  # a tape goes on, and time ends with it
            return
        if not self._feeds:
            self._turn(events[0].us)
        while self._turn_us < events[-1].us:
            before = bisect_right(events, self._turn_us, key=itemgetter(1))
            with named_hooks:
                self._engine.feed(events[:before])
            self._last, self._feeds, events = None, True, events[before:]
            self.advance(self._turn_us)
        with named_hooks:
            self._engine.feed(events)
        self._last, self._best, self._feeds = None, False, True

    def feed_other(self, name: str, events: "Iterable[FeedEvent]", payments: "Iterable[Payment]" = ()) -> None:
        """Add events of another market in order, before whatever plays at their instants.

        *payments* are booked for the position there, after everything at their instants.
        """
        events = tuple(events)
        self._engine.manager.feed_other(name, events)
        if name in self.legs:
            self.legs[name].feed(events, payments)

    def advance(self, until_us: int) -> None:
        """Play everything up to and including *until_us*, but nothing after the tape's end.

        For a feed: no event up to *until_us* will follow.

        Raises:
            ModelError: If a model raises, or returns an invalid value.
        """
        with named_hooks:
            if self._last is not None:
                self._played_us = min(until_us, self._last.end_us)
                self._engine.advance(self._played_us)
            elif self._feeds:
                while self._turn_us <= until_us:
                    self._engine.advance(self._turn_us)
                    self._turn(self._turn_us)
                self._engine.advance(until_us)

    def place(self, side: int, ticks: int, lots: int, kind: str = "LIMIT_MAKER") -> int:
        """Send an order at the current instant, in addition to the quote model's.

        Args:
            side: +1 buy, -1 sell.
            ticks: Price in ticks; ignored for a ``MARKET`` order.
            lots: Quantity, cut down to whole steps of the exchange.
            kind: ``LIMIT_MAKER``, ``LIMIT``, ``IOC``, ``FOK`` or ``MARKET``.

        Returns:
            Its id, or 0 if it was not sent; the journal's ``SKIP`` row has the reason.

        Raises:
            UsageError: If *side* or *kind* is unknown, or a number is out of range.
        """
        if side not in (1, -1) or kind not in KINDS or not 0 <= ticks <= MOST or not 0 <= lots <= MOST:
            raise UsageError(
                f"place({side}, {ticks}, {lots}, {kind!r}): side is +1 or -1, ticks and lots are 0 to {MOST}, "
                f"kind is one of {', '.join(KINDS)}"
            )
        self._engine.settle()
        return self._engine.manager.place(side, ticks, lots, KINDS.index(kind))

    def cancel(self, order_id: int) -> bool:
        """Request the cancel of an open order, also of the quote model's; it takes effect after the cancel latency.

        Returns:
            False if no such order is open, or its cancel is pending.
        """
        return self._engine.manager.cancel(order_id)

    def amend(self, order_id: int, lots: int) -> bool:
        """Request to reduce an order's total quantity to *lots*; it keeps its queue position.

        It takes effect an order latency later, unless as many lots have filled by then.

        Returns:
            False if no such order is open, *lots* is not a whole number of steps between filled and placed quantity,
            the filters forbid it, or a request is pending.
        """
        return self._engine.manager.amend(order_id, lots)

    def pull(self, reason: str) -> None:
        """Cancel the quotes at the current instant, and send none until `resume`."""
        self._engine.manager.pull(reason)

    def resume(self) -> None:
        """Allow quotes again, from the next requote on."""
        self._engine.manager.resume()

    def hold(self, reason: str) -> None:
        """Send no quotes until `release`, even in trading hours."""
        self._held = True
        self.pull(reason)

    def release(self) -> None:
        self._held = False
        if not self._closed:
            self.resume()

    def kill(self, reason: str) -> None:
        """Cancel every order now, in other markets too, and send nothing afterwards."""
        self._engine.manager.kill(reason)
        for leg in self.legs.values():
            leg.kill(self._engine.now_us, reason)

    def end(self, reason: str) -> None:
        """Kill now, and count no time as one with a market afterwards."""
        self._ended = True
        self.kill(reason)
        self._engine.trade(trades=False)

    def ahead_lots(self, order_id: int) -> float | None:
        """Return a queue model's estimate of the lots ahead of an order at its price.

        Returns:
            None if no such order rests, or the fill model has no queue.
        """
        self._engine.settle()
        return self._engine.manager.ahead_lots(order_id)

    def run(
        self,
        tape: "Tape",
        step: Callable[[int], None] | None = None,
        kill: tuple[int, str] | None = None,
        *,
        best: bool = False,
    ) -> None:
        """Play a whole tape.

        Args:
            tape: Its memory is released after every hour, or quarter of an hour above `MANY_EVENTS` events; not with
                *best*.
            step: Called with the µs of tape played, at the same intervals.
            kill: The instant at which all trading ends, and the reason.
            best: As for `attach`.
        """
        self.begin(tape, kill, best=best)
        us, stride_us = tape.start_us, STRIDE_US if len(tape) <= MANY_EVENTS else STRIDE_US // 4
        while us < tape.end_us:
            to_us = min(us + stride_us, tape.end_us)
            self.play_to(to_us)
            if not best:
                tape.release(us, to_us)
            if step:
                step(to_us - us)
            us = to_us
        self.advance(tape.end_us)
        self.end_legs(tape.end_us)

    def _without_log(self, tape: "Tape") -> list[tuple[int, int]]:
        if not self.fills.needs_orders or tape.orders is None:
            return []
        feed = self.last_feed if self.rules.feed_kind != "none" else None
        return tape.orders.dark(tape, feed)

    def without_log(self) -> list[str]:
        """Sentences on the stretches that lack the order log the fill model plays."""
        if not self._dark or self._last is None:
            return []
        day, log = self._last.days[0], "no order log, which FILL_MODEL=queue_orders plays: excluded"
        return [f"{day}: {log} from {iso(begin)} to {iso(end)}" for begin, end in self._dark]

    def end_legs(self, us: int) -> None:
        for leg in self.legs.values():
            leg.play_to(us)

    def begin(self, tape: "Tape", kill: tuple[int, str] | None = None, *, best: bool = False) -> None:
        """Begin a tape that `play_to` plays; arguments as for `run`."""
        paid_us = self._last.end_us if self._last else tape.start_us - 1  # funding is paid up to here
        self.attach(tape, best=best)
        self._dark = self._without_log(tape)
        self._due = deque(self._scheduled(tape, paid_us, kill))
        self._turn(tape.start_us)

    def play_to(self, us: int) -> None:
        while self._due and self._due[0][0] <= us:
            at_us = self._due[0][0]
            self.advance(at_us)
            if self._due and self._due[0][0] == at_us:  # a look at the margin has booked a payment itself
                self._due.popleft()[1]()
        self.advance(us)

    @property
    def due_us(self) -> int:
        """The next instant of funding, session or kill, at which `play_to` acts; NEVER after the last."""
        return self._due[0][0] if self._due else NEVER

    def _scheduled(
        self, tape: "Tape", paid_us: int, kill: tuple[int, str] | None
    ) -> "list[tuple[int, Callable[[], None]]]":
        payments = (payment for payment in tape.meta.funding if paid_us < payment.us <= tape.end_us)
        due = [(payment.us, partial(self.book, payment)) for payment in payments]
        turns = {*self._time.turns(tape.start_us, tape.end_us), *(us for dark in self._dark for us in dark)}
        due += [(us, partial(self._turn, us)) for us in turns if tape.start_us < us <= tape.end_us]
        due += [(kill[0], partial(self.kill, kill[1]))] if kill else []
        return sorted(due, key=itemgetter(0))

    def book(self, payment: "Payment") -> None:
        """Book funding now: quantity times mark price times rate, rounded half to even; a short position receives
        it.
        """
        held = self._held_at(payment.due_us) if payment.due_us else self._engine.inventory_lots
        away = held - self.rules.target
        if payment.doubt and held:
            self.funding_doubts.append(payment)
        per_lot = Fraction(self.rules.lot_e8 * self.rules.multiplier * payment.mark_e8 * payment.rate_e8, E8 * E8)
        paid_e8 = round(held * per_lot)
        self.funding_e8 += paid_e8
        self.target_funding.append((payment.us, paid_e8 - round(away * per_lot)))
        self._engine.pay(paid_e8)
        if self.margin is not None:
            self.margin.funding(self._engine.now_us, paid_e8)

    def book_payments(self, us: int) -> None:
        """Book the payments due at an instant, before the margin is checked."""
        self.looks_at_margin = True
        for entry in [entry for entry in self._due if entry[0] <= us]:
            if isinstance(entry[1], partial) and entry[1].func == self.book:
                self._due.remove(entry)
                entry[1]()
        self.looks_at_margin = False

    def _held_at(self, us: int) -> int:
        return self.rules.start_lots + sum(side * lots for at_us, _, side, _, lots in self.fills_from(0) if at_us <= us)

    def pay(self, rate_e8: int, mark_e8: int, due_us: int) -> "Payment":
        """Book funding that was due at *due_us* and has become known now; return it."""
        from mm.tape.columns import Payment

        payment = Payment(self._engine.now_us, rate_e8, mark_e8, due_us=due_us)
        self.book(payment)
        return payment

    def _turn(self, us: int) -> None:
        dark = any(begin <= us < end for begin, end in self._dark)
        if (self._time.is_closed(us) or dark) is not self._closed:
            self._closed = not self._closed
            if self._closed:
                self.pull("no_order_log" if dark else "session_closed")
            elif not self._held:
                self.resume()
        self._engine.trade(trades=self._time.is_within(us) and not (dark or self._ended))
        self._turn_us = self._time.next_turn(us)

    def journal(self) -> "Journal":
        """Return the journal since the start, or since the last call."""
        return self._engine.journal()


class Clock(Protocol):
    """The engine's clock while a trade is played again."""

    now_us: int


class Leg:
    """Another market with a strategy's orders, on its own paper exchange, which plays up to each call: the strategy's
    clock is the only one.
    """

    def __init__(self, feed: "OtherFeed", rules: Rules, own: FillModel) -> None:
        self._model = LegModel()
        logged = own.needs_orders and bool(feed.tapes) and all(tape.has_orders for tape in feed.tapes)
        self.exchange = PaperExchange(self._model, copy(own) if logged else QueueProbPower(), rules)
        self.orders.dark = True
        self._coming = deque(feed.within_run())
        self._tape: Tape | None = None
        self._waiting, self._due = deque["FeedEvent"](), deque["Payment"]()
        self._killed = False

    @property
    def orders(self) -> Orders:
        return self._model.orders

    def begin(self, us: int) -> None:
        self.play_to(us)
        self._model.begin(us)

    def finish(self) -> None:
        self._model.finish()

    def feed(self, events: "Iterable[FeedEvent]", payments: "Iterable[Payment]" = ()) -> None:
        """Each event plays once the strategy's clock reaches it; a payment before the first event is not ours."""
        self._waiting.extend(events)
        self._due.extend(payments)

    def play_to(self, us: int) -> None:
        while self._due and self._due[0].us <= us:
            payment = self._due.popleft()
            self._play_fed(payment.us)
            if not self.orders.dark:
                self.exchange.book(payment)
        self._play_fed(us)
        if not self.orders.dark and self._tape is None:
            return
        while True:
            if self._tape is not None:
                self.exchange.play_to(min(us, self._tape.end_us))
            if (self._tape and us <= self._tape.end_us) or not self._coming or self._coming[0].start_us > us:
                break
            self._tape = self._coming.popleft()
            self.exchange.begin(self._tape)
        self.orders.dark = self._tape is None or us > self._tape.end_us

    def _play_fed(self, us: int) -> None:
        while self._waiting and self._waiting[0].us <= us:
            self.exchange.feed((self._waiting.popleft(),))
            self.orders.dark = False
        if not self.orders.dark and self._tape is None:
            self.exchange.advance(us)

    def kill(self, us: int, reason: str) -> None:
        if not self._killed:
            self._killed = True
            self.play_to(us)
            self.exchange.kill(reason)


class TradedLeg(Leg):
    """Another market with a strategy's orders, of a trade that is played again: it acts when the trade's did."""

    def __init__(self, rules: Rules, fills: FillModel | None) -> None:
        self._model = LegModel()
        self.exchange = PaperExchange(self._model, fills or QueueProbPower(), rules)
        self.orders.dark = True

    def begin(self, us: int) -> None:
        self.orders.dark = not any(self.exchange.best[:2])
        again = self.exchange.again
        self._model.begin(us if again is None else max(us, again.now_us))

    def play_to(self, us: int) -> None:
        """The trade's own log says what it plays."""

    def kill(self, us: int, reason: str) -> None:
        """The trade has noted it for each of its markets."""


def require_orders(fills: object, tape: "Tape") -> None:
    """Raise MissingOrders if a fill model needs every order and a day has no order log."""
    if isinstance(fills, FillModel) and fills.needs_orders and not tape.has_orders:
        raise MissingOrders("{fill_model} queue_orders plays every order of the market: {}", tape.no_orders)


def _window(tape: "Tape") -> tuple[int, int]:
    low, high = (ticks // LEVEL_PAGE for ticks in tape.best_span)
    margin = WINDOW_MARGIN_TICKS // LEVEL_PAGE  # a whole number
    return max(low - margin, 0) * LEVEL_PAGE, (high + margin + 1) * LEVEL_PAGE
