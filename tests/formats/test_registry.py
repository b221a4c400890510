"""The names of the formats, at the command line and in the registry."""

from importlib import import_module

import click
import pytest

from mm.commands.data import data_import as import_command
from mm.errors import UsageError
from mm.formats.registry import FORMATS, NAMES, form_of


def test_every_format_of_the_command_line_has_a_reader():
    option = next(form for form in import_command.params if "--format" in form.opts)
    assert isinstance(option.type, click.Choice)
    assert {*NAMES, "bybit", "bybit-spot"} == set(option.type.choices)  # captures of those markets, too
    for form in FORMATS.values():
        module, _, name = form.reader.partition(":")
        assert hasattr(import_module(module), name)


def test_days_are_utc_except_for_raw_captures():
    assert {form_of(name).zone for name in FORMATS} == {"UTC"}
    assert form_of("raw").zone == "Europe/Berlin"


def test_unknown_format_is_rejected_by_name():
    with pytest.raises(UsageError, match=r"--format 'csv' is not one of raw, bitstamp, hftbacktest, tardis"):
        form_of("csv")
