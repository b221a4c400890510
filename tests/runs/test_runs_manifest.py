import json
import math

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
FILES = [m.InputFile("BTCUSDT/20251216/t.csv", 10, "aa"), m.OutputFile("fills.csv", 3, "bb", in_digest=True)]


def work(days=("20251216",), knobs=None, files=None) -> str:
    return m.work_digest("backtest", days, knobs or KNOBS, files or FILES)


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
    rows = {
        name: m.read_output(tmp_path, tmp_path / name, None, True).rows for name in ("a.csv", "b.json", "empty.csv")
    }
    assert rows == {"a.csv": 2, "b.json": None, "empty.csv": 0}
    assert m.read_output(tmp_path, tmp_path / "a.csv", 7, True).rows == 7


def test_equal_work_has_equal_digests_at_any_place():
    """Moving the data or the output, or another source of a knob, is not other work."""
    moved = [m.InputFile("/elsewhere/t.csv", 10, "aa"), FILES[1]]
    page = [*FILES, m.OutputFile("report.html", None, "cc", in_digest=False)]
    freed = KNOBS | {"out_root": m.SetKnob("/tmp", "flag", matters=False)}
    sourced = KNOBS | {"seed": m.SetKnob(0, "environment", matters=True)}
    ranged = KNOBS | {"day": m.SetKnob("20251216:20251217", "flag", matters=True)}
    assert {work(files=f) for f in (FILES, moved, page, FILES[::-1])} == {work()}
    assert {work(knobs=k) for k in (freed, sourced, ranged)} == {work()}


def test_other_work_has_another_digest():
    """Everything that matters changes the digest."""
    others = [
        work(days=("20251217",)),
        work(knobs=KNOBS | {"seed": m.SetKnob(1, "flag", matters=True)}),
        work(files=[m.InputFile("t.csv", 10, "ab"), FILES[1]]),
        work(files=[FILES[0], m.OutputFile("fills.csv", 3, "bc", in_digest=True)]),
        work(files=[FILES[0], m.OutputFile("orders.csv", 3, "bb", in_digest=True)]),
        m.work_digest("walkforward", ("20251216",), KNOBS, FILES),
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


def git_folder(package, head: str):
    git = package.parent / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text(head)
    return git


def test_commit_is_read_from_a_checkout(tmp_path):
    """From loose, packed and detached heads; outside a checkout there is none."""
    package = tmp_path / "repo" / "mm"
    assert m.checkout_commit(package) is None
    git = git_folder(package, "ref: refs/heads/main\n")
    (git / "packed-refs").write_text("# pack-refs\n1111 refs/heads/main\n")
    assert m.checkout_commit(package) == "1111"
    (git / "refs/heads/main").write_text("2222\n")
    assert m.checkout_commit(package) == "2222"
    (git / "HEAD").write_text("3333\n")
    assert m.checkout_commit(package) == "3333"


def test_commit_of_a_worktree_is_its_own(tmp_path):
    """A worktree has its own head and shares its branches with the others."""
    main = git_folder(tmp_path / "main" / "mm", "ref: refs/heads/main\n")
    (main / "refs/heads/topic").write_text("4444\n")
    (main / "worktrees/w").mkdir(parents=True)
    (main / "worktrees/w/HEAD").write_text("ref: refs/heads/topic\n")
    (main / "worktrees/w/commondir").write_text("../..\n")
    (tmp_path / "w").mkdir()
    (tmp_path / "w/.git").write_text(f"gitdir: {main / 'worktrees/w'}\n")
    assert m.checkout_commit(tmp_path / "w" / "mm") == "4444"


def test_peak_memory_is_that_of_this_process():
    """A number of some MB, if the system provides it."""
    peak = m.peak_rss_mb()
    assert peak is None or 1 < peak < 100_000


def test_files_are_listed_by_path():
    """The order of writing is not in the manifest."""
    outputs = [m.OutputFile(name, None, "x", in_digest=True) for name in ("b", "a")]
    entries = m.file_entries(FILES[:1], outputs)
    assert json.loads(json.dumps(entries)) == {
        "inputs": [{"path": "BTCUSDT/20251216/t.csv", "bytes": 10, "sha256": "aa"}],
        "outputs": [{"path": "a", "rows": None, "sha256": "x"}, {"path": "b", "rows": None, "sha256": "x"}],
    }
