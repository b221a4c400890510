"""What scores say, by hand, and that a perfect model has none but zeros."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_rig import virtual_orders_of

from mm.evaluate.queue_score import Number, by_place, lines, named, score, stated
from mm.evaluate.virtual_orders import Outcomes, VirtualOrders

SECOND = 1_000_000


def orders(count: int, life_us: int = SECOND) -> VirtualOrders:
    """Return buys a life apart, looked at on arrival and after half a life."""
    wanted = [(number * life_us, 1, 100) for number in range(count)]
    return virtual_orders_of(*wanted, life_us=life_us, checks_us=(0, life_us // 2))


def outcomes(filled_us: list[int], ahead: list[tuple[float, float]], sent: list[bool] | None = None) -> Outcomes:
    """Return outcomes from lists."""
    return Outcomes(np.array(filled_us), np.array(ahead, float), np.array(sent or [True] * len(filled_us)))


def test_a_score_by_hand() -> None:
    """Of four orders two fill in truth, one of them in the model 0.2 s late; the model invents one."""
    four = orders(4)
    truth = outcomes([600_000, 1_600_000, -1, -1], [(10, 4), (10, 4), (20, 20), (10, 10)])
    model = outcomes([800_000, -1, 2_100_000, -1], [(10, 6), (10, 8), (20, 0), (14, 10)])
    got = score(four, truth, model)
    assert (got.orders, got.both, got.missed, got.invented, got.neither) == (4, 1, 1, 1, 1)
    assert got.true_filled.value == 0.5
    assert got.filled_bias.value == 0.0
    assert got.wrong.value == 0.5
    assert got.time_bias_s.value == pytest.approx(0.2)
    assert got.time_error_s.value == pytest.approx(0.2)
    assert [one.value for one in got.ahead_bias_lots] == [1.0, (2 + 4 - 20 + 0) / 4]
    assert got.ahead_rmse_lots[1].value == pytest.approx(np.sqrt((4 + 16 + 400) / 4))
    assert got.ahead_bias.value == pytest.approx((4 + 2 + 4 - 20) / 100)
    assert got.filled_bias.error is None, "four orders say nothing of their spread"


def test_orders_that_did_not_rest_in_both_do_not_count() -> None:
    """One is rejected in truth, one by the model."""
    both = [(0.0, 0.0)] * 3
    got = score(
        orders(3), outcomes([5, 5, -1], both, [True, False, True]), outcomes([-1, 7, -1], both, [False, True, True])
    )
    assert (got.orders, got.neither) == (1, 1)


def test_a_model_without_a_queue_has_no_score_of_places() -> None:
    """NaN is not a queue position."""
    nothing = [(np.nan, np.nan)] * 2
    got = score(orders(2), outcomes([-1, -1], [(5, 5), (5, 3)]), outcomes([-1, -1], nothing))
    assert got.ahead_bias == Number(None, None)
    assert got.ahead_rmse_lots == (Number(None, None), Number(None, None))


def test_an_order_that_filled_in_both_has_no_place_any_more() -> None:
    """After both fills there is nothing to compare."""
    got = score(orders(1), outcomes([10], [(5, 0)]), outcomes([20], [(7, 0)]))
    assert [one.value for one in got.ahead_bias_lots] == [2.0, None]


def test_the_error_of_a_share_is_that_of_independent_stretches() -> None:
    """Of 400 stretches the model is wrong in a quarter: the error is that of a coin, √(p(1-p)/n)."""
    many = orders(800)
    said = [10 if number % 8 < 2 else -1 for number in range(800)]
    none = [(0.0, 0.0)] * 800
    got = score(many, outcomes([-1] * 800, none), outcomes(said, none))
    assert got.wrong.value == 0.25
    assert got.wrong.error == pytest.approx(np.sqrt(0.25 * 0.75 / 200), rel=0.5)


@given(
    st.lists(
        st.tuples(st.integers(-1, 999_999), st.integers(0, 50), st.integers(0, 50), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_a_model_that_knows_the_truth_scores_zero(rows: list[tuple[int, int, int, bool]]) -> None:
    """No bias and no error of any kind, whatever the truth is."""
    some = orders(len(rows))
    filled = [us if us < 0 else number * SECOND + us for number, (us, _, _, _) in enumerate(rows)]
    truth = outcomes(filled, [(one, two) for _, one, two, _ in rows], [sent for _, _, _, sent in rows])
    got = score(some, truth, truth)
    assert got.missed == got.invented == 0
    for number in (got.filled_bias, got.wrong, got.time_bias_s, got.time_error_s, got.ahead_bias, got.ahead_rmse):
        assert not number.value
        assert not number.error


def test_numbers_are_shown_to_the_places_that_their_error_allows() -> None:
    """A sign if requested, a dash for nothing."""
    assert stated(Number(0.123456, 0.02), 100) == "12.3 ± 2.0"
    assert stated(Number(-0.123456, 0.0002), 100, "+") == "-12.35 ± 0.02"
    assert stated(Number(0.5, None), 100) == "50 ± ?"
    assert stated(Number(None, None), 1) == "–"


def test_the_table_names_every_model_and_place() -> None:
    """Columns are aligned."""
    two = orders(2)
    told = outcomes([10, -1], [(5, 0), (5, 3)])
    printed = list(lines({"a": score(two, told, told)}, {"a": by_place(two, told, told)}))
    assert printed[2].split()[0] == "a"
    assert "touch (2)" in printed[5]
    assert "1 behind (0)" in printed[5]
    assert printed[6].startswith("truth: filled")


def test_a_model_is_called_by_its_parameters():
    """Numbers and texts in full, of an object the key: a clustering has hundreds of numbers."""
    assert [*named("queue_prob_power", {"exponent": 2})] == ["queue_prob_power exponent 2"]
    assert [*named("poisson", {"bid": {"A": 1.0, "k": 1.0}, "ask": {"A": 1.0, "k": 1.0}})] == ["poisson bid, ask"]
