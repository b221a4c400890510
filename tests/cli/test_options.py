"""The help of a command: short and by heading, and complete on request."""

import re

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from mm.cli.commands import COMMANDS, SECTIONS
from mm.cli.docs import every_group
from mm.cli.options import heading

MOST_LINES = 40
LONG = ["backtest", "walkforward", "sweep", "calibrate", "schedule", "record", "shadow", "trade", "check lookahead"]


def lines(*words: str) -> list[str]:
    result = CliRunner().invoke(main, list(words), terminal_width=80)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


@pytest.mark.parametrize("command", LONG)
def test_help_of_a_large_command_fits_on_a_screen(command):
    """The important options come before the mention of advanced options."""
    shown = lines(*command.split(), "--help")
    advanced = next(number for number, line in enumerate(shown) if line.startswith("Advanced: "))
    assert advanced <= MOST_LINES
    assert any("--symbol" in line for line in shown)


@pytest.mark.parametrize("command", LONG)
def test_full_help_lists_every_option_under_known_headings(command):
    """The short help leaves options out, the full help none; both have the headings of docs/lookup/configuration.md."""
    short, whole = ("\n".join(lines(*command.split(), word)) for word in ("--help", "--help-all"))
    left_out = int(re.findall(r"Advanced: (\d+) more options", short)[0])
    flags = [set(re.findall(r"^  (--[\w-]+)", text, re.MULTILINE)) for text in (short, whole)]
    aliases = {"--fit"}  # the short name of --fill-params-file
    assert len(flags[1]) - len(flags[0] - aliases) - len(flags[0] & aliases) == left_out
    headings = set(re.findall(r"^(\S[\w ]*):$", whole, re.MULTILINE))
    known = {heading(group) for group in every_group()}
    assert {"Execution", "Market"} & known & headings or command == "record"


@pytest.mark.parametrize("command", [*LONG, "sim day", "sim serve", "sim api"])
def test_variable_in_the_short_help_belongs_to_the_command(command):
    """A flag that the command does not have would be rejected."""
    short, whole = (" ".join(" ".join(lines(*command.split(), word)).split()) for word in ("--help", "--help-all"))
    flag, variable = re.findall(r"Each flag is a variable too \((--[\w-]+): (\w+)\)", short.replace("- ", "-"))[0]
    assert f"{flag} " in whole
    assert f"[{variable}" in whole


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("sim day", ["--day", "--hours", "--seed", "--scenario"]),
        ("sim serve", ["--scenario", "--seed", "--port", "--faults", "--speed"]),
        ("sim api", ["--scenario", "--data-source", "--preset", "--seed", "--port"]),
    ],
)
def test_short_help_of_a_simulation_names_its_market(command, flags):
    """The simulated market is the first question, and its scenarios are the answer."""
    short = "\n".join(lines(*command.split(), "--help"))
    assert [flag for flag in flags if f"  {flag} " not in short] == []
    assert "zero_intelligence" in short


@pytest.mark.parametrize(
    ("command", "a_list"),
    [("backtest", True), ("calibrate", True), ("shadow", True), ("trade", True), ("sim day", False)],
)
def test_short_help_offers_a_list_of_symbols_only_if_accepted(command, a_list):
    (line,) = [text for text in lines(*command.split(), "--help") if "--symbol SYMBOL " in text]
    assert ("or a list" in line) == a_list


def test_every_command_has_a_heading():
    """The overview of the program is ordered by task."""
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(COMMANDS)


def test_headings_are_words():
    """``OrderAccess`` is a class, `Order access` a heading."""
    assert heading(type("OrderAccess", (), {})) == "Order access"
    assert heading(type("Day", (), {})) == "Day"


def test_short_command_shows_all_options():
    """If all options fit, there is no second help."""
    shown = "\n".join(lines("runs", "list", "--help"))
    assert "--help-all" not in shown
    assert "[OUT_ROOT" in shown
