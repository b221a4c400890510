"""The help of a command: short and by heading, and whole on request."""

import re

import pytest
from click.testing import CliRunner

from mm.__main__ import COMMANDS, SECTIONS, main
from mm.cli.docs import every_group
from mm.cli.options import heading

MOST_LINES = 40
LONG = ["backtest", "walkforward", "sweep", "calibrate", "schedule", "record", "shadow", "trade", "check lookahead"]


def lines(*words: str) -> list[str]:
    result = CliRunner().invoke(main, list(words), terminal_width=80)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


@pytest.mark.parametrize("command", LONG)
def test_the_help_of_a_large_command_fits_on_a_screen(command):
    """What one needs first is there before the advanced options are mentioned."""
    found = lines(*command.split(), "--help")
    advanced = next(number for number, line in enumerate(found) if line.startswith("Advanced: "))
    assert advanced <= MOST_LINES
    assert any("--symbol" in line for line in found)


@pytest.mark.parametrize("command", LONG)
def test_the_whole_help_names_every_option_under_the_headings_of_the_page(command):
    """The short one leaves options out, the whole one none; both have the headings of docs/configuration.md."""
    short, whole = ("\n".join(lines(*command.split(), word)) for word in ("--help", "--help-all"))
    left_out = int(re.findall(r"Advanced: (\d+) more options", short)[0])
    flags = [set(re.findall(r"^  (--[\w-]+)", text, re.MULTILINE)) for text in (short, whole)]
    aliases = {"--fit"}  # the short name of --fill-params-file
    assert len(flags[1]) - len(flags[0] - aliases) - len(flags[0] & aliases) == left_out
    headings = set(re.findall(r"^(\S[\w ]*):$", whole, re.MULTILINE))
    known = {heading(group) for group in every_group()}
    assert {"Execution", "Market"} & known & headings or command == "record"


def test_every_command_has_a_heading():
    """The first look at the program is ordered by what one wants to do."""
    placed = [name for names in SECTIONS.values() for name in names]
    assert sorted(placed) == sorted(COMMANDS)


def test_headings_are_words():
    """``OrderAccess`` is a class, `Order access` a heading."""
    assert heading(type("OrderAccess", (), {})) == "Order access"
    assert heading(type("Day", (), {})) == "Day"


def test_a_short_command_shows_everything():
    """Where all options fit there is no second help."""
    found = "\n".join(lines("runs", "list", "--help"))
    assert "--help-all" not in found
    assert "[OUT_ROOT" in found
