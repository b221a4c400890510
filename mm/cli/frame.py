"""The frame of every command: flags from knobs, errors as one line, the contract's exit codes."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from mm.base.common_knobs import Output, Terminal
from mm.base.knobs import REQUIRED, SWITCH, Knob, ServerUrl, closest, is_switch, knobs, shown
from mm.cli.commands import COMMANDS, Commands
from mm.cli.config import FROM_RUNS
from mm.cli.env_file import ENV_FILE, EnvFile, env_file
from mm.cli.options import FILE, KnobOption, heading, is_short, write_options
from mm.cli.settings_file import VARIABLE, settings_file
from mm.errors import SAID, MMError, UnknownModel, UsageError
from mm.play.knobs import Day, OneAccount
from mm.terminal.console import Console, Elsewhere, write_line
from mm.terminal.exits import exit_code_of, named
from mm.terminal.interrupts import interruptible

_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
_SOURCES = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "file",
}
Body = Callable[..., None]
_NO_SETTING = ("log_level", "log_root")  # change no result
_WHOLE = "mm.help_all"  # in the meta of a context: whether its help names every option


class _Frame(click.Command):
    """Prints every failure as one line on stderr and exits with the contract's exit code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        token = SAID.set(_as_flags({}))
        try:
            with interruptible():
                code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except (Exception, KeyboardInterrupt) as error:
            code = report_error(error)
        finally:
            SAID.reset(token)
        sys.exit(code)


class Command(_Frame):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read *args*, then the environment, then the file of settings; a switch without a value is 1."""
        flags = _as_flags({name: knob for knob in known_knobs(self) for name in (knob.name, knob.argument) if name})
        ctx.call_on_close(partial(SAID.reset, SAID.set(flags)))  # after a refusal here `main` does
        _read_files(ctx)
        switches = {flag for param in self.params if param.metavar == SWITCH.metavar for flag in param.opts}
        left_out = [not is_switch(word) and word.lower() not in _YES_NO for word in [*args[1:], ""]]
        words = [f"{word}=1" if word in switches and out else word for word, out in zip(args, left_out, strict=False)]
        return super().parse_args(ctx, words)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A command with many options shows the common ones unless all are requested."""
        write_options(ctx, formatter, whole=is_short(self.params) or bool(ctx.meta.get(_WHOLE)))

    def invoke(self, ctx: click.Context) -> Any:
        """Handle errors before click handles some itself."""
        try:
            return super().invoke(ctx)
        except click.exceptions.Exit:
            raise
        except (Exception, KeyboardInterrupt) as error:
            raise click.exceptions.Exit(report_error(error)) from error


_YES_NO = ("yes", "no", "on", "off")  # values that a switch refuses, not further words of the command


class Program(_Frame, click.Group):
    """Commands by name; each is imported when it is called, and the help imports none."""

    def __init__(
        self, name: str, text: str, commands: Commands, sections: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        params = [*([_config()] if sections else []), _help_all(hidden=True)]
        super().__init__(name, help=text, context_settings=_SETTINGS, params=params)
        self._entries, self._sections = commands, sections or {"Commands": list(commands)}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [name for name, (_, target) in self._entries.items() if name and _exists(target)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A group's own command if *args* name none."""
        name, resolved, rest = super().resolve_command(ctx, args)
        if isinstance(resolved, Program) and resolved.has_own and not (rest and not rest[0].startswith("-")):
            resolved = resolved.own()
        return name, resolved, rest

    @property
    def has_own(self) -> bool:
        return "" in self._entries

    def own(self) -> click.Command:
        own: click.Command = imported(str(self._entries[""][1]))
        own.epilog = "  ".join(f"mm {self.name} {name}: {text}" for name, (text, _) in self._entries.items() if name)
        return own

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        known = self.list_commands(ctx)
        if cmd_name not in known:
            groups = {name: target for name, (_, target) in self._entries.items() if not isinstance(target, str)}
            below = [
                f"{ctx.command_path} {name} {cmd_name}"
                for name, inner in groups.items()
                if cmd_name in inner and _exists(inner[cmd_name][1])
            ]
            meant = f"; did you mean {' or '.join(below)}?" if below else closest(cmd_name, known)
            raise UnknownModel(f"{ctx.command_path} has no command {cmd_name!r}; it has {', '.join(known)}{meant}")
        text, target = self._entries[cmd_name]
        if not isinstance(target, str):
            return Program(cmd_name, text, target)
        loaded: click.Command = imported(target)
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        there = self.list_commands(ctx)
        for title, names in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, self._entries[name][0]) for name in names if name in there])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])


def runner(  # noqa: PLR0913 - each is given once, at the command
    kind: str,
    *groups: type,
    method: str | None = None,
    defaults: Mapping[str, Any] | None = None,
    resumable: bool = False,
    day_of: Callable[[Sequence[Any]], Day] | None = None,
    arguments: Sequence[click.Parameter] = (),
    brief: Sequence[type] = (),
    varied: Sequence[type] = (),
    legs_of: Callable[[Any], Any] | None = None,
) -> Callable[[Body], Command]:
    """Declare a command that writes a run folder: ``main(run, day: Day, …)``, whose docstring is the help.

    The dataclasses among the body's annotations are the groups of its knobs, one of them Day. Import what the body
    needs inside it, so that the help loads no package of research.

    Args:
        groups: The groups of a body whose annotations do not name them.
        method: The knob that names the folder between kind and symbol (``calib_method``).
        resumable: A killed run resumes when its RUN_ID or OUT_DIR is given again.
        day_of: Returns the run's day from the knobs, if Day is not among them; the body gets it last.
        arguments: Options that are no knobs and not recorded; the body gets them by name.
        brief: Groups whose common knobs the short help lists; default: all.
        varied: Groups of which PER_SYMBOL may set knobs; the body gets all symbols' `SymbolRun` and its *arguments*.
        legs_of: Returns the further symbols in which these strategies send orders, given each one's knobs.
    """

    def call(main: Body, console: Console, objects: Sequence[Any], settings: Mapping[str, Any]) -> None:
        from mm.cli.refused_knobs import refuse_unused
        from mm.runs.in_progress import new_run
        from mm.runs.manifest import ACCOUNTS
        from mm.runs.plan import Plan

        day = day_of(objects) if day_of else _find(objects, Day)
        symbols = day.symbol.split(",")
        together = next((group.one_account for group in objects if isinstance(group, OneAccount)), False)
        several = any("," in str(getattr(group, "symbol", "")) for group in objects)
        together = together and (kind == "backtest" or several) and kind != "evaluation"  # its folder is of all symbols
        if together:
            day = _of_account(day)
        if len(symbols) > 1 and not varied and not together:
            from mm.cli.per_symbol import each_symbol

            each_symbol(console, symbols, click.get_current_context().command_path, settings)
            return
        notes = [*refuse_unused(kind, settings), *_misspelt()]
        folder = settings[method].value if method else None
        program = click.get_current_context().command_path
        own = ACCOUNTS.get(kind, kind) if together else kind
        plan = Plan(own, folder, day, _find(objects, Output), settings, program, resumable)
        if varied:
            from mm.cli.symbol_runs import symbol_runs

            for note in notes:
                console.log.warning("knob_not_used", note=note)
            with _traced(console):
                main(symbol_runs(plan, console, objects, varied, legs_of), **_values_of(arguments))
            return
        with _traced(console), new_run(plan, console) as run:
            for note in notes:
                run.log.warning("knob_not_used", note=note)
            main(run, *objects[: len(taken(main))], *([day] if day_of else []), **_values_of(arguments))

    def taken(main: Body) -> tuple[type, ...]:
        return groups or _groups_of(main)[: -1 if day_of else None]

    return lambda main: _make(main, _with(taken(main), Output), call, defaults, arguments, brief)


def _groups_of(main: Body) -> tuple[type, ...]:
    """Return the groups of knobs that a body takes."""
    kinds = [parameter.annotation for parameter in signature(main).parameters.values()]
    return tuple(kind for kind in kinds if isinstance(kind, type) and is_dataclass(kind))


def _of_account(day: Day) -> Day:
    """Name the day after its symbols; UsageError if there is only one."""
    if "," not in day.symbol:
        raise UsageError(
            f"--one-account (ONE_ACCOUNT) is 1, and --symbol (SYMBOL) is {day.symbol} alone; give a list, or leave it "
            f"out"
        )
    return replace(day, symbol=day.symbol.replace(",", "+"))


def command(
    *groups: type,
    arguments: Sequence[click.Parameter] = (),
    defaults: Mapping[str, Any] | None = None,
    brief: Sequence[type] = (),
) -> Callable[[Body], Command]:
    """Declare a command without a run folder, ``main(console, results: Results, …)``; else as `runner`."""

    def call(main: Body, console: Console, objects: Sequence[Any], _settings: Mapping[str, Any]) -> None:
        for note in _misspelt():
            console.log.warning("knob_not_used", note=note)
        with _traced(console):
            main(console, *objects[: len(groups or _groups_of(main))], **_values_of(arguments))

    return lambda main: _make(main, _with(groups or _groups_of(main), Terminal), call, defaults, arguments, brief)


def _misspelt() -> list[str]:
    from mm.cli.refused_knobs import misspelt

    known = {knob.variable for knob in known_knobs(click.get_current_context().command)}
    listed: EnvFile | None = click.get_current_context().meta.get(ENV_FILE)
    found = misspelt(os.environ, known, lambda: set(map(str.upper, every_name())), listed.unused if listed else ())
    return [*(listed.notes if listed else ()), *found]


@contextmanager
def _traced(console: Console) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if console.level == "DEBUG":
            traceback.print_exception(error)
        if not getattr(error, "__notes__", None):  # a run says where its log is
            error.add_note("LOG_LEVEL=DEBUG shows the traceback")
        raise


def report_error(error: BaseException) -> int:
    code = exit_code_of(error)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        write_line(sys.stderr, f"error: {'terminated' if code == 128 + signal.SIGTERM else 'interrupted'}")
        return code
    if isinstance(error, click.ClickException):
        write_line(sys.stderr, f"error: {_usage(error)}")
        return code
    known = named(error)
    write_line(sys.stderr, f"error: {' '.join(str(known).split())}")
    return code


def _make(
    main: Body,
    groups: Sequence[type],
    call: Callable[[Body, Console, Sequence[Any], Mapping[str, Any]], None],
    defaults: Mapping[str, Any] | None,
    arguments: Sequence[click.Parameter] = (),
    brief: Sequence[type] = (),
) -> Command:
    own = defaults or {}
    options = [
        KnobOption(
            replace(knob, default=own.get(knob.name, knob.default)), heading(group), common=not brief or group in brief
        )
        for group in groups
        for knob in knobs(group)
    ]
    declared = [option.knob for option in options]

    def callback(**params: Any) -> None:
        from mm.runs.manifest import SetKnob

        ctx = click.get_current_context()
        typed, params = params, _resolved(groups, params)
        defaults = {knob.name: knob.default for knob in declared if knob.default is not REQUIRED}
        usual = _resolved(groups, params | defaults)
        objects = [group(**{knob.name: params[knob.name] for knob in knobs(group)}) for group in groups]
        settings = {
            knob.name: SetKnob(
                as_json(params[knob.name]),
                source_of(ctx, knob.name),
                knob.matters,
                knob.flag,
                params[knob.name] == usual[knob.name],
            )
            for knob in declared
        }
        level = _find(objects, Terminal).log_level
        console = Console(as_json=params["json"], level=level, elsewhere=_elsewhere(ctx, declared, params, typed))
        try:
            call(main, console, objects, settings)
        finally:
            console.close()

    in_json = click.Option(["--json", "json"], is_flag=True, help="Print one JSON object on stdout, and nothing else.")
    params = [*arguments, *options, in_json]
    params = [*params, _help_all(hidden=is_short(params))]
    return Command(None, callback=callback, params=params, help=main.__doc__, context_settings=_SETTINGS)


def _resolved(groups: Sequence[type], params: Mapping[str, Any]) -> dict[str, Any]:
    resolved = dict(params)
    for group in groups:
        resolved |= FROM_RUNS.get(group, getattr(group, "resolved", dict))(resolved)
    return resolved


def _help_all(*, hidden: bool) -> click.Option:
    def show(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
        if wanted and not ctx.resilient_parsing:
            ctx.meta[_WHOLE] = True
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()

    text = "Show every option, with its variable and default."
    return click.Option(
        ["--help-all"], is_flag=True, is_eager=True, expose_value=False, callback=show, help=text, hidden=hidden
    )


def _config() -> click.Option:
    def export(ctx: click.Context, _option: click.Parameter, path: str | None) -> None:
        if path is not None and not ctx.resilient_parsing:
            _export(ctx, {VARIABLE: path})

    text = "TOML or YAML file of settings; default: mm.toml or mm.yaml of this folder; none: no file.  [MM_CONFIG]"
    return click.Option(
        ["--config"], metavar="FILE", expose_value=False, callback=export, help=text, type=click.Path(dir_okay=False)
    )


def _export(ctx: click.Context, variables: Mapping[str, str]) -> None:
    before = {name: os.environ.get(name) for name in variables}

    def restore() -> None:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    os.environ.update(variables)
    ctx.call_on_close(restore)


def _read_files(ctx: click.Context) -> None:
    """MM_ENV_FILE and the file of settings rank below flags and environment."""
    try:
        exported = env_file(os.environ)
        if exported:
            ctx.meta.setdefault(ENV_FILE, exported)  # a command within one finds its variables exported
            _export(ctx, exported.values)
        settings = settings_file(os.environ.get(VARIABLE))
        if settings is not None:
            settings.check((knob.name for knob in known_knobs(ctx.command)), every_name)
            ctx.meta[FILE] = str(settings.path)
            ctx.default_map = settings.texts(known_knobs(ctx.command))
    except MMError:
        if not ctx.resilient_parsing:  # shell completion shows no errors
            raise


def _as_flags(known: Mapping[str, Knob]) -> Callable[[str], str]:
    """Name a parameter by its flag and its variable, if it is one of *known*."""

    def say(name: str) -> str:
        knob = known.get(name)
        if knob is None:  # of another command
            return f"--{name.replace('_', '-')} ({name.upper()})"
        return f"{knob.flag} ({knob.variable})"

    return say


def known_knobs(command: click.Command) -> list[Knob]:
    return [param.knob for param in command.params if isinstance(param, KnobOption)]


def every_name() -> set[str]:
    program = Program("mm", "", COMMANDS)
    return {knob.name for command in _all_commands(program) for knob in known_knobs(command)}


def _all_commands(command: click.Command) -> Iterator[click.Command]:
    if not isinstance(command, Program):
        yield command
        return
    if command.has_own:
        yield command.own()
    ctx = click.Context(command)
    for name in command.list_commands(ctx):
        yield from _all_commands(command.get_command(ctx, name))


def _values_of(arguments: Sequence[click.Parameter]) -> dict[str, Any]:
    return {str(argument.name): click.get_current_context().params[str(argument.name)] for argument in arguments}


def command_named(name: str) -> click.Command:
    """Load a command of the table: not a group, and not one below a group."""
    command: click.Command = imported(str(COMMANDS[name][1]))
    return command


def imported(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _with(groups: Sequence[type], needed: type) -> tuple[type, ...]:
    return tuple(groups) if any(issubclass(group, needed) for group in groups) else (*groups, needed)


def _find(objects: Sequence[Any], kind: type) -> Any:
    return next(group for group in objects if isinstance(group, kind))


def source_of(ctx: click.Context, name: str) -> str:
    return _SOURCES.get(ctx.get_parameter_source(name) or ParameterSource.DEFAULT, "default")


def _elsewhere(
    ctx: click.Context, declared: Sequence[Knob], params: Mapping[str, Any], typed: Mapping[str, Any]
) -> Elsewhere | None:
    file: EnvFile | None = ctx.meta.get(ENV_FILE)
    sources, texts = {}, {}
    for knob in declared:
        source = source_of(ctx, knob.name)
        if source in ("environment", "file") and knob.name not in _NO_SETTING:
            in_file = file.path if file and knob.variable in file.values else source
            sources[knob.variable] = str(ctx.meta[FILE]) if source == "file" else in_file
            texts[knob.variable] = shown(as_json(params[knob.name]))
    fit = "fill_params_file"
    found = {f"--fit {typed[fit]}": str(params[fit])} if fit in typed and typed[fit] != params[fit] else {}
    return Elsewhere(sources, texts, found) if sources or found else None


def as_json(value: Any) -> Any:
    if isinstance(value, ServerUrl):
        return value.place
    return shown(value) if isinstance(value, Path | tuple) else value


def _exists(target: "str | Commands") -> bool:
    if not isinstance(target, str):
        return any(_exists(below) for _, below in target.values())
    try:
        return find_spec(target.partition(":")[0]) is not None
    except ModuleNotFoundError:
        return False


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = f"; see {context.command_path} --help" if context else ""
    if isinstance(error, click.MissingParameter) and isinstance(error.param, click.Option):
        return f"{error.param.opts[0]} ({error.param.envvar}) is missing; give the flag or set the variable{hint}"
    if isinstance(error, click.NoSuchOption) and context:
        name = error.option_name.lstrip("-").replace("-", "_")
        known = {knob.name for knob in known_knobs(context.command)}
        if known & {"quote_params_json", "fill_params_json"}:  # a recorder's machine has no models
            from mm.play.given import parameter_way

            way = parameter_way(name, known)
        else:
            way = ""
        if way:
            return f"no such option {error.option_name}{way}{hint}"
    return " ".join(error.format_message().split()).rstrip(".") + hint
