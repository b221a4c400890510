"""Write the tables that the program declares into the pages: numbers, metrics; ``--check`` only compares."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mm.backtest.metrics.numbers import table
from mm.live.account.limits import ACCOUNT_FAMILIES
from mm.live.pages.contract_metrics import ContractMetrics
from mm.live.pages.metrics import TradingMetrics
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


TABLES = {"results.md": ("numbers", table), "trading.md": ("metrics", metrics)}


def page(name: str, text: str) -> str:
    """Return the page *name* with its table."""
    mark, rows = TABLES[name]
    lines = "".join(f"{line}\n" for line in rows())
    section = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    return section.sub(lambda match: f"{match[1]}{lines}{match[2]}", text)


if __name__ == "__main__":
    differs = False
    for name in TABLES:
        old = (DOCS / name).read_text(encoding="utf-8")
        if page(name, old) != old:
            differs = True
            if "--check" not in sys.argv[1:]:
                (DOCS / name).write_text(page(name, old), encoding="utf-8")
    sys.exit(differs and "--check" in sys.argv[1:])
