"""Formatting of numbers for readers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.base import numbers


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
        (9e-5, "0.00009"),
        (1.5e-9, "0.0000000015"),
        (1.5e-13, "1.500e−13"),
    ],
)
def test_number_shows_four_significant_digits(value, text):
    """Thousands separators, a typographic minus, no trailing zeros."""
    assert numbers.number(value) == text


@given(st.floats(min_value=-1e12, max_value=1e12))
def test_formatted_number_is_close_to_the_value(value):
    """The only error is rounding to four digits."""
    read = float(numbers.number(value).replace(",", "").replace("−", "-"))
    assert read == pytest.approx(value, rel=5.1e-4)


@pytest.mark.parametrize(("value", "text"), [(1.5, "+1.5"), (-1.5, "−1.5"), (0.0, "0"), (None, "–")])
def test_signed_prints_plus_and_minus(value, text):
    """Gains have an explicit plus."""
    assert numbers.signed(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0 s"), (59.6, "1 min 00 s"), (75, "1 min 15 s"), (3_660, "1 h 01 min"), (50_400, "14 h 00 min")],
)
def test_duration_shows_two_largest_units(seconds, text):
    """Seconds are omitted from one hour on."""
    assert numbers.duration(seconds) == text


def test_fixed_has_a_sign_and_no_negative_zero():
    """Beside each other, numbers have the same minus and as many decimals."""
    texts = [numbers.fixed(value, 4) for value in (-0.0091, -0.00001, 0.0, 1_234.56789)]
    assert texts == ["−0.0091", "+0.0000", "+0.0000", "+1,234.5679"]


def test_percent_and_short_format_values():
    """`percent` formats a fraction, `short` an axis label."""
    assert numbers.percent(0.06952) == "6.95 %"
    assert numbers.percent(None) == "–"
    assert numbers.short(-0.0005) == "−0.0005"
    assert numbers.short(86_999.5) == "86,999.5"
    assert numbers.short(1e-6) == "0.000001"


def test_noun_is_singular_only_for_one():
    """Zero is plural, and irregular plurals can be given."""
    assert [numbers.noun(count, "epoch") for count in (0, 1, 2)] == ["epochs", "epoch", "epochs"]
    assert [numbers.noun(count, "stretch", "stretches") for count in (0, 1, 11)] == [
        "stretches",
        "stretch",
        "stretches",
    ]


@given(st.floats(min_value=-1e12, max_value=1e12), st.sampled_from(["PnL {}", "{} … {}", "A={}", "({}, {})", "−{}"]))
def test_plain_minus_makes_every_number_readable(value, frame):
    """What a program reads of a line is the number; text around it stays."""
    texts = [numbers.number(value), numbers.short(value), numbers.fixed(value, 4)]
    for text in texts:
        float(numbers.with_plain_minus(text).replace(",", ""))
        assert "−" not in numbers.with_plain_minus(frame.replace("−", "Δ = ").format(text, text))
    assert numbers.with_plain_minus("s·(m − p), data/a−1.csv, 1.5e−13") == "s·(m − p), data/a−1.csv, 1.5e-13"


def test_significant_digits_are_equal_over_decades():
    """Trailing zeros stay, and small numbers have an exponent, so that a column over decades is read at once."""
    values = [0.0338, 0.0002504, 0.0000675, 7.597e-13, 2, None]
    assert [numbers.significant(value) for value in values] == [
        "0.03380", "0.0002504", "6.750e−5", "7.597e−13", "2.000", "–",
    ]  # fmt: skip
