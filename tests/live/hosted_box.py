"""An exchange in a box in a thread of the test: ``mm trade`` trades on it as a process, and it is moved from inside."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from trading_box import ENTRY, Venue

from mm.clock import now_us
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.orders import CancelRequest, Fill, NewOrder, UserOrder
from simulation import make_box

ALICE, BOB, MID_TICKS = 1, 2, 10_000
CLIP_LOTS = 60  # above the minimum notional
HOURS = 120.0


Mids = dict[str, int]


class Hosted(Venue):
    """Traders of alice at an exchange without other users than bob, who is moved by the test.

    Bob quotes ten ticks around 100, and moves one far level all the time: a silent market shows no book.

    Attributes:
        box: The exchange of the first symbol.
        silent: Symbols in which bob does not move.
        mids: The middle of bob's quotes, in ticks.
    """

    def __init__(self, folder, box: Any, loop: asyncio.AbstractEventLoop, silent: set[str], mids: Mids) -> None:
        super().__init__(folder, box.ready())
        self.box, self.silent, self.mids, self._loop = box, silent, mids, loop

    def call(self, work: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Return what *work* returns in the exchange's loop."""
        done: Future[Any] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(seconds)

    def fill(self, most: int, symbol: str = "SIMUSDT") -> int:
        """Let bob trade with alice's open orders in small pieces; return the number of her trades, at most so many."""
        exchange = self.box.symbols[symbol].exchange

        def trade() -> int:
            had = self._count(symbol)
            for order in list(exchange.users.open(ALICE)):
                while order.is_open and self._count(symbol) - had < most:
                    lots = CLIP_LOTS if order.left_lots >= 2 * CLIP_LOTS else order.left_lots
                    terms = {"side": -order.request.side, "ticks": order.request.ticks, "lots": lots}
                    exchange.place(exchange.now_us, BOB, NewOrder(type="LIMIT", time_in_force="IOC", **terms))
            return self._count(symbol) - had

        return self.call(trade)

    def move(self, ticks: int, symbol: str = "SIMUSDT") -> None:
        """Let bob's quotes move by so many ticks; what alice offers in between he takes."""

        def moved() -> None:
            exchange, self.mids[symbol] = self.box.symbols[symbol].exchange, self.mids[symbol] + ticks
            exchange.cancel_all(exchange.now_us, BOB)
            _quote(exchange, self.mids[symbol])

        self.call(moved)

    def pass_to(self, us: int, then: Callable[[], None]) -> None:
        """Let the exchange's time pass at once to an instant, in µs, and call *then* before it serves anybody."""

        def passed() -> None:
            self.box.scheduler.advance_to(us)
            then()

        self.call(passed, 300.0)

    def transfer(self, asset: str, amount: str) -> None:
        """Deposit an amount to alice, or withdraw it."""
        self.post("/sim/transfer", f'{{"user": "{self.user}", "asset": "{asset}", "amount": "{amount}"}}')

    def trades(self, symbol: str = "SIMUSDT") -> int:
        """Return the number of alice's trades."""
        return self.call(lambda: self._count(symbol))

    def fills(self, symbol: str) -> list[Fill]:
        """Return alice's trades; to be called in the exchange's loop."""
        return self.box.symbols[symbol].exchange.users.fills(ALICE)

    def _count(self, symbol: str) -> int:
        return len(self.fills(symbol))

    @contextmanager
    def quoting(self, symbols=("SIMUSDT",), entry=ENTRY, **variables):
        """Yield a trader that has placed an order of each symbol; Python runs *entry*."""
        exchanges = [self.box.symbols[symbol].exchange for symbol in symbols]
        since_us = self.call(lambda: exchanges[0].now_us)
        with self.trader(entry=entry, **variables) as process:
            for exchange in exchanges:
                new = lambda one=exchange: any(order.us > since_us for order in one.users.open(ALICE))  # noqa: E731
                self.until(lambda new=new: self.call(new), "quotes of each symbol", process=process)
            yield process

    def balances(self) -> dict[str, int]:
        """Return alice's balances, free and locked, in 1e-8."""

        def held() -> dict[str, int]:
            found = {}
            for box in self.box.symbols.values():
                grid, account = box.exchange.rules.instrument, box.exchange.accounts[ALICE]
                found[grid.base_asset] = account.base.free + account.base.locked
                found[grid.quote_asset] = account.quote.free + account.quote.locked
            return found

        return self.call(held)


@contextmanager
def hosted(folder, *symbols: str, seed: int = 7, first_us: int | None = None):
    """Yield a `Hosted` exchange of symbols, the first of which is SIMUSDT; its time starts at *first_us*, or now."""
    ready: Future[tuple[Any, asyncio.AbstractEventLoop]] = Future()
    over, silent, mids = threading.Event(), set[str](), dict.fromkeys(symbols or ("SIMUSDT",), MID_TICKS)

    async def serve() -> None:
        terms = {"begins_us": first_us or now_us(), "hours": HOURS, "limits": False}
        first, *others = symbols or ("SIMUSDT",)
        box = make_box(symbol=first, seed=seed, **terms)
        for number, name in enumerate(others, 1):
            make_box(symbol=name, seed=seed + number, beside=box, **terms)
        async with box.open():
            for one in box.symbols.values():
                _quote(one.exchange, MID_TICKS)
            ready.set_result((box, asyncio.get_running_loop()))
            while not over.is_set():
                for symbol, one in box.symbols.items():
                    if symbol not in silent:
                        _quote(one.exchange, mids[symbol])
                        far = _place(one.exchange, 1, mids[symbol] - 100, 100)
                        one.exchange.cancel(one.exchange.now_us, BOB, CancelRequest(order_id=far.order_id))
                await asyncio.sleep(0.05)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        yield Hosted(folder, *ready.result(30), silent, mids)
    finally:
        over.set()
        thread.join(30)


def _quote(exchange: Exchange, mid: int) -> None:
    """Let bob quote both sides: what he takes of alice makes his own orders at that price expire."""
    quoted = {order.request.side for order in exchange.users.open(BOB)}
    for side in {1, -1} - quoted:
        _place(exchange, side, mid - 10 * side, 50_000)


def _place(exchange: Exchange, side: int, ticks: int, lots: int) -> UserOrder:
    """Place an order of bob."""
    return exchange.place(exchange.now_us, BOB, NewOrder(side=side, type="LIMIT", ticks=ticks, lots=lots))
