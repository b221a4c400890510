"""``mm trade`` while its Redis hangs: it accepts, and never answers, from the connection, a first write, or later on.

A store that hangs keeps its thread in a socket for seconds; orders go on, and the trade ends in order.
"""

import socket
import threading
import time
from itertools import pairwise

import pytest
from trading_box import ended, venue
from trading_truth import assert_equal_books

from support import in_time

pytest.importorskip("redis", reason="the extra state is not installed")
MARKET = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4")
ANSWERS = {b"PING": b"+PONG\r\n", b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n", b"HGETALL": b"%0\r\n"}
ANSWERS |= {b"XREVRANGE": b"*0\r\n", b"EXEC": b"*0\r\n"}
HANGS = {"connect": (b"", 0), "write": (b"SET", 1), "quoting": (b"SET", 60)}
MOST_GAP_S, HUNG_S = 3.0, 9.0  # longer than Redis's timeouts of 3 and 5 s, after which it counts as away


class HangingRedis:
    """A stand-in for Redis on loopback that answers until it has got a command so many times, and never again.

    Attributes:
        port: Its port.
        hangs: Set from then on.
    """

    def __init__(self, command: bytes, times: int) -> None:
        self._command, self._left = command, times
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.hangs = threading.Event()
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for one in self._kept:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            self._kept.append(one)
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        with one.makefile("rb") as lines:
            try:
                while head := lines.readline():
                    words = [self._word(lines) for _ in range(int(head[1:]))]
                    self._left -= words[0] == self._command
                    if self._left <= 0 or self.hangs.is_set():
                        self.hangs.set()
                        continue
                    one.sendall(ANSWERS.get(words[0], b"+OK\r\n"))
            except (OSError, ValueError):
                return

    def _word(self, lines) -> bytes:
        return lines.read(int(lines.readline()[1:]) + 2)[:-2].upper()


@pytest.mark.slow
@pytest.mark.parametrize("state", HANGS)
def test_orders_go_on_while_redis_hangs(tmp_path, state):
    redis = HangingRedis(*HANGS[state])
    stores = {"STATE_URL": f"redis://127.0.0.1:{redis.port}/0", "LATENCY_THRESHOLD_MS": "60000"}
    try:
        with venue(tmp_path, *MARKET) as box:
            with box.trader(**stores) as process:
                box.until(
                    lambda: redis.hangs.is_set() and len(box.account()["requests"]) > 5, "a hang", process=process
                )
                since_us = box.account()["now_us"]
                time.sleep(HUNG_S)
                found = box.account(since_us)
                code, output, seconds = ended(process)
            instants = [since_us, *(one["us"] for one in found["requests"]), found["now_us"]]
            gaps_s = [(later - one) / 1e6 for one, later in pairwise(instants)]
            assert max(gaps_s) < MOST_GAP_S, sorted(gaps_s)[-3:]
            assert code == 0, output
            assert in_time(seconds, 30)
            assert output.count("state_store_away") == 1
            assert_equal_books(box)
    finally:
        redis.close()
