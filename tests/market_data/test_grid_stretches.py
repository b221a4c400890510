"""A tick that changes inside a source is found by stretches; a quiet hour and a few prices prove nothing."""

import json
import random

import pytest

from captured import NOON_US, diff, folder, imported, snapshot
from day_files import defects_of
from mm import load_day
from mm.market_data.grid_stretches import GridStretches


def stretches(parts, seed=1):
    """Return the stretches of parts: levels, step in 1e-8, and number of different prices."""
    draw, found, us = random.Random(seed), GridStretches(), 0
    for count, step_e8, distinct in parts:
        for _ in range(count):
            us += 1
            found.add(us, [(1_000 + draw.randrange(distinct)) * step_e8])
    return found


@pytest.mark.parametrize("order", [1, -1], ids=["finer", "coarser"])
@pytest.mark.parametrize("counts", [(3_000, 3_000), (2_500, 200), (2_500, 9_000)])
def test_change_of_the_step_is_found_where_it_happens(counts, order):
    """In the middle and near an end; the first level off the coarser step shows it to a stretch."""
    parts = list(zip(counts, (1_000, 100), (40, 300), strict=True))[::order]
    change = stretches(parts).change()
    assert (change.before_e8, change.after_e8) == (1_000, 100)[::order]
    assert abs(change.us - parts[0][0]) <= 1_000
    assert change.coarse_e8 == 1_000


@pytest.mark.parametrize(
    "rest", [[(2_000, 1_000, 4), (3_000, 100, 300)], [(3, 1_000, 40)]], ids=["a quiet hour", "few levels at the end"]
)
def test_what_may_be_chance_hides_no_change(rest):
    """Round prices of a stretch that proves nothing may lie within the finer grid, or at its end."""
    parts = [(3_000, 1_000, 40), (3_000, 100, 300), *rest]
    assert stretches(parts).change()[1:] == (1_000, 100, 0)
    if len(rest) > 1:
        assert stretches(parts[::-1]).change()[1:] == (100, 1_000, 0)


def test_finer_step_for_a_while_ends():
    """A tick that the exchange takes back; one odd price in one stretch is none."""
    change = stretches([(3_000, 1_000, 40), (4_000, 100, 300), (3_000, 1_000, 40)]).change()
    assert (change.before_e8, change.after_e8, change.back_us) == (1_000, 100, 7_001)
    assert 3_000 < change.us < 3_010
    assert stretches([(3_500, 1_000, 40), (1, 100, 300), (3_000, 1_000, 40)], seed=2).change() is None


@pytest.mark.parametrize(
    "parts",
    [
        [(5_000, 100, 300)],
        [(900, 1_000, 40), (5_000, 100, 300)],
        [(5_000, 100, 300), (4_000, 1_000, 4), (5_000, 100, 300)],
        [(4_000, 1_000, 4), (5_000, 100, 300)],
        [(4_000, 100_000, 40), (5_000, 100, 300)],
    ],
    ids=["one step", "few levels", "an hour in between", "few prices", "round numbers"],
)
def test_what_may_be_chance_is_no_change(parts):
    assert stretches(parts).change() is None


@pytest.mark.parametrize("order", [1, -1], ids=["finer", "coarser"])
def test_orders_use_the_prices_of_both_ticks(tmp_path, order):
    """The day names both grids, as one whose exchange reported them, and the import says when."""
    draw = random.Random(3)
    coarse = [[[f"{95 + draw.randrange(40) / 10:.1f}", f"{1 + draw.random():.3f}"]] for _ in range(1_500)]
    fine = [[[f"{95 + draw.randrange(400) / 100:.2f}", f"{1 + draw.random():.3f}"]] for _ in range(1_500)]
    levels = [*coarse, *fine][::order]
    updates = [diff(11 + at, 11 + at, bids) for at, bids in enumerate(levels)]
    report = imported(tmp_path, [snapshot(10, levels[0], [["100.0", "1"]]), *updates])
    (said,) = [warning for warning in report.warnings if "tick size seems to change" in warning]
    assert "multiples of 0.1 up to" in said if order == 1 else "multiples of 0.01 up to" in said
    history = json.loads(folder(tmp_path).instrument.read_text())["history"]
    assert sorted(entry["tick_size"] for entry in history) == ["0.01000000", "0.10000000"]
    assert abs(history[1]["from_us"] - NOON_US - 150_000_000) < 100_000_000
    tape = load_day(folder(tmp_path))
    assert tape.step_ticks * tape.instrument.tick_e8 == 10_000_000
    assert defects_of(folder(tmp_path)) == []


def test_tick_that_is_finer_for_a_while_is_named_with_both_times(tmp_path):
    draw = random.Random(3)
    coarse = [[[f"{95 + draw.randrange(40) / 10:.1f}", f"{1 + draw.random():.3f}"]] for _ in range(4_000)]
    fine = [[[f"{95 + draw.randrange(400) / 100:.2f}", f"{1 + draw.random():.3f}"]] for _ in range(3_000)]
    levels = [*coarse[:2_000], *fine, *coarse[2_000:]]
    updates = [diff(11 + at, 11 + at, bids) for at, bids in enumerate(levels)]
    report = imported(tmp_path, [snapshot(10, levels[0], [["100.0", "1"]]), *updates])
    (said,) = [warning for warning in report.warnings if "tick size seems to change" in warning]
    assert "of 0.01 then, and of 0.1 again from" in said
    history = json.loads(folder(tmp_path).instrument.read_text())["history"]
    assert [entry["tick_size"] for entry in history] == ["0.10000000", "0.01000000", "0.10000000"]
    tape = load_day(folder(tmp_path))
    assert tape.step_ticks * tape.instrument.tick_e8 == 10_000_000
    assert defects_of(folder(tmp_path)) == []
