"""Property tests are repeatable: the same examples in every run, and a command for what a random run finds."""

import re
import shlex
from pathlib import Path

import pytest

from support import ROOT, run_python

# Fails for a few numbers of very many, and prints those that it was given.
PROPERTY = """
from hypothesis import given, settings, strategies as st

@settings(max_examples=40)
@given(st.integers(0, 10**12))
def test_drawn(number):
    with open("drawn.txt", "a") as file:
        file.write(f"{number}\\n")
    assert number < 10**6
"""


@pytest.fixture
def place(tmp_path) -> Path:
    (tmp_path / "test_property.py").write_text(PROPERTY)
    return tmp_path


def drawn(place: Path, *words: str) -> tuple[str, list[str]]:
    """Run the property; return what pytest prints and the examples that it has tried."""
    own = ("-m", "pytest", "-p", "repeatable", "-p", "no:cacheprovider", *words)
    done = run_python(*own, cwd=place, PYTHONPATH=str(ROOT / "tests"))
    examples = (place / "drawn.txt").read_text().splitlines()
    (place / "drawn.txt").unlink()
    return done.stdout, examples


def test_two_runs_try_the_same_examples(place):
    """What continuous integration found yesterday, it finds today."""
    first = drawn(place, "test_property.py")[1]
    assert len(first) > 10
    assert drawn(place, "test_property.py")[1] == first


def test_a_random_run_prints_the_command_that_repeats_its_failure(place):
    """The seed is in it, and the profile."""
    printed, first = drawn(place, "test_property.py", "--hypothesis-profile=fuzz", "--hypothesis-seed=12345")
    found = re.search(r"^repeat: \S+ -m pytest (.*)$", printed, re.MULTILINE)
    assert found, printed
    assert drawn(place, *shlex.split(found[1]))[1] == first
    assert drawn(place, "test_property.py", "--hypothesis-profile=fuzz", "--hypothesis-seed=54321")[1] != first
