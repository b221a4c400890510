"""The console output on a page matches the output of its commands."""

from pathlib import Path

import pytest

from console_pages import SLOW, Console, blocks, first_difference, recorded, steps, updated
from support import ROOT, SHARED

PRINTED = ["one", "two 2026-11-20T17:31:59.392123Z", "three", "four"]


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        (PRINTED, None),
        (["…"], None),
        (["one", "…"], None),
        (["…", "four"], None),
        (["…", "three", "…"], None),
        (["one", "two 2025-01-01T00:00:00Z", "…"], None),
        (["…", "thr…", "…"], None),
        (["one"], "two 2026-11-20T17:31:59.392123Z"),
        (["…", "three"], "three"),
        (["two 2026-11-20T17:31:59.392123Z", "…"], "two 2026-11-20T17:31:59.392123Z"),
        (["…", "three and more", "…"], "three and more"),
        (["…", "three", "…", "one", "…"], "one"),
    ],
)
def test_first_difference_finds_line_that_was_not_printed(shown: list[str], missing: str | None) -> None:
    """Shown lines must appear in the printed output in order; "…" stands for omitted lines."""
    assert first_difference(shown, PRINTED) == missing


def test_updated_output_keeps_elisions() -> None:
    """Elisions stay in place; all other lines are replaced."""
    assert updated(["1", "…", "thre", "…", "4"], PRINTED) == ["one", "…", "three", "…", "four"]
    assert updated(["anything"], PRINTED) == PRINTED
    assert updated(["on…", "…", "thr…", "…"], PRINTED) == ["on…", "…", "thr…", "…"]
    assert updated(["a 1", "b 2", "…", "y 3", "z 4"], ["a 5", "n", "b 6", "q", "y 7", "m", "z 8"]) == [
        *("a 5", "n", "b 6", "…", "y 7", "m", "z 8")
    ]


def test_steps_joins_commands_with_line_continuations() -> None:
    """Pages break long commands with a backslash."""
    assert steps("$ a \\\n  b\nx\n$ c\n") == [("a \\\n  b", ["x"]), ("c", [])]


RECORDED = pytest.mark.skipif(not SHARED.exists(), reason="needs the recorded days in ../shared")


# The other pages are printed again before a release, by make pages.
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=RECORDED if recorded(name) else ()) for name in ("README.md", "docs/tour.md")]
)
def test_page_output_matches_its_commands(name: str, tmp_path: Path) -> None:
    """The blocks run in a folder that contains only the page's inputs and the output of earlier blocks."""
    page = ROOT / name
    console = Console(tmp_path, page)
    for block in blocks(page):
        for command, shown in steps(block):
            if SLOW.search(command):
                continue
            printed = console.run(command, shown)
            assert first_difference(shown, printed) is None, f"{command}\n" + "\n".join(printed[:40])
