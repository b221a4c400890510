"""Runs the console blocks of a page again, and compares or replaces the output that the page shows.

``python tests/console_pages.py`` replaces it in all of PAGES or in the pages named (``make pages``);
test_console_pages.py compares.
A line of output that is ``…`` means any number of lines, and ``…`` inside a line for the rest of it.
Stamps, digests and commits differ from run to run and are not compared.
A page runs in a folder of its own, after the commands of the tour that it builds on; the files of which
docs/models.md and the page say ``Put this into `name` `` are in that folder, parts of one file in one file.
What a page renews is compared as well, but for the commands of SLOW.
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
_NOT_RUN = re.compile(
    r"make |curl |docker |&$|> ready\.json|mm record|mm bench |mm rl |cythonize|data fetch|SIMUSDT.*--format"
)
_TIMEOUT_S = 300

TOUR, MODELS = "docs/tour.md", "docs/models.md"
_IMPORT = "mm data import ../shared/data/binance-spot-nexousdt-20240723-24/"
PAGES: dict[str, tuple[str, ...]] = {  # page: the commands of the tour that it builds on, a part of each
    "README.md": (),
    TOUR: (),
    "docs/as2008.md": (),
    "docs/calibration.md": (_IMPORT, "mm calibrate --symbol NEXOUSDT", "--method ladder"),
    "docs/data.md": (_IMPORT,),
    "docs/learning.md": (_IMPORT,),
    "docs/metrics.md": (_IMPORT,),
    MODELS: (_IMPORT,),
    "docs/presets.md": (),
    "docs/quotes.md": (_IMPORT,),
    "docs/runs.md": (),
    "docs/signals.md": (_IMPORT,),
    "docs/sweeps.md": (_IMPORT,),
    "docs/walkforward.md": (_IMPORT,),
    "mm/backtest/README.md": (_IMPORT,),
    "mm/calibration/README.md": (),
    "mm/market_data/README.md": (),
}
# Renewed, not compared: days of known orders and their scores, twenty simulated days, an import of 370,000 messages,
# and fits that need the extra [ml].
SLOW = re.compile(r"ZIUSDT|LTUSDT|benchmarks\.schedules|bitstamp|mm predict|mm check lookahead")


def steps(block: str) -> list[tuple[str, list[str]]]:
    """Return the commands of a block, each with the lines of output that the page shows after it."""
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


def blocks(page: Path) -> list[str]:
    """Return the console blocks of a page that can be run here: no servers, no downloads, no other make target."""
    text = page.read_text(encoding="utf-8")
    return [
        body for _, body, _ in _FENCE.findall(text) if not any(_NOT_RUN.search(command) for command, _ in steps(body))
    ]


def recorded(name: str) -> bool:
    """Return whether a page needs the recorded days beside the checkout."""
    return bool(PAGES[name]) or "../shared" in "".join(blocks(ROOT / name))


class Desk:
    """A folder with the recorded data beside it, in which the commands of one page are run in order.

    Args:
        folder: An empty folder.
        page: The page, whose files are written and whose parts of the tour are run.
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
        for source in dict.fromkeys((ROOT / MODELS, page)):
            for name, text in _OWN_FILE.findall(source.read_text(encoding="utf-8")):
                with (self.work / name).open("a", encoding="utf-8") as file:
                    file.write(text)
        needed = PAGES[page.relative_to(ROOT).as_posix()]
        for block in blocks(ROOT / TOUR) if needed else ():
            for command, shown in steps(block):
                if any(part in command for part in needed):
                    self.run(command, shown)

    def run(self, command: str, shown: list[str]) -> list[str]:
        """Return the lines that a shell command prints, trailing spaces removed; exported variables stay set.

        They are those on stdout, and the error on stderr of a command that is *shown* to fail.

        Raises:
            subprocess.CalledProcessError: If the command fails and is not shown to.
        """
        done = subprocess.run(
            f"{command}\nstatus=$?; env -0 > '{self._variables}'; exit $status",
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
    """Return the stretches of shown lines between the elisions; the first and the last may be empty."""
    found: list[list[str]] = [[]]
    for line in shown:
        if line == ELISION:
            found.append([])
        else:
            found[-1].append(line)
    return found


def _comparable(line: str) -> str:
    """Return a line without what differs between two runs or two processors."""
    return _LONG.sub(lambda number: f"{float(number[0]):.8g}", _VOLATILE.sub("#", line))


def _same(shown: str, real: str) -> bool:
    shown, real = _comparable(shown), _comparable(real)
    if ELISION in shown:
        return real.startswith(shown.split(ELISION)[0])
    return shown.rstrip() == real


def first_difference(shown: list[str], real: list[str]) -> str | None:
    """Return the first shown line that a command did not print at its place, None where all were printed."""
    segments, at = _segments(shown), 0
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        starts = range(at, len(real) - len(segment) + 1) if number else [0]
        if last and number:
            starts = range(max(len(real) - len(segment), at), len(real) - len(segment) + 1)
        for start in starts:
            if all(_same(a, b) for a, b in zip(segment, real[start:], strict=False)) and start + len(segment) <= len(
                real
            ):
                at = start + len(segment)
                break
        else:
            return next((line for line in segment if not any(_same(line, other) for other in real)), segment[0])
    return None if len(segments) > 1 or at == len(real) else real[at]


def renewed(shown: list[str], real: list[str]) -> list[str]:
    """Return the shown lines with what the command printed now, the elisions kept where they were.

    A stretch of several lines goes from the line most like its first to the one most like its last, so that it
    grows where the command prints more.
    """
    segments = _segments(shown)
    if len(segments) == 1:
        return _shortened(shown, real)
    out: list[str] = []
    at = 0
    for number, segment in enumerate(segments):
        if number:
            out.append(ELISION)
        if not segment:
            continue
        last = number == len(segments) - 1
        if last and len(segment) == 1:
            at = max(at, len(real) - 1)
        elif number:
            at = _nearest(segment[0], real, at)
        end = at + 1 if len(segment) == 1 else _nearest(segment[-1], real, at + 1) + 1
        end = len(real) if last else end
        out += _shortened(segment, real[at:end])
        at = end
    return out


def _shortened(shown: list[str], real: list[str]) -> list[str]:
    """Return the real lines, those cut off of which a shown line that is cut off has the beginning."""
    cut = [line for line in shown if ELISION in line]
    return [next((old for old in cut if _same(old, new)), new) for new in real]


def _nearest(line: str, real: list[str], at: int) -> int:
    """Return the position from *at* on whose line is most like a line."""
    likeness = [SequenceMatcher(None, line, other).ratio() for other in real[at:]]
    return at + likeness.index(max(likeness)) if likeness else at


def renew(page: Path) -> None:
    """Run the blocks of a page and write those again that print something else, stamps and digests aside."""
    runnable = set(blocks(page))
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder), page)

        def block(match: re.Match[str]) -> str:
            if match[2] not in runnable:
                return match[0]
            lines: list[str] = []
            differs = False
            for command, shown in steps(match[2]):
                real = desk.run(command, shown)
                differs |= first_difference(shown, real) is not None
                lines += [f"$ {command}", *renewed(shown, real)]
            if not differs:
                return match[0]
            return match[1] + "".join(f"{line}\n" for line in lines) + match[3]

        text = _FENCE.sub(block, page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or PAGES:
        renew((ROOT / name).resolve())
