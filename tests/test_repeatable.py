"""Property tests are repeatable: each run has the same examples, and a failed random run prints a repeat command."""

import re
import shlex
from pathlib import Path

import pytest

from support import ROOT, run_python

# Fails for most numbers, and writes the drawn numbers to a file.
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
def project(tmp_path) -> Path:
    (tmp_path / "test_property.py").write_text(PROPERTY)
    return tmp_path


def run_property(project: Path, *words: str) -> tuple[str, list[str]]:
    """Run the property test; return the output of pytest and the tried examples."""
    own = ("-m", "pytest", "-p", "repeatable", "-p", "no:cacheprovider", *words)
    done = run_python(*own, cwd=project, PYTHONPATH=str(ROOT / "tests"))
    examples = (project / "drawn.txt").read_text().splitlines()
    (project / "drawn.txt").unlink()
    return done.stdout, examples


@pytest.mark.slow
def test_two_default_runs_try_the_same_examples(project):
    """Failures in continuous integration are reproducible."""
    first = run_property(project, "test_property.py")[1]
    assert len(first) > 10
    assert run_property(project, "test_property.py")[1] == first


@pytest.mark.slow
def test_random_run_prints_command_that_repeats_its_failure(project):
    """The command contains the seed and the profile."""
    printed, first = run_property(project, "test_property.py", "--hypothesis-profile=fuzz", "--hypothesis-seed=12345")
    found = re.search(r"^repeat: \S+ -m pytest (.*)$", printed, re.MULTILINE)
    assert found, printed
    assert run_property(project, *shlex.split(found[1]))[1] == first
    assert run_property(project, "test_property.py", "--hypothesis-profile=fuzz", "--hypothesis-seed=54321")[1] != first
