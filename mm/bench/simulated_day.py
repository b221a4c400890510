"""A simulated day (``mm bench day``): how many seconds of a busy market a second of work makes."""

import tempfile
from pathlib import Path

from mm.bench.turns import PYTHON, Measured, Row, run

HOURS = 1.0
DAY_HOURS = 14
SCENARIO = "zero_intelligence"
AIM = 1_000
_DAY = "20260105"


def measure(turns: int) -> Measured:
    """Make the same session in *turns* fresh processes: command line, order flow, matching, files, hashes and all."""
    with tempfile.TemporaryDirectory() as root:
        flags = ["--scenario", SCENARIO, "--seed", "7", "--hours", str(HOURS), "--day", _DAY, "--data-root", root]
        ran = [run([*PYTHON, "mm", "sim", "day", *flags, "--json"]) for _ in range(turns)]
        size_mb = sum(path.stat().st_size for path in Path(root).rglob("*") if path.is_file()) / 1e6
    market_s = HOURS * 3600
    rows = [
        Row("seconds of market a second", "s", [market_s / one.wall_s for one in ran], aim=f"{AIM:,}"),
        Row("the same, user time", "s", [market_s / one.user_s for one in ran]),
        Row(f"{DAY_HOURS} hours at that pace", "s", [one.wall_s * DAY_HOURS / HOURS for one in ran], aim="under 60 s"),
        Row("peak memory", "MB", [one.peak_mb for one in ran]),
    ]
    said = ran[-1].said
    facts = {"depth_messages": said["depth_messages"], "trades": said["trades"], "MB on disk": round(size_mb)}
    return Measured(rows, facts, [f"{HOURS:g} h of {SCENARIO} at its default rates, the order log included"])
