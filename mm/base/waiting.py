"""Waiting for an event for a bounded time."""

import asyncio


async def happened(event: asyncio.Event, within_s: float) -> bool:
    """Return whether *event* happened in time; other tasks run meanwhile, even if it already has.

    A cancellation always ends it; Python 3.11's `asyncio.wait_for` loses one in the instant of the event, and a task
    that waits again would never end.
    """
    try:
        async with asyncio.timeout(within_s):
            await asyncio.sleep(
                0
            )  # Event.wait() of one that is set returns at once, and a loop would starve all others
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
