"""Knobs as options of the command line."""

from collections.abc import Sequence
from typing import Any

import click

from mm.cli.knobs import REQUIRED, Knob, shown


class _Repeatable(click.Option):
    """A flag that may be given again; its variable is one text, which is not parted at its spaces."""

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """Return the whole variable as the only text; None where it is not set."""
        text = self.resolve_envvar_value(ctx)
        return None if text is None else (text,)


def option(one: Knob) -> click.Option:
    """Return the option that sets a knob by its flag or its variable."""
    # A default of None must not be passed: click would take it for a value that was given.
    default: dict[str, Any] = {} if one.default in (None, REQUIRED) else {"default": shown(one.default)}
    told = f", default {default['default']}" if default else ""
    often: dict[str, Any] = {} if one.joined is None else {"multiple": True, "callback": _joining(one)}
    return (_Repeatable if often else click.Option)(
        [one.flag, one.name],
        type=str if often else one.read,
        envvar=one.variable,
        required=one.default is REQUIRED,
        metavar=one.reader.metavar,
        help=f"{one.help}  [{one.variable}{told}]",
        show_default=False,
        **often,
        **default,
    )


def json_option() -> click.Option:
    """Return the option ``--json``, which every command has."""
    return click.Option(["--json", "json"], is_flag=True, help="Print one JSON object on stdout, and nothing else.")


def _joining(one: Knob) -> Any:
    """Return what makes one value of the texts of a flag that was given several times."""

    def join(_context: click.Context, _option: click.Parameter, texts: Sequence[str]) -> Any:
        return one.read(str(one.joined).join(texts))

    return join
