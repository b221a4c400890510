"""What a schedule's file may not say."""

import copy

import pytest

from mm.calibration.schedule import Schedule, Segment
from mm.calibration.schedule_json import Entry
from mm.errors import BrokenFile, Mismatch

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
    *way, last = path
    for step in way:
        content = content[step]
    content[last] = value


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("symbol",), 7, "symbol is 7, not a text"),
        (("step_min",), "15", "step_min is '15', not a finite number"),
        (("step_min",), True, "step_min is True, not a finite number"),
        (("fallback_policy",), "hope", "fallback_policy is 'hope', not one of carry_forward"),
        (("segments",), {}, "segments is {}, not a list"),
        (("segments", 0), 3, r"segments\[0\].start_us is missing"),
        (("segments", 0, "end_us"), 1.5, r"segments\[0\].end_us is 1.5, not a whole number of µs"),
        (("segments", 0, "k"), float("nan"), r"segments\[0\].k is nan, not a finite number"),
        (("segments", 1, "source"), "guess", r"segments\[1\].source is 'guess', not one of fitted"),
        (("segments", 0, "usable"), 1, r"segments\[0\].usable is 1, not true or false"),
        (("segments", 0, "usable"), False, r"segments\[0\]: usable is False with source 'fitted'"),
        (("segments", 0, "A"), None, r"segments\[0\]: A None and k 0.3 of a usable segment must be positive"),
        (("segments", 0, "k"), -0.1, "must be positive"),
        (("segments", 1, "A"), 0.5, r"segments\[1\]: A 0.5 and k None of an unusable segment must be null"),
        (("segments", 0, "end_us"), 0, r"segments\[0\]: start_us 7200000000 is not before end_us 0"),
        (("segments", 1, "start_us"), 8_100_000_001, r"segments\[1\] starts at 8100000001, but .* ends at 8100000000"),
        (("segments", 0, "train_end_us"), 7_200_000_001, "it would look ahead"),
    ],
)
def test_a_broken_file_is_refused_by_name_and_value(path, value, says):
    content = copy.deepcopy(WHOLE)
    _set(content, path, value)
    with pytest.raises(BrokenFile, match=rf"x\.json: .*{says}.*make it anew"):
        Schedule.from_json(content, "x.json")


@pytest.mark.parametrize("content", [[], "x", None, {}])
def test_what_is_no_schedule_at_all_is_refused(content):
    with pytest.raises(BrokenFile, match=r"x\.json: schema_version is missing"):
        Schedule.from_json(content, "x.json")


@pytest.mark.parametrize(("key", "value"), [("schema_version", 2), ("distance_unit", "bps")])
def test_another_schema_or_unit_is_refused(key, value):
    with pytest.raises(Mismatch, match=f"{key} is {value!r}"):
        Schedule.from_json(WHOLE | {key: value}, "x.json")


def test_a_value_is_shown_by_its_beginning_only():
    """One line says what is wrong, however large it is."""
    with pytest.raises(BrokenFile) as caught:
        Entry({"key": ["x" * 100] * 100}, "x.json").text("key")
    assert len(str(caught.value)) < 150
