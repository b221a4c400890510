"""Knobs as options, and the two forms of a command's help: ``--help`` and ``--help-all``."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from mm.base.knobs import REQUIRED, Knob, shown
from mm.cli.completion import complete
from mm.cli.env_file import ENV_FILE, EnvFile
from mm.errors import UsageError

SHORT_ENOUGH = 14  # options; a command with more has a short help and a whole one
OTHERS = "Options"  # the heading of options other than knobs
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WIDEST = 26  # characters of a metavar in the short help
_FLAG_COLUMN = 34


def heading(group: type) -> str:
    first, *rest = _WORDS.split(group.__name__)
    return " ".join([first, *(word.lower() for word in rest)])


class KnobOption(click.Option):
    def __init__(self, knob: Knob, heading: str, *, common: bool = True) -> None:
        self.knob, self.heading = knob, heading
        self.common = knob.default is REQUIRED or (common and bool(knob.common))
        # A default of None must not be passed: click would take it for a value that was given.
        default: dict[str, Any] = {} if knob.default in (None, REQUIRED) else {"default": shown(knob.default)}
        shown_default = f", default {default['default']}" if default else ""
        often: dict[str, Any] = {} if knob.joined is None else {"multiple": True, "callback": self._join}
        flags = [knob.flag] if knob.alias is None else [knob.flag, knob.alias]
        super().__init__(
            [*flags, knob.name],
            type=str if often else knob.read,
            envvar=knob.variable,
            required=knob.default is REQUIRED,
            metavar=knob.reader.metavar,
            help=f"{knob.help}  [{knob.variable}{shown_default}]",
            show_default=False,
            **often,
            **default,
        )

    def _join(self, _context: click.Context, _option: click.Parameter, texts: Sequence[str]) -> Any:
        return self.knob.read(str(self.knob.joined).join(texts)) if texts else None

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """A repeatable flag's variable is not split at spaces."""
        if self.knob.joined is None:
            return super().value_from_envvar(ctx)
        text = self.resolve_envvar_value(ctx)
        return None if text is None else (text,)

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Name the source of a value that was not typed in its error."""
        try:
            return super().process_value(ctx, value)
        except UsageError as error:
            source = ctx.get_parameter_source(self.knob.name)
            if source is ParameterSource.DEFAULT_MAP:
                raise UsageError(f"{ctx.meta.get(FILE, 'the file of settings')}: {error}") from error
            if source is ParameterSource.ENVIRONMENT:
                file: EnvFile | None = ctx.meta.get(ENV_FILE)
                where = file.path if file and self.knob.variable in file.values else "the environment"
                raise UsageError(f"{where}: {error}") from error
            raise

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        words = [CompletionItem(word) for word in self.knob.reader.words if word.startswith(incomplete)]
        return words or complete(self.knob.reader.completes, ctx, incomplete)

    @property
    def brief(self) -> tuple[str, str]:
        metavar = self.knob.reader.metavar
        flag = f"{self.opts[-1]} {metavar if len(metavar) <= _WIDEST else 'NAME'}"
        default = "required" if self.required else shown(self.knob.default)
        return flag, (self.knob.common or self.knob.help) + (f"  [{default}]" if default else "")


FILE = "mm.settings_file"  # in the meta of a context: the file of settings


def is_short(params: Sequence[click.Parameter]) -> bool:
    return sum(isinstance(param, click.Option) and not param.hidden for param in params) <= SHORT_ENOUGH


def write_options(ctx: click.Context, formatter: click.HelpFormatter, *, whole: bool) -> None:
    """Without *whole*, write only the common options, one line each."""
    sections: dict[str, list[tuple[str, str]]] = {}
    left_out: dict[str, list[KnobOption]] = {}
    for param in ctx.command.get_params(ctx):
        row = param.get_help_record(ctx)
        if row is None:
            continue
        title = param.heading if isinstance(param, KnobOption) else OTHERS
        if isinstance(param, KnobOption) and not whole:
            if not param.common:
                left_out.setdefault(title, []).append(param)
                continue
            row = param.brief
        sections.setdefault(title, []).append(row)
    others = sections.pop(OTHERS, [])
    for title, rows in [*sections.items(), (OTHERS, others)]:
        with formatter.section(title):
            formatter.write_dl(rows, col_max=_FLAG_COLUMN)
    if left_out:
        formatter.write_paragraph()
        formatter.write_text(" ".join(_advanced(left_out)))


def _advanced(left_out: dict[str, list[KnobOption]]) -> Iterator[str]:
    where, every = (
        ", ".join(title.lower() for title in left_out),
        [option for many in left_out.values() for option in many],
    )
    yield f"Advanced: {len(every)} more options ({where}) with --help-all."
    yield f"Each flag is a variable too ({every[0].opts[-1]}: {every[0].knob.variable}), and a key of mm.toml."


TRUST = click.Option(
    ["--trust"],
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of Python code that may be executed where the run or predictor names it; may be repeated.",
)
