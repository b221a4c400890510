import math
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.errors import BrokenFile
from mm.runs import manifest as m

KNOBS = {
    "symbol": m.SetKnob("BTCUSDT", "flag", matters=True),
    "day": m.SetKnob("20251216,20251217", "flag", matters=True),
    "seed": m.SetKnob(0, "default", matters=True),
    "out_root": m.SetKnob("out", "default", matters=False),
}
READ = {"path": "BTCUSDT/20251216/t.csv", "bytes": 10, "sha256": "aa"}
WRITTEN = {"path": "fills.csv", "rows": 3, "sha256": "bb"}


def work(days=("20251216",), knobs=None, read=(READ,), written=(WRITTEN,)) -> str:
    return m.work_digest("backtest", days, knobs or KNOBS, read, written)


@given(st.binary(max_size=200))
def test_lines_are_counted_by_newlines(tmp_path_factory, content):
    """A file may be larger than the block that is read at a time."""
    path = tmp_path_factory.mktemp("lines") / "x.bin"
    path.write_bytes(content)
    assert m.count_lines(path) == content.count(b"\n")


def test_csv_rows_are_counted_unless_given(tmp_path):
    """The header is not a row; other files have none."""
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n")
    (tmp_path / "b.json").write_text("{\n}\n")
    (tmp_path / "empty.csv").write_text("")
    names = ("a.csv", "b.json", "empty.csv")
    rows = {name: m.output_entry(tmp_path, tmp_path / name, None)["rows"] for name in names}
    assert rows == {"a.csv": 2, "b.json": None, "empty.csv": 0}
    assert m.output_entry(tmp_path, tmp_path / "a.csv", 7)["rows"] == 7


def test_equal_work_has_equal_digests_at_any_place():
    """Moving the data or the output, or another source of a knob, is not other work."""
    moved, more = {**READ, "path": "/elsewhere/t.csv"}, {**WRITTEN, "path": "state.csv"}
    freed = KNOBS | {"out_root": m.SetKnob("/tmp", "flag", matters=False)}
    sourced = KNOBS | {"seed": m.SetKnob(0, "environment", matters=True)}
    ranged = KNOBS | {"day": m.SetKnob("20251216:20251217", "flag", matters=True)}
    assert work(read=[moved]) == work()
    assert work(written=[WRITTEN, more]) == work(written=[more, WRITTEN])
    assert {work(knobs=k) for k in (freed, sourced, ranged)} == {work()}


def test_other_work_has_another_digest():
    """Everything that matters changes the digest."""
    others = [
        work(days=("20251217",)),
        work(knobs=KNOBS | {"seed": m.SetKnob(1, "flag", matters=True)}),
        work(read=[{**READ, "sha256": "ab"}]),
        work(written=[{**WRITTEN, "sha256": "bc"}]),
        work(written=[{**WRITTEN, "path": "orders.csv"}]),
        m.work_digest("walkforward", ("20251216",), KNOBS, [READ], [WRITTEN]),
    ]
    assert len({work(), *others}) == len(others) + 1


WORDS = ("run_id", "kind", "symbol", "day", "status", "started_at", "finished_at", "version", "digest")
WHOLE = {
    **dict.fromkeys(WORDS, "a"),
    "knobs": {},
    "timings": {},
    "summary": {"x": 0.1},
    "inputs": [],
    "outputs": [],
    "commit": None,
}


def test_written_manifest_is_read_back(tmp_path):
    """NaN is rejected."""
    m.write_manifest(tmp_path, WHOLE)
    assert m.read_manifest(tmp_path) == WHOLE
    with pytest.raises(ValueError, match="JSON compliant"):
        m.write_manifest(tmp_path, {"run_id": "a", "x": math.nan})


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "commit"])
@pytest.mark.parametrize("value", [None, 7])
def test_missing_entry_of_a_manifest_is_named(tmp_path, name, value):
    """Readers may rely on the entries."""
    m.write_manifest(tmp_path, {**WHOLE, name: value})
    with pytest.raises(BrokenFile, match=f"{name} is missing"):
        m.read_manifest(tmp_path)


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_folder_without_a_manifest_is_not_a_run(tmp_path, text):
    """The message names the folder and the remedy."""
    if text is not None:
        (tmp_path / m.MANIFEST).write_text(text)
    with pytest.raises(BrokenFile, match=r"not a run|run manifest"):
        m.read_manifest(tmp_path)


def git(folder, *words):
    own = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a"}
    command = ["git", "-C", str(folder), "-c", "init.defaultBranch=main", *words]
    return subprocess.run(command, env=os.environ | own, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_is_head_of_the_checkout_and_tells_changed_files(tmp_path):
    """An untracked file changes nothing; a package below the top folder, as in a virtual environment, has none."""
    package = tmp_path / "repo" / "mm"
    package.mkdir(parents=True)
    assert m.checkout_commit(package) is None
    (package / "a.py").write_text("1\n")
    top = package.parent
    git(top, "init")
    git(top, "add", ".")
    git(top, "commit", "-m", "One")
    git(top, "tag", "-a", "v1", "-m", "v1")
    head = git(top, "rev-parse", "HEAD")
    (package / "b.py").write_text("1\n")
    assert m.checkout_commit(package) == head
    git(top, "worktree", "add", str(tmp_path / "w"), "-b", "topic")
    git(tmp_path / "w", "commit", "--allow-empty", "-m", "Two")
    assert m.checkout_commit(tmp_path / "w" / "mm") == git(tmp_path / "w", "rev-parse", "HEAD") != head
    (package / "a.py").write_text("2\n")
    assert m.checkout_commit(package) == f"{head}+dirty"
    assert m.checkout_commit(top / ".venv" / "lib" / "mm") is None


def test_peak_memory_is_that_of_this_process():
    """A number of some MB, if the system provides it."""
    peak = m.peak_rss_mb()
    assert peak is None or 1 < peak < 100_000
