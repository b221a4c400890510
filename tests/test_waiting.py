"""Waiting for an event for a bounded time."""

import asyncio

from mm.base.waiting import happened


def test_other_tasks_run_while_one_waits_for_what_has_happened():
    """A loop that waits for a set event would otherwise stop the recorder that it is part of."""

    async def run():
        event, turns = asyncio.Event(), 0
        event.set()

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        for _ in range(100):
            assert await happened(event, 1.0)
        task.cancel()
        return turns

    assert asyncio.run(run()) >= 99


def test_time_without_the_event_is_bounded():
    assert not asyncio.run(happened(asyncio.Event(), 0.01))
