"""Snapshots whose id is ahead of the updates: true ones on a slow stream, and ones with a wrong id."""

import json
from collections import deque
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_exchange import SYMBOL, TinyExchange

from day_files import defects_of
from day_oracle import hold
from hand_fed import answer, open_day, record_into
from mm import DayFolder
from mm.clock import midnight_us

DAY = "20260105"
FIRST_ID = 10**10
URL = f"http://x/api/v3/depth?symbol={SYMBOL}"


class Slow:
    """A session whose stream is *lag* steps of 100 ms behind the exchange, and whose REST takes *latency* steps.

    Args:
        root: Data root of the day.
        errors: Error of ``lastUpdateId`` of each answer in order, in ids; zero for later answers.
    """

    def __init__(self, root, seed, lag, latency, errors):
        self.exchange = TinyExchange(seed, midnight_us(DAY) + 8 * 3_600_000_000, FIRST_ID)
        self.folder = DayFolder(root, SYMBOL, DAY)
        self.writer = open_day(self.folder, "R1")
        self.us = self.exchange.us
        self.writer.event(self.us, "run_start", 0, {"version": "0", "knobs": {"top_n": 5}})
        self.session = record_into(self.writer, self.us, snapshot_limit=5000)
        self.session.connected(self.us, "ws://x", 1)
        self.late = deque([[]] * lag)
        self.latency, self.errors = latency, deque(errors)
        self.answers = deque()
        self.blind = self.steps = self.requests = 0

    def step(self):
        """Advance by 100 ms: a depth message arrives, and possibly an answer."""
        session = self.session
        self.late.append(self.exchange.advance())
        self.us = self.exchange.us + 500
        for raw in self.late.popleft():
            session.message(self.us, raw, 1, self.steps / 10)
        if self.answers and self.answers[0][0] <= self.steps:
            session.snapshot_answered(answer(self.us, URL, self.answers.popleft()[1]))
        if (session.needs_snapshot or session.wants_refresh) and not self.answers:
            self.requests += 1
            session.snapshot_requested(self.us, self.requests)
            self.answers.append((self.steps + self.latency, self._answer()))
        self.steps += 1
        self.blind += session.market.book_id is None or session.market.book_id > (session.market.book.ids.seen_id or 0)

    def _answer(self):
        answer = json.loads(self.exchange.snapshot())
        answer["lastUpdateId"] += self.errors.popleft() if self.errors else 0
        return json.dumps(answer).encode()

    def end(self):
        self.session.disconnected(self.us, 1, 1000, "SIGTERM")
        self.session.finish(self.us, "SIGTERM", window_over=False)
        self.writer.seal()
        self.writer.close()
        day = hold(self.folder.path, self.exchange)
        assert defects_of(self.folder) == []
        return day


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(
    st.integers(0, 99),
    st.integers(0, 50),
    st.integers(0, 6),
    st.lists(st.sampled_from([0, 3_000, 40_000, 999_999]), max_size=3),
)
def test_frames_are_true_and_the_book_syncs_soon(seed, lag, latency, errors):
    """Every frame is the true book; each refused answer doubles the time that the stream has to reach the next one."""
    with TemporaryDirectory() as root:
        slow = Slow(Path(root), seed, lag, latency, errors)
        for _ in range(600):
            slow.step()
        wrong = sum(error > 0 for error in errors)
        day = slow.end()
        refused = len(day.logged("snapshot_failed"))
        assert refused <= wrong + (lag > 18) + (lag > 38) + 1
        assert slow.blind <= 20 * (2**refused - 1) + 2 * lag + 10 + (refused + 1) * (2 + latency)
        assert len(day.frames) >= 600 - slow.blind - lag - 1


@pytest.mark.parametrize("error", [3_000, 999_999])
def test_wrong_snapshot_id_costs_two_seconds(tmp_path, error):
    """The ledger contains the result of each answer."""
    slow = Slow(tmp_path, 1, 0, 2, [error])
    for _ in range(100):
        slow.step()
    day = slow.end()
    assert 20 <= slow.blind <= 26
    assert [failed["cause"] for failed in day.logged("snapshot_failed")] == ["not_reached"]
    assert len(day.logged("snapshot_loaded")) == 1


def test_repeated_wrong_snapshot_ids_are_never_accepted(tmp_path):
    """A snapshot that is not reached within a minute is dropped; there are no frames and few requests."""
    slow = Slow(tmp_path, 1, 0, 2, [3_000] * 1_000)
    for _ in range(3_000):
        slow.step()
    assert slow.requests < 60
    day = slow.end()
    assert not day.frames
