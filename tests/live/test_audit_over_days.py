"""A trader that trades for days: each day's run ends at midnight and the next one goes on, with a log for each day."""

import json
import struct
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager

import pytest
from trading_box import ended, venue
from trading_truth import assert_equal_books

DAY_S, SOON = 86_400, "Test/Soon"


def midnight_in(folder, seconds):
    """Write a time zone whose midnight is in so many seconds; return when, Unix time in s, and variables for it."""
    at_s = int(time.time()) + seconds
    offset_s = -at_s % DAY_S
    offset_s -= DAY_S if offset_s > DAY_S // 2 else 0
    head = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    path = folder / "zones" / SOON
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + struct.pack(">lBB", offset_s, 0, 0) + b"SON\0")
    system = "/usr/share/zoneinfo"
    return at_s, {"WINDOW_TZ": SOON, "PYTHONTZPATH": f"{folder / 'zones'}:{system}"}


@contextmanager
def trader(box, logs, fills, **variables):
    """Yield a trader whose own log, the one after *logs* others, has so many fills."""
    with box.trader(**variables) as process:

        def filled():
            found = max(box.logs(), key=lambda path: path.stat().st_ctime_ns, default=None)
            return len(box.logs()) > logs and found.read_bytes().count(b'"type":"fill"') >= fills

        box.until(filled, f"{fills} fills", process=process)
        yield process


@pytest.mark.slow
def test_log_of_each_day_follows_from_the_one_before_whenever_a_trader_dies(tmp_path):
    """One run ends by itself at midnight, one is killed while it does; shipping and pruning go on beside."""
    archive, heads = tmp_path / "archive", tmp_path / "heads.ndjson"
    copies = ("--archive", str(archive))
    with venue(tmp_path) as box:
        ship = (sys.executable, "-m", "mm", "audit", "ship", *copies, "--head", str(heads), "--every", "1")
        shipping = None
        try:
            for logs, killed in ((0, False), (2, True)):
                at_s, zone = midnight_in(tmp_path, 40)
                with trader(box, logs, 2, **zone) as process:
                    if shipping is None:
                        shipping = subprocess.Popen(ship, cwd=tmp_path, stdout=subprocess.DEVNULL)
                    assert time.time() < at_s, "it took too long to begin before midnight"
                    if killed:
                        time.sleep(max(0.0, at_s + 0.02 - time.time()))
                        process.kill()
                        process.wait()
                    else:
                        code, output, _ = ended(process, number=None, seconds=120)
                        assert code == 0, output
                        assert "window_end" in output
                with trader(box, logs + 1, 2, **zone) as process:
                    code, output, _ = ended(process)
                    assert code == 0, output
                assert_equal_books(box)
        finally:
            if shipping is not None:
                shipping.terminate()
                shipping.wait(60)
        assert len(box.logs()) == 4
        assert sorted(Counter(path.name[:8] for path in box.logs()).values()) == [2, 2]
        folder = box.logs()[0].parent
        verified = box.run("audit", "verify", str(folder), "--heads", str(heads), "--json")
        assert verified.returncode == 0, verified.stderr
        assert len(json.loads(verified.stdout.splitlines()[-1])["logs"]) == 4
        assert {json.loads(line)["file"] for line in heads.read_text().splitlines()} == {p.name for p in box.logs()}
        assert box.run("audit", "ship", *copies).returncode == 0
        pruned = box.run("audit", "prune", *copies, "--keep-days", "0", "--json")
        assert pruned.returncode == 0, pruned.stderr
        assert len(box.logs()) == 1, pruned.stdout
        with trader(box, 1, 1) as process:
            assert ended(process)[0] == 0
        for path in (archive / box.ready["symbol"]).iterdir():
            if not (folder / path.name).exists():
                (folder / path.name).write_bytes(path.read_bytes())
        assert_equal_books(box)
