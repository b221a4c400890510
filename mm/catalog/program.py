"""The commands of program: knobs, arguments and help."""

from pathlib import Path

import click

from mm.cli.frame import command

_WORDS = click.Argument(["words"], nargs=-1, metavar="[COMMAND…]")


config_show = command(
    arguments=[_WORDS],
    body="mm.commands.program:show",
    text="""
    Show each setting with its source: environment, file or default; with a COMMAND, its settings and defaults.

    Example: mm config show backtest
    """,
)

SHELLS = ("bash", "zsh", "fish")


completion = command(
    arguments=[click.Argument(["shell"], type=click.Choice(SHELLS))],
    body="mm.commands.program:completion",
    text="""
    Print the completion script of SHELL, for commands, flags, models, symbols, days and run ids.

    \b
    bash:  mm completion bash > ~/.local/share/bash-completion/completions/mm
    zsh:   mm completion zsh > "${fpath[1]}/_mm"
    fish:  mm completion fish > ~/.config/fish/completions/mm.fish
    """,
)

_ROOT = click.Option(
    ["--out-root"],
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out/demo"),
    show_default=True,
    help="Folder of the day and of all runs.",
)


demo = command(
    arguments=[_ROOT],
    body="mm.commands.demo:main",
    text="""
    Make a synthetic day, calibrate it, run three backtests, and print the estimates next to the true values.

    Example: mm demo
    """,
)
