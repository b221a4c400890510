"""The targets of the fuzzer on their examples and on damaged ones, and the fuzzer itself where atheris is installed."""

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
# What the fuzzer has found; each was a crash, or another answer than the plain parser's.
FOUND = [
    ("captures", b'{"t":"header","exchange":"\xff","ts":1}\n'),
    ("diffs", b'\0{"recv_ms":176761080000800000,"U":5,"u":6,"b":[["1","2"]],"a":[]}\n'),
]


def damaged(seed, chance):
    """Return *seed* with a few bytes, or pieces, removed, repeated or changed."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        at, size = chance.randrange(len(data) + 1), chance.choice((1, 1, 2, 8, 40))
        piece = data[at : at + size]
        data[at : at + size] = chance.choice((b"", piece * 2, chance.randbytes(len(piece)), b"9" * len(piece), b'"'))
    return bytes(data)


@pytest.mark.parametrize("name", ROUNDS)
def test_targets_hold_on_their_examples_and_on_damaged_ones(name):
    """No example is a crash, and some are accepted: a target that refuses everything would find nothing."""
    target, chance = TARGETS[name], random.Random(7)
    assert any(list(map(target.run, target.seeds)))
    for seed in target.seeds:
        for _ in range(ROUNDS[name]):
            target.run(damaged(seed, chance))


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_stays_mended(name, data):
    """Each is refused now."""
    assert not TARGETS[name].run(data)


def test_a_kernel_that_reads_another_number_is_found(monkeypatch):
    """The comparison of both parsers has teeth: a plain parser with a mistake of one µs differs at once."""
    import plain_parse

    whole = plain_parse.Cursor.whole
    monkeypatch.setattr(plain_parse.Cursor, "whole", lambda cursor: whole(cursor) + 1)
    for name in ("diffs", "table"):
        with pytest.raises(AssertionError):
            TARGETS[name].run(TARGETS[name].seeds[0])


def run(*arguments):
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_every_target_can_be_named():
    assert set(NAMES) == set(TARGETS)
    with pytest.raises(AssertionError, match="planted"):
        planted(b"mm!")


@pytest.mark.skipif(HAS_ATHERIS, reason="atheris is installed")
def test_without_atheris_the_command_says_what_it_needs():
    done = run("table", "--seconds", 1)
    assert (done.returncode, done.stdout) == (2, "")
    assert "atheris is not installed; pip install -e '.[fuzz]'" in done.stderr


@with_atheris
def test_a_planted_crash_is_found_and_repeated(tmp_path):
    """Three bytes of 2**24 are found by way of the branches that each of them opens."""
    done = run("planted", "--seconds", 60, "--crashes", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    (saved,) = tmp_path.iterdir()
    assert saved.read_bytes().startswith(b"mm!")
    assert f"planted --input {saved}" in done.stdout
    assert run("planted", "--input", saved).returncode == 1


@with_atheris
def test_a_target_is_fuzzed_for_its_time(tmp_path):
    done = run("table", "--seconds", 2, "--crashes", tmp_path)
    assert (done.returncode, list(tmp_path.iterdir())) == (0, []), done.stdout
    assert " inputs, " in done.stdout
