"""Run the console and bash blocks of a page again, and compare or replace the output on the page.

``python tests/console_pages.py`` replaces the output in all of PAGES or in the given pages (``make pages``);
test_console_pages.py compares it.
An output line ``…`` stands for any number of lines, and ``…`` at the end of a line for the rest of the line.
Time stamps, digests and commits differ between runs and are not compared; on pages of LIVE no number is.
Bash blocks show no output.
Settings are flags: what a page exports it unsets, so that pages read in any order in one shell print the same.
Each page runs in its own folder, after the commands of the tour that it builds on; files that the page introduces with
``Put this into `name` `` are in that folder, and parts of one file are joined.
A server (``… > FILE &``) runs until ``kill %1``, one whose comment names a terminal beside what follows in
its block; Ctrl-C ends it half a minute later. Servers get a free port instead of 8765.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher
from pathlib import Path
from types import TracebackType
from typing import Self

from mm.base.numbers import with_plain_minus
from mm.cli.frame import every_name
from support import ROOT, SHARED

ELISION = "…"
_FENCE = re.compile(r"(^```(?:console|bash)\n)(.*?)(^```)", re.MULTILINE | re.DOTALL)
_VOLATILE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\b[0-9a-f]{64}\b|\b[0-9a-f]{40}\b|(?<!\d)\d{8}T\d{6}Z(?:_\d+)?")
_LONG = re.compile(r"\d+\.\d{9,}(?:e-?\d+)?")  # the last digits of a fit depend on the processor
_OWN_FILE = re.compile(r"^Put this into `([^`]+)`[^\n]*\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PORT = "8765"
_BESIDE = re.compile(r"#.*\bterminal\b")
_SERVED = re.compile(r"> *\S+ *&$")  # a server writes a line into this file when it is ready
_BEHIND = re.compile(r" *&?( *#.*)?$")
_NUMBER = re.compile(r"[+−-]?\d[\d.,]*|(?<= )–(?= |$)")
NOT_RUN = {
    r"docker |systemctl|journalctl|sudo |/etc/mm|mm/ops/": "a container engine, services, or folders of root",
    r"pip install|uvx |pipx |-m venv": "installs packages from the network",
    r"mm record|market_data\.recorder|data fetch|--venue (production|testnet)": "an exchange on the network",
    r"20251216|BTCUSDT --held-out|data hold BTCUSDT": "days that its reader has recorded",
    r"mm bench": "a yardstick of 1.3 GB, and minutes; tests/test_mm_bench.py",
    r"mm rl ": "training; tests/rl",
    r"mm risk (kill|rearm|status)": "the traders that live on this machine; tests/live/test_kill_heard.py",
    r"completion zsh": "zsh, which knows fpath",
}
_TIMEOUT_S = 300
_READY_S = 30
_BESIDE_S = 20  # long enough for fills on every side

TOUR = "docs/tour.md"
PAGES: dict[str, tuple[str, ...]] = {  # page: parts of the tour's commands that it builds on
    "README.md": (),
    TOUR: (),
    "docs/calibration.md": ("sample nexousdt", "import samples/nexousdt/"),
    "docs/data.md": (),
    "docs/write_a_strategy.md": (),
    "docs/coming_from.md": (),
    "docs/models.md": ("sample nexousdt", "import samples/nexousdt/"),
    "docs/results.md": (),
    "docs/specification/exchange.md": (),
    "docs/is_my_result_real.md": ("sample nexousdt", "import samples/nexousdt/"),
    "docs/learning.md": ("sample nexousdt", "import samples/nexousdt/"),
    "docs/trading.md": (),
    "docs/evidence/measured.md": (),
    "docs/lookup/configuration.md": (),
    "docs/on_call.md": (),
}
FIRST_HOURS = (
    "README.md",
    TOUR,
    "docs/write_a_strategy.md",
    "docs/is_my_result_real.md",
    "docs/data.md",
    "docs/results.md",
)
LIVE = {"docs/trading.md"}  # what it prints depends on the time of the day and on the machine
DEMO = {"make demo": f"{sys.executable} -m mm demo"}  # the page's folder has no Makefile


def steps(block: str) -> list[tuple[str, list[str]]]:
    """Return the commands of a block, each with the output lines shown after it; any lines after one of a script."""
    script = not block.startswith("$ ")
    found: list[tuple[str, list[str]]] = []
    continued = False
    for line in block.splitlines():
        starts = script or line.startswith("$ ")
        if continued:
            found[-1] = (f"{found[-1][0]}\n{line}", found[-1][1])
        elif starts and line:
            found.append((line.removeprefix("$ "), [ELISION] if script else []))
        elif not script:
            found[-1][1].append(line)
        continued = (continued or starts) and line.endswith("\\")
    return found


def is_run(command: str) -> bool:
    """Return whether tests run a command: nothing of NOT_RUN."""
    return not any(re.search(kind, command) for kind in NOT_RUN)


def blocks(page: Path) -> list[str]:
    """Return the console blocks of a page of which tests run a command."""
    text = page.read_text(encoding="utf-8")
    return [body for _, body, _ in _FENCE.findall(text) if any(is_run(command) for command, _ in steps(body))]


def recorded(name: str) -> bool:
    """Return whether a page needs the recorded days in ../shared."""
    return bool(PAGES[name]) or "mm data sample" in "".join(blocks(ROOT / name))


def own_files(page: Path) -> list[tuple[str, str]]:
    """Return names and texts of the files that a page introduces, part by part."""
    return _OWN_FILE.findall(page.read_text(encoding="utf-8"))


class Console:
    """A folder in which the commands of one page run in order.

    Args:
        folder: An empty folder.
        page: The page; its files are written and its parts of the tour are run.
    """

    def __init__(self, folder: Path, page: Path) -> None:
        self.work = folder / "main"
        for name in ("data", "out"):  # as in a checkout
            (self.work / name).mkdir(parents=True)
        self._variables = folder / "variables"
        self._servers: list[subprocess.Popen[bytes]] = []
        self._terminals: list[tuple[str, Path, subprocess.Popen[bytes]]] = []
        self._environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "NO_COLOR": "1",
            "MM_SAMPLES": str(SHARED / "data"),
        }
        self._given = self._environment.keys()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])
        self.write_files(page)
        needed = PAGES[page.relative_to(ROOT).as_posix()]
        for block in blocks(ROOT / TOUR) if needed else ():
            for command, shown in steps(block):
                if is_run(command) and any(part in command for part in needed):
                    self.run(command, shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what still runs."""
        self._end([*self._servers, *(process for _, _, process in self._terminals)])

    @staticmethod
    def _end(started: Sequence[subprocess.Popen[bytes]]) -> None:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            try:
                process.wait(_READY_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)

    def write_files(self, page: Path) -> None:
        """Write the files that a page introduces, instead of those of the same names of an earlier page."""
        for name in dict.fromkeys(name for name, _ in own_files(page)):
            (self.work / name).unlink(missing_ok=True)
        for name, text in own_files(page):
            with (self.work / name).open("a", encoding="utf-8") as file:
                file.write(text.replace(_PORT, self._port))

    def exported(self) -> set[str]:
        """Return the knobs and keys that commands of the page have exported and not unset again."""
        names = {name.upper() for name in every_name()} | {"BINANCE_API_KEY", "BINANCE_API_SECRET"}
        return names & (self._environment.keys() - self._given)

    @contextmanager
    def block(self) -> Iterator[None]:
        """Run the commands of a block inside; its other terminals get a Ctrl-C at the end.

        Raises:
            AssertionError: If what ran in another terminal ended before, or with an error.
        """
        yield
        until = time.monotonic() + _BESIDE_S
        for command, log, process in self._terminals:
            try:
                process.wait(until - time.monotonic())
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"{command}\nended with {process.returncode}\n{log.read_text(encoding='utf-8')}")
        for _, _, process in self._terminals:
            os.killpg(process.pid, signal.SIGINT)
        while self._terminals:
            command, log, process = self._terminals.pop()
            assert process.wait(_READY_S) == 0, f"{command}\n{log.read_text(encoding='utf-8')}"

    def run(self, command: str, shown: list[str]) -> list[str]:
        """Return the lines that a shell command prints, without trailing spaces; exported variables stay set.

        The lines are those of stdout, and the error line of stderr if the page shows that the command fails.
        What runs beside the others has none.

        Raises:
            subprocess.CalledProcessError: If the command fails although the page shows no error.
        """
        command = command.replace(_PORT, self._port)
        if command.startswith("kill %1"):  # the server, which is no job of this shell
            self._end(self._servers)
            self._servers.clear()
            return []
        if _SERVED.search(command) or _BESIDE.search(command):
            self._start(command)
            return []
        done = subprocess.run(
            ["bash", "-c", f"{DEMO.get(command, command)}\nstatus=$?; env -0 > '{self._variables}'; exit $status"],
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
        ours = "set by environment: MM_SAMPLES="  # of this runner: a reader downloads
        lines = [line for line in done.stdout.splitlines() if not line.startswith(ours)]
        return [line.rstrip() for line in [*lines, *errors]]

    def _start(self, command: str) -> None:
        """Start a command beside the others; a server is waited for until it has written that it is ready."""
        log = self._variables.with_name(f"beside{len(self._servers) + len(self._terminals)}.log")
        ready = self.work / command.rpartition(">")[2].strip(" &")
        if _SERVED.search(command):
            ready.unlink(missing_ok=True)  # of an earlier page
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec env {_BEHIND.sub('', command)}"],
                cwd=self.work,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if _BESIDE.search(command):
            self._terminals.append((command, log, process))
            return
        self._servers.append(process)
        until = time.monotonic() + _READY_S
        while not (ready.exists() and ready.read_text(encoding="utf-8").endswith("\n")):
            ended = process.poll() is not None or time.monotonic() > until
            assert not ended, f"{command}\n{log.read_text(encoding='utf-8')}"
            time.sleep(0.05)


def _segments(shown: list[str]) -> list[list[str]]:
    """Return the segments of shown lines between elisions; the first and the last may be empty."""
    found: list[list[str]] = [[]]
    for line in shown:
        if line == ELISION:
            found.append([])
        else:
            found[-1].append(line)
    return found


def _comparable(line: str, live: bool) -> str:
    """Return a line without parts that differ between runs or processors; one of a live market without numbers.

    Pages have the minus of a terminal, the commands here that of a pipe.
    """
    line = with_plain_minus(line)
    line = _LONG.sub(lambda number: f"{float(number[0]):.8g}", _VOLATILE.sub("#", line))
    return " ".join(_NUMBER.sub("#", line).split()) if live else line


def _same(shown: str, printed: str, live: bool = False) -> bool:
    shown, printed = _comparable(shown, live).rstrip(), _comparable(printed, live)
    if shown.endswith(ELISION):  # elsewhere it is between the ends of an interval, as printed
        return printed.startswith(shown.removesuffix(ELISION))
    return shown == printed


def first_difference(shown: list[str], printed: list[str], live: bool = False) -> str | None:
    """Return the first shown line that the command did not print at its position, None if all match."""
    segments, at = _segments(shown), 0
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        starts = range(at, len(printed) - len(segment) + 1) if number else [0]
        if last and number:
            starts = range(max(len(printed) - len(segment), at), len(printed) - len(segment) + 1)
        for start in starts:
            enough = start + len(segment) <= len(printed)
            if enough and all(_same(a, b, live) for a, b in zip(segment, printed[start:], strict=False)):
                at = start + len(segment)
                break
        else:
            return next(
                (line for line in segment if not any(_same(line, other, live) for other in printed)), segment[0]
            )
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
    cut = [line for line in shown if line.rstrip().endswith(ELISION)]
    return [next((old for old in cut if _same(old, new)), new) for new in printed]


def _nearest(line: str, printed: list[str], at: int) -> int:
    """Return the position, from *at* on, of the line most similar to *line*."""
    likeness = [SequenceMatcher(None, line, other).ratio() for other in printed[at:]]
    return at + likeness.index(max(likeness)) if likeness else at


def update_page(page: Path) -> None:
    """Run the blocks of a page and update those whose output differs in more than stamps and digests."""
    runnable = set(blocks(page))
    live = page.relative_to(ROOT).as_posix() in LIVE
    with tempfile.TemporaryDirectory() as folder, Console(Path(folder), page) as console:

        def block(match: re.Match[str]) -> str:
            if match[2] not in runnable:
                return match[0]
            lines: list[str] = []
            differs = False
            with console.block():
                for command, shown in steps(match[2]):
                    if not is_run(command):
                        lines += [f"$ {command}", *shown]
                        continue
                    printed = console.run(command, shown)
                    differs |= first_difference(shown, printed, live) is not None
                    lines += [f"$ {command}", *updated(shown, printed)]
            if not differs:
                return match[0]
            return match[1] + "".join(f"{line}\n" for line in lines) + match[3]

        text = _FENCE.sub(block, page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or PAGES:
        update_page((ROOT / name).resolve())
