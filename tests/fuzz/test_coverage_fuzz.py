"""The fuzz targets on their examples and on damaged ones, and the fuzzer itself if atheris is installed."""

import importlib.util
import random
import subprocess
import sys

import pytest
from coverage_fuzz import NAMES
from fuzz_targets import TARGETS, planted

from support import ROOT

SCRIPT = "tests/fuzz/coverage_fuzz.py"
PATIENCE_S = 300
ROUNDS = {"messages": 30, "diffs": 150, "table": 150, "captures": 6, "server": 8}
HAS_ATHERIS = importlib.util.find_spec("atheris") is not None
with_atheris = pytest.mark.skipif(not HAS_ATHERIS, reason="atheris is not installed (extra fuzz): nothing is guided")
# Findings of the fuzzer; each was a crash, or differed from the plain parser.
FINDINGS = [
    ("captures", b'{"t":"header","exchange":"\xff","ts":1}\n'),
    ("diffs", b'\0{"recv_ms":176761080000800000,"U":5,"u":6,"b":[["1","2"]],"a":[]}\n'),
]


def damaged(seed, rng):
    """Return *seed* with a few bytes or pieces removed, repeated or changed."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 8, 40))
        piece = data[at : at + size]
        data[at : at + size] = rng.choice((b"", piece * 2, rng.randbytes(len(piece)), b"9" * len(piece), b'"'))
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUNDS)
def test_targets_accept_examples_and_survive_damaged_ones(name):
    """No example is a crash, and some are accepted: a target that rejects everything would find nothing."""
    target, rng = TARGETS[name], random.Random(7)
    assert any(list(map(target.run, target.seeds)))
    for seed in target.seeds:
        for _ in range(ROUNDS[name]):
            target.run(damaged(seed, rng))


@pytest.mark.parametrize(("name", "data"), FINDINGS)
def test_earlier_findings_are_rejected_without_a_crash(name, data):
    """Regression inputs of the fuzzer."""
    assert not TARGETS[name].run(data)


def test_targets_detect_a_parser_that_differs(monkeypatch):
    """A plain parser with a mistake of one µs differs at once."""
    import plain_parse

    read_integer = plain_parse.Cursor.whole
    monkeypatch.setattr(plain_parse.Cursor, "whole", lambda cursor: read_integer(cursor) + 1)
    for name in ("diffs", "table"):
        with pytest.raises(AssertionError):
            TARGETS[name].run(TARGETS[name].seeds[0])


def run(*arguments):
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_every_target_is_named_and_the_planted_one_raises():
    assert set(NAMES) == set(TARGETS)
    with pytest.raises(AssertionError, match="planted"):
        planted(b"mm!")


@pytest.mark.skipif(HAS_ATHERIS, reason="atheris is installed")
def test_missing_atheris_is_reported_with_exit_code_2():
    done = run("table", "--seconds", 1)
    assert (done.returncode, done.stdout) == (2, "")
    assert "atheris is not installed; pip install -e '.[fuzz]'" in done.stderr


@with_atheris
def test_planted_crash_is_found_and_repeated(tmp_path):
    """Three bytes of 2**24 are found through the branches that each of them opens."""
    done = run("planted", "--seconds", 60, "--crashes", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    (saved,) = tmp_path.iterdir()
    assert saved.read_bytes().startswith(b"mm!")
    assert f"planted --input {saved}" in done.stdout
    assert run("planted", "--input", saved).returncode == 1


@with_atheris
def test_target_is_fuzzed_for_the_given_time(tmp_path):
    done = run("table", "--seconds", 2, "--crashes", tmp_path)
    assert (done.returncode, list(tmp_path.iterdir())) == (0, []), done.stdout
    assert " inputs, " in done.stdout
