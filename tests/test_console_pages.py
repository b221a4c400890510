"""The console output on a page matches the output of its commands."""

from pathlib import Path

import pytest

from console_pages import FIRST_HOURS, LIVE, PAGES, Console, blocks, first_difference, is_run, recorded, steps
from support import ROOT, SHARED


def test_steps_joins_commands_with_line_continuations() -> None:
    """Pages break long commands with a backslash."""
    assert steps("$ a \\\n  b\nx\n$ c\n") == [("a \\\n  b", ["x"]), ("c", [])]


def test_every_number_of_a_line_is_compared() -> None:
    """Also behind the ellipsis of an interval; one at the end of a line stands for its rest."""
    shown = ["a day +0.0208, 95 % -0.0984 … +0.1063, above 0"]
    assert first_difference(shown, ["a day +0.0208, 95 % -0.0984 … +0.1063, above 0"]) is None
    assert first_difference(shown, ["a day +0.0208, 95 % -0.0984 … +0.1191, above 0"]) == shown[0]
    assert first_difference(["a day +0.0208, …"], ["a day +0.0208, 95 % -0.0984"]) is None
    assert first_difference(["a day +0.0208, …"], ["a day +0.0209, 95 % -0.0984"]) == "a day +0.0208, …"


RECORDED = pytest.mark.skipif(not SHARED.exists(), reason="needs the recorded days in ../shared")


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=RECORDED if recorded(name) else ()) for name in PAGES])
def test_page_output_matches_its_commands(name: str, tmp_path: Path) -> None:
    """The blocks run in a folder that contains only the page's inputs and the output of earlier blocks."""
    page = ROOT / name
    with Console(tmp_path, page) as console:
        for block in blocks(page):
            with console.block():
                for command, shown in steps(block):
                    if is_run(command):
                        printed = console.run(command, shown)
                        assert first_difference(shown, printed, name in LIVE) is None, f"{command}\n" + "\n".join(
                            printed[:40]
                        )
        assert console.exported() == set()


@pytest.mark.slow
@RECORDED
def test_pages_run_one_after_the_other_in_one_shell(tmp_path: Path) -> None:
    """A reader who goes from page to page meets no command that fails, and keeps no setting of an earlier page.

    Numbers may differ from those shown: runs of earlier pages are on record.
    """
    with Console(tmp_path, ROOT / FIRST_HOURS[0]) as console:
        for name in FIRST_HOURS:
            console.write_files(ROOT / name)
            for block in blocks(ROOT / name):
                with console.block():
                    for command, shown in steps(block):
                        if is_run(command):
                            console.run(command, shown)
            assert console.exported() == set(), name


def test_every_page_with_commands_is_run() -> None:
    """A new page is compared, too; what none of its commands can do here is a kind of NOT_RUN."""
    pages = (page.relative_to(ROOT).as_posix() for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    assert {name for name in pages if blocks(ROOT / name)} <= PAGES.keys()
