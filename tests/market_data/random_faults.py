"""Random scripts of faults on the wire, and recordings under these faults.

``PYTHONPATH=.:tests python tests/market_data/random_faults.py --seeds 2500 --first 1000`` plays one recording per
seed, of 20 s of market time with 30 to 60 faults. It prints how many faults have acted and each recording that is not
true, and exits with 1 if there is one. ``--seeds 1 --first SEED`` plays that recording again.
"""

import argparse
import sys
import time
from pathlib import Path
from random import Random
from traceback import extract_tb

import pytest

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from boxed import quicken, recorded

ON_MESSAGES = [
    "drop n={n}",
    "drop n={n} of=trade",
    "duplicate n={n}",
    "stale n={n}",
    "overlap n={n}",
    "swap",
    "burst n=20 for_s=1",
    "lag delay_s=0.3 for_s=1",
    "stall for_s=1",
    "stall of=depth for_s=1",
    "bad_json n={n}",
    "missing_field",
    "unknown_event",
    "huge",
]
ON_CONNECTIONS = [
    "close code=1000",
    "close code=1006",
    "close code=1011",
    "reset",
    "mute for_s=2",
    "half_open",
    "shutdown lead_s=0.5",
]
ON_HANDSHAKES = ["storm n=2 code=1006", "refuse_handshake n=2 status=503", "phase ms=40", "refuse_connect n=1"]
ON_SNAPSHOTS = [
    "status code=503 n=2",
    "snapshot where=old back=3 n=2",
    "snapshot where=newer",
    "slow delay_s=0.2",
    "broken_body",
    "cut_body",
    "empty_sides",
]
BEGINS_S = 2.0
RULES, LASTS_S = 60, 20.0
"""Rules and length of a recording of the series: up to three rules per second."""
PROGRESS = 10


def rule(luck, lasts_s, opened):
    """Return one line of a script; *opened* is the approximate number of connections and snapshots."""
    kind = luck.random()
    if kind < 0.75:
        fault = luck.choice(ON_MESSAGES + ON_CONNECTIONS).format(n=luck.randint(1, 4))
        at_s = luck.uniform(BEGINS_S, BEGINS_S + lasts_s)
        return f"at time {at_s:.2f} on {luck.choice(['newest', 'all', 'random'])} do {fault}"
    if kind < 0.87:
        return f"at connect {luck.randint(1, opened + 2)} do {luck.choice(ON_HANDSHAKES)}"
    return f"at request {luck.randint(1, opened + 1)} of /api/v3/depth do {luck.choice(ON_SNAPSHOTS)}"


def endure(seed, most, lasts_s):
    """Record a market under a script of up to *most* rules, and return how many acted.

    At the end the book is correct, no trade is missing, and the day is true.
    """
    luck = Random(seed)
    count = luck.randint(max(1, most // 2), most)
    script = "\n".join(rule(luck, lasts_s, count // 5 + 1) for _ in range(count))
    pair, max_age_s = luck.random() < 0.6, luck.choice([3600.0, 3600.0, 0.5])
    waiting = []

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(lasts_s + 3)
        await boxed.synced()
        await boxed.until(lambda: boxed.session.market.arbiter.last_trade_id == boxed.box.truth.last_trade_id)
        await boxed.caught_up()
        waiting.extend(boxed.box.injector.waiting)

    day = recorded(scenario, script, pair=pair, silence_s=0.25, max_age_s=max_age_s, weight=1_000_000)
    assert day.missing_trades == set(), script
    return count - len(waiting)


def main():
    """Play the series; return 1 if a recording was not true."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=2_500, help="how many recordings")
    parser.add_argument("--first", type=int, default=1_000, help="seed of the first")
    parser.add_argument("--hours", type=float, default=24.0, help="begin none after so long")
    args = parser.parse_args()
    begun_s, acted, played, bad = time.monotonic(), 0, 0, []
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        for seed in range(args.first, args.first + args.seeds):
            if time.monotonic() - begun_s > 3_600 * args.hours:
                break
            try:
                acted += endure(seed, RULES, LASTS_S)
            except Exception as error:  # the series prints any error and continues
                bad.append(seed)
                where = " < ".join(
                    f"{frame.name}:{frame.lineno}" for frame in reversed(extract_tb(error.__traceback__))
                )
                print(f"VIOLATION seed {seed}: {type(error).__name__}: {str(error)[:500]} ({where})", flush=True)
            played += 1
            if played % PROGRESS == 0 or played == args.seeds:
                print(
                    f"{acted} faults in {played} recordings, {len(bad)} not true, "
                    f"{time.monotonic() - begun_s:.0f} s, {time.process_time():.0f} s of processor",
                    flush=True,
                )
    print(f"{acted} faults in {played} recordings, {len(bad)} not true: seeds {bad}")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
