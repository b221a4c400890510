"""``mm sim as2008`` at the command line."""

import json

import pytest

from mm.sim.as2008.command import _STRATEGIES
from mm.sim.as2008.policies import STRATEGIES
from support import run_python

AS2008 = ("-m", "mm", "sim", "as2008")
NUMBERS = {"profit_mean", "profit_std", "final_q_mean", "final_q_std"}


def test_the_default_is_the_papers_table(tmp_path):
    """Six rows, in the order of its tables; 24 published numbers beside exact and simulated ones."""
    done = run_python(*AS2008, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    content = json.loads(line)
    assert set(content) == {"rows"}
    assert [(row["gamma"], row["strategy"]) for row in content["rows"]] == [
        (gamma, strategy) for gamma in (0.1, 0.01, 1.0) for strategy in ("inventory", "symmetric")
    ]
    for row in content["rows"]:
        assert set(row) == {"gamma", "strategy", "published", "exact", "simulated"}
        for part in ("published", "exact", "simulated"):
            assert set(row[part]) >= NUMBERS
        assert row["simulated"]["n_paths"] == row["published"]["n_paths"] == 1000
    assert content["rows"][0]["published"]["profit_mean"] == 65.0
    assert content["rows"][0]["exact"]["profit_mean"] == pytest.approx(64.892543085619, abs=1e-9)
    assert not list(tmp_path.iterdir())


def test_the_terminal_shows_a_table(tmp_path):
    """A line for each number, and no number that was not published."""
    done = run_python(*AS2008, "--gamma", "0.1,0.5", "--strategy", "inventory", "--paths", "200", cwd=tmp_path)
    head, *lines, foot = done.stdout.splitlines()
    assert head.split() == ["gamma", "strategy", "published", "z", "exact", "simulated", "±", "z"]
    assert len(lines) == 2 * 5
    assert lines[0].split()[:7] == ["0.1", "inventory", "profit", "mean", "65", "+0.5", "64.8925"]
    assert lines[4].split()[:4] == ["certainty", "–", "–", "62.7873"]
    assert lines[5].split()[:7] == ["0.5", "inventory", "profit", "mean", "–", "–", "48.5681"]
    assert foot == "z: standard errors from the exact value; published are 1,000 paths, simulated 200"


def test_equal_flags_print_equal_bytes_and_variables_count(tmp_path):
    """SEED, PATHS and GAMMA as everywhere; a flag is stronger."""
    args = (*AS2008, "--strategy", "symmetric", "--json", "--paths", "300")
    first = run_python(*args, "--gamma", "0.1", "--seed", "4", cwd=tmp_path)
    again = run_python(*args, cwd=tmp_path, GAMMA="0.1", SEED="4", PATHS="7")
    other = run_python(*args, "--gamma", "0.1", "--seed", "5", cwd=tmp_path)
    assert first.stdout == again.stdout
    assert first.stdout != other.stdout


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--gamma", "-1"), "--gamma (GAMMA) was '-1': it must be a list such as"),
        (("--gamma", "0.1,0.1"), "a list without repeats"),
        (("--dt", "2"), "a step must not be longer than the session"),
        (("--dt", "0.003"), "that is 333.333 steps"),
        (("--dt", "1e-8"), "100,000 are the most"),
        (("--paths", "0"), "--paths (PATHS) was '0'"),
        (("--sigma", "nan"), "--sigma (SIGMA_PRICE_PER_SQRT_S) was 'nan'"),
        (("--strategy", "symetric"), "did you mean symmetric?"),
        (("--strategy", "symmetric,symmetric"), "a list without repeats"),
        (("--A", "0"), "--A (A_PER_S) was '0'"),
        (("--gamma", "1000", "--strategy", "glft_exact"), "choose a smaller --dt (STEP_S)"),
    ],
)
def test_a_wrong_parameter_is_one_line(tmp_path, flags, told):
    """Exit 2; the line names flag, variable and value."""
    done = run_python(*AS2008, *flags, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert told in line


def test_the_help_knows_every_rule():
    """The command names them without importing numpy; the registry holds them."""
    assert tuple(STRATEGIES) == _STRATEGIES
