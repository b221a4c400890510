"""A shadow of an exchange in a box, in one loop; the test advances the time. Then its day is replayed."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from boxed import _LOG, PATIENCE_S, SYMBOL, Boxed
from mm.backtest.risk import LIVE_DEFAULTS, Risk
from mm.backtest.rules import Account, Execution
from mm.live.run.decisions import decisions_name, decisions_of, write_decisions
from mm.live.run.live_play import PaperPlay, ShadowFollower
from mm.live.run.live_terms import learn_terms
from mm.live.run.replay_check import compare_with_replay
from mm.market_data.recording import Recording
from mm.play.knobs import Models
from mm.play.setup import PlayKnobs
from mm.sim.wire.box import Box

DAY = "20260105"
QUEUE = {"fill_model": "queue_prob_power"}
CHANCE = {"fill_model": "poisson", "fill_params_json": '{"A": 3.0, "k": 0.3}'}
SHRINKS = CHANCE | {  # a fill makes the more distant levels smaller
    "quote_model": "steps",
    "quote_params_json": '{"model": ["fixed_spread", {"delta_ticks": 2}], "steps": [["fushimi_size", {"eta": 0.9}]]}',
    "quote_qty": "0.5",
    "quote_levels": 3,
}


def strategy(*, requote_ms=20.0, latency_ms=5.0, execution=None, account=None, risk=None, **models):
    """Return knobs of a strategy that decides often, and has inventory to sell."""
    return PlayKnobs(
        execution=Execution(requote_interval_ms=requote_ms, order_latency_ms=latency_ms, **(execution or {})),
        account=Account(**({"initial_inventory": "10", "initial_cash": "100000"} | (account or {}))),
        models=Models(**({"quote_model": "avellaneda_stoikov"} | (models or QUEUE))),
        risk=Risk(**(LIVE_DEFAULTS if risk is None else risk)),
    )


@dataclass
class Shadowed:
    """The result of a shadow, and of its replay."""

    found: object
    journal: object
    terms: object
    boxed: Boxed


def shadowed(
    scenario,
    script="",
    *,
    knobs=None,
    scenario_name="large_tick",
    seed=7,
    root=None,
    kill_reason=lambda: None,
    **options,
):
    """Run *scenario* with a shadow of a box that plays *script*, and compare it with the replay of its day."""
    knobs = knobs or strategy()
    with TemporaryDirectory() as place:
        data_root = Path(root or place) / "data"
        terms, play, follower, boxed = asyncio.run(
            _live(scenario, script, knobs, data_root, {"scenario": scenario_name, "seed": seed}, kill_reason, **options)
        )
        result = play.result()
        live = Path(place) / "live"
        result.write_tables(live)
        decisions = decisions_of(result.journal)
        lags_us = follower.lags.lags_us(decisions).tolist()
        write_decisions(live / decisions_name(SYMBOL), decisions, lags_us, play.grid)
        found, _ = compare_with_replay(terms, knobs, data_root, live)
        return Shadowed(found, result.journal, terms, boxed)


async def _live(scenario, script, knobs, data_root, market, kill_reason, **options):
    async with (
        asyncio.timeout(3 * PATIENCE_S),
        Box.in_lockstep(**market, faults=[script]).open() as box,
    ):
        await box.advance(seconds=1)
        boxed = Boxed(box, data_root, **options)

        def clock():
            return box.scheduler.done_us

        terms = await learn_terms(boxed.parts.rest.rest, SYMBOL, DAY, _LOG)
        play = PaperPlay(terms, knobs)
        follower = ShadowFollower(play, clock, kill_reason=kill_reason)
        boxed.recording = Recording(replace(boxed.parts, follower=follower), _LOG, clock)
        task = boxed.task = asyncio.create_task(boxed.recording.run())
        try:
            await scenario(boxed)
            boxed.recording.stop("enough")
            await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        ended = {"rows_run_id": follower.rows_run_id, "end_us": follower.end_us, "killed": follower.killed}
        ended["moved_to"] = follower.moved_to
        return replace(terms, **ended), play, follower, boxed
