"""A protective stop: an order that waits at the exchange and closes the position when no process here can.

It follows the mark price at a distance, on the side that closes the position, and has no quantity: it closes whatever
the position is then. It stays when the process ends with a position, and the next start goes on with it. Neither the
exchange's countdown nor the guardian cancels it.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from mm.errors import OffGrid
from mm.instrument import E8, Instrument, e8, short_text
from mm.live.audit.log import AuditLog
from mm.live.orders.access import ClientIds
from mm.live.orders.other_traders import OtherTraders
from mm.live.venues.canceller import is_ours
from mm.live.venues.fills import SIDE_NAMES
from mm.live.venues.positions import PositionSeen, StopSeen
from mm.live.venues.refusals import Why
from mm.live.venues.requests import ApiAnswer, Call, Outcome, answer_of
from mm.live.venues.venue import ContractRequests

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.live.account.session import AccountSession

LOOK_S = 30.0
"""Time between two looks at what waits at the exchange, in s."""
MOVED_E8 = E8 // 4
"""By how much of its distance the mark price must have moved before it follows, in 1e-8."""
_SAID_S = 60.0  # between two lines that it is refused


class ProtectiveStop:
    """The protective stop of one contract.

    Args:
        told: Called with its trigger price, 1e-8, after each change; 0 without one, while there is a position.

    Attributes:
        open: The one that waits, as far as it is known.
        sent_ids: The exchange's ids of orders that ours have sent.
    """

    def __init__(  # noqa: PLR0913 - the parts that it connects
        self,
        symbol: str,
        requests: ContractRequests,
        session: "AccountSession",
        *,
        ids: ClientIds,
        others: OtherTraders,
        audit: AuditLog,
        log: "Logger",
        share: str | None,
        adopts: bool,
        told: Callable[[int | None], None],
    ) -> None:
        self.open: StopSeen | None = None
        self.sent_ids: set[int] = set()
        self.grid: Instrument | None = None
        self._symbol, self._requests, self._session, self._ids = symbol, requests, session, ids
        self._others, self._audit, self._log, self._adopts, self._told = others, audit, log, adopts, told
        self._share_e8 = None if share is None else e8(share)
        self._look_s, self._said_s, self._ended = 0.0, 0.0, False
        self._begun = False

    async def keep(self, found: PositionSeen) -> None:
        """Keep one order that protects the position *found*, and none of another side or distance."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._look_s and not await self._look(now_s):
            return
        wanted = self._wanted(found)
        if self.open and (wanted is None or not self._fits(self.open, wanted, found.mark_e8)):
            await self._cancel(self.open)
        if wanted and self.open is None and now_s >= self._said_s and self._look_s:
            await self._place(*wanted, now_s)
        self._tell(found)

    async def end(self, found: PositionSeen, *, killed: bool) -> None:
        self._ended = killed or not found.qty_e8
        if not self._ended and self._share_e8 is not None:
            await self.keep(found)
            if self.open:
                trigger = short_text(self.open.trigger_e8)
                self._log.warning(
                    "protective_stop_stays",
                    position=short_text(found.qty_e8),
                    trigger=trigger,
                    note="mm trade flatten closes the position and ends it",
                )
            return
        if await self._look(asyncio.get_running_loop().time()) and self.open:
            await self._cancel(self.open)
        self._tell(found)

    def heard(self, found: StopSeen) -> None:
        if not is_ours(found.client_id):
            return
        if found.order_id and not self._others.has_written(found.client_id):
            self.sent_ids.add(found.order_id)
        if self.open and found.client_id == self.open.client_id and not found.waits:
            self.open = None
        self._look_s = min(self._look_s, 1e-9)  # what it is now is asked for

    def _wanted(self, found: PositionSeen) -> tuple[int, int] | None:
        """Side and trigger price, 1e-8."""
        if self._share_e8 is None or self._ended or not found.qty_e8 or not found.mark_e8 or self.grid is None:
            return None
        side, tick_e8 = -1 if found.qty_e8 > 0 else 1, self.grid.tick_e8
        far_e8 = found.mark_e8 + side * (found.mark_e8 * self._share_e8 // E8)
        return side, side * (side * far_e8 // tick_e8) * tick_e8

    def _fits(self, one: StopSeen, wanted: tuple[int, int], mark_e8: int) -> bool:
        side, trigger_e8 = wanted
        moved_e8 = mark_e8 * (self._share_e8 or 0) // E8 * MOVED_E8 // E8
        return one.side == side and abs(one.trigger_e8 - trigger_e8) <= moved_e8

    async def _look(self, now_s: float) -> bool:
        """Only the newest of several stays; False if the exchange does not tell."""
        call = self._requests.stops()
        answer = await answer_of(self._session.rest.request, call)
        found = self._read(answer)
        if found is None:
            return False
        ours = []
        for one in found:
            adopted = self._adopts and not self._begun
            if one.waits and is_ours(one.client_id) and not adopted and self._others.has_written(one.client_id):
                self._others.sees_order(one.client_id)
            elif one.waits and (is_ours(one.client_id) or adopted):
                ours.append(one)
        self._begun, self._look_s = True, now_s + LOOK_S
        for one in ours[:-1]:
            await self._cancel(one)
        self.open = ours[-1] if ours else None
        return True

    def _read(self, answer: ApiAnswer) -> list[StopSeen] | None:
        if answer.outcome is not Outcome.DONE:
            return None
        try:
            return list(self._requests.stops_of(answer))
        except (msgspec.MsgspecError, OffGrid, ValueError) as error:
            self._log.warning("protective_stop_unreadable", why=str(error))
            return None

    async def _place(self, side: int, trigger_e8: int, now_s: float) -> None:
        client_id, trigger = self._ids.next_stop(), short_text(trigger_e8)
        shown = {"client_id": client_id, "side": SIDE_NAMES[side], "price": trigger}
        seq = self._audit.append("intent", action="protect", **shown, qty="0", kind="STOP_MARKET")
        try:
            await self._audit.synced(seq)
        except OSError:
            return  # the trade ends for it
        answer = await self._ask(self._requests.place_stop(client_id, side, trigger))
        if answer.outcome is Outcome.DONE:
            self.open = StopSeen(self._symbol, client_id, side, trigger_e8, 0, True)
        elif answer.outcome is Outcome.REFUSED:
            self._said_s = now_s + _SAID_S
            self._audit.append(
                "reject", action="protect", client_id=client_id, code=answer.code, message=answer.message
            )
            self._log.error("protective_stop_refused", trigger=trigger, code=answer.code, message=answer.message)
        else:
            self._look_s = 0.0  # the next look shows whether it has arrived

    async def _cancel(self, one: StopSeen) -> None:
        answer = await self._ask(self._requests.cancel_stop(one.client_id))
        gone = answer.outcome is Outcome.REFUSED and answer.why in (Why.NO_ORDER, Why.NOT_CANCELLED)
        if answer.outcome is Outcome.DONE or gone:
            self.open = None if self.open and self.open.client_id == one.client_id else self.open
        else:
            self._look_s = 0.0

    async def _ask(self, call: Call) -> ApiAnswer:
        return await answer_of(self._session.rest.request, call)

    def _tell(self, found: PositionSeen) -> None:
        if self._share_e8 is not None:
            self._told(self.open.trigger_e8 if self.open else 0 if found.qty_e8 else None)
