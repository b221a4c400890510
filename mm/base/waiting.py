"""Waiting for an event for a bounded time."""

import asyncio


async def happened(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await asyncio.sleep(
                0
            )  # Event.wait() of one that is set returns at once, and a loop would starve all others
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
