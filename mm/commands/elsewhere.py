"""Where the audit logs are that a command means, from whichever shell it is given."""

from pathlib import Path

from mm.live.account.locks import KnownTraders
from mm.terminal.console import Console


def folder_meant(console: Console, out_root: Path, symbol: str | None) -> Path:
    """Return *out_root*, or the folder of the trader that lives where it has no audit logs, and say so; DataError."""
    known = KnownTraders.look(out_root)
    meant = known.folder_for(symbol)
    if meant == known.given:
        for trader in known.living(symbol):
            if trader.out_root != known.given:
                console.log.warning("trader_elsewhere", trader=str(trader), shown=str(out_root))
        return out_root
    console.print(f"{out_root} has no audit logs{f' of {symbol}' if symbol else ''}: those of {meant}")
    return meant
