"""Lets a script of faults happen: watches for the moments of its rules, and does what the wire lets faults do."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from mm.clock import US_PER_S
from mm.sim.exchange.truth import MarketTruth
from mm.sim.matching.order_log import ROW_CANCEL, ROW_LEVEL, ROW_NEW, ROW_TRADE, Row
from mm.sim.wire.faults.base import HandshakeFault, PathFault, ResponseFault
from mm.sim.wire.faults.channels import Channels
from mm.sim.wire.faults.script import Rule
from mm.sim.wire.faults.world import ClockOffset, IdReset, renumbered, renumbered_answer, shifted, shifted_answer
from mm.sim.wire.hooks import FaultyConnection
from mm.sim.wire.http_messages import Request, Response
from mm.sim.wire.stream_messages import Message

_OPENS = (ROW_NEW, ROW_CANCEL)
"""Rows that begin what one command left behind; between others the log is not cut."""
_API = "/api/"


@dataclass(slots=True)
class _Answers:
    """A fault of answers, and how far it has come."""

    fault: ResponseFault
    left: int | None
    until_us: int | None


class Player:
    """Plays a script; it is what the wire knows as its faults.

    Args:
        truth: Of the exchange; it must have heard the rows that `parts` is given.
        start_us: The exchange's first instant, from which moments of time count.
        seed: Of what the script leaves to chance.
        keep: Frames of each connection that the log of what was sent tells.

    Attributes:
        channels: What becomes of each connection.
    """

    def __init__(self, truth: MarketTruth, start_us: int, *, seed: int = 0, keep: int = 10_000) -> None:
        self.channels = Channels(truth, Random(seed), start_us, keep)
        self._truth = truth
        self._start_us = start_us
        self._update_id = truth.last_update_id
        self._trade_id = truth.last_trade_id
        self._waiting: list[Rule] = []
        self._attempts = 0
        self._requests: Counter[str] = Counter()
        self._refusals: list[HandshakeFault] = []
        self._answers: list[_Answers] = []
        self._reset = False
        self._offset_ms = 0

    def add(self, rules: Iterable[Rule]) -> None:
        """Take *rules* in; those whose moment has passed act now."""
        self._waiting += rules
        self._reach(id=self._update_id, trade=self._trade_id, time=self._seconds())
        self.channels.advance()

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
            if due or (self.channels.timed and us > self.channels.now_us and opening == place):
                if opening > begin:
                    yield rows[begin:opening]
                    begin = opening
                self.channels.now_us = max(us, self.channels.now_us)
            if due:
                self._reach(id=update_id, trade=trade_id, time=self._seconds())
            self._update_id = update_id if kind == ROW_LEVEL else self._update_id
            self._trade_id = trade_id if kind == ROW_TRADE else self._trade_id
        yield rows[begin:]

    def handshake(self, path: str) -> Response | None:
        """Count an attempt to connect to *path*, and return how it is refused; None lets it through."""
        self._attempts += 1
        self._reach(connect=self._attempts)
        if not self._refusals:
            return None
        fault = self._refusals.pop(0)
        return fault.refusal()

    def opened(self, connection: FaultyConnection) -> None:
        """Take a connection in, before anything is sent on it."""
        self.channels.open(connection)

    def closed(self, connection: FaultyConnection) -> None:
        """Let a connection go."""
        self.channels.close(connection)

    def outgoing(self, connection: FaultyConnection, message: Message) -> list[Message | bytes]:
        """Return what is sent instead of *message*; bytes are whole frames."""
        marks: tuple[str, ...] = ()
        if self._reset:
            message = renumbered(message, self._truth)
        if self._offset_ms:
            message, marks = shifted(message, self._offset_ms), ("clock_offset",)
        return self.channels.of(connection).outgoing(message, self.channels.now_us, marks)

    def response(self, request: Request, response: Response) -> Response:
        """Return what is answered instead of *response*."""
        if not request.path.startswith(_API):
            return response
        self._requests[request.path] += 1
        for path in {rule.moment.path for rule in self._waiting if rule.moment.kind == "request"}:
            if request.path.startswith(path):
                count = sum(number for asked, number in self._requests.items() if asked.startswith(path))
                self._reach(path, request=count)
        if self._reset:
            response = renumbered_answer(request, response, self._truth)
        if self._offset_ms:
            response = shifted_answer(response, self._offset_ms)
        scene = self.channels.newest_scene()
        for one in self._answers:
            if one.fault.befalls(request) and not self._is_over(one):
                response = one.fault.answer(request, response, scene)
                one.left = None if one.left is None else one.left - 1
        self._answers = [one for one in self._answers if not self._is_over(one)]
        return response

    def steps(self, us: int) -> Iterator[int]:
        """Yield the instants up to *us* by which time should come there: each at which something is due, then *us*."""
        while True:
            times = [rule.moment.number for rule in self._waiting if rule.moment.kind == "time"]
            due_us = [self._start_us + math.ceil(number * US_PER_S) for number in times]
            due_us += [] if (due := self.channels.due_us()) is None else [due]
            next_us = min((one for one in due_us if one > self.channels.now_us), default=us)
            yield min(next_us, us)
            if next_us >= us:
                return

    def advanced(self, us: int) -> None:
        """Let the time come to *us*, all events up to which were handed out."""
        self.channels.now_us = max(us, self.channels.now_us)
        self._reach(time=self._seconds())
        self.channels.advance()

    def _seconds(self) -> float:
        return (self.channels.now_us - self._start_us) / US_PER_S

    def _is_over(self, one: _Answers) -> bool:
        return one.left == 0 or (one.until_us is not None and self.channels.now_us >= one.until_us)

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
        """Let the rules act whose moment comes when *reached* numbers of its kind are; of requests those of *path*."""
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
        if isinstance(fault, IdReset):
            after_id = max(self._update_id, int(moment.number) - 1) if moment.kind == "id" else self._update_id
            self._truth.renumber(self._truth.named(after_id)[0], fault.first)
            self._reset = True
        elif isinstance(fault, ClockOffset):
            self._offset_ms += fault.ms
        elif isinstance(fault, HandshakeFault):
            self._refusals += [fault] * fault.n
        if isinstance(fault, ResponseFault):
            if isinstance(fault, PathFault) and not fault.path and moment.kind == "request":
                fault = replace(fault, path=moment.path)
            lasts_us = fault.lasts_us
            until_us = None if lasts_us is None else self.channels.now_us + lasts_us
            self._answers.append(_Answers(fault, fault.answers, until_us))
        self.channels.befall(rule)
