"""The Python face of the engine: checks, defaults and names in errors; the loop itself is compiled."""

from collections import deque
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

from mm.backtest._engine import Engine
from mm.backtest.fills.base import FillModel, PythonFillModel
from mm.backtest.journal import ACTIONS, KINDS, REJECT_REASONS
from mm.backtest.quotes.base import compiled
from mm.backtest.rules import Rules
from mm.clock import US_PER_S
from mm.errors import Mismatch, MMError, UsageError
from mm.instrument import E8
from mm.tape.columns import DEPTH, MANY_EVENTS, TRADE
from mm.tape.feed import Feed, feed_of
from mm.tape.top_of_book import BestPrices
from mm.user_code import raised_inside

if TYPE_CHECKING:
    from mm.backtest.journal import Journal
    from mm.backtest.live_feed import FeedEvent
    from mm.tape.columns import Payment
    from mm.tape.feed import ExchangePrices
    from mm.tape.level_changes import LevelIndex
    from mm.tape.tape import Tape

_Given = TypeVar("_Given")
STRIDE_US = 3600 * US_PER_S  # between two looks at signals and two steps of a progress bar
MOST = 10**15  # of ticks and of lots
MARGIN_TICKS = 1 << 20  # beyond the best prices of a tape, what its book holds densely


class PaperExchange:
    """An exchange on paper, in recorded markets or a live one: one account, one quote model, one fill model.

    Args:
        quotes: A compiled quote model, or any object with ``quote(view)``.
        fills: A compiled fill model, or any object with ``on_trade`` or ``on_book``.
        rules: What binds our orders.
        keeps_orders: Whether the journal has the rows of orders, which are most of it.

    Attributes:
        feeds: Of each tape played, where the rules let its feed lag as recorded.
        funding_e8: What a perpetual has paid for our position in all, 1e-8 of the quote asset.
    """

    def __init__(self, quotes: object, fills: object, rules: Rules, *, keeps_orders: bool = True) -> None:
        self.rules = rules
        self._engine = Engine(
            compiled(quotes),
            fills if isinstance(fills, FillModel) else PythonFillModel(fills),
            rules,
            keeps_orders,
        )
        self._last: Tape | None = None  # None before any, and while events are fed
        self._feeds = False
        self._played_us = 0
        self._closed = False
        self.feeds: list[Feed] = []
        self.funding_e8 = 0

    @property
    def engine(self) -> Engine:
        """The compiled engine, for kernels that step it."""
        return self._engine

    @property
    def needs_depth(self) -> bool:
        """Whether a tape's best prices and trades (`Tape.best`) would not do for these models and rules."""
        return self._engine.needs_depth or self._needs_messages

    @property
    def _needs_messages(self) -> bool:
        return self.rules.risk is not None and self.rules.risk.feed_stale_us is not None  # every message counts

    def follows_levels(self, tape: "Tape") -> bool:
        """Return whether the best prices of *tape* would do, beside the changes of its levels (`Tape.levels`)."""
        if not self._engine.follows_levels or self._needs_messages:
            return False
        played = tape.ahead if self.rules.recorded_feed else tape
        return played is not None and (
            len(played) == 0 or played.kind[0] not in (DEPTH, TRADE) or not self._joins(tape)
        )

    @property
    def decisions(self) -> int:
        """How many requotes the journal would hold by now; 0 where the rules do not ask for them."""
        return self._engine.decisions

    @property
    def best(self) -> tuple[int, int]:
        """Best bid and ask in ticks as of now; 0 where there is none, as both are without a valid book."""
        return self._engine.best

    @property
    def quoted(self) -> tuple[int, int]:
        """Prices in ticks of our best resting bid and ask; 0 where none rests."""
        return self._engine.manager.quoted

    @property
    def killed(self) -> tuple[int, str] | None:
        """Since when nothing is sent any more, µs, and why; None where orders may be sent."""
        return self._engine.manager.killed()

    def breaches(self, first: int) -> list[tuple[int, str, int, int, int]]:
        """Return the breaches of risk limits from row *first* on: instant, knob, found and allowed in 1e-8, side."""
        return self._engine.manager.breaches(first)

    @property
    def limits_used(self) -> dict[str, float]:
        """How much of each risk limit is used, as a share of its bound."""
        return self._engine.manager.guard.used()

    def fills_from(self, first: int) -> list[tuple[int, int, int, int, int]]:
        """Return the fills that the journal would hold by now, from row *first* on.

        Each is instant in µs, order id, side, ticks, lots.
        """
        return self._engine.fills_from(first)

    def order_rows(self, action: str, reject: str = "") -> int:
        """Return how many rows of orders the journal would hold by now, of an action and of a reject reason."""
        return self._engine.manager.order_rows(ACTIONS.index(action), REJECT_REASONS.index(reject))

    def attach(self, tape: "Tape", levels: "LevelIndex | None" = None, ahead: "ExchangePrices | None" = None) -> None:
        """Make *tape* what is played next; positions, cash, orders and timers carry over.

        What was not played of the tape before is left out; then no tape carries its book on.

        Args:
            tape: The tape, or its best prices and trades (`Tape.best`) where the models need no more.
            levels: The changes of its levels, beside its best prices, where `follows_levels`.
            ahead: Its best prices in the exchange's order (`Tape.ahead`), beside those as received; a recorded feed
                needs them, or the whole tape.

        Raises:
            UsageError: If a recorded feed is given best prices without those of the exchange.
            Mismatch: If its grid is not the rules', or it begins before the last one ended.
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
        low, high = (0, 1) if isinstance(tape, BestPrices) else _window(tape)
        joins = self._joins(tape)
        feed = None
        if self.rules.recorded_feed:
            if isinstance(tape, BestPrices) and ahead is None:
                raise UsageError("FEED_LATENCY=recorded needs the whole tape, or `Tape.ahead` beside its best prices")
            feed = ahead.feed if ahead else feed_of(tape)
            self.feeds.append(feed)
        if ahead and levels:
            levels = ahead.in_its_order(levels)
        self._engine.attach(tape, low, high, joins, feed, levels, ahead)
        self._last, self._feeds = tape, False

    def _joins(self, tape: "Tape") -> bool:
        """Return whether the book of *tape* carries on that of the tape before, which was played to its end."""
        return self._last is not None and self._played_us >= self._last.end_us and tape.continues(self._last)

    def feed(self, events: "Iterable[FeedEvent]") -> None:
        """Play events as they arrive: one at a time or in any cut, they leave the journal that the same tape leaves.

        Each is played at its own instant, and before it what of ours is due. What is due at the instant of the last
        one, behind its market, waits for the next event or for `advance`. The book is complete as fed: after a tape, a
        GAP is inserted. An event costs a few µs; `mm.backtest.live_feed.LiveFeed` makes them of a live market.

        Raises:
            UsageError: If an event is malformed, changes a book that is not valid, or is not later than what has been
                played; none of *events* is played then. Also if the rules want a recorded feed, whose clock offset
                needs what comes later.
            ModelError: If a model raises, or answers what cannot be acted on.
        """
        if self.rules.recorded_feed:
            raise UsageError(
                "FEED_LATENCY=recorded needs the whole tape, from which the offset of the clocks is measured; "
                "feed events in the order of receipt, without it"
            )
        self._call(self._engine.feed, events)
        self._last, self._feeds = None, True

    def advance(self, until_us: int) -> None:
        """Play everything up to and including *until_us*, but nothing behind the tape's end.

        A feed has no end: there it says that no event up to and including *until_us* will be fed any more.

        Raises:
            ModelError: If a model raises, or answers what cannot be acted on.
        """
        if self._last is not None:
            self._played_us = min(until_us, self._last.end_us)
            self._call(self._engine.advance, self._played_us)
        elif self._feeds:
            self._call(self._engine.advance, until_us)

    def _call(self, play: "Callable[[_Given], None]", given: "_Given") -> None:
        """Call the engine, and name a user's model where that raises."""
        try:
            play(given)
        except MMError:
            raise
        except Exception as error:
            named = raised_inside(error)
            if named is None:
                raise
            raise named from error

    def place(self, side: int, ticks: int, lots: int, kind: str = "LIMIT_MAKER") -> int:
        """Send an order at the instant that was played up to, beside those of the quote model.

        Args:
            side: +1 buy, -1 sell.
            ticks: Price in ticks; a ``MARKET`` order's is not looked at.
            lots: Quantity in lots, cut down to whole steps of the exchange.
            kind: ``LIMIT_MAKER``, ``LIMIT``, ``IOC``, ``FOK`` or ``MARKET``.

        Returns:
            Its id, or 0 where it was not sent: the journal's ``SKIP`` row says why.

        Raises:
            UsageError: If *side* or *kind* is not one of these, or a number is out of range.
        """
        if side not in (1, -1) or kind not in KINDS or not 0 <= ticks <= MOST or not 0 <= lots <= MOST:
            raise UsageError(
                f"place({side}, {ticks}, {lots}, {kind!r}): side is +1 or -1, ticks and lots are 0 to {MOST}, "
                f"kind is one of {', '.join(KINDS)}"
            )
        self._engine.settle()
        return self._engine.manager.place(side, ticks, lots, KINDS.index(kind))

    def cancel(self, order_id: int) -> bool:
        """Ask for the cancel of an open order, also one of the quote model; it takes effect after its latency.

        Returns:
            False where no such order is open, or its cancel is on its way.
        """
        return self._engine.manager.cancel(order_id)

    def amend(self, order_id: int, lots: int) -> bool:
        """Ask for an order's quantity to be *lots* in all, fewer than it was placed with; its queue place is kept.

        It takes effect an order latency later, and comes to nothing where as many have filled by then.

        Returns:
            False where no such order is open, *lots* is no whole number of steps between what has filled and what
            was placed, or an amendment is on its way.
        """
        return self._engine.manager.amend(order_id, lots)

    def pull(self, reason: str) -> None:
        """Cancel the quotes at the instant that was played up to, and send none until `resume`."""
        self._engine.manager.pull(reason)

    def resume(self) -> None:
        """Let quotes come back, at the next requote."""
        self._engine.manager.resume()

    def kill(self, reason: str) -> None:
        """Cancel every order at the instant that was played up to, and send nothing any more."""
        self._engine.manager.kill(reason)

    def ahead_lots(self, order_id: int) -> float | None:
        """Return how many lots stand ahead of an order at its price, as a queue model estimates.

        Returns:
            None where no such order rests, or the fill model keeps no queue.
        """
        self._engine.settle()
        return self._engine.manager.ahead_lots(order_id)

    def run(
        self,
        tape: "Tape",
        step: Callable[[int], None] | None = None,
        kill: tuple[int, str] | None = None,
        levels: "LevelIndex | None" = None,
        ahead: "ExchangePrices | None" = None,
        *,
        stays: bool = False,
    ) -> None:
        """Play a whole tape.

        Args:
            tape, levels, ahead: As for `attach`. Their memory is released behind every hour that was played, but for
                best prices that are no more than `MANY_EVENTS`, or *stays*.
            step: Takes the µs of tape that went by, every hour of it.
            kill: The instant within the tape at which all trading ends, and why; None lets it go on.
            stays: Whether the tape is one that stays mapped (`Tape.staying`).
        """
        paid_us = self._last.end_us if self._last else tape.start_us - 1  # up to which funding was paid
        self.attach(tape, levels, ahead)
        due = deque(self._due(tape, paid_us, kill))
        if self.rules.hours is not None:
            self._turn(opens=self.rules.hours.is_open(tape.start_us))
        # Best prices are better kept for the next run, and played at once.
        us, small = tape.start_us, isinstance(tape, BestPrices) and (stays or len(tape) <= MANY_EVENTS)
        while us < tape.end_us:
            to_us = tape.end_us if small and not step else min(us + STRIDE_US, tape.end_us)
            while due and due[0][0] <= to_us:
                at_us, act = due.popleft()
                self.advance(at_us)
                act()
            self.advance(to_us)
            if not small:
                tape.let_go(us, to_us)
                if levels:
                    levels.let_go()
            if step:
                step(to_us - us)
            us = to_us
        self.advance(tape.end_us)
        if levels and not stays:
            levels.let_go()

    def _due(self, tape: "Tape", paid_us: int, kill: tuple[int, str] | None) -> "list[tuple[int, Callable[[], None]]]":
        """Return what is done beside the market, at its instants: funding after *paid_us*, sessions, and *kill*."""
        payments = (one for one in tape.meta.funding if paid_us < one.us <= tape.end_us)
        due = [(one.us, partial(self._pay, one)) for one in payments]
        if self.rules.hours is not None:
            turns = self.rules.hours.borders(tape.start_us, tape.end_us)
            due += [(us, partial(self._turn, opens=self.rules.hours.is_open(us))) for us in turns]
        due += [(kill[0], partial(self.kill, kill[1]))] if kill else []
        return sorted(due, key=itemgetter(0))

    def _pay(self, payment: "Payment") -> None:
        """Pay funding: quantity times mark price times rate, rounded half to even; a short position receives it."""
        held = self._engine.inventory_lots * self.rules.lot_e8 * self.rules.multiplier
        paid_e8 = round(Fraction(held * payment.mark_e8 * payment.rate_e8, E8 * E8))
        self.funding_e8 += paid_e8
        self._engine.pay(paid_e8)

    def _turn(self, *, opens: bool) -> None:
        """Pull the quotes where the market closes, and let them come back where it opens."""
        if opens is not self._closed:
            return
        self._closed = not opens
        if opens:
            self.resume()
        else:
            self.pull("session_closed")

    def journal(self) -> "Journal":
        """Return what happened since the beginning, or since the last call."""
        return self._engine.journal()


def _window(tape: "Tape") -> tuple[int, int]:
    """Return the prices from and below which the book holds levels densely: those around a tape's best ones."""
    low, high = tape.best_span
    return max(low - MARGIN_TICKS, 0), high + MARGIN_TICKS
