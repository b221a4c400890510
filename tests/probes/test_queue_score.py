"""Scores of fill models: manual cases, and zeros for a perfect model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_rig import virtual_orders_of

from mm.base.estimate import Estimate
from mm.probes.queue_score import by_place, lines, named, reliability, score, stated
from mm.probes.virtual_orders import Outcomes, VirtualOrders

SECOND = 1_000_000


def orders(count: int, life_us: int = SECOND) -> VirtualOrders:
    """Return buys one life apart, checked on arrival and after half a life."""
    placed = [(number * life_us, 1, 100) for number in range(count)]
    return virtual_orders_of(*placed, life_us=life_us, checks_us=(0, life_us // 2))


def outcomes(filled_us: list[int], ahead: list[tuple[float, float]], sent: list[bool] | None = None) -> Outcomes:
    """Return outcomes from lists."""
    return Outcomes(np.array(filled_us), np.array(ahead, float), np.array(sent or [True] * len(filled_us)))


def test_score_matches_manual_calculation() -> None:
    """Of four orders two fill in truth, one of them in the model 0.2 s late; the model invents one."""
    four = orders(4)
    truth = outcomes([600_000, 1_600_000, -1, -1], [(10, 4), (10, 4), (20, 20), (10, 10)])
    model = outcomes([800_000, -1, 2_100_000, -1], [(10, 6), (10, 8), (20, 0), (14, 10)])
    result = score(four, truth, model)
    assert (result.orders, result.both, result.missed, result.invented, result.neither) == (4, 1, 1, 1, 1)
    assert result.true_filled.value == 0.5
    assert result.filled_bias.value == 0.0
    assert result.wrong.value == 0.5
    assert result.time_bias_s.value == pytest.approx(0.2)
    assert result.time_error_s.value == pytest.approx(0.2)
    assert [one.value for one in result.ahead_bias_lots] == [1.0, (2 + 4 - 20 + 0) / 4]
    assert result.ahead_rmse_lots[1].value == pytest.approx(np.sqrt((4 + 16 + 400) / 4))
    assert result.ahead_bias.value == pytest.approx((4 + 2 + 4 - 20) / 100)
    assert result.filled_bias.error is None, "four orders are too few for an error"


def test_orders_not_resting_in_both_do_not_count() -> None:
    """One is rejected in truth, one by the model."""
    both = [(0.0, 0.0)] * 3
    result = score(
        orders(3), outcomes([5, 5, -1], both, [True, False, True]), outcomes([-1, 7, -1], both, [False, True, True])
    )
    assert (result.orders, result.neither) == (1, 1)


def test_model_without_queue_has_no_position_score() -> None:
    """NaN is not a queue position."""
    unknown_places = [(np.nan, np.nan)] * 2
    result = score(orders(2), outcomes([-1, -1], [(5, 5), (5, 3)]), outcomes([-1, -1], unknown_places))
    assert result.ahead_bias == Estimate(None)
    assert result.ahead_rmse_lots == (Estimate(None), Estimate(None))


def test_order_filled_in_both_has_no_position() -> None:
    """After both fills there is nothing to compare."""
    result = score(orders(1), outcomes([10], [(5, 0)]), outcomes([20], [(7, 0)]))
    assert [one.value for one in result.ahead_bias_lots] == [2.0, None]


def test_error_of_share_assumes_independent_lives() -> None:
    """The model is wrong for a quarter of the orders: the error follows √(p(1-p)/n)."""
    many = orders(800, life_us=180 * SECOND)  # two orders a block
    model_fills = [10 if chance < 0.25 else -1 for chance in np.random.default_rng(1).random(800)]
    zeros = [(0.0, 0.0)] * 800
    result = score(many, outcomes([-1] * 800, zeros), outcomes(model_fills, zeros))
    assert result.wrong.value == pytest.approx(0.25, abs=0.04)
    assert result.wrong.error == pytest.approx(np.sqrt(0.25 * 0.75 / 800), rel=0.8)


@given(
    st.lists(
        st.tuples(st.integers(-1, 999_999), st.integers(0, 50), st.integers(0, 50), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_perfect_model_scores_zero(rows: list[tuple[int, int, int, bool]]) -> None:
    """No bias and no error of any kind, for any truth."""
    placed = orders(len(rows))
    filled = [us if us < 0 else number * SECOND + us for number, (us, _, _, _) in enumerate(rows)]
    truth = outcomes(filled, [(one, two) for _, one, two, _ in rows], [sent for _, _, _, sent in rows])
    result = score(placed, truth, truth)
    assert result.missed == result.invented == 0
    for number in (
        result.filled_bias,
        result.wrong,
        result.time_bias_s,
        result.time_error_s,
        result.ahead_bias,
        result.ahead_rmse,
    ):
        assert not number.value
        assert not number.error


def test_numbers_are_rounded_to_their_error() -> None:
    """± is half the 95 % interval; with a sign if requested; a dash for a missing number."""
    assert stated(Estimate(0.123456, 0.02, 0.084256, 0.162656), 100) == "12.3 ± 3.9"
    assert stated(Estimate(-0.123456, 0.0002, -0.123848, -0.123064), 100, "+") == "-12.35 ± 0.04"
    assert stated(Estimate(0.5), 100) == "50 ± ?"
    assert stated(Estimate(None), 1) == "–"


def test_table_contains_every_model_and_place() -> None:
    """Columns are aligned."""
    two = orders(2)
    truth = outcomes([10, -1], [(5, 0), (5, 3)])
    printed = list(lines({"a": score(two, truth, truth)}, {"a": by_place(two, truth, truth)}))
    assert printed[2].split()[0] == "a"
    assert "touch (2)" in printed[5]
    assert "1 behind (0)" in printed[5]
    assert printed[6].startswith("truth: filled")


def test_model_name_contains_parameters():
    """Numbers and texts in full, objects only by key: a clustering has hundreds of numbers."""
    assert [*named("queue_prob_power", {"exponent": 2})] == ["queue_prob_power exponent 2"]
    assert [*named("poisson", {"bid": {"A": 1.0, "k": 1.0}, "ask": {"A": 1.0, "k": 1.0}})] == ["poisson bid, ask"]


def test_orders_with_nothing_ahead_are_a_bin_of_their_own_and_shares_stay_shares() -> None:
    """Half of a day's orders join empty prices; the rest are quarters by the quantity ahead."""
    many, lots = 40, [0] * 20 + list(range(5, 205, 10))
    placed = orders(many, life_us=180 * SECOND)
    truth = outcomes([10 if at % 10 else -1 for at in range(many)], [(ahead, ahead) for ahead in lots])
    bins = [bin_ for bin_ in reliability(placed, truth, truth, 0.01) if bin_.by == "ahead"]
    assert [(bin_.bin, bin_.n) for bin_ in bins] == [
        ("nothing", 20),
        *(("0.05 to 0.525", 5), ("0.525 to 1", 5), ("1 to 1.475", 5), ("1.475 to 1.95", 5)),
    ]
    assert all(0 <= low <= high <= 1 for low, high in (bin_.ci95 for bin_ in bins if bin_.ci95))
