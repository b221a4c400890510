"""What is computed by windows is independent of what comes later.

The market ends at a drawn instant, or goes on with a crash and a burst of prints; all that ended before is equal in
each bit. Whatever learns from a whole day where it may know its past alone (a σ, a reference price, a threshold)
differs here.
"""

import json
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mm
from engine_tapes import TEST
from mm import CalibrationConfig, WindowPlan, build_schedule
from mm.calibration.calibrator import Calibrator
from mm.calibration.windows import MODES
from mm.predict.fitting import fit
from mm.predict.samples import Task, samples_of
from mm.predict.walk import predictions
from mm.signals.compute import compute
from mm.signals.families import SIGNALS
from mm.tape.build import built_from_events
from mm.tape.tape import Tape, TapeFacts
from small_tapes import poisson_day

S = 1_000_000
MINUTE = 60 * S
LENGTH_S = 2400
START_US = 1_767_596_400 * S
END_US = START_US + LENGTH_S * S
PLAN = {"train_window_min": 8, "step_min": 4, "half_life_min": 4}
KNOBS = {"wf_train_window_min": 8, "wf_step_min": 4, "seed": 1, "sensitivity": 0}


@cache
def events():
    """Return a moving market of best prices and of sweeps through them, as `Tape.of` takes them."""
    drawn, shown = [], ()
    for kind, us, *rest in poisson_day(5, LENGTH_S, 1.0, 0.4):
        if kind == "trade":
            side, ticks, _, lots = rest
            drawn.append((START_US + us, "trade", side, ticks, 1000 * lots))
            continue
        bid, ask, *_ = rest
        gone = [[(old, 0)] if old != now else [] for old, now in zip(shown, (bid, ask), strict=bool(shown))]
        before = gone or [[], []]
        levels = [[*cleared, (ticks, 10_000)] for cleared, ticks in zip(before, (bid, ask), strict=True)]
        drawn.append((START_US + us, "depth" if shown else "snapshot", *levels))
        shown = bid, ask
    return drawn


def crash(us):
    """Return what could follow at *us*: another book, a tenth lower, and thousands of prints below it."""
    book = (us, "snapshot", [(9_000, 10_000)], [(9_001, 10_000)])
    return [book, *((us + n, "trade", -1, 8_000, 1000) for n in range(3000))]


@cache
def market(cut_us=None, *, goes_on=False):
    """Return the market as it was, or until *cut_us*, followed by a crash or by nothing."""
    past = [event for event in events() if cut_us is None or event[0] < cut_us]
    builder = built_from_events(past + (crash(cut_us) if goes_on else []))
    return Tape.built(TapeFacts(TEST, ("20260105",), 1, START_US, END_US), builder.arrays())


def assert_past_is_equal(computed, cut_us, known):
    """Compare ``computed(tape, cut_us)`` over three futures; *known* is the least length of what is compared."""
    as_it_was = computed(market(), cut_us)
    assert len(as_it_was) >= known
    for goes_on in (False, True):
        assert computed(market(cut_us, goes_on=goes_on), cut_us) == as_it_was


def three_instants(first_s):
    def draw_cut(test):
        cuts = st.integers(START_US + first_s * S, END_US - MINUTE)
        return settings(max_examples=3, deadline=None)(given(cut_us=cuts)(test))

    return draw_cut


def segments_before(schedule, cut_us):
    """Return the segments in force by *cut_us*; the last is in force until the market's end or the next segment."""
    rows = json.loads(json.dumps(schedule.to_json()))["segments"]
    return [row for row in rows if row["start_us"] <= cut_us]


@pytest.mark.parametrize("mode", MODES)
@three_instants(900)
def test_schedule(mode, cut_us):
    """Fits, σ, clustering of aggressive orders, and what is carried of them."""

    def computed(day, cut_us):
        plan = WindowPlan(**PLAN, mode=mode, clustered=True)
        built = build_schedule(Calibrator(day, CalibrationConfig(reference="micro")), plan)
        return segments_before(built, cut_us)

    assert_past_is_equal(computed, cut_us, 2)


def rows_before(result, cut_us):
    """Return what our orders did before *cut_us*, as bytes, by table."""
    tables = {name: getattr(result.journal, name) for name in ("orders", "fills", "state")}
    return {name: table[table[:, 0] < cut_us].tobytes() for name, table in tables.items()}


def traded(result, cut_us):
    rows = rows_before(result, cut_us)
    assert rows["fills"]
    return rows


@pytest.mark.parametrize("strategy", ["avellaneda_stoikov", "glft", "optimal_curve"])
@three_instants(1200)
def test_walk_forward(strategy, cut_us):
    """Orders, fills and equity by the parameters of each segment, the choice of a reference price included."""

    def computed(day, cut_us):
        walked = mm.walkforward(day, strategy, fills="trade_cross", **KNOBS)
        return {**traded(walked.result, cut_us), "segments": segments_before(walked.schedule, cut_us)}

    assert_past_is_equal(computed, cut_us, 4)


LAW = {"A": 1.0, "k": 0.4}
GLFT = ("glft", LAW)


@pytest.mark.parametrize("fills", ["queue_prob_power", "trade_cross", ("poisson", LAW)])
@three_instants(300)
def test_backtest(fills, cut_us):
    """With given parameters, under models that queue, that cross, and that draw."""

    def computed(day, cut_us):
        return traded(mm.backtest(day, GLFT, fills=fills, seed=1, sensitivity=0), cut_us)

    assert_past_is_equal(computed, cut_us, 3)


@three_instants(300)
def test_signals(cut_us):
    names = tuple(SIGNALS.usual)

    def computed(day, cut_us):
        rows = next(compute(day, names))
        before = rows.recv_us < cut_us
        return {name: values[before].tobytes() for name, values in zip(names, rows.values, strict=True)}

    assert_past_is_equal(computed, cut_us, len(names))


@pytest.mark.parametrize("model", ["logistic", "forest", "mlp"])
@three_instants(1500)
def test_predictor(model, cut_us):
    """Samples whose outcome is known, the fit on them, and what it predicts for the minutes before."""
    task = Task("return", 5.0, ("imbalance_1", "momentum_5s"))

    def computed(day, cut_us):
        samples = samples_of([day], task)
        past = samples.at(samples.until_us < cut_us)
        fitted = fit(model, task, past, 0.01, 1).predictor
        return {"us": past.us.tobytes(), "outcome": past.outcome.tobytes(), "by": predictions(fitted, past).tobytes()}

    assert_past_is_equal(computed, cut_us, 3)
