"""A trader's interpreter: settings that apply only inside the block, and short waits for computing threads."""

import asyncio
import gc
import math
import socket
import sys
import threading
import time

from mm.live.low_latency import SWITCH_S, YOUNG_OBJECTS, BusySelector, busy_loop, low_latency


def test_prompt_restores_settings_after_an_error():
    before = sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()
    try:
        with low_latency():
            assert abs(sys.getswitchinterval() - SWITCH_S) < 1e-6
            assert gc.get_threshold()[0] == YOUNG_OBJECTS
            assert gc.get_freeze_count() > 1_000
            raise KeyError
    except KeyError:
        pass
    assert (sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()) == before


def shortest_wait_s(enough_s):
    """Return the shortest wait for the interpreter after naps during which a computing thread has taken it.

    That thread never releases it by itself, so no wait is shorter than the switch interval. Other processes only
    lengthen waits, so naps continue until one was shorter than *enough_s*, for a minute at most. A nap after which the
    thread has not computed measures nothing: it did not hold the interpreter.
    """
    over, rounds = threading.Event(), 0

    def compute():
        nonlocal rounds
        while not over.is_set():
            rounds += sum(range(50)) > 0

    thread = threading.Thread(target=compute)
    thread.start()
    waits, until_s = [math.inf], time.perf_counter() + 60
    try:
        while (len(waits) <= 20 or min(waits) >= enough_s) and time.perf_counter() < until_s:
            before, began_s = rounds, time.perf_counter()
            time.sleep(0.0001)
            took_s = time.perf_counter() - began_s
            if rounds > before:
                waits.append(took_s)
    finally:
        over.set()
        thread.join()
    return min(waits)


def test_prompt_shortens_waits_for_a_computing_thread():
    plain_s = shortest_wait_s(math.inf)
    with low_latency():
        prompt_s = shortest_wait_s(plain_s / 2)
    assert prompt_s < plain_s / 2, (prompt_s, plain_s)


def test_busy_loop_handles_timers_sockets_and_threads() -> None:
    """Each of the three wakes it, and timers keep their order."""

    async def main() -> list[str]:
        found: list[str] = []
        loop = asyncio.get_running_loop()
        now_s = loop.time()  # once: this process may be suspended between the two calls
        loop.call_at(now_s + 0.02, found.append, "later")
        loop.call_at(now_s + 0.01, found.append, "sooner")
        near, far = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=near)
        threading.Timer(0.05, far.sendall, [b"bytes\n"]).start()
        async with asyncio.timeout(60):
            found.append((await reader.readline()).decode().strip())
            found.append(await asyncio.to_thread(lambda: "thread"))
        writer.close()
        far.close()
        return found

    with asyncio.Runner(loop_factory=busy_loop) as runner:
        assert runner.run(main()) == ["sooner", "later", "bytes", "thread"]


def test_busy_selector_returns_ready_files_like_select() -> None:
    """With no file registered it returns an empty list, for any timeout."""
    with BusySelector() as selector:
        assert selector.select(0) == []
        assert selector.select(-1) == []
        assert selector.select(0.01) == []
        near, far = socket.socketpair()
        selector.register(near, 1, "data")
        far.send(b"x")
        assert [key.data for key, _ in selector.select(None)] == ["data"]
        near.close()
        far.close()
