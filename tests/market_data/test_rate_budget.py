import asyncio
import json
import os
import stat
import tempfile
import threading
import time
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


def test_spend_beyond_the_budget_waits_for_the_sliding_window(clock):
    """The wait ends when the oldest spending leaves the window."""
    allowance = RateBudget(500, 60.0, now_s=clock)
    assert allowance.spend(250) == 0
    clock.now_s += 20
    assert allowance.spend(250) == 0
    assert allowance.spend(250) == 40
    clock.now_s += 40.1
    assert allowance.spend(250) == 0


def test_wait_lasts_until_enough_spending_has_left_the_window(clock):
    """Not only until the oldest spending has left: then the reported time would be too short."""
    budget = RateBudget(500, 60.0, now_s=clock)
    for _ in range(5):
        budget.spend(100)
        clock.now_s += 2
    assert budget.spend(250) == 54
    assert budget.spend(10_000) == 58


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from([1, 25, 250])), max_size=60))
def test_no_window_exceeds_the_budget(requested):
    """For arbitrary amounts at arbitrary times."""
    clock = Clock()
    allowance, spent = RateBudget(500, 60.0, now_s=clock), []
    for pause_s, amount in requested:
        clock.now_s += pause_s
        while (wait_s := allowance.spend(amount)) > 0:
            clock.now_s += wait_s
        spent.append((clock.now_s, amount))
        assert sum(part for at_s, part in spent if at_s > clock.now_s - 60) <= 500


def test_single_request_above_the_budget_is_granted(clock):
    """Otherwise such a request would wait forever."""
    assert RateBudget(100, 60.0, now_s=clock).spend(250) == 0


def test_budgets_on_one_file_share_their_spending(path, clock):
    """Weight spent by one process is not available to another."""
    first, second = (RateBudget(500, 60.0, path, clock) for _ in range(2))
    assert first.spend(400) == 0
    assert second.spend(250) > 0
    assert second.spend(100) == 0
    assert first.spend(1) > 0
    assert second.spent == 500


def test_pause_applies_to_all_budgets_on_the_file(path, clock):
    """Clients that ignore Retry-After are banned, and the ban applies to the whole machine."""
    first, second = (RateBudget(500, 60.0, path, clock) for _ in range(2))
    first.hold_off(120)
    assert (first.spend(1), second.spend(1)) == (120, 120)
    clock.now_s += 120.5
    assert (first.spend(1), second.spend(1)) == (0, 0)


def test_pause_applies_without_a_usable_file(tmp_path, clock):
    """For instance on a full disk or in a missing folder."""
    allowance = RateBudget(500, 60.0, tmp_path / "no" / "folder.json", clock)
    allowance.hold_off(30)
    assert allowance.spend(1) == 30


def test_used_weight_of_the_exchange_raises_the_spending(path, clock):
    """The count of the exchange includes other clients, until it leaves the window."""
    allowance = RateBudget(500, 60.0, path, clock)
    allowance.spend(100)
    allowance.used(450)
    allowance.used(300)
    assert allowance.spent == 450
    assert allowance.spend(100) > 0
    clock.now_s += 61
    assert allowance.spend(100) == 0


def test_kept_weight_is_reserved_for_other_requests(clock):
    """Requests for past trades leave enough weight for the next snapshots."""
    allowance = RateBudget(500, 60.0, now_s=clock)
    assert allowance.spend(200, kept=250) == 0
    assert allowance.spend(100, kept=250) > 0
    assert allowance.spend(250) == 0


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("set_s", [3_600.0, -3_600.0])
def test_a_wall_clock_that_is_set_neither_lengthens_nor_shortens_a_wait(path, clock, set_s, shared):
    """An hour ahead while the exchange forbids requests for 3 s, and back again: the wait was an hour."""
    wall = Clock()
    wall.now_s += set_s
    asked, later = (RateBudget(500, 60.0, path if shared else None, clock, wall_s=wall) for _ in range(2))
    asked.hold_off(3)
    asked.spend(0)
    wall.now_s -= set_s
    budgets = (asked, later) if shared else (asked,)
    assert {budget.spend(500) for budget in budgets} == {3}
    clock.now_s += 2.9
    assert all(budget.spend(500) > 0 for budget in budgets)
    clock.now_s += 0.2
    assert asked.spend(500) == 0
    wall.now_s += set_s
    clock.now_s += 59
    assert asked.spend(500) == pytest.approx(1)
    clock.now_s += 1.1
    assert budgets[-1].spend(500) == 0


def test_a_wait_goes_on_over_a_start_of_the_machine(path, clock):
    """The clock that cannot be set begins anew: what has passed is known by the wall clock."""
    wall = Clock()
    RateBudget(500, 60.0, path, clock, wall_s=wall).hold_off(600)
    clock.now_s = 20.0
    wall.now_s += 100
    assert RateBudget(500, 60.0, path, clock, wall_s=wall).spend(1) == 500
    clock.now_s += 500
    assert RateBudget(500, 60.0, path, clock, wall_s=wall).spend(1) == 0


def test_a_file_with_times_of_the_wall_clock_alone_is_read(path, clock):
    """Those of an earlier version."""
    wall = Clock()
    now_s = wall.now_s = 1_764_000_000.0
    path.write_text(json.dumps({"spent": [[now_s - 20, 400]], "asked_s": now_s - 10, "quiet_until_s": now_s - 5}))
    assert RateBudget(500, 60.0, path, clock, wall_s=wall).spend(200) == pytest.approx(40)


def test_implausible_file_content_is_ignored(path, clock):
    """Pauses of years and negative weights are dropped."""
    path.write_text(json.dumps({"spent": [[clock(), -1e9]], "asked_s": clock(), "quiet_until_s": clock() + 1e9}))
    assert RateBudget(500, 60.0, path, clock).spend(500) == 0
    assert RateBudget(500, 60.0, path, clock).spend(1) > 0


@pytest.mark.parametrize("content", [b"", b"{", b'{"spent": 7}', b"\xff\xfe"])
def test_unreadable_file_is_treated_as_empty(path, clock, content):
    """A crash may leave half a file."""
    path.write_bytes(content)
    assert RateBudget(500, 60.0, path, clock).spend(500) == 0
    assert RateBudget(500, 60.0, path, clock).spend(500) > 0


def test_granted_waits_until_the_amount_is_available():
    """`granted` sleeps for as long as necessary."""
    allowance = RateBudget(1, 0.05)

    async def scenario():
        began_s = asyncio.get_running_loop().time()
        for _ in range(3):
            await allowance.granted(1)
        return asyncio.get_running_loop().time() - began_s

    assert asyncio.run(asyncio.wait_for(scenario(), 120)) > 2 * 0.045
    assert allowance.spent <= 1


def test_only_long_waits_are_reported(monkeypatch, clock):
    """Long waits are reported to the user."""
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


def test_wait_extended_by_other_spenders_is_reported_once(monkeypatch, clock):
    """Many concurrent waiters must not repeat the report whenever another one is first."""
    waits, began_s = [], clock.now_s

    async def sleep(seconds):
        clock.now_s += seconds + 1e-6
        if clock.now_s < began_s + 150:  # another spender is first
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


def test_concurrent_processes_do_not_exceed_the_budget(path):
    """The file is locked across processes."""
    context = get_context("spawn")
    granted = context.Queue()
    processes = [context.Process(target=_spend, args=(path, granted)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [granted.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sum(found) == 50


def test_shared_path_is_private_to_the_user(tmp_path, monkeypatch):
    """There is one file per host; a folder accessible to other users is not used."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = shared_path("weight", "api.binance.com:443")
    assert path == tmp_path / f"mm-{os.getuid()}" / "weight_api.binance.com_443.json"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.chmod(0o777)
    assert shared_path("weight", "x") is None
    path.parent.rmdir()
    path.parent.symlink_to(tmp_path)
    assert shared_path("weight", "x") is None


def test_stalled_disk_of_the_file_holds_up_no_loop(path, monkeypatch):
    """Meanwhile a process counts its own spending; what it was to write is written once the disk goes on."""
    release, pread = threading.Event(), os.pread

    def stalling(*given):
        assert threading.current_thread() is not threading.main_thread()
        assert release.wait(60)
        return pread(*given)

    async def run():
        budget = RateBudget(2, 60.0, path)
        for _ in range(2):
            await budget.granted(1)
        waiting = asyncio.create_task(budget.granted(1))
        await asyncio.wait({waiting}, timeout=0.3)
        assert not waiting.done()
        waiting.cancel()
        budget.hold_off(30)
        release.set()

    monkeypatch.setattr(os, "pread", stalling)
    asyncio.run(run())
    monkeypatch.undo()
    other = RateBudget(2, 60.0, path)
    while other.spend(0) < 29:
        time.sleep(0.01)
