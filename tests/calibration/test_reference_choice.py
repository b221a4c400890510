"""Comparison of reference prices: it selects the reference that generated the flow; likelihoods match a plain loop."""

import math
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mm import CalibrationConfig
from mm.backtest.models import queue_prob_power
from mm.calibration.alternatives import compare
from mm.calibration.calibrate import measure
from mm.calibration.calibrator import Calibrator
from mm.calibration.config import FROM_BEST, FillsMeasured
from mm.calibration.likelihood import Shape
from mm.calibration.reference_choice import by_reference, chosen_before, end_cells, resolved
from mm.calibration.shapes import EXPONENTIAL, FAMILIES, Cells, search
from mm.errors import UsageError
from small_tapes import book, tape, trade

S = 1_000_000
BLOCK_S = 300


def flow(reference, seed, minutes=40, k=0.8, rate=1.5):
    """Return a day with spreads of 1, 3 or 6 ticks whose orders end by λ measured from *reference*."""
    chance, events, spread = random.Random(seed), [], 1
    for second in range(0, minutes * 60, 5):
        spread = chance.choice([1, 1, 3, 6])
        lots = chance.choice([(2, 8), (5, 5), (9, 1)])
        events.append(book(second * S, 1000, 1000 + spread, *lots))
        centre = {
            "mid": (spread / 2, spread / 2),
            "best": (0.0, 0.0),
            "micro": (spread * lots[0] / sum(lots), spread * lots[1] / sum(lots)),
        }[reference]
        for side, touch in ((1, centre[0]), (-1, centre[1])):
            at = 0.0
            while True:
                at += chance.expovariate(rate * math.exp(-k * touch))
                if at >= 4.9:
                    break
                depth = int(chance.expovariate(k))
                us = int((second + at) * S) + (side > 0)
                events.append(trade(us, -side, 1000 - depth if side > 0 else 1000 + spread + depth))
    return tape(sorted(events, key=lambda event: event[1]), 0, minutes * 60 * S)


@pytest.mark.parametrize("name", ["mid", "best", "micro"])
def test_generating_reference_is_chosen(name):
    """The largest gain is positive unless the mid generated the flow; the mid itself has zero gain."""
    for seed in range(3):
        choice = resolved([flow(name, seed)], CalibrationConfig(reference="mid")).choice
        assert choice.chosen == name, (seed, choice)
        assert choice.gain_nats_per_fill["mid"] == 0
        gains = choice.gain_nats_per_fill
        assert gains["sweep"] < max(gains["best"], 0) + choice.se  # each order has a single print, at its end
        most = max(choice.gain_nats_per_fill[other] for other in ("best", "micro"))
        assert (most > choice.se) == (name != "mid")


@pytest.mark.parametrize("name", ["mid", "best", "micro"])
def test_likelihoods_equal_loop_over_events(name):
    """Fills by ln of λ(t + j) - λ(t + j + w), exposure per block state by state, the usual fit of λ."""
    day = flow("best", 7, minutes=25)
    calibrator = Calibrator(day, CalibrationConfig(reference="mid"))
    cells = by_reference(calibrator)[name]
    begins = end_cells(calibrator.marks).tolist()
    blocks = 5
    waits, ends = [{} for _ in range(blocks)], [[] for _ in range(blocks)]
    (counts,) = Calibrator(day, CalibrationConfig(reference=name)).marks
    per_tick = counts.path.per_tick
    for side in (1, -1):
        edges, rows, block = counts.path.segments(0, day.end_us, BLOCK_S * S)
        for begin, end, row, where in zip(edges[:-1].tolist(), edges[1:].tolist(), rows.tolist(), block, strict=True):
            touch = int(counts.path.touch[side][row])
            if touch >= 0:
                waits[where][touch] = waits[where].get(touch, 0.0) + (end - begin) / S
        hits, touches = counts.hits(side, 0, day.end_us)
        for us, depth, touch in zip(hits.us.tolist(), hits.depth.tolist(), touches.tolist(), strict=True):
            ends[us // (BLOCK_S * S)].append((touch, (depth - touch) // per_tick))

    def cell(j):
        place = max(i for i, begin in enumerate(begins) if begin <= j)
        return begins[place], begins[place + 1] if place + 1 < len(begins) else math.inf

    expected = []
    for block in range(blocks):
        trained = [other for other in range(blocks) if other % 2 != block % 2]
        rows = {}
        for other in trained:
            for touch, seconds in waits[other].items():
                for j in begins:
                    near, far = cell(j)
                    row = rows.setdefault((touch / per_tick + near, far - near), [0.0, 0.0])
                    row[0] += seconds
            for touch, j in ends[other]:
                near, far = cell(j)
                rows[touch / per_tick + near, far - near][1] += 1
        table = sorted(rows.items())
        shape = Shape(np.array([key[0] for key, _ in table]), np.array([key[1] for key, _ in table]))
        sums = np.array([value for _, value in table])
        [curve] = search(EXPONENTIAL, Cells(shape, 1.0), sums[None, :, 0], sums[None, :, 1])
        k = math.exp(curve.shape[0])

        def gain(touch, near, far, k=k):
            return math.exp(-k * (touch / per_tick + near)) - math.exp(-k * (touch / per_tick + far))

        logs = sum(math.log(gain(touch, *cell(j))) for touch, j in ends[block])
        total = sum(seconds * gain(touch, *cell(j)) for touch, seconds in waits[block].items() for j in begins)
        expected.append(logs - len(ends[block]) * math.log(total))
    assert cells.unseen(EXPONENTIAL) == pytest.approx(expected, abs=1e-3)


def test_shape_gains_from_mid_equal_those_of_fit():
    """Two ways of counting: by cells of each block, and by states and ends."""
    calibrator = Calibrator(flow("best", 3, k=0.5), CalibrationConfig(reference="mid", max_delta_ticks=400))
    cells = by_reference(calibrator)["mid"]
    curves = compare(calibrator.points(calibrator.start_us, calibrator.end_us)).curves
    plain, fills = cells.unseen(EXPONENTIAL), cells.fills.sum()
    for family in FAMILIES[1:2]:
        (curve,) = (one for one in curves if one.name == family.name)
        assert float((cells.unseen(family) - plain).sum() / fills) == pytest.approx(curve.unseen, abs=2e-3)


def test_auto_uses_chosen_reference_and_windows_reject_auto():
    """A calibrator of windows needs an explicit reference."""
    day = flow("best", 1)
    fit = measure(day, CalibrationConfig(reference="auto")).fit
    assert fit.reference == fit.reference_choice.chosen == "best"
    assert measure(day, CalibrationConfig(reference="mid")).fit.reference_choice == fit.reference_choice
    with pytest.raises(UsageError, match="choose one of mid, micro, best"):
        Calibrator(day, CalibrationConfig(reference="auto")).points(0, 60 * S)


@pytest.mark.parametrize("method", ["fixed", "ladder"])
def test_auto_under_a_fill_model_plays_orders_from_the_mid(method):
    """Like quotes, in fits and schedules; the choice of the marks is still reported."""
    day, fills = flow("best", 1), FillsMeasured("queue_prob_power", {}, queue_prob_power)
    config = CalibrationConfig(method=method, reference="auto", fills=fills)
    chosen, explicit = (measure(day, one) for one in (config, replace(config, reference="mid")))
    assert chosen.fit.reference == "mid"
    assert chosen.fit.reference_choice.chosen == "best"
    assert chosen.calibrator.config == explicit.calibrator.config
    assert chosen.fit == explicit.fit
    assert chosen_before([day], config, day.end_us) == (replace(config, reference="mid"), None, ())
    touch = measure(day, replace(config, reference="best"))
    assert touch.calibrator.config.distances[: len(FROM_BEST)] == FROM_BEST


@pytest.mark.parametrize("name", ["mid", "best", "micro"])
def test_ten_minute_recording_uses_shorter_blocks(name):
    """Two blocks of five minutes are too few; 24 blocks of 25 s find the generating reference."""
    for seed in range(3):
        choice = resolved([flow(name, seed, minutes=10)], CalibrationConfig(reference="mid")).choice
        assert (choice.chosen, choice.compared) == (name, "exponential"), (seed, choice)


def test_reason_does_not_claim_mid_is_best_when_other_gain_is_positive():
    """With 24 short blocks a gain must be two standard errors; smaller positive gains are only shown."""
    words = {}
    for k, seed in ((0.8, 2), (0.1, 0)):
        choice = resolved([flow("best", seed, 10, k, 0.1)], CalibrationConfig(reference="mid")).choice
        assert choice.chosen == "mid"
        words[max(choice.gain_nats_per_fill[name] for name in ("best", "micro")) > 0] = choice.why.partition(" (")[0]
    assert words == {
        True: "no other price that orders can follow predicts unseen blocks clearly better than the mid",
        False: "of the prices that orders can follow, an exponential from the mid predicts unseen blocks best",
    }


def test_too_few_fills_skip_reference_comparison():
    """Auto then uses the mid, and the fit warns; an explicit reference gets no warning."""
    day = flow("best", 1, minutes=10, rate=0.02)
    assert resolved([day], CalibrationConfig(reference="mid")).choice is None
    fit = measure(day, CalibrationConfig(reference="auto")).fit
    assert (fit.reference, fit.reference_choice) == ("mid", None)
    message = "in less than 4 blocks of 5 minutes, and a comparison of references needs at least 100 there"
    assert [message in warning for warning in fit.warnings].count(True) == 1
    given = measure(day, CalibrationConfig(reference="best")).fit
    assert not any("CALIB_REFERENCE=auto" in line for line in given.warnings)


def far_flow(seed, minutes=60):
    """Return a day whose orders end at the touch at any spread or, one in three, within 200 ticks behind it.

    The latter are rarer at wide spreads; a nearly level exponential can only follow them from the mid.
    """
    chance, events = random.Random(seed), []
    for second in range(0, minutes * 60, 5):
        spread = chance.choice([1, 1, 3, 6])
        events.append(book(second * S, 1000, 1000 + spread))
        for side in (1, -1):
            for rate, depths in ((1.4, 1), (0.9 * math.exp(-0.3 * spread / 2), 200)):
                at = 0.0
                while (at := at + chance.expovariate(rate)) < 4.9:
                    depth = chance.randrange(depths)
                    price = 1000 - depth if side > 0 else 1000 + spread + depth
                    events.append(trade(int((second + at) * S) + (side > 0), -side, price))
    return tape(sorted(events, key=lambda event: event[1]), 0, minutes * 60 * S)


def test_curves_decide_when_exponentials_do_not():
    """An exponential cannot follow the drop behind the touch, so its k is near zero from any reference."""
    for seed in range(3):
        choice = resolved([far_flow(seed)], CalibrationConfig(reference="mid", max_delta_ticks=400)).choice
        assert (choice.chosen, choice.compared) == ("best", "curve"), (seed, choice)
        assert choice.gain_nats_per_fill["best"] > 2 * choice.se
        assert choice.why.startswith("of the prices that orders can follow, a curve from the best predicts")


def test_fills_only_in_alternate_blocks_skip_comparison():
    """Curves of one half of the blocks have no data in the other."""
    events = [book(0, 1000, 1003), *(trade((at * 60 + one) * S, 1, 1003) for at in (1, 11, 21) for one in range(50))]
    fit = measure(tape(events, 0, 1800 * S), CalibrationConfig(reference="auto")).fit
    assert (fit.reference, fit.reference_choice) == ("mid", None)
    assert any(
        "between even and odd blocks of 5 minutes, and one of the two sets has no fills" in one for one in fit.warnings
    )


def late_flow(seed, k=0.9, minutes=60):
    """Return a day with a delayed book: orders start up to 12 ticks beyond the best price and extend by k."""
    chance, events = random.Random(seed), []
    for second in range(0, minutes * 60, 5):
        events.append(book(second * S, 1000, 1001))
        for side in (1, -1):
            for number in range(chance.choice([0, 1, 2])):
                offset, span = chance.choice([0, 0, 0, 2, 5, 12]), int(chance.expovariate(k))
                us, best = second * S + (2 * number + 1) * 1_000_000 + (side > 0), 1000 if side > 0 else 1001
                for ticks in range(offset, offset + span + 1):
                    events.append(trade(us, -side, best - side * ticks, trade_us=us))
    return tape(sorted(events, key=lambda event: event[1]), 0, minutes * 60 * S)


@pytest.mark.parametrize("seed", range(3))
def test_late_book_is_detected_by_depth_from_first_print(seed):
    """k from the orders' own depth is the true one and predicts far better; the fit warns with both."""
    day = late_flow(seed)
    measurement = measure(day, CalibrationConfig(reference="auto"))
    decays, gains = measurement.k_by_reference, measurement.fit.reference_choice.gain_nats_per_fill
    assert decays["sweep"] == pytest.approx(0.9, abs=0.1)
    assert decays["best"] < 0.5
    assert gains["sweep"] > gains["best"] + 0.2
    assert measurement.fit.reference != "sweep"  # resting orders are also filled by moves of the late book
    (warning,) = (one for one in measurement.fit.warnings if "lags the prints" in one)
    assert f"{decays['sweep']:.4g} by the depth" in warning
    sweep_fit = measure(day, CalibrationConfig(reference="sweep")).fit
    assert (sweep_fit.reference, sweep_fit.k) == ("sweep", pytest.approx(decays["sweep"], rel=1e-6))
    assert not any("lags the prints" in one for one in sweep_fit.warnings)


def test_cells_of_sweep_reference_equal_loop_over_orders():
    """Shares of ends by offsets and spans of the other blocks, with half a count spread over all."""
    day = late_flow(5, minutes=30)
    cells = by_reference(Calibrator(day, CalibrationConfig(reference="mid")))["sweep"]
    for parity, found in enumerate(cells.held_out(EXPONENTIAL)):
        fitted = [n for n in range(len(cells.block)) if cells.block[n] % 2 != parity]
        offsets = range(min(cells.offset), max(cells.offset) + 1)
        starts_at = {o: 0.5 / len(offsets) + sum(cells.offset[n] == o for n in fitted) for o in offsets}
        mean, count = sum(int(cells.span[n]) for n in fitted) / len(fitted), int(max(cells.span)) + 2
        fall = mean / (1 + mean)  # whole ticks of an exponential are geometric; the maximum likelihood
        share = [(1 - fall) * fall**span for span in range(count - 1)] + [fall ** (count - 1)]
        ends = Counter()
        for o, weight in starts_at.items():
            for span, one in enumerate(share):
                ends[o + span] += weight * one
        starts = [*cells.begins.tolist(), max(ends) + 1]
        expected = [sum(ends[e] for e in range(a, b)) for a, b in pairwise(starts)]
        shares = np.exp(found - found.max())
        assert shares == pytest.approx(np.array(expected) / max(expected), rel=1e-6, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [1, 3])
def test_constant_spread_keeps_mid(spread):
    """Distances from the best price then differ by a constant, and gains are only rounding."""
    for seed in range(12):
        chance = random.Random(seed)
        events = [book(0, 1000, 1000 + spread)]
        for second in range(1, 2400):
            side, depth = chance.choice([1, -1]), int(chance.expovariate(0.8))
            ticks = 1000 - depth if side > 0 else 1000 + spread + depth
            events.append(trade(second * S, -side, ticks))
        choice = resolved([tape(events, 0, 2400 * S)], CalibrationConfig(reference="mid")).choice
        assert choice.chosen == "mid", (seed, choice)
