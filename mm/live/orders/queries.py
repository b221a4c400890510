"""Queries to the exchange: an order's state, its trades, and the reconciliation of all orders with ours.

A reconcile reads the open orders, the account's trades since those already checked, and the balances. Unknown orders
with our client ids are cancelled, orders that are open here but not listed by the exchange are queried by client id,
and trades that no event reported are booked. The next reconcile reads the trades of the last seconds again.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from mm.errors import OffGrid
from mm.instrument import e8
from mm.live.account.account_check import AccountCheck
from mm.live.account.fee_values import FeeValues
from mm.live.account.holdings import SETTLED_US
from mm.live.account.ledger import trade_mark
from mm.live.orders.access import GatewayRun
from mm.live.orders.order_steps import EARLIER
from mm.live.orders.other_traders import OtherTraders
from mm.live.orders.states import OrderStates
from mm.live.orders.symbol_rules import SymbolRules
from mm.live.venues.canceller import is_ours
from mm.live.venues.fills import OF_EXCHANGE, AccountFill
from mm.live.venues.live_orders import LiveOrder
from mm.live.venues.refusals import Why
from mm.live.venues.requests import ApiAnswer, Call, OrderApi, Outcome, Unanswered, answer_of, ensure_done, together
from mm.live.venues.venue import ContractRequests, FeeRates, ListedOrder

if TYPE_CHECKING:
    from mm.live.account.session import AccountSession

AGAIN_S, GRACE_S, LONGEST_WAIT_S = 0.25, 0.1, 5.0
RATES_S = 25.0
"""Least time between two questions for commission rates, in s."""
PAID_AGAIN_US, UNLISTED_US = 60_000_000, 60_000_000
"""Payments are asked for from so long before the last one on, and an announced one may be listed so late, in µs."""


class OrderQueries:
    """Sends queries and processes the responses.

    Args:
        run: What earlier runs have booked, whether open orders of others are taken over, that is, cancelled (ADOPT),
            and the check of the account.
        changed: Called after answers have changed states of orders.
        forgot: Called with the reason when the exchange was reset and that is accepted (ADOPT), before trades are read.
        stop_ids: The exchange's ids of orders that a protective stop of ours has sent.

    Attributes:
        due: Set if a reconcile is wanted before its interval has passed.
        recognised: Whether the exchange is known to have the newest booked trades; a new connection may be to another.
        checked_id: All trades of the account up to this id have been checked; None before the first reconcile of a new
            ledger.
    """

    def __init__(  # noqa: PLR0913 - the parts that it connects
        self,
        session: "AccountSession",
        run: GatewayRun,
        states: OrderStates,
        rules: SymbolRules,
        *,
        fees: FeeValues,
        others: OtherTraders,
        changed: Callable[[], None],
        forgot: Callable[[str], None] = lambda _: None,
        stop_ids: Collection[int] = (),
    ) -> None:
        self.closed, self.due = False, asyncio.Event()
        self.checked_id = run.last_trade_id
        self._session, self._run, self._states, self._rules = session, run, states, rules
        self._clock, self._limits, self._holdings = session.clock, session.limits, session.holdings
        self._exchange, self._venue = session.venue, session.venue.orders_of(run.symbol)
        self._fees, self._others, self._changed, self._forgot = fees, others, changed, forgot
        self._stop_ids = stop_ids
        self.recognised = self._begun = False
        self._missing_since_us = 0
        self._rates: FeeRates | None = None
        self._rates_s = 0.0
        self._foreign: set[int] = set()
        self.payments_due, self._announced_us = True, 0
        self.foreign_orders = 0
        self._baseline_id = self._stranger_id = -1
        self._searched = not run.matched_us

    # one order

    def ask(self, order: LiveOrder) -> None:
        """Ask for an order by its client id, until a response is conclusive."""
        if self.closed or order.asked:
            return
        order.asked = True
        ended_then = order.ended
        query_ms = 0

        def done(answer: ApiAnswer) -> None:
            order.asked = False
            if answer.outcome is Outcome.DONE:
                self._states.seen(self._venue.seen(answer), answers=True, firm=ended_then)
                if not self._states.amend_shown(order, answer.us, query_ms):
                    self._again(order, AGAIN_S)
            elif answer.why is not Why.NO_ORDER or not self._states.absent(order, answer.us, query_ms):
                self._again(order, AGAIN_S)
            self._changed()

        query_ms = self._session.api.request(*self._venue.order(order), done)

    def _again(self, order: LiveOrder, delay_s: float) -> None:
        asyncio.get_running_loop().call_later(delay_s, self.ask, order)

    def fetch(self, order: LiveOrder) -> None:
        if not order.fetching:
            order.fetching = True
            asyncio.get_running_loop().call_later(GRACE_S, self._fetch, order, AGAIN_S)

    def _fetch(self, order: LiveOrder, delay_s: float, first_id: int | None = None) -> None:
        def done(answer: ApiAnswer) -> None:
            if answer.outcome is Outcome.DONE:
                trades = self._venue.trades(answer)
                for trade in trades:
                    self._states.fill(order, replace(trade, client_id=order.client_id))
                if len(trades) == self._venue.page:
                    self._fetch(order, delay_s, trades[-1].trade_id + 1)
                    return
                self._states.fetched(order)
                self._changed()
            if _complete(order):
                order.fetching = False
            else:
                longer_s = min(2 * delay_s, LONGEST_WAIT_S)
                asyncio.get_running_loop().call_later(delay_s, self._fetch, order, longer_s)

        if self.closed or _complete(order):
            order.fetching = False
        else:
            self._session.api.request(*self._venue.trades_of(order, first_id), done)

    # all of them

    async def reconcile(self) -> None:
        """Orders, fills and balances, from the exchange; raises Unanswered."""
        if not self.recognised:
            self.recognised = True
            try:
                await self._recognise()
            except Unanswered:
                self.recognised = False
                raise
        if self._states.reset:
            return
        beside = self._order_counts(), self._fee_rates(), self._fee_prices(), self._rules.read_mean_price()
        await together(self._books(), *beside)
        if self._rates is not None:
            self._fees.update(self._rates, self._holdings.balances)

    async def _books(self) -> None:
        """Orders, then trades, then balances: each is judged by what the one before has found."""
        await together(self._orders_and_trades(), self._payments())
        await self._account()

    async def _orders_and_trades(self) -> None:
        await self.listed()
        await self._trades()
        self._begun = True

    async def _order_counts(self) -> None:
        if self._limits.orders_used:  # only the exchange knows when its day begins
            self._limits.counted(self._exchange.counts(await self._answer(self._exchange.order_counts())))

    async def listed(self, api: OrderApi | None = None) -> tuple[list[LiveOrder], int]:
        """Our open orders, and the number of others; raises Unanswered."""
        expected = [order for order in self._states.open.values() if order.exchange_id > 0]
        listed, seen, foreign = await self._listing(api), [], 0
        for one in listed:
            client_id = one.seen.client_id
            known = client_id in self._states.by_client
            theirs = not known and self._others.has_written(client_id)
            if theirs and (self._begun or not self._run.access.adopt):
                self._others.sees_order(client_id)
                foreign += 1
                continue
            if not known and (self._run.access.adopt or is_ours(client_id)):
                self._states.add_earlier(self._new_order(one))
            elif not known:
                foreign += 1
                continue
            seen.append(one.seen)
        self.foreign_orders = foreign
        self._states.listed(seen, expected)
        self._changed()
        return [self._states.by_client[one.client_id] for one in seen], foreign

    async def _listing(self, api: OrderApi | None) -> Sequence[ListedOrder]:
        answer = await answer_of((api or self._session.api).request, self._venue.open_orders())
        if answer.why is not Why.SYMBOL or answer.outcome is Outcome.DONE:
            return self._venue.listed_all(ensure_done(self._venue.open_orders(), answer))
        every = self._venue.listed_all(await self._answer(self._venue.every_open_order(), api))
        return [one for one in every if one.seen.client_id in self._states.by_client]

    async def _recognise(self) -> None:
        """Find the newest booked trades at the exchange.

        An exchange without them was reset: a start with ADOPT lets its trades count from now on. Those that were booked
        since the start may be listed late.
        """
        booked = self._states.newest_booked(self._venue.page)
        if not booked:
            return
        first_id, last_id = min(booked), max(booked)
        answer = await self._answer(self._venue.trades_from(first_id))
        trades = self._venue.trades(answer)
        found = {trade.trade_id: trade_mark(trade) for trade in trades}
        read_id = last_id if len(trades) < self._venue.page else max(found)
        wrong = [
            one for one, mark in booked.items() if one <= read_id and (one not in found or mark not in (0, found[one]))
        ]
        if not wrong:
            self._missing_since_us = 0
            return
        newest = ", the newest that is booked" if max(wrong) == last_id else ", which is booked"
        why = f"it does not have trade {max(wrong)}{newest}"
        if self._begun and found.keys().isdisjoint(wrong):
            self._missing_since_us = self._missing_since_us or answer.us
            if answer.us - self._missing_since_us < SETTLED_US:
                raise Unanswered(self._venue.trades_from(first_id)[0].name, answer._replace(message=f"{why}, yet"))
        if self._begun or not self._run.access.adopt:  # a start accepts it, and a person with it
            self._states.reset = why
            return
        self.checked_id = None
        self._states.forget_trades()
        self._forgot(why)

    async def _trades(self) -> None:
        if self.checked_id is None:
            last = self._venue.trades(await self._answer(self._venue.last_trade()))
            self.checked_id = self._baseline_id = last[-1].trade_id if last else await self._older_id()
        first_id = self.checked_id + 1
        while True:
            answer = await self._answer(self._venue.trades_from(first_id))
            trades = self._venue.trades(answer)
            settled_us = answer.us + self._clock.offset_us - SETTLED_US
            for trade in trades:
                await self._book(trade)
                order = self._states.of_exchange(trade.order_id)
                forced = order is not None and OF_EXCHANGE in order.client_id
                if trade.us <= settled_us and not forced:
                    self.checked_id = max(self.checked_id, trade.trade_id)
            self._changed()
            if len(trades) < self._venue.page:
                return
            first_id = trades[-1].trade_id + 1

    async def note_last_trade(self) -> None:
        """Look up the order of the last trade if it is another trader's; raises Unanswered."""
        for trade in self._venue.trades(await self._answer(self._venue.last_trade())):
            if self._states.of_exchange(trade.order_id) is None and trade.trade_id not in self._run.booked:
                await self._order_of(trade)

    async def _older_id(self) -> int:
        last_id, full = -1, bool(self._venue.span_us)
        while full:
            trades = self._venue.trades(await self._answer(self._venue.trades_from(last_id + 1)))
            last_id = trades[-1].trade_id if trades else last_id
            full = len(trades) == self._venue.page
        return last_id

    async def _book(self, trade: AccountFill) -> None:
        if trade.order_id in self._foreign:
            self._note_stranger(trade)
            return
        order = self._states.of_exchange(trade.order_id)
        if order is None:
            found = await self._order_of(trade)
            if found is None:
                return
            order = self._states.by_client.get(found.seen.client_id)
            if order is None:
                order = self._new_order(found)
                if self.forced(found.seen.client_id):
                    self._states.add_forced(order)
                else:
                    self._states.add_earlier(order)
            self._states.seen(found.seen._replace(client_id=order.client_id))
        self._states.fill(order, replace(trade, client_id=order.client_id))

    async def _order_of(self, trade: AccountFill) -> ListedOrder | None:
        call = self._venue.order_of_id(trade.order_id)
        answer, client_id = await answer_of(self._session.api.request, call), ""
        if answer.outcome is not Outcome.REFUSED or answer.why is not Why.NO_ORDER:
            found = self._venue.listed(ensure_done(call, answer))
            client_id = found.seen.client_id
            if client_id in self._states.by_client or self._is_ours(client_id) or trade.order_id in self._stop_ids:
                return found
        self._foreign.add(trade.order_id)
        self._note_stranger(trade, client_id)
        return None

    def _note_stranger(self, trade: AccountFill, client_id: str = "") -> None:
        if self._others.has_written(client_id):
            self._others.sees_trade(client_id, trade.trade_id, trade.us)
        if self._run.account and trade.trade_id > self._stranger_id:
            self._stranger_id, self._run.account.strangers = trade.trade_id, True

    async def _payments(self) -> None:
        """What the exchange has paid or charged for the position since what is booked."""
        contract, account = self._venue.contract, self._run.account
        pending = account is not None and account.pending
        if contract is None or account is None or not (self.payments_due or pending):
            return
        announced_us, self.payments_due, read = self._announced_us, False, False
        try:
            last_us = await self._read_payments(contract, account)
            read = not announced_us or last_us + PAID_AGAIN_US >= announced_us  # else it is not listed yet
        finally:
            self.payments_due = self.payments_due or not read
        if read and announced_us == self._announced_us:
            self._announced_us = 0

    async def _read_payments(self, contract: ContractRequests, account: AccountCheck) -> int:
        """Book those of all pages, and return the instant of the last one."""
        begun_us = self._run.begun_us and self._run.begun_us + self._clock.offset_us
        since_us, page, last_us = max(account.paid_us, begun_us) - PAID_AGAIN_US, 1, 0
        while True:
            found, count = contract.incomes_of(await self._answer(contract.incomes(max(since_us, 0), page)))
            for one in found:
                if one.us >= begun_us:
                    account.pay(one)
                    last_us = max(last_us, one.us)
            if count < contract.income_page:
                return last_us
            page += 1

    def announce_payment(self, us: int) -> None:
        """An event of the exchange's instant *us* has announced a payment."""
        self.payments_due, self._announced_us = True, us

    async def _account(self) -> None:
        answer = await self._answer(self._exchange.account())
        account = self._exchange.account_of(answer)
        self._holdings.answered(account.balances, account.us, answer.us + self._clock.offset_us)
        listed_late = self._announced_us and self._clock.timestamp_ms() * 1_000 < self._announced_us + UNLISTED_US
        if self._run.account and not listed_late:
            self._run.account.compare(self._holdings.balances)
            if self._run.account.pending and not self._searched:
                self._searched = True
                await self._search_strangers()
            if self._run.account.pending:
                await self._look_elsewhere()

    async def _look_elsewhere(self) -> None:
        """Whose orders are open on the account may have moved its balances while nobody listened."""
        call = self._venue.every_open_order()
        answer = await answer_of(self._session.api.request, call)
        for symbol in sorted(self._venue.symbols_of(ensure_done(call, answer))):
            self._session.elsewhere(symbol)

    async def _search_strangers(self) -> None:
        matched_us = self._run.matched_us + self._clock.offset_us  # the log has times of our clock
        ours, since_us, by_id = set[int](), matched_us, False
        call = self._venue.trades_since(since_us)
        while True:
            answer = await self._answer(call)
            trades = self._venue.trades(answer)
            for trade in trades:
                known = trade.trade_id in self._run.booked or trade.order_id in ours
                known = known or self._states.of_exchange(trade.order_id) is not None
                if known or trade.us < matched_us:
                    continue
                if await self._order_of(trade) is None:
                    return
                ours.add(trade.order_id)
            since_us += self._venue.span_us
            if trades:
                call, by_id = self._venue.trades_from(trades[-1].trade_id + 1), True
            elif self._venue.span_us and since_us <= answer.us + self._clock.offset_us and not by_id:
                call = self._venue.trades_since(since_us)
            else:
                return

    async def _fee_rates(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._rates is not None and now_s < self._rates_s:
            return
        answers = await together(*(answer_of(self._session.api.request, call) for call in self._venue.fee_rates()))
        if any(answer.outcome is not Outcome.DONE for answer in answers):
            return
        with suppress(msgspec.MsgspecError, OffGrid):  # a start without rates says so
            self._rates = self._venue.fee_rates_of(answers)
            self._rates_s = now_s + RATES_S

    async def _fee_prices(self) -> None:
        needed = list(self._fees.needed())
        calls = [self._exchange.price_of(asset, quote) for asset, quote in needed]
        answers = await together(*(answer_of(self._session.api.request, call) for call in calls))
        for (asset, _), answer in zip(needed, answers, strict=True):
            if answer.outcome is Outcome.DONE:
                price_e8 = e8(self._exchange.price(answer))
                if price_e8:
                    self._fees.prices_e8[asset] = price_e8

    def forced(self, client_id: str) -> str:
        return self._venue.contract.forced(client_id) if self._venue.contract else ""

    def _is_ours(self, client_id: str) -> bool:
        return not self._others.has_written(client_id) and (is_ours(client_id) or bool(self.forced(client_id)))

    def _new_order(self, found: ListedOrder) -> LiveOrder:
        client_id, forced = found.seen.client_id, self.forced(found.seen.client_id)
        own_id = forced_id(client_id, found.seen.exchange_id) if forced else client_id
        order = LiveOrder(EARLIER, own_id, found.side, found.price, found.qty, found.kind)
        order.exchange_id = found.seen.exchange_id
        order.counts_after = self._baseline_id
        return order

    async def _answer(self, call: Call, api: OrderApi | None = None) -> ApiAnswer:
        return ensure_done(call, await answer_of((api or self._session.api).request, call))


def forced_id(client_id: str, exchange_id: int) -> str:
    """Orders of the exchange share a client id there."""
    return f"{client_id}{OF_EXCHANGE}{exchange_id}"


def _complete(order: LiveOrder) -> bool:
    return order.ended or order.exchange_id <= 0 or (order.booked_e8 >= order.executed_e8 and not order.presumed)
