"""Messages: decimals are read and written exactly, in any notation."""

import json
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.api.messages import encode, in_e8, number, read_order, schemas
from mm.errors import OffGrid

ORDER = '{"client_id":"a","side":"buy","type":"limit","size":%s,"price":%s}'


@given(st.decimals(min_value="1e-12", max_value="1e11", allow_nan=False, allow_infinity=False))
def test_decimal_is_exact_or_off_the_grid(value):
    """The result is the number that was typed, or an error: never a neighbour."""
    exact = Fraction(value) * 10**8
    if exact.denominator == 1:
        assert in_e8(value, "price") == exact
    else:
        with pytest.raises(OffGrid):
            in_e8(value, "price")


@given(st.integers(min_value=1, max_value=10**19), st.booleans())
def test_numbers_and_strings_are_equivalent(value, as_text):
    """A JSON number of any length is read from its digits, not through a float."""
    text = f"{value // 10**8}.{value % 10**8:08d}"
    order = read_order((ORDER % (json.dumps(text) if as_text else text, "1")).encode())
    assert in_e8(order.size, "size") == value


def test_price_is_not_rounded_to_a_float():
    """As a float it is 100.05."""
    assert float("100.05000000000000001") == 100.05
    with pytest.raises(OffGrid, match="more than eight"):
        in_e8(read_order((ORDER % ("1", "100.05000000000000001")).encode()).price, "price")


@given(st.integers(min_value=-(10**24), max_value=10**24), st.sampled_from([8, 9, 16]))
def test_encoded_number_is_exact(value, places):
    """A parser of decimals gets exactly the booked value."""
    assert Fraction(json.loads(encode(number(value, places)), parse_float=Decimal)) == Fraction(value, 10**places)


@pytest.mark.parametrize("text", ["0", "-1", '"-0.5"', '"NaN"', '"Infinity"', "1e12", '"1e999999999"'])
def test_invalid_size_is_rejected(text):
    """Also if checking it naively would need a number of a million digits."""
    with pytest.raises(ValueError, match="it must be"):
        in_e8(read_order((ORDER % (text, "1")).encode()).size, "size")


@pytest.mark.parametrize("text", ['"1e-999999999"', "1e-9", "0.123456789"])
def test_too_small_number_is_off_every_grid(text):
    """Also if its digits would fill the memory."""
    with pytest.raises(OffGrid):
        in_e8(read_order((ORDER % (text, "1")).encode()).size, "size")


@pytest.mark.parametrize("text", ["true", "null", '"x"', "[]", '"١"x'])
def test_non_numeric_size_is_malformed(text):
    """A body with it is answered with 422."""
    with pytest.raises(msgspec.DecodeError):
        read_order((ORDER % (text, "1")).encode())


def test_schemas_describe_the_accepted_values():
    """A size is a number or a string; every message is described."""
    described = schemas()
    kinds = [option["type"] for option in described["OrderRequest"]["properties"]["size"]["anyOf"]]
    assert kinds == ["number", "string"]
    assert described["OrderRequest"]["required"] == ["client_id", "side", "type", "size"]
    assert described["FillEvent"]["properties"]["event"] == {"enum": ["fill"]}
    assert "format" not in json.dumps(described)
