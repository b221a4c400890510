"""A walk-forward trades the next slice on the past alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mm.backtest.io import load_day
from mm.backtest.rules import Rules
from mm.calibration.intensity import intensity_of
from mm.calibration.meter import Meter
from mm.calibration.recipe import Recipe
from mm.calibration.schedule import build_schedule
from mm.calibration.windows import Plan
from mm.dayfolder.layout import DayFolder
from mm.errors import FitError, UsageError
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import PoissonMarket
from mm.sim.flow.session import Session
from mm.tape.tape import TRADE
from mm.walkforward.walkforward import walkforward

PLAN = Plan(train_window_min=20, step_min=10, latency_us=50_000)


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory):
    """An hour and a half of a busy market."""
    folder = DayFolder(Path(tmp_path_factory.mktemp("sim")), "SIMUSDT", "20260105")
    make_day(folder, PoissonMarket(A_per_s=1.0, k_per_tick=0.4), Session("SIMUSDT", "20260105", 1.5, 3))
    return load_day(folder)


def rules_for(tape) -> Rules:
    return Rules(tick_e8=tape.instrument.tick_e8, lot_e8=tape.instrument.lot_e8, quote_lots=100, enforce_balances=False)


def test_nothing_is_quoted_before_the_first_segment(tape):
    """The first training window passes before the first order; then every segment trades."""
    walked = walkforward(tape, rules_for(tape), plan=PLAN)
    first = walked.schedule.segments[0]
    placed = walked.result.journal.orders[walked.result.journal.orders[:, 2] == 0]
    assert first.start_us - tape.start_us == 20 * 60_000_000
    assert placed[0, 0] >= first.start_us
    assert len(walked.result.journal.fills) > 100
    assert walked.result.summary["days"] == ["20260105"]
    for segment in walked.schedule.segments:
        assert segment.train_end_us == segment.start_us - 50_000
        assert ((placed[:, 0] >= segment.start_us) & (placed[:, 0] < segment.end_us)).any()


@pytest.mark.parametrize("method", ["marks", "ladder"])
def test_what_happens_later_changes_no_earlier_parameter(tape, method):
    """Perturb every trade from a segment's start on: its parameters stay the same to the bit."""
    meter = Meter(tape, Recipe(method=method), rules_for(tape))
    before = build_schedule(meter, PLAN).segments
    at_us = before[3].start_us
    later = (tape.kind == TRADE) & (tape.event_us >= at_us)
    ticks = tape.row_ticks.copy()
    ticks[tape.first_row[:-1][later]] += np.where(tape.row_side[tape.first_row[:-1][later]] > 0, 7, -7)
    after = build_schedule(Meter(replace(tape, row_ticks=ticks), Recipe(method=method), rules_for(tape)), PLAN).segments
    assert after[:4] == before[:4]
    assert after[5] != before[5]


def test_a_schedule_without_a_usable_segment_is_no_intensity(tape):
    """There is nothing to trade on, and the line says what to do."""
    schedule = build_schedule(Meter(tape, Recipe(min_usable_deltas=900)), PLAN)
    with pytest.raises(FitError, match="none of 7 segments is usable"):
        intensity_of(schedule)
    with pytest.raises(UsageError, match="FILL_PER_SIDE"):
        intensity_of(build_schedule(Meter(tape, Recipe()), PLAN), per_side=True)


def test_an_intensity_has_the_fits_numbers(tape):
    """Both sides alike, or each its own."""
    fit, _ = Meter(tape, Recipe()).fit(tape.start_us, tape.end_us)
    both, each = intensity_of(fit), intensity_of(fit, per_side=True)
    assert both.at(0, 1, 0.0) == both.at(0, -1, 0.0) == fit.A
    assert (each.at(0, 1, 0.0), each.at(0, -1, 0.0)) == (fit.sides.bid.A, fit.sides.ask.A)
    with pytest.raises(FitError, match="not usable"):
        intensity_of(replace(fit, usable=False, A=None, k=None, status="no_fills", reason="none"))
