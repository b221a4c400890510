"""``mm risk``."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from mm.base.common_knobs import symbol_knob
from mm.cli.console import Console
from mm.cli.frame import command
from mm.clock import now_us
from mm.live.account.kill_switch import KillSwitch
from mm.play.knobs import Results


@dataclass(frozen=True, kw_only=True)
class SwitchPlace(Results):
    """The symbols of the kill switches, and the folder of their files."""

    symbol: str = symbol_knob("Symbol, in any case, or a list.", many=True, common="")


MANUAL = "by hand"


def switches(place: SwitchPlace) -> list[KillSwitch]:
    return [KillSwitch(place.out_root, symbol) for symbol in place.symbol.split(",")]


def _show(console: Console, switches: Sequence[KillSwitch]) -> None:
    for switch in switches:
        console.print(switch.line())
    states = [switch.status() for switch in switches]
    console.set_json(states[0] if len(states) == 1 else {"symbols": {state["symbol"]: state for state in states}})


@command(SwitchPlace)
def risk_status(console: Console, place: SwitchPlace) -> None:
    """Show whether the kill switches of symbols are triggered, with reason and time.

    Example: mm risk status --symbol BTCUSDT
    """
    _show(console, switches(place))


@command(
    SwitchPlace,
    arguments=[click.Option(["--reason"], default=MANUAL, metavar="TEXT", help="Reason, as text.  [default by hand]")],
)
def risk_kill(console: Console, place: SwitchPlace, reason: str) -> None:
    """Trigger kill switches: a trader of one of the symbols cancels all its orders and stops, and none can start.

    Example: mm risk kill --symbol BTCUSDT --reason "odd fills"
    """
    for switch in switches(place):
        if not switch.trigger(reason, now_us()):
            console.print(f"{switch.symbol}: already triggered; the earlier reason is kept")
    _show(console, switches(place))


@command(SwitchPlace)
def risk_rearm(console: Console, place: SwitchPlace) -> None:
    """Re-arm kill switches, so that the symbols may be traded again.

    Example: mm risk rearm --symbol BTCUSDT
    """
    for switch in switches(place):
        trigger = switch.rearm()
        console.print(f"was not triggered: {switch.path}" if trigger is None else f"was triggered: {trigger.reason}")
    _show(console, switches(place))
