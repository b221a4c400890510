"""Schedules: fits over time, and fallbacks for unusable fits."""

import copy
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm import CalibrationConfig, PoissonFit, Schedule, WindowPlan, build_schedule, fit_poisson
from mm.calibration.calibrator import Calibrator
from mm.calibration.depth_counts import DepthCounts
from mm.calibration.estimators import estimate
from mm.calibration.fit_result import CurvePoint, ShapeChoice
from mm.calibration.intensities import intensity_of
from mm.calibration.intervals import with_block_errors
from mm.calibration.schedule import Segment, segments_of
from mm.calibration.windows import MODES, Fallback, WindowFit
from mm.errors import BrokenFile, Mismatch, UsageError
from small_tapes import book, poisson_day, tape, trade

S = 1_000_000
MIN = 60 * S


def own_fit(n_fills, status, reason="", **more):
    usable = status in ("ok", "few_fills")
    return PoissonFit(
        fit_method="poisson_mle", n_fills=n_fills, exposure_s=0.0, usable=usable, status=status, reason=reason, **more
    )


CURVE = tuple(CurvePoint(delta_ticks=d, spread_state="all", lambda_per_s=rate) for d, rate in ((1, 0.4), (2, 0.1)))
MONOTONE = ShapeChoice(chosen="monotone", formula="", parameters={}, gain_nats_per_fill=0.1, se=0.01, why="")
KNOWN = {"sigma_ticks": 1.0, "predicted": (3.0, 9.0)}
GOOD = WindowFit(0.5, 0.3, 0.02, 0.1, own_fit(400, "ok", min_delta_ticks=0.5, max_delta_ticks=20.0), **KNOWN)
OTHER = WindowFit(
    0.7,
    0.4,
    0.03,
    0.2,
    own_fit(300, "few_fills", "9 fills", min_delta_ticks=1.0, A=0.35, shape=MONOTONE, lambda_curve=CURVE),
    sigma_ticks=1.5,
)
EMPTY = WindowFit(None, None, None, None, own_fit(0, "no_fills", "no fills in 7200 s"), **KNOWN)
PLAN = WindowPlan(train_window_min=120, step_min=15, latency_us=50_000)


def segments(*fits, **fallback):
    windows = PLAN.windows(0, (120 + 15 * len(fits)) * MIN)
    return tuple(segments_of(windows, fits, Fallback(**fallback)))


def schedule(*fits, **fallback):
    policy = fallback.get("policy", "carry_forward")
    return Schedule("SIMUSDT", "20260105", 0.01, 120, 15, policy, segments(*fits, **fallback))


def outcome(segment):
    return segment.A, segment.k, segment.source, segment.age_s, segment.status


def test_usable_fit_is_used():
    (segment,) = segments(GOOD)
    assert outcome(segment) == (0.5, 0.3, "fitted", 0, "ok")
    assert (segment.se_k, segment.se_logA, segment.n_fills, segment.usable, segment.reason) == (
        0.02,
        0.1,
        400,
        True,
        "",
    )
    assert (segment.train_start_us, segment.train_end_us) == (-50_000, 120 * MIN - 50_000)


def test_carry_forward_uses_last_usable_fit_with_age():
    """The segment contains the status of its own data and the carried parameters."""
    first, second, third = segments(GOOD, EMPTY, EMPTY)
    assert outcome(first) == (0.5, 0.3, "fitted", 0, "ok")
    assert outcome(second) == (0.5, 0.3, "carried", 900, "no_fills")
    assert outcome(third) == (0.5, 0.3, "carried", 1800, "no_fills")
    assert (third.n_fills, third.usable) == (0, True)
    assert third.reason == "no fills in 7200 s; the last usable fit is carried"


def test_segment_has_own_volatility_and_range_of_used_fit():
    """A and k carried from an older window keep its range; the volatility is always the latest."""
    first, second, third = segments(GOOD, replace(EMPTY, sigma_ticks=2.5), OTHER)
    assert [one.sigma_ticks for one in (first, second, third)] == [1.0, 2.5, 1.5]
    assert [(one.min_delta_ticks, one.max_delta_ticks) for one in (first, second, third)] == [
        (0.5, 20.0),
        (0.5, 20.0),
        (1.0, None),
    ]
    assert [piece.max_delta_ticks for piece in intensity_of(schedule(GOOD, EMPTY, OTHER)).rows()] == [20.0, 20.0, None]
    assert intensity_of(schedule(GOOD)).sigma_at(first.start_us) == 1.0


def test_segment_has_curve_of_used_fit():
    """Scaled to its A and carried with A and k; an exponential has no curve."""
    first, second, third = segments(OTHER, EMPTY, GOOD)
    assert [one.shape for one in (first, second, third)] == ["monotone", "monotone", "exponential"]
    assert first.lambda_curve == second.lambda_curve == ((1, 0.8), (2, 0.2))
    assert third.lambda_curve == ()
    predicted = intensity_of(schedule(OTHER, EMPTY, GOOD))
    assert [predicted.at(one.start_us, 1, 1.0) for one in (first, second)] == [pytest.approx(0.8)] * 2
    assert predicted.at(third.start_us, 1, 1.0) == pytest.approx(0.5 * math.exp(-0.3))
    (default,) = segments(EMPTY, policy="global_default", default=(0.2, 0.9))
    assert (default.shape, default.lambda_curve) == ("exponential", ())
    assert segments(EMPTY)[0].shape is None


def test_newer_usable_fit_replaces_carried_fit():
    assert [outcome(segment)[:4] for segment in segments(GOOD, EMPTY, OTHER, EMPTY)] == [
        (0.5, 0.3, "fitted", 0),
        (0.5, 0.3, "carried", 900),
        (0.7, 0.4, "fitted", 0),
        (0.7, 0.4, "carried", 900),
    ]


def test_fit_older_than_max_age_is_not_carried():
    second, third = segments(GOOD, EMPTY, EMPTY, max_age_s=900)[1:]
    assert second.source == "carried"
    assert outcome(third) == (None, None, "none", None, "no_fills")
    assert third.reason == "no fills in 7200 s; the last usable fit is 1800 s old, more than the 900 s allowed"


def test_later_fit_is_not_carried_back():
    first, second = segments(EMPTY, GOOD)
    assert outcome(first) == (None, None, "none", None, "no_fills")
    assert first.reason.endswith("there is no earlier fit to carry")
    assert second.source == "fitted"


def test_global_default_uses_given_parameters():
    (segment,) = segments(EMPTY, policy="global_default", default=(0.2, 0.9))
    assert outcome(segment) == (0.2, 0.9, "default", None, "no_fills")
    assert (segment.usable, segment.se_k, segment.se_logA) == (True, None, None)


def test_skip_segment_keeps_unusable_segment_in_schedule():
    first, second = segments(GOOD, EMPTY, policy="skip_segment")
    assert outcome(second) == (None, None, "none", None, "no_fills")
    assert (second.usable, second.start_us) == (False, first.end_us)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"policy": "hope"}, "choose one of carry_forward, global_default, skip_segment"),
        ({"policy": "global_default"}, "global_default needs them"),
        ({"policy": "skip_segment", "default": (1, 1)}, "do not use them"),
        ({"policy": "global_default", "default": (0, 1)}, "must be positive"),
        ({"max_age_s": -1}, "must not be negative"),
        ({"max_age_s": float("nan")}, "must not be negative"),
    ],
)
def test_invalid_fallback_is_rejected(knobs, message):
    with pytest.raises(UsageError, match=message):
        Fallback(**knobs)


def test_at_returns_segment_in_force():
    """A segment ends where the next begins; before the first and after the last there is none."""
    plan = schedule(GOOD, OTHER)
    first, second = plan.segments
    at = {
        us: plan.at(us) for us in (0, first.start_us - 1, first.start_us, first.end_us - 1, first.end_us, second.end_us)
    }
    assert list(at.values()) == [None, None, first, first, second, None]
    assert schedule().at(0) is None


def test_json_keys_follow_contract_order():
    content = schedule(GOOD).to_json()
    assert list(content)[:9] == [
        "schema_version",
        "symbol",
        "day",
        "tick_size",
        "distance_unit",
        "train_window_min",
        "step_min",
        "fallback_policy",
        "segments",
    ]
    assert list(content["segments"][0]) == [
        *("start_us", "end_us", "train_start_us", "train_end_us", "A", "k", "se_k", "se_logA"),
        *("n_fills", "usable", "status", "source", "age_s", "reason"),
        *("sigma_ticks", "predictive_low", "predictive_high", "min_delta_ticks", "max_delta_ticks"),
        *("shape", "lambda_curve", "adverse_ticks", "measured_rates", "mean_bid_per_s", "mean_ask_per_s"),
        *("half_spread_ticks", "ci95_A", "ci95_k"),
        *("A_shrunk", "k_shrunk", "ci95_A_shrunk", "ci95_k_shrunk", "cov_logA_k"),
    ]


FITS = st.lists(st.sampled_from((GOOD, OTHER, EMPTY)), max_size=6)
FALLBACKS = st.sampled_from(
    ({}, {"max_age_s": 900}, {"policy": "skip_segment"}, {"policy": "global_default", "default": (0.2, 0.9)})
)


@given(FITS, FALLBACKS)
def test_schedule_round_trips_through_json(fits, fallback):
    """Every built schedule also passes the checks of the format."""
    original = schedule(*fits, **fallback)
    text = json.dumps(original.to_json(), allow_nan=False)
    assert Schedule.from_json(json.loads(text), "x.json") == original
    assert all(segment.usable == (segment.A is not None) for segment in original.segments)


def test_file_without_reference_uses_mid():
    """Keys added later may be missing; unknown keys are ignored."""
    content = schedule(GOOD).to_json()
    del content["reference"]
    del content["segments"][0]["sigma_ticks"], content["segments"][0]["max_delta_ticks"]
    content["colour"] = "blue"
    older = schedule(GOOD)
    bare = replace(older.segments[0], sigma_ticks=None, max_delta_ticks=None)
    assert Schedule.from_json(content, "x.json") == replace(older, segments=(bare,))


DAY_S = 3600
HOUR = poisson_day(11, DAY_S, 0.6, 0.5)
SHORT = {"train_window_min": 12, "step_min": 6, "half_life_min": 4}


def test_schedule_of_tape_is_near_truth():
    """One hour, trained on 12 minutes every 6: eight segments, each near the truth of its market."""
    built = build_schedule(tape(HOUR, 0, DAY_S * S), WindowPlan(**SHORT))
    built.check()
    assert (built.symbol, built.day, built.tick_size, built.reference) == ("SIMUSDT", "20260105", 0.01, "mid")
    assert (len(built.segments), built.segments[-1].end_us) == (8, DAY_S * S)
    assert all(segment.source == "fitted" for segment in built.segments)
    assert all(abs(segment.k - 0.5) < 5 * segment.se_k for segment in built.segments)


def test_segment_equals_fit_of_its_training_window():
    day = tape(HOUR, 0, DAY_S * S)
    segment = build_schedule(day, WindowPlan(**SHORT)).segments[3]
    fit = with_block_errors(fit_poisson(DepthCounts(day).points(segment.train_start_us, segment.train_end_us)))
    assert (segment.A, segment.k, segment.se_k, segment.n_fills) == (fit.A, fit.k, fit.se_k, fit.n_fills)


def quick(points):
    """Return a point estimate with the fields of a fit that a segment needs."""
    estimated = estimate(points.delta_ticks, points.exposure_s, points.fills, points.width_ticks)
    values = {name: getattr(estimated, name, None) for name in ("A", "k", "se_k", "se_logA")}
    usable = values["k"] is not None and values["k"] > 0
    fit = own_fit(float(points.fills.sum()), "ok" if usable else "no_fills")
    return replace(fit, **values) if usable else fit


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_segment_parameters_ignore_events_from_its_start_on(mode):
    """Bit-identical for any later market, carried parameters included."""
    plan = WindowPlan(**SHORT, mode=mode)
    cut_us = 1800 * S
    past = [event for event in HOUR if event[1] < cut_us]
    calm = [event for event in HOUR if event[1] >= cut_us]
    wild = [book(cut_us, 9_000, 9_001), *(trade(cut_us + n, -1, 8_000, n) for n in range(5000))]
    schedules = [build_schedule(tape(past + rest, 0, DAY_S * S), plan, fit=quick) for rest in (calm, wild, [])]
    early_segments = [[segment for segment in one.segments if segment.start_us <= cut_us] for one in schedules]
    assert len(early_segments[0]) == 4
    assert early_segments[0] == early_segments[1] == early_segments[2]


def test_day_without_trades_has_only_unusable_segments():
    quiet = tape([book(0, 100, 102)], 0, DAY_S * S)
    built = build_schedule(quiet, WindowPlan(**SHORT))
    assert {(segment.usable, segment.status) for segment in built.segments} == {(False, "no_fills")}


def test_day_shorter_than_window_has_no_segments():
    assert build_schedule(tape(HOUR, 0, 600 * S), WindowPlan(**SHORT)).segments == ()


def test_schedule_uses_config_of_calibrator():
    """Windows, modes and fallbacks work the same for every method and reference."""
    calibrator = Calibrator(tape(HOUR, 0, DAY_S * S), CalibrationConfig(reference="micro", min_usable_deltas=2))
    built = build_schedule(calibrator, WindowPlan(12, 24))
    assert built.reference == "micro"
    for segment in built.segments:
        fit = calibrator.fit_points(calibrator.points(segment.train_start_us, segment.train_end_us))
        assert (segment.A, segment.k) == (fit.A, fit.k)


FIRST = Segment(
    start_us=7_200_000_000,
    end_us=8_100_000_000,
    train_start_us=-50_000,
    train_end_us=7_199_950_000,
    A=0.5,
    k=0.3,
    se_k=0.02,
    se_logA=0.1,
    n_fills=400,
    usable=True,
    status="ok",
    source="fitted",
    age_s=0,
    reason="",
)
SECOND = Segment(
    start_us=8_100_000_000,
    end_us=9_000_000_000,
    train_start_us=899_950_000,
    train_end_us=8_099_950_000,
    A=None,
    k=None,
    se_k=None,
    se_logA=None,
    n_fills=0,
    usable=False,
    status="no_fills",
    source="none",
    age_s=None,
    reason="no fills in 7200 s; the segment is skipped",
)
WHOLE = Schedule("SIMUSDT", "20260105", 0.01, 120, 15, "skip_segment", (FIRST, SECOND)).to_json()


def _set(content, path, value):
    *parents, last = path
    for step in parents:
        content = content[step]
    content[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("symbol",), 7, "symbol is 7: expected `str`"),
        (("step_min",), "15", "step_min is '15': expected `float`"),
        (("step_min",), True, "step_min is True: expected `float`"),
        (("fallback_policy",), "hope", "fallback_policy is 'hope', not one of carry_forward"),
        (("clustering",), [], r"clustering is \[\]: expected `object"),
        (("segments", 0, "mean_ask_per_s"), 1, r"segments\[0\]: mean_bid_per_s and mean_ask_per_s are .* must be null"),
        (("segments",), {}, "segments is {}: expected `array`"),
        (("segments", 0), 3, r"segments\[0\] is 3: expected `object`"),
        (("segments", 0, "end_us"), 1.5, r"segments\[0\].end_us is 1.5: expected `int`"),
        (("segments", 0, "k"), float("nan"), r"segments.0.k is nan, which JSON cannot hold"),
        (("segments", 1, "source"), "guess", r"segments\[1\]: source is 'guess', not one of fitted"),
        (("segments", 0, "usable"), 1, r"segments\[0\].usable is 1: expected `bool`"),
        (("segments", 0, "usable"), False, r"segments\[0\]: usable is False with source 'fitted'"),
        (("segments", 0, "A"), None, r"segments\[0\]: A None and k 0.3 of a usable segment must be positive"),
        (("segments", 0, "k"), -0.1, "must be positive"),
        (("segments", 1, "A"), 0.5, r"segments\[1\]: A 0.5 and k None of an unusable segment must be null"),
        (("segments", 0, "end_us"), 0, r"segments\[0\]: start_us 7200000000 is not before end_us 0"),
        (("segments", 1, "start_us"), 8_100_000_001, r"segments\[1\] starts at 8100000001, but .* ends at 8100000000"),
        (("segments", 0, "train_end_us"), 7_200_000_001, "it would look ahead"),
    ],
)
def test_broken_file_is_rejected_with_key_and_value(path, value, message):
    content = copy.deepcopy(WHOLE)
    _set(content, path, value)
    with pytest.raises(BrokenFile, match=rf"x\.json: .*{message}.*create it again"):
        Schedule.from_json(content, "x.json")


@pytest.mark.parametrize("content", [[], "x", None, {}])
def test_content_that_is_not_a_schedule_is_rejected(content):
    with pytest.raises(BrokenFile, match=r"x\.json: schema_version is missing"):
        Schedule.from_json(content, "x.json")


@pytest.mark.parametrize(("key", "value"), [("schema_version", 2), ("distance_unit", "bps")])
def test_other_schema_or_unit_is_rejected(key, value):
    with pytest.raises(Mismatch, match=f"{key} is {value!r}"):
        Schedule.from_json(WHOLE | {key: value}, "x.json")


def test_long_value_is_truncated_in_message():
    """The message stays one line for values of any size."""
    with pytest.raises(BrokenFile) as caught:
        Schedule.from_json(WHOLE | {"symbol": ["x" * 100] * 100}, "x.json")
    assert len(str(caught.value)) < 150


def test_carried_segments_are_counted_apart_with_their_greatest_age():
    """A usable segment may have no data of its own."""
    found = [SimpleNamespace(source="fitted", age_s=0.0)] * 3 + [
        SimpleNamespace(source="carried", age_s=age_s) for age_s in (900.0, 1800.0)
    ]
    found += [SimpleNamespace(source="none", age_s=None)]
    counted = Schedule("SIMUSDT", "20260105", 0.01, 120, 15, "skip_segment", tuple(found))
    assert counted.sources == {"fitted": 3, "carried": 2, "default": 0, "none": 1}
    assert counted.oldest_s == 1800
    assert "6 segments: 3 fitted, 2 carried, 1 none" in counted.counted()
    assert "30 min" in counted.counted()
