"""Start-up: how long a command takes to answer, and what its imports cost, in units of a bare interpreter."""

from collections.abc import Sequence

from mm.bench.turns import PYTHON, Measured, Row, run
from mm.bench.yardstick import Bench

BARE = ("-c", "pass")
HELPS = (("--help",), ("backtest", "--help"))
# Our own rooms first, then what they need: a room is to cost little more than its packages.
IMPORTS = ("mm", "mm.cli", "mm.assemble", "mm.backtest.replay", "numpy", "pyarrow", "polars", "scipy.special")


def measure(bench: Bench) -> Measured:
    """Measure helps and imports, each in fresh processes."""
    commands: dict[str, Sequence[str]] = {f"mm {' '.join(words)}": ("-m", "mm", *words) for words in HELPS}
    commands |= {f"import {name}": ("-c", f"import {name}") for name in IMPORTS}
    for words in commands.values():
        run([PYTHON[0], *words], listen=False)  # makes the bytecode
    bare: list[float] = []
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(bench.turns):
        bare.append(run([PYTHON[0], *BARE], listen=False).wall_s)
        for name, words in commands.items():
            taken[name].append(run([PYTHON[0], *words], listen=False).wall_s)
    aims = {"mm --help": "under 0.15 s"}
    return Measured([Row(name, "s", seconds, "python -c", bare, aims.get(name, "")) for name, seconds in taken.items()])
