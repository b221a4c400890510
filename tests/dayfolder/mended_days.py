"""Helpers for the tests of a repair: the files of a day, and the assertion that a day is repaired."""

import csv
import gzip
import json

from day_files import check
from mm.dayfolder.repair import repair_day

NOW_US = 1_770_000_000_000_000


def repaired(folder, run_id="FIX"):
    return repair_day(folder, run_id, NOW_US)


def tree(folder):
    """Return the content of every file of the day, except its lock, by path."""
    found = (path for path in folder.path.rglob("*") if path.is_file() and path != folder.lock)
    return {folder.relative(path): path.read_bytes() for path in found}


def rows(path):
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def kinds(folder, run_id="FIX"):
    return [row["type"] for row in table(folder.events) if row["run_id"] == run_id]


def details(folder, kind):
    return [json.loads(row["details_json"]) for row in table(folder.events) if row["type"] == kind]


def assert_repaired(folder, result=None):
    """Assert that the day is sealed, has no defects or leftover files, and that another repair changes nothing."""
    report = check(folder)
    assert (report.defects, report.sealed) == ([], True)
    assert sorted(path.name for path in folder.path.parent.iterdir()) == [folder.day]
    before = tree(folder)
    again = repaired(folder, "AGAIN")
    assert (again.changed, again.repairs) == (False, [])
    assert tree(folder) == before
