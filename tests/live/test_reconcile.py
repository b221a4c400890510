"""The decisions of a shadow equal those of the replay of its day, with any faults of exchange and connection."""

import asyncio
import os
from random import Random

import numpy as np
import pytest
from shadowed import CHANCE, QUEUE, SHRINKS, shadowed, strategy

from boxed import quicken
from mm.backtest.journal import ACTIONS, AMENDED
from travelling import Ladder

FEW, MANY = 6, int(os.environ.get("SHADOW_SCHEDULES", "0"))
FAULTS = [
    "drop n={n}",
    "drop n={n} of=trade",
    "duplicate n={n}",
    "swap n={n}",
    "stale n={n}",
    "overlap n={n}",
    "burst n=20 for_s=1",
    "lag delay_s=0.3 for_s=1",
    "stall for_s=1",
    "bad_json n={n}",
    "close code=1006",
    "reset",
    "mute for_s=2",
    "shutdown lead_s=0.5",
    "id_reset",
]
SNAPSHOTS = ["status code=503 n=2", "snapshot where=old back=3 n=2", "snapshot where=newer", "slow delay_s=0.2"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quicken(monkeypatch)


async def through(boxed, seconds=7):
    """Play until the book is in sync again and no trade is missing."""
    await boxed.synced()
    await boxed.play(seconds)
    await boxed.synced()
    await boxed.until(lambda: boxed.session.market.arbiter._trades.last_id == boxed.box.truth.last_trade_id)
    await boxed.caught_up()


def assert_equal(done, fills=1):
    found = done.found
    assert found.first_difference is None, found.first_difference
    assert found.same, found
    assert found.equal == found.decisions == found.decisions_replay > 100
    assert found.rows["equal_fills"] == found.rows["fills_live"] == found.rows["fills_replay"] >= fills
    assert found.explained_by_lag == 0


@pytest.mark.slow
@pytest.mark.parametrize("models", [QUEUE, CHANCE])
def test_shadow_equals_replay_in_quiet_market(models):
    """Hundreds of decisions and fills, with each kind of fill model."""
    done = shadowed(lambda boxed: through(boxed, 40), knobs=strategy(**models), scenario_name="zero_intelligence")
    assert_equal(done, fills=30)
    decisions = done.journal.decisions
    assert (decisions[1:, 1] >= decisions[:-1, 1]).all()


def test_shadow_with_amendments_equals_replay():
    """Row by row, across a gap, with a latency at which fills overtake amendments."""
    knobs = strategy(latency_ms=30.0, execution={"order_amend": True}, **SHRINKS)
    done = shadowed(through, "at time 3 do drop n=3", knobs=knobs, scenario_name="zero_intelligence")
    assert_equal(done, fills=5)  # how many there are depends on the pace of the machine
    assert (done.journal.decisions[:, 8:] & AMENDED).any()
    assert (done.journal.orders[:, 2] == ACTIONS.index("AMEND")).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        "at time 3 do drop n=3",
        "at time 3 do close code=1006",
        "at time 3 do id_reset",
        "at time 3 do drop n=5 of=trade",
        "at time 3 do duplicate n=3\nat time 4 do swap n=4",
        "at request 1 of /api/v3/depth do slow delay_s=0.5",
        "at time 3 do drop n=2\nat request 2 of /api/v3/depth do slow delay_s=0.5",
    ],
)
@pytest.mark.parametrize("pair", [False, True])
def test_shadow_equals_replay_after_fault(script, pair):
    """Gaps, resyncs, disconnections, trades by REST, a snapshot that comes after waiting depth messages."""
    assert_equal(shadowed(through, script, knobs=strategy(**CHANCE), pair=pair))


@pytest.mark.parametrize("models", [QUEUE, CHANCE], ids=["queue", "chance"])
def test_shadow_equals_replay_after_halts(models):
    """No book while the exchange reports a halt, though its messages go on; the whole book at once afterwards."""

    async def scenario(boxed):
        await through(boxed, 3)
        for status in ("BREAK", "HALT", "TRADING", "TRADING", "HALT", "TRADING"):
            await boxed.parts.stream.settled()  # as before each answer: what has arrived is processed
            boxed.session.market.status(boxed.box.scheduler.done_us, status)
            await boxed.play(2.5)

    done = shadowed(scenario, knobs=strategy(**models), scenario_name="zero_intelligence")
    assert_equal(done, fills=5)
    mids, filled_us = done.journal.mids, done.journal.fills[:, 0]
    halted = np.flatnonzero(mids[:-1, 1] == 0)
    spans = [mids[place : place + 2, 0].tolist() for place in halted]
    assert [resumed_us - halted_us for halted_us, resumed_us in spans] == pytest.approx([5e6, 2.5e6], abs=2)
    assert not any(((halted_us < filled_us) & (filled_us < resumed_us)).any() for halted_us, resumed_us in spans)


def rule(rng):
    """Return one line of a fault script."""
    if rng.random() < 0.85:
        fault = rng.choice(FAULTS).format(n=rng.randint(1, 4))
        where = "" if fault == "id_reset" else f" on {rng.choice(['newest', 'all', 'random'])}"
        return f"at time {rng.uniform(2, 6):.2f}{where} do {fault}"
    return f"at request {rng.randint(1, 2)} of /api/v3/depth do {rng.choice(SNAPSHOTS)}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(MANY or FEW))
def test_shadow_equals_replay_in_random_fault_schedules(seed):
    """Several faults at once; SHADOW_SCHEDULES=1000 plays as many schedules."""
    rng = Random(seed)
    script = "\n".join(rule(rng) for _ in range(rng.randint(1, 5)))
    pair, max_age_s = rng.random() < 0.6, rng.choice([3600.0, 3600.0, 0.5])
    knobs = strategy(**rng.choice([QUEUE, CHANCE]))
    scenario_name = rng.choice(["large_tick", "zero_intelligence"])
    done = shadowed(
        through,
        script,
        knobs=knobs,
        scenario_name=scenario_name,
        seed=seed,
        pair=pair,
        silence_s=0.25,
        max_age_s=max_age_s,
    )
    assert done.found.same, (script, done.found)
    assert done.found.decisions > 100


def test_shadow_ends_with_the_files_of_its_day():
    """An exchange that gives recorded ids again has its day set aside: a replay reads what was played up to there."""

    async def reset(boxed):
        await through(boxed, 3)
        boxed.session.market.ids_again = True
        boxed.recording._open.begin_anew()
        await boxed.until(lambda: boxed.logged("day_replaced"))
        await through(boxed, 1)

    done = shadowed(reset, knobs=strategy(**CHANCE))
    assert_equal(done)
    assert "damaged" in done.terms.moved_to


LIMITS = [
    {"max_position": "0.05", "max_leverage": "0.0001"},
    {"max_orders_per_s": 3, "max_open_orders": 1},
    {"max_daily_loss": "0.05"},
    {"feed_stale_s": 0.15, "latency_threshold_ms": 1.0},
    {"max_move": "0.0001", "price_band": "0.00005"},
]


@pytest.mark.slow
@pytest.mark.parametrize("risk", LIMITS)
def test_risk_limits_act_as_in_the_replay(risk):
    """They depend on the clock, the silence of the market and the account: the recorded rows contain all of it."""
    script = "at time 4 do stall for_s=1\nat time 6 do drop n=3"
    done = shadowed(through, script, knobs=strategy(**CHANCE, risk=risk))
    assert_equal(done, fills=0)
    assert done.found.rows["equal_breaches"] == done.found.rows["breaches_live"] == len(done.journal.breaches) > 0


@pytest.mark.slow
@pytest.mark.parametrize("script", ["", "at time 3 do stall for_s=2\nat time 4 do drop n=3"])
def test_manual_kill_is_replayed(script):
    """shadow.json has the instant: orders are cancelled there, none follow, and the recording continues."""
    triggered = []

    async def killed(boxed):
        await boxed.synced()
        await boxed.play(4)
        await boxed.synced()  # a stalled stream reaches the snapshot later
        await boxed.play(1)
        triggered.append("odd fills")
        await asyncio.sleep(0.05)  # the market has been played up to this instant, timers have not run
        await through(boxed)

    done = shadowed(killed, script, knobs=strategy(**CHANCE), kill_reason=lambda: triggered[0] if triggered else None)
    us, why = done.terms.killed
    assert (done.journal.killed, why) == ((us, why), "odd fills")
    assert done.found.same, done.found
    assert done.found.decisions == done.found.equal > 50
    orders = done.journal.orders
    placed, cancelled = (orders[orders[:, 2] == action, 0] for action in (0, 1))
    assert 0 < placed.max() <= us
    assert us in cancelled
    assert done.terms.end_us > us + 5_000_000


def test_book_beyond_its_horizon_is_lost_after_the_message():
    """As in a tape: the message that shows too few levels still changes the book, and may fill an order."""
    lost = []

    async def travelling(boxed):
        ladder = Ladder(boxed.box, levels=300, gap=1, churn=5)
        await boxed.until(lambda: boxed.session is not None)
        for step in range(150):
            ladder.move(2 if step > 50 else 0)
            await boxed.play(0.1)
        lost.append(boxed.logged("resync_start"))

    script = "\n".join(f"at request {number} of /api/v3/depth do slow delay_s=0.05" for number in range(3, 60, 2))
    knobs = strategy(fill_model="price_cross", quote_qty="0.01", risk={})
    done = shadowed(travelling, script, scenario_name="empty", limit=20, knobs=knobs)
    assert_equal(done, fills=0)
    assert lost[0] > 0
