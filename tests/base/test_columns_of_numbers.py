"""Numbers below each other have equal decimals."""

from hypothesis import given
from hypothesis import strategies as st

from mm.base.numbers import in_column, short

VALUES = st.lists(st.none() | st.floats(-1e9, 1e9, allow_nan=False), max_size=8)


@given(VALUES)
def test_numbers_of_a_column_have_equal_decimals(values):
    """And are as near to the value as these allow; None is a dash."""
    texts = in_column(values)
    assert len(texts) == len(values)
    places = {len(text.partition(".")[2]) for text in texts if text != "–"}
    assert len(places) <= 1
    for text, value in zip(texts, values, strict=True):
        assert (text == "–") == (value is None)
        if value is not None:
            read = float(text.replace(",", "").replace("−", "-"))
            assert abs(read - value) <= 0.5 * 10.0 ** -places.copy().pop() * (1 + 1e-6) + 1e-9 * abs(value)


def test_column_keeps_digits_of_the_usual_and_of_exact_numbers():
    """One large number does not hide the others; a price keeps every digit."""
    assert in_column([0.0167, 0.000927, 0.00107]) == ["0.01670", "0.00093", "0.00107"]
    assert in_column([12.0, None, 3.0]) == ["12", "–", "3"]
    assert in_column([60_123.45, 60_123.4], exact=True) == ["60,123.45", "60,123.40"]
    assert short(60_123.4) == "60,123.4"
