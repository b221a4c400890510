"""The fault injector: watches for the moments of the rules of a script, and changes what the wire sends and answers."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random

from mm.clock import US_PER_S
from mm.sim.exchange.truth import MarketTruth
from mm.sim.matching.order_log import ROW_CANCEL, ROW_LEVEL, ROW_NEW, ROW_TRADE, Row
from mm.sim.wire.faults.answer_faults import renumbered, renumbered_answer, shifted, shifted_answer
from mm.sim.wire.faults.channel import FaultScope
from mm.sim.wire.faults.fault import ActiveFault, Fault, FaultyConnection
from mm.sim.wire.faults.script import Rule
from mm.sim.wire.http_messages import Request, Response
from mm.sim.wire.stream_messages import Message

_OPENS = (ROW_NEW, ROW_CANCEL)
"""Rows with which the rows of a command begin; between others the log is not cut."""
_API = "/api/"


class FaultInjector:
    """Applies the rules of scripts to the wire.

    Args:
        truth: Of the exchange; it must have the rows that `parts` is given.
        start_us: The exchange's first instant, from which moments of time count.
        now_us: How far the exchange's time has come; without it its first instant.
        seed: Of what the script leaves to chance.
        keep: Frames of each connection in the log of what was sent.

    Attributes:
        scope: The connections and what they are sent.
    """

    def __init__(
        self, truth: MarketTruth, start_us: int, now_us: int = 0, *, seed: int = 0, keep: int = 10_000
    ) -> None:
        self.scope = FaultScope(truth, Random(seed), max(start_us, now_us), keep)
        self._truth = truth
        self._start_us = start_us
        self._update_id = truth.last_update_id
        self._trade_id = truth.last_trade_id
        self._waiting: list[Rule] = []
        self._attempts = 0
        self._requests: Counter[str] = Counter()
        self._refusals: list[Fault] = []
        self._answers: list[ActiveFault] = []
        self._reset = False
        self._offset_ms = 0

    def add(self, rules: Iterable[Rule]) -> None:
        """Add *rules*; those whose moment has passed act now."""
        self._waiting += rules
        self._reach(id=self._update_id, trade=self._trade_id, time=self._seconds())
        self.scope.advance()

    @property
    def waiting(self) -> list[Rule]:
        """Rules that have not acted yet."""
        return list(self._waiting)

    def parts(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """Yield *rows* in parts, each as whole as a command left it; between them rules act whose moment comes."""
        begin = opening = 0
        for place, row in enumerate(rows):
            us, kind, *_, trade_id, update_id = row
            if kind in _OPENS:
                opening = place
            due = self._is_due(kind, us, trade_id, update_id)
            if due or (self.scope.timed and us > self.scope.now_us and opening == place):
                if opening > begin:
                    yield rows[begin:opening]
                    begin = opening
                self.scope.reach(us)
            if due:
                self._reach(id=update_id, trade=trade_id, time=self._seconds())
            self._update_id = update_id if kind == ROW_LEVEL else self._update_id
            self._trade_id = trade_id if kind == ROW_TRADE else self._trade_id
        yield rows[begin:]

    def handshake(self) -> Response | None:
        """Count an attempt to connect, and return how it is refused; None lets it through."""
        self._attempts += 1
        self._reach(connect=self._attempts)
        if not self._refusals:
            return None
        fault = self._refusals.pop(0)
        return fault.kind.refusal(fault) if fault.kind.refusal else None

    def outgoing(self, connection: FaultyConnection, message: Message) -> list[Message | bytes]:
        """Return what is sent instead of *message*; bytes are whole frames."""
        marks: tuple[str, ...] = ()
        if self._reset:
            message = renumbered(message, self._truth)
        if self._offset_ms:
            message, marks = shifted(message, self._offset_ms), ("clock_offset",)
        return self.scope.outgoing(connection, message, marks)

    def response(self, request: Request, response: Response) -> Response:
        """Return what is answered instead of *response*."""
        if not request.path.startswith(_API):
            return response
        self._requests[request.path] += 1
        for path in {rule.moment.path for rule in self._waiting if rule.moment.kind == "request"}:
            if request.path.startswith(path):
                count = sum(number for one, number in self._requests.items() if one.startswith(path))
                self._reach(path, request=count)
        if self._reset:
            response = renumbered_answer(request, response, self._truth)
        if self._offset_ms:
            response = shifted_answer(response, self._offset_ms)
        context = self.scope.newest_context()
        for one in self._answers:
            kind = one.fault.kind
            if kind.applies and kind.answer and kind.applies(one.fault, request) and not one.spent(context.now_us):
                response = kind.answer(one.fault, request, response, context)
                one.count()
        self._answers = [one for one in self._answers if not one.spent(context.now_us)]
        return response

    def steps(self, us: int) -> Iterator[int]:
        """Yield the instants up to *us* by which time should come there: each at which something is due, then *us*."""
        while True:
            times = [rule.moment.number for rule in self._waiting if rule.moment.kind == "time"]
            due_us = [self._start_us + math.ceil(number * US_PER_S) for number in times]
            due_us += [] if (due := self.scope.due_us()) is None else [due]
            next_us = min((one for one in due_us if one > self.scope.now_us), default=us)
            yield min(next_us, us)
            if next_us >= us:
                return

    def advanced(self, us: int) -> None:
        """Advance the time to *us*, up to which all events were sent."""
        self.scope.reach(us)
        self._reach(time=self._seconds())
        self.scope.advance()

    def _seconds(self) -> float:
        return (self.scope.now_us - self._start_us) / US_PER_S

    def _is_due(self, kind: int, us: int, trade_id: int, update_id: int) -> bool:
        """Return whether a rule waits for a row like this one."""
        for rule in self._waiting:
            moment = rule.moment
            if (
                (moment.kind == "id" and kind == ROW_LEVEL and update_id >= moment.number)
                or (moment.kind == "trade" and kind == ROW_TRADE and trade_id >= moment.number)
                or (moment.kind == "time" and us - self._start_us >= moment.number * US_PER_S)
            ):
                return True
        return False

    def _reach(self, path: str = "", **reached: float) -> None:
        """Apply the rules whose moment has come, by the *reached* number of its kind; of requests those of *path*."""
        due = [
            rule
            for rule in self._waiting
            if reached.get(rule.moment.kind, -1) >= rule.moment.number
            and (rule.moment.kind != "request" or rule.moment.path == path)
        ]
        self._waiting = [rule for rule in self._waiting if rule not in due]
        for rule in due:
            self._act(rule)

    def _act(self, rule: Rule) -> None:
        fault, moment = rule.fault, rule.moment
        if fault.kind.name == "id_reset":
            after_id = max(self._update_id, int(moment.number) - 1) if moment.kind == "id" else self._update_id
            self._truth.renumber(self._truth.named(after_id)[0], fault["first"])
            self._reset = True
        elif fault.kind.name == "clock_offset":
            self._offset_ms += fault["ms"]
        elif fault.kind.refusal:
            self._refusals += [fault] * fault["n"]
        if fault.kind.answer:
            if fault.values.get("path") == "" and moment.kind == "request":
                fault = fault.kind.make(**{**fault.values, "path": moment.path})
            self._answers.append(ActiveFault(fault, fault.changes, fault.until_us(self.scope.now_us)))
        self.scope.apply(rule)
