"""The output that a page shows is the output that its commands print."""

from pathlib import Path

import pytest

from console_pages import PAGES, SLOW, Desk, blocks, first_difference, recorded, renewed, steps
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
def test_a_line_that_was_not_printed_is_found(shown: list[str], missing: str | None) -> None:
    """A page that shows something else than its command prints misleads its reader."""
    assert first_difference(shown, PRINTED) == missing


def test_renewed_output_keeps_what_the_page_leaves_out() -> None:
    """Elisions stay where the writer put them; everything else is replaced."""
    assert renewed(["1", "…", "thre", "…", "4"], PRINTED) == ["one", "…", "three", "…", "four"]
    assert renewed(["anything"], PRINTED) == PRINTED
    assert renewed(["on…", "…", "thr…", "…"], PRINTED) == ["on…", "…", "thr…", "…"]
    assert renewed(["a 1", "b 2", "…", "y 3", "z 4"], ["a 5", "n", "b 6", "q", "y 7", "m", "z 8"]) == [
        *("a 5", "n", "b 6", "…", "y 7", "m", "z 8")
    ]


def test_a_command_may_go_over_several_lines() -> None:
    """The pages break long commands with a backslash."""
    assert steps("$ a \\\n  b\nx\n$ c\n") == [("a \\\n  b", ["x"]), ("c", [])]


RECORDED = pytest.mark.skipif(not SHARED.exists(), reason="needs the recorded days in ../shared")


@pytest.mark.parametrize("name", [pytest.param(name, marks=RECORDED if recorded(name) else ()) for name in PAGES])
def test_a_page_shows_what_its_commands_print(name: str, tmp_path: Path) -> None:
    """The blocks run in a folder that holds nothing but what the page says, and what the blocks before have made."""
    page = ROOT / name
    desk = Desk(tmp_path, page)
    for block in blocks(page):
        for command, shown in steps(block):
            if SLOW.search(command):
                continue
            printed = desk.run(command, shown)
            assert first_difference(shown, printed) is None, f"{command}\n" + "\n".join(printed[:40])
