"""A shadow of any length with faults of every kind, compared with its replay.

.venv/bin/python tests/live/long_shadow.py --minutes 60 [--market-per-s 26] [--seed 11]

About 550 messages per second with 26 market orders per second and side: the exchange's time is five times ours.
A fault comes each minute. The files stay in --keep; without it they are temporary.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEED, EVERY_S, FIRST_S = 5, 300, 150
FAULTS = (
    "do drop n=1 of=depth",
    "on newest do close code=1001",
    "do drop n=3 of=trade",
    "do stall of=any for_s=40",
    "do duplicate n=2 of=depth",
    "do reset",
    "do swap n=1 of=depth",
    "do burst n=200 of=any for_s=5",
    "do drop n=2 of=depth",
    "do lag delay_s=1.5 of=any for_s=30",
)
KNOBS = {
    "SYMBOL": "SIMUSDT",
    "WINDOW_START": "always",
    "START_JITTER_S": "0",
    "MIN_FREE_MB": "0",
    "INITIAL_INVENTORY": "10",
    "INITIAL_CASH": "100000",
    "MAX_POSITION": "100",
    "MAX_OPEN_ORDERS": "4",
    "MAX_ORDERS_PER_S": "50",
    "MAX_DAILY_LOSS": "100000",
    "REQUOTE_INTERVAL_MS": "100",
}
END_S = 300.0


def script(minutes: float) -> str:
    """Return a script with one fault per minute, in turn; its instants are the exchange's."""
    instants = range(FIRST_S, int(minutes * 60 * SPEED), EVERY_S)
    return "".join(f"at time {at} {FAULTS[i % len(FAULTS)]}\n" for i, at in enumerate(instants))


def serve(folder: Path, arguments: argparse.Namespace) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """Start an exchange; return it, and its addresses as knobs."""
    faults = folder / "faults.txt"
    faults.write_text(script(arguments.minutes))
    options = ["--scenario", "zero_intelligence", "--speed", str(SPEED), "--limits", "off", "--faults", str(faults)]
    options += ["--seed", str(arguments.seed), "--market-per-s", str(arguments.market_per_s)]
    box = subprocess.Popen(
        [sys.executable, "-m", "mm", "sim", "serve", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert box.stdout is not None
    ready = json.loads(box.stdout.readline())
    return box, {"WS_URL": ready["ws_url"], "REST_URL": ready["rest_url"]}


def shadow(folder: Path, minutes: float, urls: dict[str, str]) -> int:
    """Run a shadow for so many minutes; return the exit code."""
    hour = time.gmtime().tm_hour
    zone = {"WINDOW_TZ": f"Etc/GMT{hour - 12:+d}"}  # noon: the day does not end during the run
    running = subprocess.Popen(
        [sys.executable, "-m", "mm", "shadow", "--run-id", "LONG"],
        cwd=folder,
        env={**os.environ, **KNOBS, **zone, **urls, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        return running.wait(minutes * 60)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGTERM)
        return running.wait(END_S)
    finally:
        running.kill()


def main() -> int:
    """Serve, shadow, and print the comparison; exit code 1 if a row differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--market-per-s", type=float, default=26.0)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = arguments.keep or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        box, urls = serve(folder, arguments)
        try:
            code = shadow(folder, arguments.minutes, urls)
        finally:
            box.terminate()
            box.wait(END_S)
        if code:
            return code
        (run,) = folder.glob("out/shadow/SIMUSDT/*_LONG")
        found = json.loads((run / "reconcile.json").read_text())
        (manifest,) = folder.glob("data/SIMUSDT/*/manifest_*")
        rows = {one["path"]: one["rows"] for one in json.loads(manifest.read_text())["files"]}
    print(json.dumps(rows), json.dumps(found), sep="\n")
    return 0 if found["same"] else 1


if __name__ == "__main__":
    sys.exit(main())
