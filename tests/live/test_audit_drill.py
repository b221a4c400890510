"""The restore drill: a trader's files are lost, brought back from what was shipped, and the trader goes on."""

import json
import shutil
from decimal import Decimal

import pytest
from trading_box import ended, venue
from trading_truth import assert_equal_books

pytestmark = pytest.mark.slow


def traded(box, **variables):
    """Run a trader until two more fills, and end it in order."""
    before = len(box.account()["trades"])
    with box.trader(**variables) as process:
        box.until(lambda: len(box.account()["trades"]) > before + 2, "fills", process=process)
        code, output, _ = ended(process)
    assert code == 0, output


def position(box):
    """Return the position of the state store."""
    done = box.run("state", "show", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = [one for one in json.loads(done.stdout)["positions"] if one["symbol"] == "SIMUSDT"]
    return Decimal(row["position"])


def moved(box):
    """Return the change of the account's base asset, according to the exchange."""
    found = Decimal(0)
    for one in box.account()["trades"]:
        found += (1 if one["isBuyer"] else -1) * Decimal(one["qty"])
        found -= Decimal(one["commission"]) if one["commissionAsset"] == "SIM" else 0
    return found


def test_lost_files_come_back_from_what_was_shipped(tmp_path):
    """A cut log, lost logs, stores and equity marks: refused until restored, then positions equal the account's."""
    archive = str(tmp_path / "elsewhere")
    with venue(tmp_path, "--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4", longest_s=900) as box:
        for _ in range(2):
            traded(box)
        shipped = box.run("audit", "ship", "--archive", archive, "--head", str(tmp_path / "heads"))
        assert shipped.returncode == 0, shipped.stderr
        out = tmp_path / "out"
        first, last = sorted((out / "audit" / "SIMUSDT").glob("*.ndjson"), key=lambda path: path.stat().st_mtime)
        sent = len(box.account()["requests"])

        for harm in (lambda: last.write_bytes(last.read_bytes()[:-2_000]), last.unlink):
            harm()
            refused = box.run("trade")
            assert refused.returncode == 3, refused.stderr
            assert len([line for line in refused.stderr.splitlines() if line.startswith("error:")]) == 1
            found = box.run("audit", "verify", "out/audit/SIMUSDT", "--open", "--heads", str(tmp_path / "heads"))
            assert found.returncode == 3, found.stdout
        placed = [one for one in box.account()["requests"][sent:] if "order" in str(one) and "place" in str(one)]
        assert placed == []

        first.unlink(missing_ok=True)
        for path in out.glob("state.sqlite*"):
            path.unlink()
        shutil.rmtree(out / "risk")
        assert box.run("audit", "restore", "--archive", archive).returncode == 0
        verified = box.run("audit", "verify", "out/audit/SIMUSDT", "--heads", str(tmp_path / "heads"))
        assert verified.returncode == 0, verified.stderr

        traded(box)
        assert_equal_books(box)
        assert position(box) == moved(box)
        pruned = box.run("audit", "ship", "--archive", archive)
        assert pruned.returncode == 0, pruned.stderr
        pruned = box.run("audit", "prune", "--archive", archive, "--keep-days", "0")
        assert pruned.stdout.count("removed") == 2, pruned.stdout + pruned.stderr
        traded(box)
        assert position(box) == moved(box)
