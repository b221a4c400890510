"""``mm risk``: read, trigger and re-arm the kill switch of a symbol."""

from dataclasses import dataclass

import click

from mm.base.knobs import REQUIRED, SYMBOL, knob
from mm.cli.config import Results
from mm.cli.console import Console
from mm.cli.frame import command
from mm.clock import now_us
from mm.live.kill_switch import KillSwitch

MANUAL = "by hand"


@dataclass(frozen=True, kw_only=True)
class SwitchPlace(Results):
    """The symbol of the kill switch, and the folder of its file."""

    symbol: str = knob(REQUIRED, SYMBOL, "Symbol, in any case.")

    def switch(self) -> "KillSwitch":
        """Return the switch."""

        return KillSwitch(self.out_root, self.symbol)


@command(SwitchPlace)
def status(console: Console, place: SwitchPlace) -> None:
    """Show whether the kill switch of a symbol is triggered, with reason and time.

    Example: mm risk status --symbol BTCUSDT
    """
    switch = place.switch()
    console.print(switch.line())
    console.set_json(switch.status())


@command(
    SwitchPlace,
    arguments=[click.Option(["--reason"], default=MANUAL, metavar="TEXT", help="Reason, as text.  [default by hand]")],
)
def kill(console: Console, place: SwitchPlace, reason: str) -> None:
    """Trigger the kill switch: a trader of the symbol cancels all its orders and stops, and no trader can start.

    Example: mm risk kill --symbol BTCUSDT --reason "odd fills"
    """
    switch = place.switch()
    if not switch.trigger(reason, now_us()):
        console.print("already triggered; the earlier reason is kept")
    console.print(switch.line())
    console.set_json(switch.status())


@command(SwitchPlace)
def rearm(console: Console, place: SwitchPlace) -> None:
    """Re-arm the kill switch, so that the symbol may be traded again.

    Example: mm risk rearm --symbol BTCUSDT
    """
    switch = place.switch()
    found = switch.rearm()
    console.print(f"was not triggered: {switch.path}" if found is None else f"was triggered: {found.reason}")
    console.print(switch.line())
    console.set_json(switch.status())
