"""``mm risk``: read, trigger and re-arm the kill switches of symbols."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from mm.base.knobs import REQUIRED, SYMBOLS, knob
from mm.cli.config import Results
from mm.cli.console import Console
from mm.cli.frame import command
from mm.clock import now_us
from mm.live.kill_switch import KillSwitch

MANUAL = "by hand"


@dataclass(frozen=True, kw_only=True)
class SwitchPlace(Results):
    """The symbols of the kill switches, and the folder of their files."""

    symbol: str = knob(REQUIRED, SYMBOLS, "Symbol, in any case, or a list.")

    def switches(self) -> list[KillSwitch]:
        """Return the switches."""
        return [KillSwitch(self.out_root, symbol) for symbol in self.symbol.split(",")]


def _show(console: Console, switches: Sequence[KillSwitch]) -> None:
    """Print the state of switches; as JSON that of one, or of several by symbol."""
    for one in switches:
        console.print(one.line())
    found = [one.status() for one in switches]
    console.set_json(found[0] if len(found) == 1 else {"symbols": {one["symbol"]: one for one in found}})


@command(SwitchPlace)
def status(console: Console, place: SwitchPlace) -> None:
    """Show whether the kill switches of symbols are triggered, with reason and time.

    Example: mm risk status --symbol BTCUSDT
    """
    _show(console, place.switches())


@command(
    SwitchPlace,
    arguments=[click.Option(["--reason"], default=MANUAL, metavar="TEXT", help="Reason, as text.  [default by hand]")],
)
def kill(console: Console, place: SwitchPlace, reason: str) -> None:
    """Trigger kill switches: a trader of one of the symbols cancels all its orders and stops, and none can start.

    Example: mm risk kill --symbol BTCUSDT --reason "odd fills"
    """
    for switch in place.switches():
        if not switch.trigger(reason, now_us()):
            console.print(f"{switch.symbol}: already triggered; the earlier reason is kept")
    _show(console, place.switches())


@command(SwitchPlace)
def rearm(console: Console, place: SwitchPlace) -> None:
    """Re-arm kill switches, so that the symbols may be traded again.

    Example: mm risk rearm --symbol BTCUSDT
    """
    for switch in place.switches():
        found = switch.rearm()
        console.print(f"was not triggered: {switch.path}" if found is None else f"was triggered: {found.reason}")
    _show(console, place.switches())
