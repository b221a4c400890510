"""Write the tables that the program declares: columns, numbers, metrics, errors, faults; ``--check`` only compares."""

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import error_codes
import faults

from mm.backtest.journal import TABLES
from mm.backtest.metrics.numbers import table
from mm.backtest.table import Column
from mm.live.account.limits import ACCOUNT_FAMILIES
from mm.live.pages.contract_metrics import ContractMetrics
from mm.live.pages.trading_metrics import TradingMetrics
from mm.live.pages.watchdog import WATCHDOG_FAMILIES
from mm.market_data.metrics import DOOR_FAMILIES

DOCS = Path(__file__).parents[1] / "docs"


def metrics() -> Iterator[str]:
    """Yield the lines of the table of metrics."""
    yield "| metric | labels | meaning |"
    yield "|---|---|---|"
    trading = [family for family, _ in (*TradingMetrics("SIMUSDT").filled(), *ContractMetrics().filled())]
    for family in (*trading, *ACCOUNT_FAMILIES, *WATCHDOG_FAMILIES, *DOOR_FAMILIES):
        labels = ", ".join(f"`{label}`" for label in family.labels)
        yield f"| `{family.name}` | {labels} | {family.help.replace('<', '&lt;')} |"


def columns() -> Iterator[str]:
    """Yield the lines of the table of the columns of a run's files."""
    yield "| file | column | in `result.journal` | unit | meaning | empty if |"
    yield "|---|---|---|---|---|---|"
    for name in ("orders", "fills", "state"):
        for place, column in enumerate(TABLES[name].written):
            memory = f"`{name}.{column.name}`, {column.kind.unit}" if isinstance(column, Column) else ""
            shown = (f"`{name}`" if place == 0 else "", f"`{column.file}`", memory, column.kind.shown, column.meaning)
            yield f"| {' | '.join((*shown, column.null))} |"


Table = Callable[[], Iterable[str]]
PAGES: dict[str, dict[str, Table]] = {
    "results.md": {"columns": columns, "numbers": table},
    "trading.md": {"metrics": metrics},
    "specification/exchange.md": {
        "codes": partial(error_codes.table, contracts=False),
        "contract_codes": partial(error_codes.table, contracts=True),
        "faults": faults.table,
    },
}


def page(name: str, text: str) -> str:
    """Return the page *name* with its tables."""
    for mark, rows in PAGES[name].items():
        lines = "".join(f"{line}\n" for line in rows())
        begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
        before, _, rest = text.partition(begin)
        text = before + begin + lines + end + rest.partition(end)[2]
    return text


if __name__ == "__main__":
    differs = False
    for name in PAGES:
        old = (DOCS / name).read_text(encoding="utf-8")
        if page(name, old) != old:
            differs = True
            if "--check" not in sys.argv[1:]:
                (DOCS / name).write_text(page(name, old), encoding="utf-8")
    sys.exit(differs and "--check" in sys.argv[1:])
