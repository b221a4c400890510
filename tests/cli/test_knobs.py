import json
import math
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.base import knobs as k
from mm.errors import FitError, Sentence, UsageError, parameter, said_by
from mm.instrument import E8, e8, short_text


@dataclass(frozen=True, kw_only=True)
class Small:
    """Two knobs."""

    order_latency_ms: float = k.knob(50.0, k.number(0), "A latency.")
    calib_method: str = k.knob(k.REQUIRED, k.one_of("marks", "ladder"), "A method.", flag="--method", matters=False)


def rejection_message(reader: k.Reader, text: str) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        reader.parse(text)
    return str(caught.value)


def test_field_has_a_flag_and_a_variable():
    """One declaration gives every name of a knob."""
    latency, method = k.knobs(Small)
    assert (latency.flag, latency.variable, latency.default, latency.matters) == (
        "--order-latency-ms",
        "ORDER_LATENCY_MS",
        50.0,
        True,
    )
    assert (method.flag, method.variable, method.default, method.matters) == (
        "--method",
        "CALIB_METHOD",
        k.REQUIRED,
        False,
    )


def test_invalid_value_error_carries_the_knob_and_the_value():
    """The edge names the knob as its reader gave it: in Python by its name."""
    with pytest.raises(UsageError, match=r"^order_latency_ms was '-5': it must be a number of at least 0$") as caught:
        k.knobs(Small)[0].read("-5")
    assert "-5" in caught.value.args
    with said_by(lambda name: f"<{name}>"):
        assert str(caught.value).startswith("<order_latency_ms> was")


@pytest.mark.parametrize("values", [(), ("{x} 'step_min' %s", 1.5)])
def test_sentence_names_its_parameters_at_the_edge_and_leaves_values_alone(values):
    """A value may be any text of a user; a pickled error, from another process, is said by the edge as well."""
    error = FitError(Sentence("{step_min} fits {{step_min}}" + " {} {:.1f}" * bool(values), *values))
    assert error.args[0].parameters == ("step_min",)
    shown = " ".join(map(str, ("", *values)))
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert str(one) == f"step_min fits {{step_min}}{shown}"
        with said_by({"step_min": "--wf-step-min (WF_STEP_MIN)"}.__getitem__):
            assert str(one) == f"--wf-step-min (WF_STEP_MIN) fits {{step_min}}{shown}"


def test_parts_of_a_sentence_are_said_together():
    """A way out that another function makes names its parameters as the sentence around it."""
    error = UsageError("{} is {}; {}", parameter("day"), "x", Sentence("give {symbol}"))
    with said_by(str.upper):
        assert str(error) == "DAY is x; give SYMBOL"
    assert str(UsageError("plain {day}")) == "plain {day}"


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400", "", "five", "1,5"])
def test_number_must_be_finite(text):
    """NaN compares with nothing, so it would pass every later check."""
    assert rejection_message(k.number(), text) == "a number"


@pytest.mark.parametrize("text", [".5", "+.5", "00.5", "5e-1"])
def test_number_may_be_typed_in_any_form(text):
    """A shell is not JSON."""
    assert k.number(0, 1).parse(text) == 0.5


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_shown_number_parses_to_itself(value):
    """The default in the help is the default."""
    assert k.number().parse(k.shown(value)) == value


@given(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62))
def test_integer_must_be_within_its_bounds(value, bound):
    """Both bounds are included."""
    low, high = min(0, bound), max(0, bound)
    if low <= value <= high:
        assert k.integer(low, high).parse(str(value)) == value
    else:
        assert rejection_message(k.integer(low, high), str(value)) == f"a whole number between {low} and {high}"


@given(st.integers(-(10**19), 10**19))
def test_decimal_keeps_its_value_and_is_normalised(value):
    """No fee is rounded, and 1000 and 1000.00 give the same text."""
    text = k.decimal().parse(short_text(value))
    assert e8(text) == value
    assert k.decimal().parse(f"{text}.00" if "." not in text else text) == text


def test_decimal_is_plain_and_within_its_bounds():
    """An exponent or a ninth place would have to be rounded somewhere."""
    expected = "a plain decimal such as 0.001 of at least 0, of at most eight places"
    for text in ("1e-3", "0.000000001", "x", "-1", "nan", ""):
        assert rejection_message(k.decimal("0"), text) == expected
    assert k.decimal("0", "1").parse("1") == "1"
    assert e8("1") == E8


def test_list_keeps_its_order_and_rejects_repeats():
    """The ladder goes through its distances in the given order."""
    assert k.numbers(0, 100).parse("5, 1,2.5") == (5.0, 1.0, 2.5)
    assert [k.numbers_or("auto", 0, 9).parse(text) for text in ("auto", "2,1")] == ["auto", (2.0, 1.0)]
    assert rejection_message(k.numbers_or("auto", 0, 9), "10").startswith(
        "auto or a list such as 1,2,3,5, each entry a number"
    )
    assert rejection_message(k.numbers(0, 100), "1,2,1") == "a list without repeats, such as 1,2,3,5"
    assert rejection_message(k.numbers(0, 100), "1,,2").endswith("each entry a number between 0 and 100")


def test_unknown_word_error_names_the_closest():
    """The message is enough to correct a typing error."""
    reader = k.one_of("poisson_mle", "log_linear")
    assert rejection_message(reader, "poison_mle") == "one of poisson_mle, log_linear; did you mean poisson_mle?"
    assert rejection_message(reader, "POISSON_MLE") == "one of poisson_mle, log_linear"
    assert k.one_of("DEBUG", "INFO", upper=True).parse("debug") == "DEBUG"


def test_switch_is_0_or_1():
    """Or false or true; anything else is rejected."""
    assert [k.SWITCH.parse(text) for text in ("0", "1", "false", "True")] == [False, True, False, True]
    assert rejection_message(k.SWITCH, "2") == "0 or 1"


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.booleans() | st.none() | st.text(max_size=3)))
def test_json_object_is_normalised(content):
    """The order of keys is not a difference between two runs."""
    text = k.JSON_OBJECT.parse(json.dumps(content))
    assert json.loads(text) == content
    assert text == k.JSON_OBJECT.parse(json.dumps(dict(reversed(content.items())), indent=2))


@pytest.mark.parametrize("text", ["[1]", "3", "{", '{"gamma": NaN}', '{"gamma": -Infinity}', ""])
def test_invalid_json_object_is_rejected(text):
    """NaN is not JSON, and a model's parameters have names."""
    assert rejection_message(k.JSON_OBJECT, text).startswith('a JSON object such as {"gamma": 0.1}')


def test_values_are_shown_as_typed_on_the_command_line():
    """In the help, the docs and the manifest."""
    values = [None, True, False, 50.0, 0.25, 7, "x", (1.0, 2.5), Path("a/b")]
    assert [k.shown(value) for value in values] == ["", "1", "0", "50", "0.25", "7", "x", "1,2.5", "a/b"]
    assert math.isclose(float(k.shown(1e-7)), 1e-7)


def test_path_may_begin_with_tilde():
    """A variable in a crontab is not expanded by a shell."""
    assert k.PATH.parse("~/data") == Path.home() / "data"
    assert rejection_message(k.PATH, "") == "a path"


def test_text_must_match_completely():
    """Text after a valid beginning is not cut off."""
    reader = k.matching(r"\d\d:\d\d", "HH:MM")
    assert reader.parse("08:00") == "08:00"
    assert rejection_message(reader, "08:000") == "HH:MM"


@pytest.mark.parametrize(
    ("reader", "text", "value"),
    [
        (k.DAYS, "2024-07-24", "20240724"),
        (k.DAYS, "2024-07-23,2024-07-24", "20240723,20240724"),
        (k.DAYS, "2024-07-23:2024-07-25", "20240723:20240725"),
        (k.ONE_DAY, "2024-07-24", "20240724"),
    ],
)
def test_iso_dates_are_days(reader, text, value):
    """The manifest has the form of the folders, whichever was typed."""
    assert reader.parse(text) == value
    with pytest.raises(ValueError, match="YYYYMMDD"):
        reader.parse(text.replace("07", "13"))
