"""What the exchange says of a symbol: its grid, its filters, and whether it trades; asked for again in doubt."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from mm.errors import DataError, MMError, OffGrid, TryLater
from mm.instrument import Instrument, e8, short_text
from mm.live.account.background import BackgroundTasks
from mm.live.orders.reports import OrderReports
from mm.live.venues.refusals import Why
from mm.live.venues.requests import Outcome, Unanswered, answer_at_last, answer_of, ensure_done
from mm.live.venues.venue import OrderFilters

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.live.account.session import AccountSession

DOUBTED_S = 30.0
"""Time after which filters that keep the strategy's orders back are asked for again, in s."""
_FILTERS_EVERY_S = 5.0


class SymbolRules:
    """The grid and filters of the start, by which orders are judged before they are sent.

    Attributes:
        instrument: Once `read`, as `filters`.
        regridded: The rules are not those of the start any more.
    """

    instrument: Instrument
    filters: OrderFilters

    def __init__(
        self, symbol: str, session: "AccountSession", reports: OrderReports, tasks: BackgroundTasks, log: "Logger"
    ) -> None:
        self.regridded: TryLater | None = None
        self._symbol, self._session, self._venue = symbol, session, session.venue.orders_of(symbol)
        self._reports, self._tasks, self._log = reports, tasks, log
        self._asked_s = self._doubted_s = 0.0  # until when they are not asked for, or doubted, again

    async def read(self) -> str:
        """Read the rules at a start; return the symbol's status if it does not trade. Raises UsageError, DataError or
        TryLater.
        """
        answer = await answer_at_last(self._session.rest.request, self._venue.terms())
        if answer.outcome is not Outcome.DONE and answer.why is not Why.SYMBOL:
            why = self._session.limits.silence_text or f"{answer.code} {answer.message}"
            raise TryLater(f"the exchange does not answer ({why}); check REST_URL and the network, or wait")
        terms = self._venue.terms_of(answer)
        self.instrument, self.filters = terms.instrument, terms.filters
        self._session.limits.known(terms.limits)
        return terms.halted

    def ask(self) -> None:
        """Compare them with the exchange's of now, but not too often."""
        now_s = asyncio.get_running_loop().time()
        if self.regridded is None and now_s >= self._asked_s:
            self._asked_s = now_s + _FILTERS_EVERY_S
            self._tasks.spawn(self._compare())

    def doubt(self) -> None:
        """Ask again from time to time, since the start's filters keep orders back."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._doubted_s:
            self._doubted_s = now_s + DOUBTED_S
            self.ask()

    async def _compare(self) -> None:
        symbol, before = self._symbol, self.instrument
        answer = await answer_of(self._session.api.request, self._venue.terms())
        if answer.outcome is not Outcome.DONE and answer.why is not Why.SYMBOL:
            self._asked_s = 0.0
            return
        try:
            terms = self._venue.terms_of(answer)
        except DataError:
            self.regridded = TryLater(f"{symbol} was delisted: the exchange does not list it any more")
            return
        except MMError as error:
            self._log.warning("filters_unknown", why=str(error))
            return
        if terms.halted:
            self._log.warning("filters_unknown", why=f"{symbol} does not trade: its status is {terms.halted}")
            self._reports.tell(lambda listener: listener.untraded())
            return
        now = terms.instrument
        if now != before or terms.filters.most_orders != self.filters.most_orders:
            sizes = [("tick_size", before.tick_e8, now.tick_e8), ("step_size", before.lot_e8, now.lot_e8)]
            named = [f"{name} from {short_text(old)} to {short_text(new)}" for name, old, new in sizes if old != new]
            what = f"grid of {symbol}: {', '.join(named)}" if named else f"filters of {symbol}"
            self.regridded = TryLater(f"the exchange has changed the {what}; start it again")
        with suppress(Unanswered, msgspec.MsgspecError, OffGrid):  # the next reconcile asks again
            await self.read_mean_price()

    async def read_mean_price(self) -> None:
        """Read the mean price by which filters judge prices; raises Unanswered."""
        call = self._venue.mean_price()
        answer = ensure_done(call, await answer_of(self._session.api.request, call))
        self.filters.average_e8 = e8(self._session.venue.price(answer))
