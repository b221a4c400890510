"""Points that share their fills: one order that reaches 3 ticks counted at 1 and 2 as well, as ``marks`` shows them."""

import json
from pathlib import Path

BESIDE = "poisson_fit.json"


def shared_fills(points: Path) -> str | None:
    """Return what to say of a file of points whose rows are not independent; None where nothing says so.

    The columns do not tell, and the counts hardly can: what tells is the fit that lies beside the file in its run
    folder.
    """
    try:
        fit = json.loads((points.parent / BESIDE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(fit, dict):
        return None
    if fit.get("method") == "ladder" and isinstance(fit.get("permutations"), dict):
        return (
            f"these points sum several ladders that one tape feeds ({BESIDE} beside them: method ladder), so their "
            f"errors are too small and their tests mean nothing; take A and k from that file"
        )
    if fit.get("method") != "marks":
        return None
    return (
        f"these points count an order at every distance that it reached ({BESIDE} beside them: method marks), so their "
        f"errors are too small and their tests mean nothing; take A and k from that file"
    )
