"""The names of the forms, at the command line and behind it."""

from importlib import import_module

import click
import pytest

from mm.commands.data import import_command
from mm.errors import UsageError
from mm.formats.registry import FORMATS, NAMES, form_of


def test_every_form_of_the_command_line_has_a_reader():
    option = next(one for one in import_command.params if "--format" in one.opts)
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == NAMES
    for one in FORMATS.values():
        module, _, name = one.reader.partition(":")
        assert hasattr(import_module(module), name)


def test_days_are_those_of_utc_but_of_raw_captures():
    assert {form_of(name).zone for name in FORMATS} == {"UTC"}
    assert form_of("raw").zone == "Europe/Berlin"


def test_another_form_is_refused_by_name():
    with pytest.raises(UsageError, match=r"--format 'csv' is not one of raw, bitstamp, hftbacktest, tardis"):
        form_of("csv")
