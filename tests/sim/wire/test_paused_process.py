"""The clock of ``mm sim serve`` after its process was stopped for a moment, as its clients see it."""

import signal
import time

import httpx
import pytest

from serving import serving


@pytest.mark.slow
def test_clock_returns_to_the_wall_after_a_pause():
    """A client that stamps its requests with the wall clock is refused (−1021) for as long as the exchange is late."""
    with serving("--port", "0", "--json") as (process, ready):

        def behind_s():
            sent_s = time.time()
            server_s = httpx.get(f"{ready['rest_url']}/api/v3/time", timeout=60).json()["serverTime"] / 1000
            return (sent_s + time.time()) / 2 - server_s

        process.send_signal(signal.SIGSTOP)
        time.sleep(1.2)
        process.send_signal(signal.SIGCONT)
        assert behind_s() > 0.5
        ends_s = time.monotonic() + 60
        while behind_s() > 0.3 and time.monotonic() < ends_s:
            time.sleep(0.5)
        assert behind_s() < 0.5
