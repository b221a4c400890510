"""``mm config show`` and ``mm completion``."""

from dataclasses import replace
from typing import Any

import click
from click.shell_completion import get_completion_class

from mm.base.knobs import REQUIRED, Knob, knobs, shown
from mm.cli.docs import every_group
from mm.cli.frame import Command, Program, as_json, command, source_of
from mm.cli.options import FILE, KnobOption, heading
from mm.errors import UsageError
from mm.terminal.console import Console

_WORDS = click.Argument(["words"], nargs=-1, metavar="[COMMAND…]")


SHELLS = ("bash", "zsh", "fish")


_VARIABLE = "_MM_COMPLETE"  # variable by which click requests completions


@command(arguments=[_WORDS])
def config_show(console: Console, words: tuple[str, ...]) -> None:
    """Show each setting with its source: environment, file or default; with a COMMAND, its settings and defaults.

    Example: mm config show backtest
    """
    sections = _of_command(words) if words else {heading(group): knobs(group) for group in every_group()}
    values, sources, file = _effective({knob.name: knob for section in sections.values() for knob in section}.values())
    console.set_json({name: {"value": values[name], "source": sources[name]} for name in values})
    if file:
        console.print(f"file {file}")
    for title, section in sections.items():
        console.print(f"\n{title}")
        for knob in section:
            source = "" if sources[knob.name] == "default" else f"  ({sources[knob.name]})"
            text = "-" if values[knob.name] is None else shown(values[knob.name])
            console.print(f"  {knob.name} = {text}{source}")


def _of_command(words: tuple[str, ...]) -> dict[str, tuple[Knob, ...]]:
    ctx = click.get_current_context()
    program: click.Command = ctx.find_root().command
    if not isinstance(program, Program):
        raise UsageError("only mm config show shows the settings of a command")
    for word in words:
        if not isinstance(program, Program):
            raise UsageError(f"mm {' '.join(words)} is not a command; mm --help lists all")
        program = program.get_command(ctx, word)
    if isinstance(program, Program):
        if not program.has_own:
            raise UsageError(
                f"mm {' '.join(words)} is a group of commands; give one of them: "
                f"{', '.join(program.list_commands(ctx))}"
            )
        program = program.own()
    sections: dict[str, tuple[Knob, ...]] = {}
    for option in program.params:
        if isinstance(option, KnobOption):
            sections[option.heading] = (*sections.get(option.heading, ()), option.knob)
    return sections


def _effective(wanted: Any) -> tuple[dict[str, Any], dict[str, str], str | None]:
    options = [
        KnobOption(replace(knob, default=None if knob.default is REQUIRED else knob.default), "") for knob in wanted
    ]
    probe = Command("settings", params=list(options))
    with probe.make_context("settings", [], parent=click.get_current_context()) as ctx:
        values = {option.knob.name: as_json(ctx.params[option.knob.name]) for option in options}
        return values, {name: source_of(ctx, name) for name in values}, ctx.meta.get(FILE)


@command(arguments=[click.Argument(["shell"], type=click.Choice(SHELLS))])
def completion(console: Console, shell: str) -> None:
    """Print the completion script of SHELL, for commands, flags, models, symbols, days and run ids.

    \b
    bash:  mm completion bash > ~/.local/share/bash-completion/completions/mm
    zsh:   mm completion zsh > "${fpath[1]}/_mm"
    fish:  mm completion fish > ~/.config/fish/completions/mm.fish
    """
    shell_class = get_completion_class(shell)
    assert shell_class is not None, shell
    script = shell_class(click.Group("mm"), {}, "mm", _VARIABLE)
    text = (script.source_template % script.source_vars()).strip()  # not source(), which starts bash for its version
    console.print(text)
    console.set_json({"shell": shell, "script": text})
