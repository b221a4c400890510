"""Numbers as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm import numbers
from mm.report.svg import round_values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0"),
        (12.34567, "12.35"),
        (-0.00123456, "−0.001235"),
        (87_000.123, "87,000"),
        (1_234_567.0, "1,234,567"),
        (3.0, "3"),
        (1000.0, "1,000"),
        (1.5e-9, "1.500e−09"),
    ],
)
def test_numbers_keep_the_digits_that_count(value, text):
    """Four of them, thousands parted, a real minus, no idle zeros."""
    assert numbers.number(value) == text


@given(st.floats(min_value=-1e12, max_value=1e12))
def test_a_number_read_back_is_near_what_it_was(value):
    """Rounding to four digits is all that happens."""
    read = float(numbers.number(value).replace(",", "").replace("−", "-"))
    assert read == pytest.approx(value, rel=5.1e-4)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([], []),
        ([0.0], ["0"]),
        ([-0.0005, 0.0, 0.0005], ["−0.0005", "0", "0.0005"]),
        ([-0.00015, 0.0, 0.00005], ["−1.5e-4", "0", "0.5e-4"]),
        ([-50_000.0, 0.0, 50_000.0], ["−50,000", "0", "50,000"]),
        ([-100_000.0, -50_000.0, 0.0], ["−100k", "−50k", "0"]),
        ([0.0, 500_000.0, 1_000_000.0, 1_500_000.0], ["0", "0.5M", "1M", "1.5M"]),
        ([0.0, 2e9, 4e9], ["0", "2G", "4G"]),
        ([87_012.5, 87_013.0], ["87,012.5", "87,013"]),
    ],
)
def test_labels_of_an_axis_are_as_short_as_their_margin(values, texts):
    """All in one unit; digits that tell two labels apart are never dropped."""
    assert numbers.labels(values) == texts


@given(st.floats(1e-12, 1e12), st.floats(-1, 1), st.integers(3, 6))
def test_labels_around_zero_fit_whatever_the_currency(size, middle, most):
    """A coin of a hundredth of a cent and one of a hundred thousand dollars have axes that can be read."""
    texts = numbers.labels(round_values((middle - 1) * size, (middle + 1) * size, most))
    assert len(set(texts)) == len(texts)
    assert max(map(len, texts)) <= numbers.LETTERS + 1


@pytest.mark.parametrize(("value", "text"), [(1.5, "+1.5"), (-1.5, "−1.5"), (0.0, "0"), (None, "–")])
def test_signs_stand_in_front(value, text):
    """A gain is seen without looking for the minus."""
    assert numbers.signed(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0 s"), (59.6, "1 min 00 s"), (75, "1 min 15 s"), (3_660, "1 h 01 min"), (50_400, "14 h 00 min")],
)
def test_durations_show_their_two_largest_units(seconds, text):
    """Seconds do not matter beside hours."""
    assert numbers.duration(seconds) == text


def test_shares_are_percent_and_short_numbers_complete():
    """A share of one; an axis label."""
    assert numbers.percent(0.06952) == "6.95 %"
    assert numbers.percent(None) == "–"
    assert numbers.short(-0.0005) == "−0.0005"
    assert numbers.short(86_999.5) == "86,999.5"


def test_one_is_singular_and_all_else_plural():
    """Zero as well, and a noun may have a plural of its own."""
    assert [numbers.noun(count, "epoch") for count in (0, 1, 2)] == ["epochs", "epoch", "epochs"]
    assert [numbers.noun(count, "stretch", "stretches") for count in (0, 1, 11)] == [
        "stretches",
        "stretch",
        "stretches",
    ]
