"""Write the table of the numbers of a backtest into docs/results.md; ``--check`` only tells whether it is there."""

import re
import sys
from pathlib import Path

from mm.backtest.metrics.numbers import table

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
_SECTION = re.compile(r"(<!-- numbers -->\n).*?(<!-- /numbers -->)", re.DOTALL)


def page(text: str) -> str:
    """Return the page with the table."""
    lines = "".join(f"{line}\n" for line in table())
    return _SECTION.sub(lambda match: f"{match[1]}{lines}{match[2]}", text)


if __name__ == "__main__":
    old = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        sys.exit(page(old) != old)
    PAGE.write_text(page(old), encoding="utf-8")
