"""Every declared number of every command with extreme values: a result or one line, no crash, no hang."""

import random

import pytest

from extreme_commander import AT_BOX, BASE, PORTS, TEXTS, accepted, bounds, cases, commands, numbers
from extreme_outcomes import bad, outcomes
from mm.errors import UsageError

COMMANDER = "extreme_commander.py"
SAMPLE, TRADED = 60, 10
OF_A_TRADER = ("initial", "step", "tick-size", "min-notional", "account", "call-limit", "recv-window", "reconcile")
ELSEWHERE = {
    "docs",
    "trade cancel",
    "trade flatten",
    "data fetch",
    "watchdog",
    "rl train",
    "rl evaluate",
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
"""Commands with numbers that are not run here: they need a position, agents, archives or a terminal."""


def test_every_number_of_every_command_is_read_or_refused_in_one_line():
    knobs = {knob for _, command in commands() for knob in numbers(command).values()}
    refused = 0
    for knob in knobs:
        for text in (*TEXTS, *bounds(knob)):
            if not accepted(knob, text):
                refused += 1
                with pytest.raises(UsageError, match=rf"\A{knob.name} was .*: it must be .*\Z"):
                    knob.read(text)
    assert refused > 1_000


def test_sample_of_extreme_knobs_is_run_or_refused():
    found = outcomes(
        COMMANDER, random.Random(0).sample([one for one in cases() if one["command"] not in AT_BOX], SAMPLE)
    )
    assert bad(found) == []
    assert any(outcome == "ok" for _, outcome in found)


@pytest.mark.slow
@pytest.mark.parametrize("command", dict.fromkeys(case["command"] for case in cases()))
def test_every_extreme_knob_is_run_or_refused(command):
    """Of a trader, which takes seconds for each, its account and what it has of its own, and a sample of the others."""
    tried = [case for case in cases() if case["command"] == command]
    if command in AT_BOX:
        own = [case for case in tried if any(word in case["flag"] for word in OF_A_TRADER)]
        tried = own + random.Random(0).sample([case for case in tried if case not in own], TRADED)
    assert bad(outcomes(COMMANDER, tried)) == []


def test_every_command_with_numbers_is_run_or_named():
    """A new command is added to one of the lists."""
    there = {name for name, command in commands() if any(flag not in PORTS for flag in numbers(command))}
    assert there - set(BASE) - ELSEWHERE == set()
