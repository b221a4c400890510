"""What a gateway of a contract does beside orders: setup, position, margin, rules, and the exchange's countdown.

The countdown is a dead man's switch: the exchange cancels all orders of the symbol once it has not been asked again for
a while, whatever has become of this process, its host or its network.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import TYPE_CHECKING

import msgspec

from mm.base.waiting import happened
from mm.clock import US_PER_MS, iso
from mm.errors import Mismatch, OffGrid, TryLater, UsageError, parameter
from mm.instrument import E8, Instrument, short_text
from mm.live.account.background import BackgroundTasks
from mm.live.knobs import Contracts
from mm.live.orders.access import GatewayRun
from mm.live.orders.protection import ProtectiveStop
from mm.live.orders.reports import OrderReports
from mm.live.venues.positions import ContractSetup, MarginSeen, PositionSeen, RuleSeen, check_setup, closing_order
from mm.live.venues.refusals import Refusal, Why
from mm.live.venues.requests import ApiAnswer, Call, Outcome, answer_at_last, answer_of, together
from mm.live.venues.venue import ContractRequests

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.live.account.session import AccountSession

SETUP_S = 5.0
"""Least time between two questions for the setup, unless it is known to have changed, in s."""
POSITION_S, AGAIN_S = 2.0, 1.0
"""Time between two questions for position and margin, and to the next try of the countdown, in s."""
RULES_S = 10.0
"""Time between two questions for trading rules, unless one is known to be broken, in s."""
RESTRICTED_S = 30.0
"""How long only orders that reduce are sent after another was refused, unless a rule says until when, in s."""
NEAR = 0.8
"""Share of what breaks a trading rule from which on it is said."""
_MARGIN_EVERY = 3  # questions for the position for one for the margin, without a limit on it
_RENEWALS = 3  # of the countdown in its time


class ContractWatch:
    """The parts of a gateway that only a contract has.

    Attributes:
        also: What else a start checks of the setup; raises Mismatch or UsageError.
        foreign: How many open orders are of somebody else.
        reduces: Whether the exchange takes only orders that reduce the position.
    """

    def __init__(
        self,
        requests: ContractRequests,
        session: "AccountSession",
        run: GatewayRun,
        reports: OrderReports,
        log: "Logger",
        stop: ProtectiveStop | None = None,
    ) -> None:
        self.stop = stop
        self.setup: ContractSetup | None = None
        self.position = PositionSeen()
        self._requests, self._session, self._reports, self._log = requests, session, reports, log
        self._symbol, self._wanted = run.symbol, run.contract or Contracts()
        self._counted_down, self._differs, self.reduces = False, "", False
        self.also: Callable[[ContractSetup], None] = lambda _: None
        self.foreign = 0
        self._refused = ""  # what has said so
        self._refused_until_s = 0.0
        self._locked_until_us = 0  # by the exchange's clock
        self.setup_due, self._setup_s = False, 0.0
        self._called = asyncio.Event()  # a margin call
        self.rules_due = asyncio.Event()
        self._rules: dict[tuple[str, str], str] = {}  # what was said of each

    @property
    def sent_ids(self) -> Collection[int]:
        return self.stop.sent_ids if self.stop else ()

    @property
    def differs(self) -> str:
        """Why a start would not trade with this account; empty if it would."""
        if self._differs or not self.foreign:
            return self._differs
        return (
            f"{self._symbol}: {self.foreign} open orders are of somebody else, whose fills change the position; cancel "
            f"them, or start with {parameter('adopt')} 1, which does"
        )

    async def check(self) -> None:
        """Raises Mismatch, UsageError or TryLater."""
        calls = (*self._requests.setup(), self._requests.position())
        *answers, position = await together(*map(self._must, calls))
        self.setup, self._setup_s = self._requests.setup_of(answers), asyncio.get_running_loop().time()
        check_setup(self._symbol, self.setup, self._wanted.leverage, self._wanted.margin_type)
        self.position = self._requests.position_of(position)

    async def look_at_setup(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if not self.setup_due and now_s < self._setup_s + SETUP_S:
            return
        asking = (answer_of(self._session.rest.request, call) for call in self._requests.setup())
        answers = await together(*asking)
        if any(answer.outcome is not Outcome.DONE for answer in answers):
            return  # the next reconcile asks again
        self.setup_due, self._setup_s = False, now_s
        found, before = self._requests.setup_of(answers), self.setup
        if before is not None and found != before:
            changed = [name for name in found._fields if getattr(found, name) != getattr(before, name)]
            self._log.warning(
                "setup_changed", **{name: f"{getattr(before, name)} to {getattr(found, name)}" for name in changed}
            )
        self.setup = found
        try:
            check_setup(self._symbol, found, self._wanted.leverage, self._wanted.margin_type)
            self.also(found)
        except (Mismatch, UsageError) as error:
            self._differs = str(error)
        else:
            self._differs = ""
        self._review_reducing()

    async def _must(self, call: Call) -> ApiAnswer:
        while True:
            answer = await answer_at_last(self._session.rest.request, call)
            if answer.outcome is Outcome.DONE:
                self._session.key_answered()
                return answer
            refusal = f"{call[0].name}: {answer.code} {answer.message}"
            if answer.why is not Why.KEY:
                raise TryLater(
                    f"{self._symbol}: the exchange does not say how the account is set up ({refusal}); check the "
                    f"permissions of the key for futures, or try later"
                )
            self._session.key_answered(refusal=refusal)
            if self._session.refused:
                raise self._session.refused

    def begin(self, tasks: BackgroundTasks, grid: Instrument) -> None:
        if self.stop:
            self.stop.grid = grid
        tasks.spawn(self._keep_counting())
        tasks.spawn(self._keep_position(grid.quote_asset))
        tasks.spawn(self._keep_rules())

    async def end(self, *, killed: bool = False) -> None:
        if self.stop:
            await self._ask_position()
            await self.stop.end(self.position, killed=killed)
        if self._counted_down:
            await answer_of(self._session.rest.request, self._requests.count_down(0))
            self._tell_countdown(0)

    def _tell_countdown(self, until_us: int) -> None:
        self._reports.tell(lambda listener: listener.countdown(until_us))

    async def closing(self, grid: Instrument) -> tuple[int, str, str] | None:
        """Side, price and quantity of an order that closes the position."""
        if not self._wanted.kill_closes:
            return None
        await self._ask_position()
        found = self.position
        return closing_order(found.qty_e8, found.mark_e8, self._wanted.kill_max_slippage, grid.tick_e8)

    async def _keep_counting(self) -> None:
        """Its end is told, since without the countdown orders may outlive this process."""
        span_ms = self._requests.countdown_ms
        while True:
            answer = await answer_of(self._session.rest.request, self._requests.count_down(span_ms))
            if answer.outcome is Outcome.DONE:
                self._counted_down = True
                until_us = self._session.clock.timestamp_ms() * US_PER_MS + span_ms * US_PER_MS
                self._tell_countdown(until_us)
                await asyncio.sleep(span_ms / 1_000 / _RENEWALS)
            else:
                self._log.warning("countdown_not_renewed", why=f"{answer.code} {answer.message}")
                await asyncio.sleep(max(AGAIN_S, self._session.limits.silence_s))

    def margin_called(self) -> None:
        self._called.set()

    async def _keep_position(self, asset: str) -> None:
        for number in count():
            called = self._called.is_set()
            self._called.clear()
            await self._ask_position()
            if self.stop:
                await self.stop.keep(self.position)
            if called or self._wanted.max_margin_ratio is not None or number % _MARGIN_EVERY == 0:
                await self._ask_margin(asset)
            if silence_s := self._session.limits.silence_s:
                await asyncio.sleep(silence_s)
            await happened(self._called, POSITION_S)

    async def _keep_rules(self) -> None:
        """Ask how near the orders are to break a trading rule; at once after a rule has refused one."""
        while True:
            self.rules_due.clear()
            answer = await answer_of(self._session.rest.request, self._requests.trading_rules())
            if answer.outcome is Outcome.DONE:
                try:
                    self._say_rules(self._requests.trading_rules_of(answer))
                except msgspec.MsgspecError as error:
                    self._log.warning("trading_rules_unreadable", why=str(error))
            await asyncio.sleep(max(AGAIN_S, self._session.limits.silence_s))
            await happened(self.rules_due, RULES_S - AGAIN_S)

    def _say_rules(self, found: Sequence[RuleSeen]) -> None:
        now: dict[tuple[str, str], str] = {}
        for one in found:
            key = one.whose, one.name
            now[key] = "broken" if one.until_us else "near" if one.share >= NEAR else ""
            if now[key] == self._rules.get(key, ""):
                continue
            shown = {"rule": one.name, "of": one.whose, "value": one.value, "breaks_at": one.trigger}
            if one.until_us:
                note = "only orders that reduce are accepted; quote less often, or let orders rest longer"
                self._log.error("trading_rule_broken", **shown, until=iso(one.until_us), note=note)
            elif now[key]:
                note = "beyond it only orders that reduce are accepted; quote less often, or let orders rest longer"
                self._log.warning("trading_rule_near", **shown, note=note)
        for key in [key for key, said in self._rules.items() if said and not now.get(key)]:
            self._log.info("trading_rule_kept", rule=key[1], of=key[0])
        self._rules = now
        self._locked_until_us = max((one.until_us for one in found), default=0)
        self._review_reducing()
        self._reports.tell(lambda listener: listener.trading_rules(tuple(found)))

    def only_reducing_taken(self, refusal: Refusal) -> None:
        """An order was refused, since it did more than reduce."""
        self._refused = f"{refusal.code} {refusal.message}"
        self._refused_until_s = asyncio.get_running_loop().time() + RESTRICTED_S
        self.rules_due.set()
        self._review_reducing()

    def _review_reducing(self) -> None:
        why, position, setup = "", self.position, self.setup
        if setup and setup.most_notional_e8 and abs(position.qty_e8) * position.mark_e8 > setup.most_notional_e8 * E8:
            held, most = abs(position.qty_e8) * position.mark_e8 // E8, setup.most_notional_e8
            why = f"the position is worth {short_text(held)}, above its leverage's bracket of {short_text(most)}"
        if self._locked_until_us > self._session.clock.timestamp_ms() * US_PER_MS:
            why = f"a trading rule is broken until {iso(self._locked_until_us)}"
        elif asyncio.get_running_loop().time() < self._refused_until_s:
            why = self._refused
        if bool(why) == self.reduces:
            return
        self.reduces = bool(why)
        if why:
            note = "the side that reduces the position quotes on, reduce-only; the other one has none"
            self._log.error("reduce_only", why=why, note=note)
        else:
            self._log.info("reduce_only_over")
        self._reports.tell(lambda listener: listener.reduce_only(on=bool(why)))

    async def _ask_position(self) -> None:
        answer = await answer_of(self._session.api.request, self._requests.position())
        if answer.outcome is not Outcome.DONE:
            return
        try:
            found = self.position = self._requests.position_of(answer)
        except (msgspec.MsgspecError, OffGrid) as error:
            self._log.warning("position_unreadable", why=str(error))
            return
        self._reports.position(found)
        self._review_reducing()

    async def _ask_margin(self, asset: str) -> None:
        venue = self._session.venue
        answer = await answer_of(self._session.api.request, venue.account())
        if answer.outcome is not Outcome.DONE:
            return
        try:
            found = (venue.account_of(answer).margins or {}).get(asset, MarginSeen(0, 0, 0))
        except (msgspec.MsgspecError, OffGrid) as error:
            self._log.warning("margin_unreadable", why=str(error))
            return
        self._reports.tell(lambda listener: listener.margin(found))
