"""Run the console blocks of a page again, and compare or replace the output on the page.

``python tests/console_pages.py`` replaces the output in all of PAGES or in the given pages (``make pages``);
test_console_pages.py compares it.
An output line ``…`` stands for any number of lines, and ``…`` inside a line for the rest of the line.
Time stamps, digests and commits differ between runs and are not compared.
Each page runs in its own folder, after the commands of the tour that it builds on; files that the page introduces with
``Put this into `name` `` are in that folder, and parts of one file are joined.
"""

import os
import re
import subprocess
import sys
import tempfile
from difflib import SequenceMatcher
from pathlib import Path

from support import ROOT, SHARED

ELISION = "…"
_FENCE = re.compile(r"(^```console\n)(.*?)(^```)", re.MULTILINE | re.DOTALL)
_VOLATILE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\b[0-9a-f]{64}\b|\b[0-9a-f]{40}\b|(?<!\d)\d{8}T\d{6}Z(?:_\d+)?")
_LONG = re.compile(r"\d+\.\d{9,}(?:e-?\d+)?")  # the last digits of a fit depend on the processor
_OWN_FILE = re.compile(r"^Put this into `([^`]+)`[^\n]*\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Servers, downloads, and what waits for them. Their output is left as it is.
_NOT_RUN = re.compile(
    r"curl |docker |&$|mm record|mm bench|mm rl |mm completion|mm audit|mm trade|mm compare|data fetch"
)
_TIMEOUT_S = 300

TOUR = "docs/tour.md"
PAGES: dict[str, tuple[str, ...]] = {  # page: parts of the tour's commands that it builds on
    "README.md": (),
    TOUR: (),
    "docs/calibration.md": (),
    "docs/data.md": (),
    "docs/write_a_strategy.md": (),
    "docs/from_hftbacktest.md": (),
    "docs/models.md": ("mm data import ../shared/data/binance-spot-nexousdt",),
    "docs/results.md": (),
    "docs/exchange.md": (),
}
DEMO = {"make demo": f"{sys.executable} -m mm demo"}  # the page's folder has no Makefile


def steps(block: str) -> list[tuple[str, list[str]]]:
    """Return the commands of a block, each with the output lines shown after it."""
    found: list[tuple[str, list[str]]] = []
    continued = False
    for line in block.splitlines():
        if continued:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        elif line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
        continued = (continued or line.startswith("$ ")) and line.endswith("\\")
    return found


def is_run(command: str) -> bool:
    """Return whether tests run a command: no server, no download, nothing that needs either."""
    return not _NOT_RUN.search(command)


def blocks(page: Path) -> list[str]:
    """Return the console blocks of a page of which tests run a command."""
    text = page.read_text(encoding="utf-8")
    return [body for _, body, _ in _FENCE.findall(text) if any(is_run(command) for command, _ in steps(body))]


def recorded(name: str) -> bool:
    """Return whether a page needs the recorded days in ../shared."""
    return bool(PAGES[name]) or "../shared" in "".join(blocks(ROOT / name))


def own_files(page: Path) -> list[tuple[str, str]]:
    """Return names and texts of the files that a page introduces, part by part."""
    return _OWN_FILE.findall(page.read_text(encoding="utf-8"))


class Console:
    """A folder with the recorded data beside it, in which the commands of one page run in order.

    Args:
        folder: An empty folder.
        page: The page; its files are written and its parts of the tour are run.
    """

    def __init__(self, folder: Path, page: Path) -> None:
        (folder / "shared").symlink_to(SHARED)
        self.work = folder / "main"
        self.work.mkdir()
        self._variables = folder / "variables"
        self._environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
        }
        for name, text in own_files(page):
            with (self.work / name).open("a", encoding="utf-8") as file:
                file.write(text)
        needed = PAGES[page.relative_to(ROOT).as_posix()]
        for block in blocks(ROOT / TOUR) if needed else ():
            for command, shown in steps(block):
                if is_run(command) and any(part in command for part in needed):
                    self.run(command, shown)

    def run(self, command: str, shown: list[str]) -> list[str]:
        """Return the lines that a shell command prints, without trailing spaces; exported variables stay set.

        The lines are those of stdout, and the error line of stderr if the page shows that the command fails.

        Raises:
            subprocess.CalledProcessError: If the command fails although the page shows no error.
        """
        done = subprocess.run(
            f"{DEMO.get(command, command)}\nstatus=$?; env -0 > '{self._variables}'; exit $status",
            shell=True,
            cwd=self.work,
            env=self._environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        if not any(line.startswith("error: ") for line in shown):
            if done.returncode:
                print(done.stderr, file=sys.stderr)
            done.check_returncode()
        set_now = self._variables.read_text(encoding="utf-8").rstrip("\0").split("\0")
        self._environment = dict(one.split("=", 1) for one in set_now)
        return [line.rstrip() for line in [*done.stdout.splitlines(), *errors]]


def _segments(shown: list[str]) -> list[list[str]]:
    """Return the segments of shown lines between elisions; the first and the last may be empty."""
    found: list[list[str]] = [[]]
    for line in shown:
        if line == ELISION:
            found.append([])
        else:
            found[-1].append(line)
    return found


def _comparable(line: str) -> str:
    """Return a line without parts that differ between runs or processors."""
    return _LONG.sub(lambda number: f"{float(number[0]):.8g}", _VOLATILE.sub("#", line))


def _same(shown: str, printed: str) -> bool:
    shown, printed = _comparable(shown), _comparable(printed)
    if ELISION in shown:
        return printed.startswith(shown.split(ELISION)[0])
    return shown.rstrip() == printed


def first_difference(shown: list[str], printed: list[str]) -> str | None:
    """Return the first shown line that the command did not print at its position, None if all match."""
    segments, at = _segments(shown), 0
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        starts = range(at, len(printed) - len(segment) + 1) if number else [0]
        if last and number:
            starts = range(max(len(printed) - len(segment), at), len(printed) - len(segment) + 1)
        for start in starts:
            if all(_same(a, b) for a, b in zip(segment, printed[start:], strict=False)) and start + len(segment) <= len(
                printed
            ):
                at = start + len(segment)
                break
        else:
            return next((line for line in segment if not any(_same(line, other) for other in printed)), segment[0])
    return None if len(segments) > 1 or at == len(printed) else printed[at]


def updated(shown: list[str], printed: list[str]) -> list[str]:
    """Return the shown lines updated from the printed ones, with the elisions kept in place.

    A segment of several lines is replaced by the lines from the one most similar to its first to the one most similar
    to its last, so that it grows if the command prints more.
    """
    segments = _segments(shown)
    if len(segments) == 1:
        return _shortened(shown, printed)
    out: list[str] = []
    at = 0
    for number, segment in enumerate(segments):
        if number:
            out.append(ELISION)
        if not segment:
            continue
        last = number == len(segments) - 1
        if last and len(segment) == 1:
            at = max(at, len(printed) - 1)
        elif number:
            at = _nearest(segment[0], printed, at)
        end = at + 1 if len(segment) == 1 else _nearest(segment[-1], printed, at + 1) + 1
        end = len(printed) if last else end
        out += _shortened(segment, printed[at:end])
        at = end
    return out


def _shortened(shown: list[str], printed: list[str]) -> list[str]:
    """Return the printed lines, shortened where a shown line with an elision has the same beginning."""
    cut = [line for line in shown if ELISION in line]
    return [next((old for old in cut if _same(old, new)), new) for new in printed]


def _nearest(line: str, printed: list[str], at: int) -> int:
    """Return the position, from *at* on, of the line most similar to *line*."""
    likeness = [SequenceMatcher(None, line, other).ratio() for other in printed[at:]]
    return at + likeness.index(max(likeness)) if likeness else at


def update_page(page: Path) -> None:
    """Run the blocks of a page and update those whose output differs in more than stamps and digests."""
    runnable = set(blocks(page))
    with tempfile.TemporaryDirectory() as folder:
        console = Console(Path(folder), page)

        def block(match: re.Match[str]) -> str:
            if match[2] not in runnable:
                return match[0]
            lines: list[str] = []
            differs = False
            for command, shown in steps(match[2]):
                if not is_run(command):
                    lines += [f"$ {command}", *shown]
                    continue
                printed = console.run(command, shown)
                differs |= first_difference(shown, printed) is not None
                lines += [f"$ {command}", *updated(shown, printed)]
            if not differs:
                return match[0]
            return match[1] + "".join(f"{line}\n" for line in lines) + match[3]

        text = _FENCE.sub(block, page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or PAGES:
        update_page((ROOT / name).resolve())
