"""Terms fitted to the training days of an agent."""

from dataclasses import replace

import numpy as np
import pytest

from mm import CalibrationConfig, Tape, calibrate, load_day
from mm.errors import FitError, Mismatch, NeverSynced, UnknownModel
from mm.rl.training_days import AgentShape, EngineKnobs, TrainingDay, fitted_terms, open_days
from mm.signals.compute import compute
from rl_agents import SIGNALS, sim_day

PLAYED = EngineKnobs.of({})


def test_means_and_scales_use_rows_of_all_days(tape, tmp_path):
    """Recomputed with numpy over both days; undefined values are ignored."""
    other = load_day(sim_day(tmp_path, "20260106", seed=8))
    terms = fitted_terms(open_days([tape, other], PLAYED, None), AgentShape(signals=SIGNALS), None)
    rows = np.concatenate([rows.values for one in (tape, other) for rows in compute(one, SIGNALS)], axis=1)
    assert np.isnan(rows).any()
    assert terms.means == pytest.approx(np.nanmean(rows, axis=1).tolist())
    assert terms.scales == pytest.approx(np.nanstd(rows, axis=1).tolist())


def test_terms_do_not_depend_on_other_days(tape, tmp_path):
    """The terms of one day are equal with and without other days."""
    alone = fitted_terms([TrainingDay(tape, PLAYED)], AgentShape(signals=SIGNALS), None)
    sim_day(tmp_path, "20260106", seed=8)
    assert fitted_terms([TrainingDay(tape, PLAYED)], AgentShape(signals=SIGNALS), None) == alone


def test_fit_sets_distance(tape):
    """1/k from the mid, where λ(δ)·δ is largest; without a fit one tick behind the touch."""
    days = [TrainingDay(tape, PLAYED)]
    fit = calibrate(tape, CalibrationConfig(reference="mid"))
    assert fitted_terms(days, AgentShape(signals=SIGNALS), fit).distance_ticks == pytest.approx(1.0 / fit.k)
    assert fitted_terms(days, AgentShape(signals=SIGNALS), None).distance_ticks is None
    from_best = replace(fit, reference="best")  # k does not depend on the reference
    assert fitted_terms(days, AgentShape(signals=SIGNALS), from_best).distance_ticks == pytest.approx(1.0 / fit.k)
    with pytest.raises(FitError, match="not usable"):
        fitted_terms(days, AgentShape(signals=SIGNALS), replace(fit, usable=False))


def test_days_with_different_ticks_are_rejected(tape):
    """Offsets are in ticks."""
    other = replace(tape, instrument=replace(tape.instrument, tick_e8=2_000_000))
    with pytest.raises(Mismatch, match="train on days of one tick"):
        open_days([tape, other], PLAYED, None)


def test_day_without_book_is_rejected(tape):
    """Nothing could be quoted."""
    empty = replace(tape, **{name: np.zeros_like(getattr(tape, name)) for name in ("top_bid_ticks", "top_ask_ticks")})
    with pytest.raises(NeverSynced, match="leave the day out"):
        TrainingDay(empty, PLAYED)


def test_unknown_signal_is_rejected():
    """Before any day is read."""
    with pytest.raises(UnknownModel, match="imbalanse"):
        AgentShape(signals=("imbalanse_1",))


def test_usual_distance_is_a_tick_behind_the_touch():
    """Half of the mean spread of the changes of the best prices, and a tick; an offset of 1 adds twice as much."""
    from engine_tapes import TEST

    events = [(1_000_000, "snapshot", [(90, 50)], [(100, 50)]), (2_000_000, "depth", [(92, 5)], [])]
    day = TrainingDay(Tape.of(TEST, events), PLAYED)
    terms = fitted_terms([day], AgentShape(signals=("imbalance_1",)), None)
    assert (day.half_spread_ticks(), terms.usual_distance_ticks, terms.max_offset_ticks) == (4.5, 5.5, 11.0)


def test_valid_from_skips_gap_to_next_snapshot():
    """Inside a gap an episode begins at the next snapshot."""
    from engine_tapes import TEST

    events = [
        (1_000_000, "snapshot", [(90, 50)], [(110, 50)]),
        (2_000_000, "gap"),
        (5_000_000, "snapshot", [(90, 50)], [(110, 50)]),
        (6_000_000, "depth", [(91, 5)], []),
    ]
    day = TrainingDay(Tape.of(TEST, events), PLAYED)
    assert [day.valid_from(us) for us in (1_000_000, 1_500_000, 2_000_000, 4_000_000, 5_000_000)] == [
        1_000_000,
        1_500_000,
        5_000_000,
        5_000_000,
        5_000_000,
    ]
