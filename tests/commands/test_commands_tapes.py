"""``mm tapes``: listing and pruning."""

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mm.commands.tapes import tapes_list as list_command
from mm.commands.tapes import tapes_prune as prune_command

NAMES = (
    "AUSDT_20260105_0123456789ab.arrow",
    "AUSDT_20260105_0123456789ab.levels.arrow",
    "BUSDT_20260106_ba9876543210.arrow",
)


@pytest.fixture(autouse=True)
def _tapes(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = Path("out/tapes")
    folder.mkdir(parents=True)
    for name, age_days, size in zip(NAMES, (40, 39, 1), (3_000_000, 1_000_000, 2_000_000), strict=True):
        (folder / name).write_bytes(bytes(size))
        at = time.time() - age_days * 86_400
        os.utime(folder / name, (at, at))


def call(command, *args: str) -> Result:
    return CliRunner().invoke(command, args)


def remaining() -> list[str]:
    return sorted(path.name for path in Path("out/tapes").iterdir())


def test_tapes_are_listed_longest_unused_first():
    """With the files of each tape, and the total."""
    lines = call(list_command).stdout.splitlines()
    assert [line.split()[:4] for line in lines[:3]] == [
        ["symbol", "day", "MB", "files"],
        ["AUSDT", "20260105", "4.0", "2"],
        ["BUSDT", "20260106", "2.0", "1"],
    ]
    assert lines[3].startswith("2 tapes, 6.0 MB")
    listed = json.loads(call(list_command, "--json").stdout)
    assert (listed["bytes"], listed["tapes"][0]["files"]) == (6_000_000, {NAMES[0]: 3_000_000, NAMES[1]: 1_000_000})


@pytest.mark.parametrize(
    ("flags", "removed"), [(["--older-than", "30"], 2), (["--most-gb", "0.003"], 2), (["--most-gb", "1"], 0)]
)
def test_prune_removes_tapes_by_age_and_by_size(flags, removed):
    """A dry run reports the same and removes nothing."""
    dry = json.loads(call(prune_command, *flags, "--dry-run", "--json").stdout)
    assert remaining() == sorted(NAMES)
    done = json.loads(call(prune_command, *flags, "--json").stdout)
    assert remaining() == sorted(NAMES[removed:])
    assert {**dry, "dry_run": False} == done
    assert done["freed_bytes"] + done["bytes"] == 6_000_000


def test_prune_needs_a_limit():
    """Otherwise a typing error would empty the folder, or do nothing."""
    done = call(prune_command)
    assert done.exit_code == 2
    assert "--older-than" in done.stderr
    assert remaining() == sorted(NAMES)


def test_prune_prints_removed_and_remaining_size():
    """As text."""
    text = call(prune_command, "--older-than", "30").stdout
    assert "1 of 2 tapes removed, 4.0 MB; 2.0 MB left in out/tapes" in text
    assert call(list_command, "--out-root", "other").stdout == "0 tapes, 0.0 MB, in other/tapes\n"
