"""The table of the faults of the exchange in a box, from their declarations; number_table.py writes it."""

from collections.abc import Iterator

from mm.sim.wire.faults.fault import FaultKind
from mm.sim.wire.faults.table import FAULTS


def table() -> Iterator[str]:
    """Yield the lines of the table of faults."""
    yield from ("| fault | parameters | effect |", "|---|---|---|")
    for name, kind in FAULTS.items():
        yield row(name, kind)


def row(name: str, kind: FaultKind) -> str:
    """Return a fault's row: its name, its parameters with their defaults, and its docstring."""
    texts = [key if one.default in (None, "") else f"{key}={one.default}" for key, one in kind.parameters.items()]
    parameters = " ".join(f"`{one}`" for one in texts)
    text = " ".join(kind.help.split()).replace("``", "`")
    return f"| `{name}` | {parameters} | {text} |".replace("|  |", "| |")
