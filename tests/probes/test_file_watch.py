"""FileWatch records files opened by a model with the line, but not those of the caller or of later code."""

import os
import sys
from importlib import import_module

import pytest

from mm.probes.file_watch import LATER, OLDER, FileWatch, OpenedFile

MODEL = """
from pathlib import Path

def by_open(path):
    with open(path) as file:
        return file.read()

def by_path(path):
    return Path(path).read_bytes()

def by_descriptor(path):
    import os
    os.close(os.open(path, os.O_RDONLY))

def by_numpy(path):
    import numpy as np
    return np.fromfile(path, np.uint8)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "day" / "diffs").mkdir(parents=True)
    for name in ("day/trades.csv", "day/diffs/d.gz", "fit.json", "day_2.csv"):
        (tmp_path / name).write_text("x")
    (tmp_path / "reading_models.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "reading_models", raising=False)  # of another test's folder
    return tmp_path


@pytest.mark.parametrize("function", ["by_open", "by_path", "by_descriptor", "by_numpy"])
def test_opening_file_of_day_is_recorded_as_forbidden(folder, function):
    """By relative path, path with dots, and link, by every way of opening; with the line in the model."""
    models = import_module("reading_models")
    watch = FileWatch([folder / "day"], [])
    (folder / "link.csv").symlink_to(folder / "day" / "trades.csv")
    for path in ("day/trades.csv", "day/diffs/../diffs/d.gz", "link.csv"):
        with watch.watching():
            getattr(models, function)(path)
    assert set(watch.forbidden) == {str(folder / "day/trades.csv"), str(folder / "day/diffs/d.gz")}
    assert all("/reading_models.py:" in line for line in watch.forbidden.values())
    assert watch.others == {}


def test_other_files_are_recorded_separately(folder):
    """Not recorded: given files, code, devices, and files opened before or after. A similar folder is not the day."""
    models = import_module("reading_models")
    watch = FileWatch([folder / "day"], [folder / "fit.json"])
    models.by_open("day/trades.csv")
    with watch.watching():
        models.by_open("day_2.csv")
        models.by_open("fit.json")
        models.by_open("reading_models.py")
        models.by_open(os.devnull)
    models.by_open("day/trades.csv")
    assert watch.forbidden == {}
    assert list(watch.others) == [str(folder / "day_2.csv")]


def test_files_opened_by_caller_are_not_attributed_to_model(folder):
    """Frames outside `watching` are ignored, including the lines of this test."""
    watch = FileWatch([folder / "day"], [])
    with watch.watching(), open("day_2.csv") as file:
        file.read()
    assert (watch.forbidden, watch.others) == ({}, {})
    with watch.watching(), open("day/trades.csv") as file:
        file.read()
    assert watch.forbidden == {str(folder / "day/trades.csv"): "a line of a library"}


@pytest.mark.parametrize(("name", "kind"), [("mean.txt", LATER), ("models/mean.txt", LATER), (".cache/fonts", OLDER)])
def test_only_hidden_files_of_home_pass_whenever_they_were_made(folder, monkeypatch, name, kind):
    """Libraries keep caches and settings there; most users work below their home, too."""
    monkeypatch.setenv("HOME", str(folder))
    file = OpenedFile(str(folder / name), "model.py:1", 2, False)
    assert FileWatch([folder / "day"], []).kind(file, 1, folder / "data") == kind
