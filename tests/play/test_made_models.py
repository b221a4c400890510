"""PlayModels makes models from knobs: which fit is used, which parameters come from it, and what is rejected."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from engine_tapes import TEST
from mm import PoissonFit, Schedule, Tape
from mm.backtest.fills.base import TradeCross
from mm.backtest.quotes.simple import FixedSpread
from mm.calibration.fit_result import FittedWindow
from mm.calibration.schedule import Segment
from mm.errors import BrokenFile, DataError, Mismatch, UnknownModel, UsageError
from mm.play.calibration import unfitted
from mm.play.knobs import Models
from mm.play.models import (
    DEFAULT_K,
    PlayModels,
    check_names,
    fit_terms,
    fitted_from,
    lacking,
    measured_under,
    read_fitted,
    takes_clustering,
)

S = 1_000_000
AWAY = '{"delta_ticks": 2}'
TAPE = Tape.of(TEST, [(S, "snapshot", [(90, 50)], [(110, 50)]), (9 * S, "depth", [(91, 1)], [])])
FIT = PoissonFit(
    fit_method="poisson_mle", A=2.0, k=0.5, logA=0.69, se_logA=0.1, se_k=0.05, cov_logA_k=0.001, n_fills=100,
    exposure_s=50.0, usable=True, status="ok", reason="", min_delta_ticks=1.0, max_delta_ticks=9.0,
)  # fmt: skip
SEGMENT = Segment(
    start_us=0, end_us=20 * S, train_start_us=-20 * S, train_end_us=0, A=3.0, k=0.25, se_k=None, se_logA=None,
    n_fills=50, usable=True, status="ok", source="fitted", age_s=0.0, reason="", min_delta_ticks=1.0,
    max_delta_ticks=7.0, adverse_ticks=0.5,
)  # fmt: skip
SCHEDULE = Schedule(
    symbol=TEST.symbol, day="20260105", tick_size=None, train_window_min=1.0, step_min=1.0,
    fallback_policy="carry_forward", segments=(SEGMENT,),
)  # fmt: skip


def maker(**knobs):
    return PlayModels.of(Models(**knobs), TAPE, 3)


def write_fit(tmp_path, fitted=FIT, **changes):
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(fitted.to_json() | changes))
    return path


def test_fit_file_is_read_once(tmp_path):
    made = maker(fill_params_file=write_fit(tmp_path), fill_model="poisson")
    (tmp_path / "fit.json").unlink()
    assert made.intensity.at(S, 1, 2.0) == pytest.approx(2.0 * 2.718281828 ** (-0.5 * 2))
    assert made.fills().intensity is made.intensity


def test_quotes_without_k_log_the_assumed_default_once(tmp_path):
    """One note for any number of models, and none if k is given."""
    glft = ["glft", {"gamma": 0.1, "A": 1}]
    mixture = json.dumps({"models": [[*glft, 1], [*glft, 2]]})
    for bare in (
        maker(quote_model="glft", quote_params_json=json.dumps(glft[1])),
        maker(quote_model="mixed", quote_params_json=mixture),
    ):
        notes = [(note.name, note.fields["k_per_tick"], note.is_warning) for note in bare.quoting.notes]
        assert notes == [("k_assumed", DEFAULT_K, True)]
    given = maker(quote_model="glft", quote_params_json='{"gamma": 0.1, "A": 1, "k": 0.7}')
    assert (given.quotes().k, given.quoting.notes) == (0.7, [])


def test_schedule_wraps_quote_model_in_gate():
    """With a schedule that a model reads, the model is inside a gate; without one, it is returned unchanged."""
    made = maker(quote_model="fixed_spread", quote_params_json=AWAY, fill_model="poisson")
    gated = made.with_fit(SCHEDULE).quotes()
    assert type(gated).__name__ == "Gated"
    assert type(gated.inner) is FixedSpread
    assert type(maker(quote_model="fixed_spread", quote_params_json=AWAY).with_fit(SCHEDULE).quotes()) is FixedSpread


GLFT = {"gamma": 0.1, "A": 1, "k": 1}
STEPPED = {"model": ["glft", {"gamma": 0.1}], "steps": []}


@pytest.mark.parametrize(
    ("quotes", "params", "fills", "uses"),
    [
        ("fixed_spread", {"delta_ticks": 2}, "trade_cross", False),
        ("fixed_spread", {"delta_ticks": 2}, "poisson", True),
        ("avellaneda_stoikov", {}, "trade_cross", True),
        ("glft", GLFT, "trade_cross", False),
        ("glft", {"gamma": 0.1, "k": 1}, "trade_cross", True),
        ("steps", STEPPED, "trade_cross", True),
        ("optimal_curve", {}, "trade_cross", True),
        ("optimal_curve", {"curve": [[0, 1], [2, 0.5]]}, "trade_cross", False),
    ],
)
def test_fit_that_no_model_reads_makes_no_in_sample_pnl(quotes, params, fills, uses):
    """Nor does a schedule keep such a model from quoting while it trains."""
    made = maker(quote_model=quotes, quote_params_json=json.dumps(params), fill_model=fills)
    fit = made.with_fit(replace(FIT, window=FittedWindow(start_us=0, end_us=1 << 60)))
    assert (fit.quoting.uses_fit or fit.filling.uses_fit) is uses
    assert (type(made.with_fit(SCHEDULE).quotes()).__name__ == "Gated") is uses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbol": "OTHER"}, "the fit is for OTHER, the run for"),
        ({"tick_size": 0.123}, "the fit has tick size 0.123"),
        ({"reference": "last"}, "reference is 'last'; this version supports mid, micro, best"),
    ],
)
def test_fit_of_another_market_is_rejected(change, message):
    with pytest.raises(Mismatch, match=message):
        maker().with_fit(replace(FIT, **change))


def test_quotes_reject_best_price_fit_without_mean_spread():
    """Quotes use distances from the mid; models with given parameters need no fit."""
    made = maker(quote_model="glft", quote_params_json='{"gamma": 0.1}')
    without = made.with_fit(replace(FIT, reference="best"))
    with pytest.raises(
        Mismatch, match="the distances of its fit are measured from 'best', and the fit has no half_spread_ticks"
    ):
        without.quotes()
    made = made.with_fit(replace(FIT, reference="best", half_spread_ticks=0.5))
    assert made.quotes().sources()["A"] == "fit"
    own = maker(quote_model="glft", quote_params_json='{"gamma": 0.1, "A": 1, "k": 1}')
    assert own.with_fit(replace(FIT, reference="best")).quotes().k == 1


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, DataError, "there is no such file; run mm calibrate"),
        (b"\xff\xfe", BrokenFile, "cannot be read"),
        (b'{\n"A": }', BrokenFile, r"fit\.json:2: not JSON"),
        (b"{}", BrokenFile, "fit.json: no schema_version"),
    ],
)
def test_invalid_fit_file_error_names_file_and_advice(tmp_path, content, error, message):
    path = tmp_path / "fit.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message):
        read_fitted(path)


def test_folder_given_as_a_fit_is_told_what_to_name(tmp_path):
    with pytest.raises(DataError, match=r"is a folder; name the poisson_fit\.json"):
        read_fitted(tmp_path)


def test_fitted_from_returns_schedule_for_content_with_segments():
    assert fitted_from(json.loads(json.dumps(SCHEDULE.to_json())), "x") == SCHEDULE
    assert fitted_from(json.loads(json.dumps(FIT.to_json())), "x").A == 2.0


def test_fit_notes_warn_when_fit_window_overlaps_tape(tmp_path):
    """A fit whose window overlaps the tape uses future data; one that ended before does not."""
    for end_us, expected in ((5 * S, ["fit_taken", "fit_in_sample"]), (S, ["fit_taken"])):
        path = write_fit(tmp_path, replace(FIT, window=FittedWindow(start_us=0, end_us=end_us)))
        made = maker(fill_params_file=path)
        assert [note.name for note in made.fit_notes([TAPE], used=True)] == expected
        assert [note.name for note in made.fit_notes([TAPE], used=False)] == ["fit_taken"]


def test_redrawn_requires_a_fit(tmp_path):
    """Without a fit there is nothing to draw from; with one, `redrawn` yields FIT_DRAWS of them."""
    with pytest.raises(UsageError, match="there is no fit to draw from"):
        next(maker(fit_draws=2).redrawn())
    made = maker(
        fill_params_file=write_fit(tmp_path),
        fill_model="poisson",
        quote_model="fixed_spread",
        quote_params_json=AWAY,
        fit_draws=3,
    )
    drawn = [fills.intensity.at(S, 1, 0.0) for fills in (one.fills() for one in made.redrawn())]
    assert len(set(drawn)) == 3
    assert 2.0 not in drawn


def test_fill_per_side_requires_a_fit():
    with pytest.raises(UsageError, match="fill_per_side"):
        maker(fill_model="poisson", fill_params_json='{"A": 1, "k": 1}', fill_per_side=True).fills()


def test_fill_params_come_from_fit_of_same_fill_model():
    """Given parameters take precedence, and another fill model ignores the fit's parameters."""
    fit = replace(FIT, calib_fills="queue_prob_power", calib_fill_params={"exponent": 3.0})
    made = maker(fill_model="queue_prob_power").with_fit(fit)
    assert made.fills().exponent == 3.0
    own = maker(fill_model="queue_prob_power", fill_params_json='{"exponent": 2.0}')
    assert own.with_fit(fit).fills().exponent == 2.0
    other = maker(fill_model="trade_cross").with_fit(fit)
    assert type(other.fills()) is TradeCross


STEPS = '{"model": ["fixed_spread", {}], "steps": [["widn", {}]]}'


@pytest.mark.parametrize(
    ("knobs", "missing"),
    [
        ({"quote_model": "fixd_spread"}, "fixd_spread"),
        ({"fill_model": "trade_kross"}, "trade_kross"),
        ({"quote_model": "mixed", "quote_params_json": '{"models": [["fixd", {}, 1]]}'}, "fixd"),
        ({"quote_model": "steps", "quote_params_json": STEPS}, "widn"),
        ({"fill_model": "hybrid", "fill_params_json": '{"models": [["trade_kross", {}]]}'}, "trade_kross"),
    ],
)
def test_unknown_model_name_is_rejected_at_any_depth(knobs, missing):
    """Names are checked before any day is loaded."""
    with pytest.raises(UnknownModel, match=missing):
        check_names(Models(**knobs))


def test_fit_terms_summarize_all_segments_of_schedule():
    """The terms are medians of usable segments, the range of their distances and the most frequent status."""
    later = replace(SEGMENT, start_us=20 * S, end_us=40 * S, A=5.0, k=0.75, min_delta_ticks=0.5)
    none = replace(
        SEGMENT, start_us=40 * S, end_us=60 * S, A=None, k=None, usable=False, source="none", status="no_fills"
    )
    found = fit_terms(replace(SCHEDULE, segments=(SEGMENT, later, none)), "poisson_schedule.json")
    assert (found["A"], found["k"], found["status"]) == (4.0, 0.5, "ok")
    assert (found["min_delta_ticks"], found["max_delta_ticks"]) == (0.5, 7.0)
    assert found["reason"] == "3 segments: 2 fitted, 1 none; fits: ok 2, no_fills 1"
    empty = fit_terms(replace(SCHEDULE, segments=()), "poisson_schedule.json")
    assert (empty["A"], empty["status"], empty["max_delta_ticks"]) == (None, None, None)


def test_lacking_lists_missing_keys_of_older_file(tmp_path):
    content = FIT.to_json()
    del content["measured_rates"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    assert lacking(path, FIT) == ["measured_rates"]
    assert lacking(path, SCHEDULE) == []
    assert fit_terms(FIT, "poisson_fit.json", ["measured_rates"])["lacks"] == ["measured_rates"]


def test_measured_under_reports_differing_model_or_quantity():
    books = SimpleNamespace(quote_lots=2, instrument=SimpleNamespace(lot_e8=50_000_000), fill_model="trade_cross")
    assert measured_under(FIT, books) is None
    fit = replace(FIT, calib_fills="trade_cross", calib_order_qty=1.0)
    assert measured_under(fit, books)["differs"] is None
    more = SimpleNamespace(**vars(books) | {"quote_lots": 6})
    assert measured_under(fit, more)["differs"] == "orders of 1, but this run quotes 3"
    for lots, fitted in ((454, 4.58), (454, 4.2)):  # the default order quantity follows the price from day to day
        near = SimpleNamespace(quote_lots=lots, instrument=SimpleNamespace(lot_e8=1_000_000), fill_model="trade_cross")
        assert measured_under(replace(fit, calib_order_qty=fitted), near)["differs"] is None
    assert (
        measured_under(replace(fit, calib_order_qty=4.1), near)["differs"] == "orders of 4.1, but this run quotes 4.54"
    )
    queue = SimpleNamespace(**vars(books) | {"fill_model": "queue_prob_log"})
    assert measured_under(fit, queue)["differs"] == "fills under trade_cross, but this run uses queue_prob_log"
    drawn = SimpleNamespace(**vars(books) | {"fill_model": "poisson"})
    assert measured_under(fit, drawn)["differs"] is None


CLUSTERED = {
    "mu_per_s": {"bid": 1.0, "ask": 1.0},
    "mean_per_s": {"bid": 2.0, "ask": 2.0},
    "kernels": [{"beta_per_s": 1.0, "branching": {"bid": {"bid": 0.5, "ask": 0}, "ask": {"bid": 0, "ask": 0.5}}}],
    "status": "ok",
}


def test_hawkes_uses_clustering_of_fit_or_schedule(tmp_path):
    """The file is sufficient; a file without a clustering raises UsageError."""
    path = tmp_path / "fit.json"
    segments = tuple(replace(one, mean_bid_per_s=1.5, mean_ask_per_s=2.5) for one in SCHEDULE.segments if one.usable)
    scheduled = replace(SCHEDULE, clustering=CLUSTERED, segments=segments)
    for fitted, rejected in (
        (replace(FIT, clustering=CLUSTERED), False),
        (scheduled, False),
        (FIT, True),
        (SCHEDULE, True),
    ):
        path.write_text(json.dumps(fitted.to_json()), encoding="utf-8")
        made = maker(fill_model="hawkes", fill_params_file=path)
        if rejected:
            with pytest.raises(UsageError, match="hawkes needs the clustering of orders"):
                made.fills()
        else:
            assert made.fills().name == "hawkes"
            assert made.intensity.clustering == CLUSTERED


def test_takes_clustering_is_true_for_hawkes_without_its_own():
    """hawkes, also inside a hybrid, needs the fit's clustering unless given; unknown names are checked elsewhere."""
    own = json.dumps({"A": 1.0, "k": 1.0, "clustering": CLUSTERED})
    inner = json.dumps({"models": [["trade_cross", {}], ["hawkes", {}]]})
    given = json.dumps({"models": [["hybrid", {"models": [["hawkes", json.loads(own)], ["poisson", {}]]}]]})
    needed = {
        Models(fill_model="hawkes"): True,
        Models(fill_model="hawkes", fill_params_json='{"A": 1.0, "k": 1.0}'): True,
        Models(fill_model="hybrid", fill_params_json=inner): True,
        Models(fill_model="hawkes", fill_params_json=own): False,
        Models(fill_model="hybrid", fill_params_json=given): False,
        Models(fill_model="poisson"): False,
        Models(fill_model="no_such:Model"): False,
    }
    assert {models: takes_clustering(models) for models in needed} == needed
    kept = {models.fill_params_json: unfitted(models).fill_params_json for models in needed}
    assert kept == {None: None, '{"A": 1.0, "k": 1.0}': None, inner: inner, own: own, given: given}
