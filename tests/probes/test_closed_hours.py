"""Hours in which the market is closed count for nothing: rates, exponents and virtual orders are of open time."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from click.testing import CliRunner

from mm import CalibrationConfig, Rules, Tape, calibrate, load_day
from mm.__main__ import main
from mm.backtest.preset import Hours
from mm.probes.queue_exponent import fit_exponent
from mm.probes.virtual_orders import OrderPlan, draw_orders
from simulation import simulate_day

LIFE_US = 5_000_000
MARKS = CalibrationConfig(reference="mid", method="marks")


@pytest.fixture(scope="module")
def tape(tmp_path_factory) -> Tape:
    """Return half an hour of a market with queues."""
    day = simulate_day(tmp_path_factory.mktemp("data"), "zero_intelligence", hours=0.5, seed=3, symbol="ZIUSDT")
    return load_day(day.path, cache=None)


def hours_of(tape: Tape, *spans: tuple[int, int]) -> Hours:
    """Return hours that are open in *spans*: minutes after the tape's start, and length."""
    at = datetime.fromtimestamp(tape.start_us / 1e6, UTC)
    begin = (at.weekday() * 24 + at.hour) * 60 + at.minute
    return Hours("UTC", tuple((begin + after, lasts) for after, lasts in spans))


def quiet_after(tape: Tape, minutes: int) -> Tape:
    """Return the day of a market that closes: nothing happens any more, and its book stands."""
    open_ = tape.between(tape.start_us, tape.start_us + minutes * 60_000_000)
    return replace(open_, end_us=tape.end_us)


def test_virtual_orders_live_while_the_market_is_open(tape):
    hours = hours_of(tape, (5, 5), (20, 3))
    plan = OrderPlan(LIFE_US, (), 8)
    orders = draw_orders(tape, replace(plan, hours=hours))
    minutes = (orders.us - tape.start_us // 60_000_000 * 60_000_000) / 60e6
    ends = minutes + LIFE_US / 60e6
    assert (((minutes >= 5) & (ends <= 10)) | ((minutes >= 20) & (ends <= 23))).all()
    every = draw_orders(tape, plan)
    assert set(zip(orders.us, orders.turn, strict=True)) < set(zip(every.us, every.turn, strict=True))
    assert len(orders) == pytest.approx(len(every) * 8 / 30, rel=0.15)


def test_closed_hours_do_not_thin_the_rates(tape):
    """Ten open minutes and twenty closed ones have the rates of the ten."""
    closing = quiet_after(tape, 10)
    rules = Rules(tick_e8=tape.instrument.tick_e8, lot_e8=tape.instrument.lot_e8)
    known = calibrate(closing, MARKS, replace(rules, hours=hours_of(tape, (0, 10))))
    alone = calibrate(tape.between(tape.start_us, tape.start_us + 600_000_000), MARKS, rules)
    every = calibrate(closing, MARKS, rules)
    assert pytest.approx(alone.A, rel=0.01) == known.A
    assert known.exposure_s == pytest.approx(alone.exposure_s, rel=0.01)
    assert every.exposure_s == pytest.approx(3 * alone.exposure_s, rel=0.05)


def test_sizes_are_of_the_open_hours(tape):
    whole = fit_exponent(tape, life_us=LIFE_US)
    half = fit_exponent(tape, life_us=LIFE_US, hours=hours_of(tape, (0, 15)))
    assert 0.3 * whole.probes < half.probes < 0.7 * whole.probes


def test_empty_blocks_do_not_widen_the_interval_of_an_exponent(tape):
    """A book that stands for hours after the market closed has nothing to draw."""
    later = replace(tape, end_us=tape.end_us + 20 * (tape.end_us - tape.start_us))
    ends = [fit_exponent(one, life_us=LIFE_US) for one in (tape, later)]
    assert [one.probes for one in ends] == [ends[0].probes] * 2
    widths = np.array([one.high - one.low for one in ends])
    assert widths[1] == pytest.approx(widths[0], rel=0.5)


@pytest.mark.parametrize("command", [["fills", "score"], ["fills", "fit"], ["calibrate"]])
def test_day_on_which_the_market_is_closed_is_refused(tmp_path, monkeypatch, command):
    """A Saturday: as `mm backtest`, each command knows a preset's hours."""
    simulate_day(tmp_path / "data", "zero_intelligence", hours=0.05, seed=3, symbol="ZIUSDT", day="20260103")
    monkeypatch.chdir(tmp_path)
    words = [*command, "--symbol", "ZIUSDT", "--day", "20260103", "--preset", "future"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == (4 if command[-1] == "fit" else 2), result.output
    assert any(
        text in result.stderr for text in ("is closed in", "while its market is open", "0 cancellations could be used")
    )
