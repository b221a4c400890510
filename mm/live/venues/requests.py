"""The exchange's clock, and requests whose answers are awaited."""

import asyncio
from collections.abc import Callable

from mm.clock import US_PER_MS, now_us
from mm.live.venues.venue import NO_CONNECTION, ApiAnswer, Call, Done, Outcome, RequestParams, Route

Send = Callable[[Route, RequestParams, Done], int]
"""Sends a request: `OrderApi.request`."""


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


async def measure(send: Send, clock: ExchangeClock, time: Call, time_us: Callable[[ApiAnswer], int]) -> None:
    sent_us = clock.now_us()
    answer = await answer_of(send, time)
    if answer.outcome is Outcome.DONE:
        clock.measured(sent_us, time_us(answer), answer.us)
