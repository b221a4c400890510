"""``mm record``."""

import click

from mm.base.common_knobs import Name
from mm.cli.frame import command
from mm.cli.task_knobs import BinanceMarket, Recorder, Sources
from mm.terminal.console import Console

_STATUS = click.Option(["--status"], is_flag=True, help="Print the state of the recording, without recording.")


@command(arguments=[_STATUS])
def record(
    console: Console, source: Sources, market: BinanceMarket, recorder: Recorder, name: Name, status: bool
) -> None:
    """Record one symbol or several until the window closes; SIGTERM and Ctrl-C end it in order."""
    from mm.cli.recorders import main

    main(console, source, market, recorder, name, status)
