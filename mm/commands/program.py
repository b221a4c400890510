"""The program itself: ``mm config show`` (settings with their sources) and ``mm completion`` (for shells)."""

from dataclasses import replace
from typing import Any

import click
from click.shell_completion import get_completion_class

from mm.base.knobs import REQUIRED, Knob, knobs, shown
from mm.cli.console import Console
from mm.cli.docs import every_group
from mm.cli.frame import Command, Program, as_json, command, source_of
from mm.cli.options import FILE, KnobOption, heading
from mm.errors import UsageError

_WORDS = click.Argument(["words"], nargs=-1, metavar="[COMMAND…]")


SHELLS = ("bash", "zsh", "fish")


_VARIABLE = "_MM_COMPLETE"  # variable by which click requests completions


@command(arguments=[_WORDS])
def config_show(console: Console, words: tuple[str, ...]) -> None:
    """Show each setting with its source: environment, file or default; with a COMMAND, its settings and defaults.

    Example: mm config show backtest
    """
    sections = _of_command(words) if words else {heading(group): knobs(group) for group in every_group()}
    values, sources, file = _effective({one.name: one for section in sections.values() for one in section}.values())
    console.set_json({name: {"value": values[name], "source": sources[name]} for name in values})
    if file:
        console.print(f"file {file}")
    for title, section in sections.items():
        console.print(f"\n{title}")
        for one in section:
            source = "" if sources[one.name] == "default" else f"  ({sources[one.name]})"
            text = "-" if values[one.name] is None else shown(values[one.name])
            console.print(f"  {one.name} = {text}{source}")


def _of_command(words: tuple[str, ...]) -> dict[str, tuple[Knob, ...]]:
    """Return the knobs of the command called *words*, by heading."""
    ctx = click.get_current_context()
    found: click.Command = ctx.find_root().command
    if not isinstance(found, Program):
        raise UsageError("only mm config show shows the settings of a command")
    for word in words:
        if not isinstance(found, Program):
            raise UsageError(f"mm {' '.join(words)} is not a command; mm --help lists all")
        found = found.get_command(ctx, word)
    if isinstance(found, Program):
        if not found.has_own:
            raise UsageError(
                f"mm {' '.join(words)} is a group of commands; give one of them: {', '.join(found.list_commands(ctx))}"
            )
        found = found.own()
    sections: dict[str, tuple[Knob, ...]] = {}
    for option in found.params:
        if isinstance(option, KnobOption):
            sections[option.heading] = (*sections.get(option.heading, ()), option.knob)
    return sections


def _effective(wanted: Any) -> tuple[dict[str, Any], dict[str, str], str | None]:
    """Return value and source of each knob for a command without flags, and the file of settings."""
    options = [KnobOption(replace(one, default=None if one.default is REQUIRED else one.default), "") for one in wanted]
    probe = Command("settings", params=list(options))
    ctx = probe.make_context("settings", [])
    values = {one.knob.name: as_json(ctx.params[one.knob.name]) for one in options}
    return values, {name: source_of(ctx, name) for name in values}, ctx.meta.get(FILE)


@command(arguments=[click.Argument(["shell"], type=click.Choice(SHELLS))])
def completion(console: Console, shell: str) -> None:
    """Print the completion script of SHELL, for commands, flags, models, symbols, days and run ids.

    \b
    bash:  mm completion bash > ~/.local/share/bash-completion/completions/mm
    zsh:   mm completion zsh > "${fpath[1]}/_mm"
    fish:  mm completion fish > ~/.config/fish/completions/mm.fish
    """
    found = get_completion_class(shell)
    assert found is not None, shell
    script = found(click.Group("mm"), {}, "mm", _VARIABLE)
    text = (script.source_template % script.source_vars()).strip()  # not source(), which starts bash for its version
    console.print(text)
    console.set_json({"shell": shell, "script": text})
