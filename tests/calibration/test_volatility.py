"""Volatility of the mid: manual cases, walks with known volatility, and windows from sums of the day."""

import math

import numpy as np
import pytest

from mm.calibration.reference import (
    BEFORE_ALL,
    CLOSED,
    ReferencePath,
    reference_path,
)
from mm.calibration.volatility import STEPS_S, moves_of, sigma_of, volatility
from small_tapes import book, gap, tape

S = 1_000_000


def path_of(mid2):
    """Return a path whose mid changes every second; None is a second without a book."""
    mids = np.array([one or 0 for one in mid2])
    rows = np.arange(len(mids))
    touch = np.array([CLOSED, *(CLOSED if one is None else 1 for one in mid2)])
    return ReferencePath(
        per_tick=2,
        event=np.concatenate(([BEFORE_ALL], rows)),
        us=np.concatenate(([BEFORE_ALL], rows * S)),
        mid2=np.concatenate(([0], mids)),
        reference={1: np.concatenate(([0], mids)), -1: np.concatenate(([0], mids))},
        touch={1: touch, -1: touch},
        spread=touch,
    )


def of_mids(mid2):
    """Return the volatility of a market whose mid changes every second."""
    return volatility([(path_of(mid2), 0, len(mid2) * S)])


def sigma_ticks(stretches):
    """Return the volatility of a schedule's window."""
    return sigma_of([moves_of(*stretch) for stretch in stretches])


def walk(seed, seconds, bounce):
    """Return twice the mid of a walk of one-tick steps (σ² = 1) with a bounce of ±*bounce* ticks."""
    rng = np.random.default_rng(seed)
    return 20_000 + 2 * np.cumsum(rng.choice((-1, 1), seconds)) + 2 * bounce * rng.choice((-1, 1), seconds)


def test_signature_of_short_path_matches_manual_calculation():
    """Mids 10, 10.5, 10.5, 9.5 a second apart: moves of .25, 0, 1 ticks² in 1 s, of .25 and 1 in 2 s."""
    found = of_mids([20, 21, 21, 19])
    assert [(one["step_s"], one["variance_per_s"], one["moves"]) for one in found["signature"]] == [
        (1, pytest.approx(1.25 / 3), 3),
        (2, pytest.approx(1.25 / 2 / 2), 2),
    ]
    assert (found["sigma_ticks_per_sqrt_s"], found["se_sigma"], found["bounce_ticks"]) == (None, None, None)


def test_walk_without_bounce_has_flat_signature():
    found = of_mids(walk(1, 40_000, 0))
    assert found["signature"][0]["variance_per_s"] == 1
    for one in found["signature"]:
        assert abs(one["variance_per_s"] - 1) < 5 * math.sqrt(4 / 3 * one["step_s"] / 40_000)
    assert abs(found["sigma_ticks_per_sqrt_s"] - 1) < 4 * found["se_sigma"]
    assert found["bounce_ticks"] < 0.15


@pytest.mark.parametrize("bounce", [1, 3])
def test_signature_of_bouncing_walk_follows_theory(bounce):
    """σ² + 2ω²/τ with σ = 1 and ω the bounce; two scales recover both, although the 1 s variance is far off."""
    found = of_mids(walk(bounce, 40_000, bounce))
    for one in found["signature"]:
        theory = 1 + 2 * bounce**2 / one["step_s"]
        assert abs(one["variance_per_s"] / theory - 1) < 6 * math.sqrt(4 / 3 * one["step_s"] / 40_000)
    assert found["signature"][0]["variance_per_s"] > 2.9
    assert abs(found["sigma_ticks_per_sqrt_s"] - 1) < 4 * found["se_sigma"]
    assert found["bounce_ticks"] == pytest.approx(bounce, rel=0.05)


def test_intervals_hold_the_truth():
    """Of 60 walks of one tick a second; by Student's t, as eight half hours give a rough error."""
    found = [of_mids(walk(seed, 14_400, 1)) for seed in range(60)]
    held = [one["ci95_sigma"][0] <= 1 <= one["ci95_sigma"][1] for one in found]
    assert 0.88 < np.mean(held) < 1


def test_sigma_uses_two_scales_and_falls_back_to_moves():
    """Quotes also need a number when the window is too short or only bounces."""
    long = path_of(walk(5, 4 * 3600, 0.5))
    assert sigma_ticks([(long, 0, 4 * 3600 * S)]) == volatility([(long, 0, 4 * 3600 * S)])["sigma_ticks_per_sqrt_s"]
    assert sigma_ticks([(path_of([10, 12, 10, 12]), 0, 4 * S)]) == 1.0  # three moves of a tick, no minute
    bounce = path_of([10, 12] * 100 + [12, 10] * 100)  # cancels within a minute, except at the turn
    assert 0 < sigma_ticks([(bounce, 0, 400 * S)]) < 0.1
    assert sigma_ticks([(path_of([10] * 100), 0, 100 * S)]) == 0.0
    assert sigma_ticks([(path_of([10]), 0, S)]) is None


def test_sigma_uses_only_given_window():
    """The volatility of a segment comes only from the past."""
    calm, wild = walk(6, 600, 0), 20_000 + 40 * walk(7, 600, 0)
    both = path_of(np.concatenate((calm, wild)))
    assert sigma_ticks([(both, 0, 600 * S)]) == sigma_ticks([(path_of(calm), 0, 600 * S)])


def test_move_across_gap_does_not_count():
    """The price jumps by 500 ticks during a gap of the recording."""
    events = [book(0, 100, 102), gap(10 * S), book(12 * S, 600, 602)]
    found = volatility([(reference_path(tape(events, 0, 30 * S), "mid"), 0, 30 * S)])
    assert {one["variance_per_s"] for one in found["signature"]} == {0}
    assert found["signature"][0]["moves"] == 9 + 17


def test_days_are_pooled_without_night_move():
    """The night between them is not a move, and both days have equal weight."""
    single, pooled = of_mids([20, 22, 20, 22]), None
    events = [book(n * S, 9 + n % 2, 11 + n % 2) for n in range(4)]
    path = reference_path(tape(events, 0, 4 * S), "mid")
    pooled = volatility([(path, 0, 4 * S), (path, 0, 4 * S)])
    assert [row["moves"] for row in pooled["signature"]] == [2 * row["moves"] for row in single["signature"]]
    assert [row["variance_per_s"] for row in pooled["signature"]] == [
        row["variance_per_s"] for row in single["signature"]
    ]


def test_volatility_without_book_is_none():
    found = volatility([(reference_path(tape([], 0, 10 * S), "mid"), 0, 10 * S)])
    assert (found["sigma_ticks_per_sqrt_s"], found["bounce_ticks"], found["signature"]) == (None, None, [])


def test_constant_mid_has_no_volatility():
    found = of_mids([20] * 400)
    assert (found["sigma_ticks_per_sqrt_s"], found["bounce_ticks"]) == (None, 0)
    assert len(found["signature"]) == len(STEPS_S)
