"""``FLATTEN_AFTER_S``: a guardian closes the position that its trader, which runs, cannot reconcile."""

import json
import time

import pytest
from trading_box import ended
from usdm_box import contract_box

from mm.base.host_clock import HostTime, host_time
from mm.live.account import unreconciled
from mm.live.account.unreconciled import UnreconciledSince
from mm.live.orders.other_traders import COPIED_US, OtherTraders

TERMS = {"FLATTEN_AFTER_S": "8", "RECONCILE_INTERVAL_S": "2"}


@pytest.fixture
def box(tmp_path):
    with contract_box(tmp_path) as found:
        yield found


def refuse_trades(box, count):
    """Let the exchange refuse so many questions for trades, two in a second; return its clock, µs."""
    now_us = box.get("/sim/state")["now_us"]
    box.post("/sim/faults", f'at time 0 do error n={count} code=-1000 path="GET /fapi/v1/userTrades" undone=1')
    return now_us


def rows(box, event):
    """Return the rows of an event in the run logs."""
    lines = [line for path in box.folder.glob("out/logs/**/run.log") for line in path.read_text().splitlines()]
    return [row for row in map(json.loads, lines) if row["event"] == event]


def guardians_orders(box, since_us):
    return [one for one in box.account(since_us)["orders"] if one["clientOrderId"].rpartition("-")[2][0] == "f"]


@pytest.mark.slow
def test_position_that_cannot_be_reconciled_is_closed_and_booked(box):
    """The trader places nothing meanwhile; once it can reconcile, it books the guardian's trade, and quotes again."""
    with box.trader(**TERMS) as trader:
        box.taken(0, trader)
        since_us = refuse_trades(box, 40)
        box.until(lambda: guardians_orders(box, since_us), "an order of the guardian", 60, trader)
        box.until(lambda: box.position == 0 and not box.account()["openOrders"], "no position", 10, trader)
        first = guardians_orders(box, since_us)[0]
        assert (first["reduceOnly"], first["timeInForce"], first["side"]) == (
            True,
            "IOC",
            rows(box, "position_closes")[0]["side"],
        )
        box.until(lambda: box.account()["openOrders"], "quotes again", 60, trader)
        code, text, _ = ended(trader)
    assert code == 0, text
    assert "position_unreconciled" in text
    assert [row["limit"] for row in box.rows("breach") if row["limit"] == "FLATTEN_AFTER_S"] == ["FLATTEN_AFTER_S"]
    assert len(rows(box, "position_closes")) == len(guardians_orders(box, since_us))
    box.check_books()


@pytest.mark.slow
def test_trader_that_can_reconcile_in_time_keeps_its_position(box):
    """Six refusals are over in three seconds."""
    with box.trader(**TERMS) as trader:
        box.taken(0, trader)
        since_us = refuse_trades(box, 6)
        box.until(lambda: rows(box, "reconcile_failed"), "a refusal", 30, trader)
        begun_us = box.get("/sim/state")["now_us"]
        box.until(lambda: box.get("/sim/state")["now_us"] > begun_us + 12_000_000, "some seconds", 60, trader)
        code, text, _ = ended(trader)
    assert code == 0, text
    assert "reconcile_failed" in text
    assert "position_unreconciled" not in text
    assert guardians_orders(box, since_us) == rows(box, "position_closes") == []
    box.check_books()


def test_time_within_two_reconciles_is_refused(box):
    """A trader without a fault would be closed."""
    done = box.run("trade", FLATTEN_AFTER_S="20", RECONCILE_INTERVAL_S="15")
    assert done.returncode == 2
    assert "FLATTEN_AFTER_S" in done.stderr.splitlines()[-1]
    assert "RECONCILE_INTERVAL_S" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("client_id", "of_other"), [("mm-a-f1", False), ("mm-a-1b", True), ("mm-z-f1", True)])
def test_order_of_the_own_guardian_is_not_taken_for_another_trader(client_id, of_other):
    """Its event comes, long after the start, to a trader that has not sent it."""
    others = OtherTraders("S", {"mm-a"})
    others.begun_us = 1
    assert others.sees_event(client_id, 2 + COPIED_US, new=True) is of_other
    assert bool(others.error) is of_other


@pytest.mark.slow
def test_time_counts_over_starts_that_fail_and_are_killed(box):
    """No process lives as long as FLATTEN_AFTER_S; the one in which the time is over closes, the next one books it."""
    with box.trader(**TERMS) as trader:
        box.taken(0, trader)
        since_us = refuse_trades(box, 120)
        box.until(lambda: rows(box, "reconcile_failed"), "a refusal", 30, trader)
        trader.kill()
    starts = 0
    while not guardians_orders(box, since_us):
        starts += 1
        assert starts < 6
        with box.trader(**{**TERMS, "FLATTEN_AFTER_S": "25"}) as trader:
            begun_s = time.monotonic()
            box.until(
                lambda: time.monotonic() > begun_s + 12 or guardians_orders(box, since_us),  # noqa: B023
                *("a part of the time, or an order of the guardian", 60, trader),
            )
            trader.kill()
    box.until(lambda: box.position == 0 and not box.account()["openOrders"], "no position", 30)
    assert starts > 1
    with box.trader(**TERMS) as trader:
        box.until(lambda: box.account()["openOrders"], "quotes again", 120, trader)
        assert not list(box.folder.glob("out/**/*.unreconciled"))
        code, text, _ = ended(trader)
    assert code == 0, text
    box.check_books()


def test_kept_instant_outlives_its_process_and_a_reboot(tmp_path, monkeypatch):
    """Its age is by the clock that nobody sets; across a reboot by the wall clock."""
    first = UnreconciledSince(tmp_path, "S")
    begun_s = first.begin(time.monotonic() - 50)
    assert first.begin() == begun_s
    assert UnreconciledSince(tmp_path, "S").begin() == pytest.approx(begun_s, abs=0.01)
    now = host_time()
    monkeypatch.setattr(unreconciled, "host_time", lambda: HostTime(7.0, now.wall_s + 100, "another boot"))
    assert time.monotonic() - UnreconciledSince(tmp_path, "S").begin() == pytest.approx(150, abs=1)
    first.end()
    assert not first.path.exists()
    assert UnreconciledSince(tmp_path, "S").begin() == pytest.approx(time.monotonic(), abs=1)


@pytest.mark.parametrize("text", ["", "[1]", '{"passing_s": "a"}', '{"passing_s": 1}'])
def test_damaged_instant_counts_from_now_on(tmp_path, text):
    """It neither fails a start nor closes a position early."""
    kept = UnreconciledSince(tmp_path, "S")
    kept.path.parent.mkdir()
    kept.path.write_text(text)
    assert kept.begin() == pytest.approx(time.monotonic(), abs=1)
