"""``mm risk``."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from click.core import ParameterSource

from mm.base.common_knobs import symbol_knob
from mm.cli.frame import command
from mm.clock import now_us
from mm.errors import DataError, Incomplete, MMError, TryLater
from mm.live.account.kill_switch import BY_HAND, KillSwitch
from mm.live.account.locks import FLATTEN, KnownTrader, KnownTraders, killed_below
from mm.play.knobs import Results
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.live.pages.kill_end import KilledTrader


@dataclass(frozen=True, kw_only=True)
class SwitchPlace(Results):
    """The symbols of the kill switches; the folder counts where no trader of the symbol is found elsewhere."""

    symbol: str = symbol_knob("Symbol, in any case, or a list; ALL: every one that is known.", many=True, common="")


ALL = "ALL"
LOOK_S = 0.1
_REASON = click.Option(["--reason"], default=BY_HAND, metavar="TEXT", help="Reason, as text.  [default by hand]")
_FUTURE = click.Option(["--future-only"], is_flag=True, help="Also for a symbol without a trader: none can start.")
_WAIT = click.Option(
    ["--wait-s"],
    type=click.FloatRange(0, 3600),
    default=10.0,
    help="Time in which a trader must have written that it is empty, in s.  [default 10]",
)


@dataclass
class _Found:
    """A symbol that was asked for: its switches, by where they are known, and its traders.

    Attributes:
        known: Whether a trader, a folder or a log has it.
    """

    symbol: str
    switches: list[KillSwitch]
    living: list[KnownTrader]
    known: bool
    told: "list[KilledTrader]" = field(default_factory=list)

    @property
    def killed(self) -> bool:
        return any(switch.triggered for switch in self.switches)

    def lines(self, given: Path) -> Iterable[str]:
        for switch in self.switches:
            folder = switch.path.parent.parent.resolve()
            if self.known or switch.triggered:
                yield switch.line() + ("" if folder == given else f" ({folder})")

    def to_json(self, looked: str) -> dict[str, Any]:
        states = [switch.status() for switch in self.switches]
        first = next((state for state in states if state["killed"]), states[0])
        told = {one.holder: one.to_json() for one in self.told}
        traders = [told.get(one.holder) or msgspec.to_builtins(one.holder) for one in self.living]
        folders = [str(switch.path.parent.parent) for switch in self.switches]
        return {**first, "known": self.known, "folders": folders, "traders": traders, "looked": looked}


def _find(place: SwitchPlace, traders: KnownTraders, *, kills: bool = False) -> list[_Found]:
    """Raise DataError if ALL is asked for, and nothing is known: to be killed, a symbol with a switch alone is not."""
    known = traders.symbols()
    killed = set[str]() if kills else set[str]().union(*map(killed_below, traders.folders))
    wanted = sorted(known | killed) if place.symbol == ALL else place.symbol.split(",")
    if not wanted:
        raise DataError(f"no trader, folder or log is known ({traders.where()}); give --out-root of the trader")
    source = click.get_current_context().get_parameter_source("out_root")
    found = list[_Found]()
    for symbol in wanted:
        living, folders = traders.living(symbol), traders.folders_of(symbol)
        here = [one for one in living if one.out_root == traders.given]
        if source == ParameterSource.COMMANDLINE and here:  # the folder that was named, with the trader in it
            living, folders = here, [traders.given]
        roots = folders
        own = traders.given not in folders and (kills or KillSwitch(place.out_root, symbol).triggered)
        if not folders or (own and not living):
            roots = [*folders, traders.given]  # a start from this shell reads it there
        named = [KillSwitch(place.out_root if root == traders.given else root, symbol) for root in roots]
        found.append(_Found(symbol, named, living, symbol in known))
    return found


def _show(console: Console, found: Sequence[_Found], traders: KnownTraders) -> None:
    for one in found:
        for line in one.lines(traders.given):
            console.print(line)
        told = {killed.holder for killed in one.told}
        for trader in one.living:
            if trader.holder not in told:
                console.print(f"{one.symbol}: {trader} runs")
    states = [one.to_json(traders.where()) for one in found]
    console.set_json(states[0] if len(states) == 1 else {"symbols": {state["symbol"]: state for state in states}})


def _raise(errors: Sequence[MMError]) -> None:
    if errors:
        code = max(error.exit_code for error in errors)
        raise errors[0] if len(errors) == 1 else Incomplete("; ".join(map(str, errors)), code)


@command()
def risk_status(console: Console, place: SwitchPlace) -> None:
    """Show whether the kill switches of symbols are triggered, and the traders that run, from whichever folder.

    Example: mm risk status --symbol BTCUSDT
    """
    traders = KnownTraders.look(place.out_root)
    found = _find(place, traders)
    _show(console, found, traders)
    _raise([traders.unknown(one.symbol) for one in found if not (one.known or one.killed)])


@command(arguments=[_REASON, _FUTURE, _WAIT])
def risk_kill(console: Console, place: SwitchPlace, reason: str, future_only: bool, wait_s: float) -> None:
    """Trigger kill switches, and wait until the traders of the symbols have written that they are empty; none starts.

    Traders are found by their locks, in whichever folder they work. 0: they are empty, or none runs; 3: no trader,
    folder or log knows the symbol; 75: one has not answered. --future-only: only so that none starts.

    Example: mm risk kill --symbol BTCUSDT --reason "odd fills"
    """
    traders = KnownTraders.look(place.out_root)
    found = _find(place, traders, kills=True)
    errors = [error for one in found for error in _trigger(console, one, reason)]
    killed = _list_killed(found, traders)
    ends_s = time.monotonic() + wait_s
    while sum(not one.look() for one in killed) and time.monotonic() < ends_s:
        time.sleep(LOOK_S)
    _show(console, found, traders)
    for one in found:
        errors += _ends(console, one, wait_s, future_only=future_only)
    errors += [traders.unknown(one.symbol) for one in found if not (one.known or future_only)]
    _raise(errors)


def _trigger(console: Console, found: _Found, reason: str) -> Iterable[MMError]:
    for switch in found.switches:
        try:
            if not switch.trigger(reason, now_us()):
                console.print(f"{switch.symbol}: already triggered; the earlier reason is kept")
        except OSError as error:
            yield DataError(
                f"{switch.path}: the kill switch cannot be triggered ({error.strerror}); touch the file, or send "
                f"SIGUSR1 to the trader"
            )


def _list_killed(found: Sequence[_Found], traders: KnownTraders) -> "list[KilledTrader]":
    """A kill of one symbol ends all of its process."""
    from mm.live.pages.kill_end import KilledTrader

    all_told = list[KilledTrader]()
    for one in found:
        since_us = min((kill.since_us for switch in one.switches if (kill := switch.read())), default=now_us())
        processes = {(trader.holder.host, trader.holder.pid) for trader in one.living if trader.holder.pid}
        beside = [
            trader
            for trader in traders.living()
            if trader in one.living or (trader.holder.host, trader.holder.pid) in processes
        ]
        known = {killed.holder for killed in all_told}
        one.told = [
            KilledTrader(trader, since_us)
            for trader in beside
            if trader.holder not in known and trader.holder.kind != FLATTEN
        ]
        all_told += one.told
    return all_told


def _ends(console: Console, found: _Found, wait_s: float, *, future_only: bool) -> Iterable[MMError]:
    from mm.live.pages.kill_end import orders_left

    for killed in found.told:
        if killed.empty:
            console.print(f"{killed.holder.symbol}: {killed.text(wait_s)}")
            continue
        holder = killed.holder
        venue = f" --venue {holder.venue}" if holder.venue else ""
        market = f" --market {holder.market}" if holder.market not in ("", "spot") else ""
        cancel = f"mm trade cancel{venue}{market} --symbol {holder.symbol}"
        way_out = cancel if killed.ended else f"if it hangs: kill -9 {holder.pid or 'its process'}, then {cancel}"
        yield TryLater(f"{holder.symbol}: {killed.text(wait_s)}; {way_out}")
    if found.known and not any(one.holder.symbol == found.symbol for one in found.told):
        console.print(f"{found.symbol}: no trader of it runs; none can start until it is re-armed")
        for switch in found.switches:
            root = switch.path.parent.parent
            if not future_only and (left := orders_left(root, found.symbol)):
                yield TryLater(
                    f"{found.symbol}: no trader of it runs, and {len(left)} orders of one below {root} may be open "
                    f"({', '.join(left[:3])}); mm trade cancel --symbol {found.symbol}"
                )


@command(arguments=[_REASON])
def risk_rearm(console: Console, place: SwitchPlace, reason: str) -> None:
    """Re-arm kill switches, so that the symbols may be traded again, in each folder that knows them.

    Refused with 75 while a killed trader has not ended: it would go on.

    Example: mm risk rearm --symbol BTCUSDT --reason "limits checked"
    """
    from mm.live.pages.kill_end import KilledTrader

    traders = KnownTraders.look(place.out_root)
    found = _find(place, traders)
    unknown = [traders.unknown(one.symbol) for one in found if not (one.known or one.killed)]
    for one in found:
        killed = [switch for switch in one.switches if switch.triggered]
        roots = [switch.path.parent.parent.resolve() for switch in killed]
        for trader in one.living:
            end = KilledTrader(trader, 0)
            if trader.holder.kind != FLATTEN and trader.out_root in roots and not (end.look() or end.ended):
                raise TryLater(f"{one.symbol}: {trader} was killed and has not ended: it would go on; end it first")
    for one in found:
        for switch in one.switches:
            trigger = switch.rearm(reason, now_us())
            if trigger is not None:
                console.print(f"was triggered: {trigger.reason}")
                console.log.warning("switch_rearmed", symbol=one.symbol, reason=reason, was=trigger.reason)
            elif one.known:
                console.print(f"was not triggered: {switch.path}")
    _show(console, found, traders)
    _raise(unknown)
