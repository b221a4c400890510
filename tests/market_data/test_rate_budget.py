import asyncio
import json
import os
import stat
import tempfile
from multiprocessing import get_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.market_data.rate_budget import RateBudget, shared_path


class Clock:
    def __init__(self):
        self.now_s = 1_000_000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weight_x.json"


def test_what_is_left_is_granted_and_the_rest_waits_until_the_window_has_slid(clock):
    """Not a moment longer than it takes the oldest to leave it."""
    allowance = RateBudget(500, 60.0, now_s=clock)
    assert allowance.spend(250) == 0
    clock.now_s += 20
    assert allowance.spend(250) == 0
    assert allowance.spend(250) == 40
    clock.now_s += 40.1
    assert allowance.spend(250) == 0


def test_a_wait_lasts_until_enough_of_what_was_spent_has_left_the_window(clock):
    """And not only the first of it: else the time that is reported is too short."""
    budget = RateBudget(500, 60.0, now_s=clock)
    for _ in range(5):
        budget.spend(100)
        clock.now_s += 2
    assert budget.spend(250) == 54
    assert budget.spend(10_000) == 58


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from([1, 25, 250])), max_size=60))
def test_no_window_ever_holds_more_than_is_allowed(asked):
    """For any amounts, at any time."""
    clock = Clock()
    allowance, spent = RateBudget(500, 60.0, now_s=clock), []
    for pause_s, amount in asked:
        clock.now_s += pause_s
        while (wait_s := allowance.spend(amount)) > 0:
            clock.now_s += wait_s
        spent.append((clock.now_s, amount))
        assert sum(one for at_s, one in spent if at_s > clock.now_s - 60) <= 500


def test_what_one_asks_for_alone_is_granted_even_where_it_is_more_than_all(clock):
    """Nobody waits for ever."""
    assert RateBudget(100, 60.0, now_s=clock).spend(250) == 0


def test_processes_share_one_file(path, clock):
    """What one has spent, another one cannot spend again."""
    first, second = (RateBudget(500, 60.0, path, clock) for _ in range(2))
    assert first.spend(400) == 0
    assert second.spend(250) > 0
    assert second.spend(100) == 0
    assert first.spend(1) > 0
    assert second.spent == 500


def test_a_pause_that_the_exchange_asks_for_is_heard_by_all(path, clock):
    """Retry-After: clients that continue are banned, and the ban applies to the whole machine."""
    first, second = (RateBudget(500, 60.0, path, clock) for _ in range(2))
    first.hold_off(120)
    assert (first.spend(1), second.spend(1)) == (120, 120)
    clock.now_s += 120.5
    assert (first.spend(1), second.spend(1)) == (0, 0)


def test_a_pause_counts_also_where_nothing_can_be_shared(tmp_path, clock):
    """A full disk, or a folder that is gone."""
    allowance = RateBudget(500, 60.0, tmp_path / "no" / "folder.json", clock)
    allowance.hold_off(30)
    assert allowance.spend(1) == 30


def test_what_others_have_spent_elsewhere_is_learnt_from_the_exchange(path, clock):
    """Its own count holds them too, until they leave the window."""
    allowance = RateBudget(500, 60.0, path, clock)
    allowance.spend(100)
    allowance.used(450)
    allowance.used(300)
    assert allowance.spent == 450
    assert allowance.spend(100) > 0
    clock.now_s += 61
    assert allowance.spend(100) == 0


def test_what_can_wait_leaves_room_for_what_cannot(clock):
    """Trades of the past may use all but the next snapshots."""
    allowance = RateBudget(500, 60.0, now_s=clock)
    assert allowance.spend(200, kept=250) == 0
    assert allowance.spend(100, kept=250) > 0
    assert allowance.spend(250) == 0


def test_a_clock_that_was_set_back_does_not_make_anybody_wait_for_it(path, clock):
    """Entries in the future were made under another clock."""
    allowance = RateBudget(500, 60.0, path, clock)
    allowance.spend(500)
    RateBudget(500, 60.0, path, clock).hold_off(60)
    clock.now_s -= 10_000
    assert allowance.spend(500) == 0


def test_a_pause_of_years_in_the_file_is_forgotten(path, clock):
    """As is a weight that is below nothing: an older version, or a hand, wrote them."""
    path.write_text(json.dumps({"spent": [[clock(), -1e9]], "asked_s": clock(), "quiet_until_s": clock() + 1e9}))
    assert RateBudget(500, 60.0, path, clock).spend(500) == 0
    assert RateBudget(500, 60.0, path, clock).spend(1) > 0


@pytest.mark.parametrize("content", [b"", b"{", b'{"spent": 7}', b"\xff\xfe"])
def test_a_file_that_cannot_be_read_says_nothing(path, clock, content):
    """A crash may leave half of one."""
    path.write_bytes(content)
    assert RateBudget(500, 60.0, path, clock).spend(500) == 0
    assert RateBudget(500, 60.0, path, clock).spend(500) > 0


def test_granted_returns_when_it_may_be_spent():
    """It sleeps for as long as necessary."""
    allowance = RateBudget(1, 0.05)

    async def scenario():
        for _ in range(3):
            await allowance.granted(1)

    asyncio.run(asyncio.wait_for(scenario(), 10))
    assert allowance.spent <= 1


def test_a_long_wait_is_reported_and_a_short_one_is_not(monkeypatch, clock):
    """Somebody looks at a program that does nothing."""
    waits = []

    async def sleep(seconds):
        clock.now_s += seconds + 1e-6

    monkeypatch.setattr(asyncio, "sleep", sleep)
    budget = RateBudget(500, 60.0, now_s=clock, waits=waits.append)
    budget.spend(500)
    clock.now_s += 20
    asyncio.run(budget.granted(250))
    assert waits == [40]
    clock.now_s += 59.5
    asyncio.run(budget.granted(500))
    assert waits == [40]


def test_a_wait_that_others_make_longer_is_reported_once(monkeypatch, clock):
    """Of fifty that wait for the same minute each would say it again whenever another one was sooner."""
    waits, began_s = [], clock.now_s

    async def sleep(seconds):
        clock.now_s += seconds + 1e-6
        if clock.now_s < began_s + 150:  # another one is sooner
            budget.spend(500)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    budget = RateBudget(500, 60.0, now_s=clock, waits=waits.append)
    budget.spend(500)
    asyncio.run(budget.granted(500))
    assert clock.now_s - began_s > 150
    assert waits == [60]


def _spend(path, granted):
    allowance = RateBudget(50, 600.0, path)
    count = 0
    for _ in range(200):
        wait_s = allowance.spend(1)
        if wait_s > 1:
            break
        count += wait_s == 0
    granted.put(count)


def test_processes_that_ask_at_once_get_no_more_than_there_is(path):
    """The lock is between processes."""
    context = get_context("spawn")
    granted = context.Queue()
    processes = [context.Process(target=_spend, args=(path, granted)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [granted.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sum(found) == 50


def test_the_file_lies_where_all_processes_of_the_user_look_and_nobody_else_can(tmp_path, monkeypatch):
    """One for each host; a folder of another user is not used."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = shared_path("weight", "api.binance.com:443")
    assert path == tmp_path / f"mm-{os.getuid()}" / "weight_api.binance.com_443.json"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.chmod(0o777)
    assert shared_path("weight", "x") is None
    path.parent.rmdir()
    path.parent.symlink_to(tmp_path)
    assert shared_path("weight", "x") is None
