"""Scripts of faults: valid and invalid lines."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.sim.wire.faults.fault import BadScript, Fault
from mm.sim.wire.faults.script import TRIGGERS, Rule, Trigger, as_rules, load_script, read_script
from mm.sim.wire.faults.table import FAULTS

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    kind = draw(st.sampled_from(list(FAULTS.values())))
    values: dict[str, object] = {}
    for name, one in kind.parameters.items():
        if one.reader.words:
            values[name] = draw(st.sampled_from(one.reader.words))
        elif isinstance(one.default, str):
            values[name] = draw(WORDS)
        elif isinstance(one.default, int):
            values[name] = draw(st.integers(1_000, 10**9))
        else:
            values[name] = draw(st.none() | st.floats(0, 99)) if one.default is None else draw(st.floats(0, 10**6))
    return kind.make(**values)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    kind = draw(st.sampled_from(TRIGGERS))
    number = draw(st.floats(0, 10**6) if kind == "time" else st.integers(0, 10**12))
    path = draw(st.just("/api/v3/") | WORDS.filter(len)) if kind == "request" else "/api/v3/"
    fault = draw(faults())
    some = ["all"] if fault.kind.name in ("storm", "phase") else ["all", "newest", "random"]
    return Rule(Trigger(kind, number, path), fault, draw(st.none() | st.sampled_from(some) | st.integers(0, 10**6)))


@given(rules())
def test_rule_written_as_line_is_read_back_unchanged(rule: Rule) -> None:
    """A generated script can be saved as a file that has the same effect."""
    assert read_script(str(rule)) == [rule]


def test_comments_and_empty_lines_are_ignored(tmp_path: Path) -> None:
    """Scripts are written by hand."""
    path = tmp_path / "faults.txt"
    path.write_text("# all\n\nat id 7 do drop n=3  # three of them\nat time 1.5 on 2 do lag delay_s=0.5\n")
    assert [str(rule) for rule in load_script(path)] == ["at id 7 do drop n=3", "at time 1.5 on 2 do lag delay_s=0.5"]
    assert as_rules(["at id 7 do drop", read_script("at trade 1 do swap")[0]]) == [
        *read_script("at id 7 do drop\nat trade 1 do swap")
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("drop", "a rule ends with: do FAULT"),
        ("do drop", "a rule begins with: at id"),
        ("at id 7 do", "a rule ends with"),
        ("at ids 7 do drop", "at ids: a rule acts at id, trade, time, connect, request; did you mean id?"),
        ("at id x do drop", "x: it must be a number"),
        ("at id nan do drop", "nan: it must be a number"),
        ("at id 7.5 do drop", "whole except for time"),
        ("at id -1 do drop", "of at least 0"),
        ("at id 7 on some do drop", "on some: it must be all, newest, random"),
        ("at id 7 of /x do drop", "'of /x' before 'do' is not understood"),
        ("at id 7 do dorp", "unknown fault 'dorp'; known: drop, duplicate"),
        ("at id 7 do drop m=3", "drop has no parameter 'm=3'; it has n, of"),
        ("at id 7 do drop n", "drop has no parameter 'n'"),
        ("at id 7 do drop n=0", "n=0: it must be a whole number of at least 1"),
        ("at id 7 do drop n=1.5", "n=1.5: it must be a whole number"),
        ("at id 7 do drop n=inf", "n=inf: it must be a whole number"),
        ("at id 7 do drop of=book", "of=book: it must be one of depth, trade, any"),
        ("at id 7 do lag delay_s=-1", "delay_s=-1: it must be a number of at least 0"),
        ("at id 7 do snapshot where=there", "where=there: it must be one of old, before, inside, newer"),
        ("at id 7 on newest do storm", "on newest: storm affects connections that open later"),
        ("at id 7 do close 'x", "No closing quotation"),
    ],
)
def test_invalid_line_raises_bad_script_with_line_number(line: str, message: str) -> None:
    """A fault that is silently skipped makes a test that proves nothing."""
    with pytest.raises(BadScript) as caught:
        read_script(f"at id 1 do drop\n{line}", "faults.txt")
    assert message in str(caught.value)
    assert str(caught.value).startswith("faults.txt:2: ")


def test_missing_file_raises_bad_script_with_its_name(tmp_path: Path) -> None:
    """A typing error in the name must be visible."""
    with pytest.raises(BadScript, match=r"none\.txt: cannot be read"):
        load_script(tmp_path / "none.txt")


def test_every_fault_is_valid_without_parameters() -> None:
    """The number of faults is fixed."""
    assert len(FAULTS) == 56
    for name, kind in FAULTS.items():
        assert read_script(f"at id 1 do {name}") == [Rule(Trigger("id", 1), kind.make())]
