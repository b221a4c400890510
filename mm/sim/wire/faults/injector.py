"""Applies a script's rules at their triggers, and changes messages and responses."""

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Any

from mm.clock import US_PER_S
from mm.sim.exchange.truth import MarketTruth
from mm.sim.matching.order_log import ROW_CANCEL, ROW_LEVEL, ROW_NEW, ROW_TRADE, Row
from mm.sim.wire.faults.answer_faults import ClockOffsets, renumbered, renumbered_answer
from mm.sim.wire.faults.channel import FaultScope
from mm.sim.wire.faults.fault import (
    RULE_CHANGES,
    ActiveFault,
    Connection,
    Fault,
    RequestEffect,
    UserRequest,
    begins,
)
from mm.sim.wire.faults.script import Rule
from mm.sim.wire.http_messages import Request, Response
from mm.sim.wire.stream_messages import Message

_FIRST_ROWS = (ROW_NEW, ROW_CANCEL)
"""Kinds of the first row of a command; the log is split only before such rows."""
_API = ("/api/", "/fapi/")
_ACTED = 10_000  # number of applied rules that are kept


class FaultInjector:
    def __init__(
        self,
        truth: MarketTruth,
        start_us: int,
        now_us: int = 0,
        *,
        seed: int = 0,
        restart: Callable[[bool], None] | None = None,
    ) -> None:
        random, now_us = Random(seed), max(start_us, now_us)
        self.scope = FaultScope(truth, random, now_us)  # connections of market streams
        self.users = FaultScope(truth, random, now_us)  # connections of user streams
        self._truth = truth
        self._start_us = start_us
        self._update_id = truth.last_update_id
        self._trade_id = truth.last_trade_id
        self.waiting: list[Rule] = []
        self.acted = deque[tuple[int, str]](maxlen=_ACTED)
        self._attempts = 0
        self._requests: Counter[str] = Counter()
        self._refusals: list[Fault] = []
        self._answers: list[ActiveFault] = []
        self._restart = restart
        self.rules: Callable[[Fault], None] | None = None  # applies a fault that changes filters or status
        self.begin_again: Callable[[int], bool] = lambda _: False  # of `StreamFeed`
        self._restarts: list[Fault] = []
        self._down_until_us = 0
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._timer_count = 0
        self._reset = False
        self._offsets = ClockOffsets()

    def add(self, rules: Iterable[Rule]) -> None:
        self.waiting += rules
        self._reach(id=self._update_id, trade=self._trade_id, time=self._seconds())
        self._run_due()

    @property
    def is_down(self) -> bool:
        return self.scope.now_us < self._down_until_us

    def at(self, us: int, action: Callable[[], None]) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (us, self._timer_count, action))

    def parts(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """Split *rows* between complete commands where due rules apply."""
        begin = opening = 0
        for place, row in enumerate(rows):
            us, kind, *_, trade_id, update_id = row
            if kind in _FIRST_ROWS:
                opening = place
            due = self._is_due(kind, us, trade_id, update_id)
            if due or (self.scope.timed and us > self.scope.now_us and opening == place):
                if opening > begin:
                    yield rows[begin:opening]
                    begin = opening
                self._set_time(us)
            if due:
                self._reach(id=update_id, trade=trade_id, time=self._seconds())
            self._update_id = update_id if kind == ROW_LEVEL else self._update_id
            self._trade_id = trade_id if kind == ROW_TRADE else self._trade_id
        yield rows[begin:]

    def handshake(self) -> Response | None:
        """Return the refusal of a connection attempt."""
        self._attempts += 1
        self._reach(connect=self._attempts)
        self._run_due()
        if self.is_down:
            return Response(0, reset=True)
        if not self._refusals:
            return None
        fault = self._refusals.pop(0)
        return fault.kind.refusal(fault) if fault.kind.refusal else None

    def outgoing(self, connection: Connection, message: Message) -> list[Message | bytes]:
        """Bytes are complete frames."""
        marks: tuple[str, ...] = ()
        if self._reset:
            message = renumbered(message, self._truth)
        if self._offsets:
            message, marks = self._offsets.message(message), ("clock_offset",)
        return self.scope.outgoing(connection, message, marks)

    def user_event(self, connection: Connection, message: Message, us: int) -> list[Message | bytes]:
        self.users.reach(us)
        if self._offsets:
            message = self._offsets.message(message)
        return self.users.outgoing(connection, message, ())

    def shown_us(self, us: int) -> int:
        return self._offsets.stamp(us)

    def stamped(self, answer: Any) -> Any:
        return self._offsets.shifted(answer) if self._offsets else answer

    def requested(self, name: str) -> bool:
        """Count a request of a REST path or WebSocket API method; False if the exchange is down."""
        self._requests[name] += 1
        for path in sorted({rule.trigger.path for rule in self.waiting if rule.trigger.kind == "request"}):
            if begins(name, path):
                count = sum(number for requested, number in self._requests.items() if begins(requested, path))
                self._reach(path, request=count)
        self._run_due()
        return not self.is_down

    def effect(self, arrival: UserRequest) -> RequestEffect:
        effect, now_us = RequestEffect(), self.scope.now_us
        for active in self._answers:
            kind = active.fault.kind
            if kind.late_us and not active.is_spent(now_us):
                effect = effect.hit(active.fault, delay_us=effect.delay_us + kind.late_us(active, now_us))
            if kind.effect is None or active.is_spent(now_us):
                continue
            changed = kind.effect(active.fault, arrival, effect)
            if changed is not None:
                effect = changed
                if not (kind.answer and arrival.via == "rest"):  # else counted when the response is changed
                    active.count()
        return effect

    def response(self, request: Request, response: Response) -> Response:
        if not request.path.startswith(_API):
            return response
        if self._reset:
            response = renumbered_answer(request, response, self._truth)
        if self._offsets:
            response = self._offsets.answer(response)
        context = self.scope.newest_context()
        for state in self._answers:
            kind = state.fault.kind
            if (
                kind.applies
                and kind.answer
                and kind.applies(state.fault, request)
                and not state.is_spent(context.now_us)
            ):
                response = kind.answer(state.fault, request, response, context)
                state.count()
        self._answers = [state for state in self._answers if not state.is_spent(context.now_us)]
        return response

    def steps(self, us: int) -> Iterator[int]:
        """Yield the times up to *us* at which rules, faults or timers are due, and *us*."""
        while True:
            times = [rule.trigger.number for rule in self.waiting if rule.trigger.kind == "time"]
            due_us = [self._start_us + math.ceil(number * US_PER_S) for number in times]
            due_us += [due for scope in (self.scope, self.users) if (due := scope.due_us()) is not None]
            due_us += [timer[0] for timer in self._timers[:1]]
            next_us = min((due for due in due_us if due > self.scope.now_us), default=us)
            yield min(next_us, us)
            if next_us >= us:
                return

    def advanced(self, us: int) -> None:
        self._set_time(us)
        self._reach(time=self._seconds())
        while self._timers and self._timers[0][0] <= us:
            heapq.heappop(self._timers)[2]()
        self._run_due()

    def _set_time(self, us: int) -> None:
        self.scope.reach(us)
        self.users.reach(us)

    def _run_due(self) -> None:
        self.scope.advance()
        self.users.advance()
        restarts, self._restarts = self._restarts, []
        for fault in restarts:
            self._down_until_us = max(self._down_until_us, fault.until_us(self.scope.now_us) or 0)
            if self._restart:
                self._restart(fault["books"] == "kept")

    def _seconds(self) -> float:
        return (self.scope.now_us - self._start_us) / US_PER_S

    def _is_due(self, kind: int, us: int, trade_id: int, update_id: int) -> bool:
        return any(
            (trigger.kind == "id" and kind == ROW_LEVEL and update_id >= trigger.number)
            or (trigger.kind == "trade" and kind == ROW_TRADE and trade_id >= trigger.number)
            or (trigger.kind == "time" and us - self._start_us >= trigger.number * US_PER_S)
            for trigger in (rule.trigger for rule in self.waiting)
        )

    def _reach(self, path: str = "", **reached: float) -> None:
        due = [
            rule
            for rule in self.waiting
            if reached.get(rule.trigger.kind, -1) >= rule.trigger.number
            and (rule.trigger.kind != "request" or rule.trigger.path == path)
        ]
        self.waiting = [rule for rule in self.waiting if rule not in due]
        for rule in due:
            self._act(rule)

    def _act(self, rule: Rule) -> None:
        fault, trigger = rule.fault, rule.trigger
        self.acted.append((self.scope.now_us, str(rule)))
        if fault.kind.name == "id_reset" and not self.begin_again(fault["first"]):
            after_id = max(self._update_id, int(trigger.number) - 1) if trigger.kind == "id" else self._update_id
            self._truth.renumber(self._truth.named(after_id)[0], fault["first"])
            self._reset = True
        elif fault.kind.name == "clock_offset":
            self._offsets.add(self.scope.now_us, fault["ms"])
        elif fault.kind.name in RULE_CHANGES and self.rules:
            self.rules(fault)
        elif fault.kind.name == "restart":
            self._restarts.append(fault)
        elif fault.kind.refusal:
            self._refusals += [fault] * fault["n"]
        if fault.kind.answer or fault.kind.effect or (fault.kind.late_us and fault.of == "line"):
            if fault.values.get("path") == "" and trigger.kind == "request":
                fault = fault.kind.make(**{**fault.values, "path": trigger.path})
            now_us = self.scope.now_us
            self._answers.append(ActiveFault(fault, fault.changes, fault.until_us(now_us), now_us))
        if fault.of != "user":
            self.scope.apply(rule)
        if fault.of in ("user", "both", "line"):
            self.users.apply(rule)
