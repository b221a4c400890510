"""What a model opens is noted with its line; what we open ourselves, and what others do later, is not."""

import os
from importlib import import_module

import pytest

from mm.evaluate.data_access import FileWatch

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
def desk(tmp_path, monkeypatch):
    (tmp_path / "day" / "diffs").mkdir(parents=True)
    for name in ("day/trades.csv", "day/diffs/d.gz", "fit.json", "day_2.csv"):
        (tmp_path / name).write_text("x")
    (tmp_path / "reading_models.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("how", ["by_open", "by_path", "by_descriptor", "by_numpy"])
def test_a_file_of_the_day_is_forbidden_however_it_is_opened(desk, how):
    """By a relative path, by one with dots, by a link; the line is the model's own."""
    models = import_module("reading_models")
    watch = FileWatch([desk / "day"], [])
    (desk / "link.csv").symlink_to(desk / "day" / "trades.csv")
    for path in ("day/trades.csv", "day/diffs/../diffs/d.gz", "link.csv"):
        with watch.watching():
            getattr(models, how)(path)
    assert set(watch.forbidden) == {str(desk / "day/trades.csv"), str(desk / "day/diffs/d.gz")}
    assert all("/reading_models.py:" in line for line in watch.forbidden.values())
    assert watch.others == {}


def test_other_files_are_noted_apart_and_what_was_given_is_not(desk):
    """A folder whose name begins alike is another one; code is no data; nothing is heard before or after."""
    models = import_module("reading_models")
    watch = FileWatch([desk / "day"], [desk / "fit.json"])
    models.by_open("day/trades.csv")
    with watch.watching():
        models.by_open("day_2.csv")
        models.by_open("fit.json")
        models.by_open("reading_models.py")
        models.by_open(os.devnull)
    models.by_open("day/trades.csv")
    assert watch.forbidden == {}
    assert list(watch.others) == [str(desk / "day_2.csv")]


def test_what_the_caller_opens_is_not_the_models(desk):
    """Frames outside of `watching` are not looked at: this test's own lines are no model's."""
    watch = FileWatch([desk / "day"], [])
    with watch.watching(), open("day_2.csv") as file:
        file.read()
    assert (watch.forbidden, watch.others) == ({}, {})
    with watch.watching(), open("day/trades.csv") as file:
        file.read()
    assert watch.forbidden == {str(desk / "day/trades.csv"): "compiled code"}
