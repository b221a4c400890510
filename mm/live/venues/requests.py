"""Requests to an exchange, their answers, and the exchange's clock, in no exchange's words."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeVar

from mm.clock import US_PER_MS, now_us
from mm.live.venues.refusals import NOT_SENT, Refusal, Why

_Found = TypeVar("_Found")
RequestParams = Mapping[str, str | int]
NO_ANSWER, NO_CONNECTION = 0, 1
"""Our own codes of an answer, if the exchange gave none."""


# ---------------------------------------------------------------------- requests


class Route(NamedTuple):
    """How a request is sent, and what it counts.

    A *stamped_once* request keeps its first timestamp, which determines until when the exchange accepts it.
    """

    name: str
    verb: str
    path: str
    weight: int = 1
    signed: bool = True
    counted: bool = False
    stamped_once: bool = False
    by_rest: bool = False


Call = tuple[Route, RequestParams]
"""A request: its route, and its parameters."""


# ---------------------------------------------------------------------- answers


class Outcome(Enum):
    """The outcome of a request, as far as it is known."""

    DONE = "done"
    REFUSED = "refused"
    """It was not done, and never will be."""
    UNKNOWN = "unknown"
    """Unknown: there is no answer, or an answer without an outcome."""
    UNSENT = "unsent"
    """It was not sent."""


class ApiAnswer(NamedTuple):
    """The answer to a request, or the absence of one."""

    outcome: Outcome
    us: int
    result: bytes = b""
    code: int = 0
    message: str = ""
    status: int = 0
    retry_after_s: float = 0.0
    seconds: float = 0.0
    why: Why = Why.OTHER

    @property
    def refusal(self) -> Refusal:
        if self.code == NO_CONNECTION:
            return Refusal(NOT_SENT, self.message, Why.NOT_SENT)
        return Refusal(self.code, self.message, self.why)


Done = Callable[[ApiAnswer], None]


class OrderApi(Protocol):
    """A transport to the exchange. A request is sent once and immediately, or not at all."""

    @property
    def up(self) -> bool: ...

    def request(self, route: Route, parameters: RequestParams, done: Done) -> int:
        """Return the timestamp, in ms of the exchange; *done* gets the answer, never before this returns."""


class ApiWatcher(Protocol):
    """Called when the connection changes, and with every user event."""

    def connected(self) -> None: ...

    def disconnected(self, why: str) -> None: ...

    def event(self, kind: str, body: bytes, us: int) -> None: ...


# ---------------------------------------------------------------------- awaited, and stamped

Send = Callable[[Route, RequestParams, Done], int]
"""Sends a request: `OrderApi.request`."""


ASKED_S, ASK_AGAIN_S = 5.0, 0.25
"""How long a start asks again for what is not answered, and the pause before, in s."""


class Unanswered(Exception):
    """A request that must be answered was not; who sent it tries again. *answer* is what came instead."""

    def __init__(self, method: str, answer: ApiAnswer) -> None:
        super().__init__(f"{method}: {answer.code} {answer.message}")
        self.answer = answer


class ExchangeClock:
    def __init__(self, now_us: Callable[[], int] = now_us) -> None:
        self.now_us = now_us
        self.offset_us = 0
        self.doubted: Callable[[], None] = lambda: None

    def timestamp_ms(self) -> int:
        return (self.now_us() + self.offset_us) // US_PER_MS

    def measured(self, sent_us: int, server_us: int, received_us: int) -> None:
        if received_us >= sent_us:
            self.offset_us = server_us - (sent_us + received_us) // 2


def unsent(done: Done, clock: ExchangeClock, why: str) -> None:
    answer = ApiAnswer(Outcome.UNSENT, clock.now_us(), code=NO_CONNECTION, message=why)
    asyncio.get_running_loop().call_soon(done, answer)


async def answer_of(send: Send, call: Call) -> ApiAnswer:
    future: asyncio.Future[ApiAnswer] = asyncio.get_running_loop().create_future()

    def done(answer: ApiAnswer) -> None:
        if not future.done():
            future.set_result(answer)

    send(*call, done)
    return await future


async def answer_at_last(send: Send, call: Call) -> ApiAnswer:
    """Ask again for some seconds while there is no answer, so that answers to other requests need not be asked anew."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + ASKED_S
    while True:
        answer = await answer_of(send, call)
        if (answer.outcome is not Outcome.UNKNOWN and answer.why is not Why.BUSY) or loop.time() >= ends_s:
            return answer
        await asyncio.sleep(ASK_AGAIN_S)


def ensure_done(call: Call, answer: ApiAnswer) -> ApiAnswer:
    """The answer to *call*; raises Unanswered if it was not done."""
    if answer.outcome is not Outcome.DONE:
        raise Unanswered(call[0].name, answer)
    return answer


async def together(*asking: Coroutine[Any, Any, _Found]) -> list[_Found]:
    """The results of requests that do not depend on each other, sent at once.

    One that fails is raised once all have ended, so that what the others were answered is kept.
    """
    ends = await asyncio.gather(*asking, return_exceptions=True)
    found = list[_Found]()
    for end in ends:
        if isinstance(end, BaseException):
            raise end
        found.append(end)
    return found


async def measure(send: Send, clock: ExchangeClock, time: Call, time_us: Callable[[ApiAnswer], int]) -> None:
    sent_us = clock.now_us()
    answer = await answer_of(send, time)
    if answer.outcome is Outcome.DONE:
        clock.measured(sent_us, time_us(answer), answer.us)
