"""Every declared number of every command with extreme values: a result or one line, no crash, no hang."""

import random

import pytest

from extreme_commander import BASE, PORTS, cases, commands, numbers
from extreme_outcomes import bad, outcomes

COMMANDER = "extreme_commander.py"
SAMPLE = 60
ELSEWHERE = {
    "trade",
    "trade flatten",
    "shadow",
    "data import",
    "data fetch",
    "watchdog",
    "rl train",
    "rl evaluate",
    "rl referee",
    "sim api",
    "latency",
    "bench",
    "check lookahead",
    "runs explain",
    "predict score",
    "predict apply",
    "dashboard",
    "audit prune",
    "state init",
    "state rebuild",
    "state show",
}
"""Commands with numbers that are not run here: they need an exchange, agents, archives or a terminal."""


def test_sample_of_extreme_knobs_is_run_or_refused():
    found = outcomes(COMMANDER, random.Random(0).sample(cases(), SAMPLE))
    assert bad(found) == []
    assert any(outcome == "ok" for _, outcome in found)


@pytest.mark.slow
@pytest.mark.parametrize("command", dict.fromkeys(case["command"] for case in cases()))
def test_every_extreme_knob_is_run_or_refused(command):
    assert bad(outcomes(COMMANDER, [case for case in cases() if case["command"] == command])) == []


def test_every_command_with_numbers_is_run_or_named():
    """A new command is added to one of the lists."""
    there = {name for name, command in commands() if any(flag not in PORTS for flag in numbers(command))}
    assert there - set(BASE) - ELSEWHERE == set()
