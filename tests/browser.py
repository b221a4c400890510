"""Open a page in a headless browser and see what it does: the DevTools protocol over loopback, nothing else.

Tests take the fixture ``chrome`` (conftest.py), which skips where no browser is installed::

    def test_the_page_draws(chrome, tmp_path):
        seen = chrome.opened(tmp_path / "report.html")
        assert seen.errors == [] and seen.requests == [] and seen.charts > 0

    with chrome.tab(page, width=400, dark=True) as tab:   # to do something with it
        tab.wheel(500, 300, -240)
        tab.value("document.title")
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE_S = 120.0  # for any one answer; a loaded machine starts a browser in a few seconds
FLAGS = (
    "--headless",
    "--no-sandbox",  # pages are our own, and a container's user has no namespaces for one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # not even a name is asked for
    "--remote-debugging-port=0",
)
OWN = ("file:", "data:", "about:", "blob:")
# Resolves when the page has been painted: the first frame asks for the second, which follows the paint.
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
CHARTS = """[...document.querySelectorAll("svg")].filter(svg => {
  const box = svg.getBoundingClientRect();
  const marks = [...svg.querySelectorAll("path, rect, circle, polyline, line")];
  return box.width > 0 && box.height > 0 && marks.some(mark => {
    const one = mark.getBBox();
    return one.width + one.height > 0;
  });
}).length"""


def browser() -> str | None:
    """Return the program of a browser that can be driven, or None where none is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass(frozen=True)
class Seen:
    """What a page did while it was opened.

    Attributes:
        errors: Uncaught errors, and what the console was told as an error or a warning.
        requests: Addresses that were asked for, but the page itself and what lies within it.
        charts: SVG pictures of some size with something drawn in them.
        canvases: Canvas elements.
        text: The visible text.
        load_ms: From the start of the navigation until the page was painted.
        overflow: Pixels by which the page is wider than its window.
    """

    errors: list[str]
    requests: list[str]
    charts: int
    canvases: int
    text: str
    load_ms: float
    overflow: int


class Tab:
    """A page that is open."""

    def __init__(self, chrome: "Chrome", session: str, *, scripts: bool) -> None:
        self._chrome, self._session, self._scripts = chrome, session, scripts
        self.load_ms = 0.0

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a *method* of the protocol for this page."""
        return self._chrome.call(method, self._session, **params)

    def navigate(self, page: Path) -> None:
        """Open *page* and wait until it is painted."""
        self.call("Page.navigate", url=page.resolve().as_uri())
        self._chrome.until("Page.loadEventFired", self._session)
        self.settle()
        self.load_ms = float(self.value("performance.now()"))

    def value(self, expression: str) -> Any:
        """Return what a JavaScript *expression* gives, as JSON; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def settle(self) -> None:
        """Wait until what was changed is painted; without scripts, paint it."""
        if self._scripts:
            self.value(DRAWN)
        else:
            self.call("Page.captureScreenshot")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Let the pointer do something (``mouseMoved``, ``mousePressed``, …) at a place of the window."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def wheel(self, x: float, y: float, delta: float, *, sideways: float = 0.0) -> None:
        """Turn the wheel over a place; a negative *delta* is away from the reader."""
        self.mouse("mouseWheel", x, y, deltaX=sideways, deltaY=delta)
        self.settle()

    def click(self, x: float, y: float, clicks: int = 1) -> None:
        """Click at a place, or double-click."""
        for count in range(1, clicks + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.mouse(kind, x, y, button="left", clickCount=count)
        self.settle()

    def drag(self, start: tuple[float, float], end: tuple[float, float], *, shift: bool = False) -> None:
        """Press at *start*, move to *end* in a few steps, let go."""
        held = {"button": "left", "modifiers": 8 if shift else 0}
        self.mouse("mousePressed", *start, clickCount=1, **held)
        for share in (0.25, 0.5, 0.75, 1.0):
            x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            self.mouse("mouseMoved", x, y, buttons=1, **held)
        self.mouse("mouseReleased", *end, clickCount=1, **held)
        self.settle()

    def key(self, key: str) -> None:
        """Press a key by its DOM name (``ArrowLeft``, ``+``) and let it go."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.settle()

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write a picture of the window, or of the *whole* page, for people."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def seen(self) -> Seen:
        """Return what the page did until now."""
        own = self._chrome.events(self._session)
        return Seen(
            errors=[told for event in own if (told := _error(event))],
            requests=[url for event in own if (url := _request(event)) and not url.startswith(OWN)],
            charts=self.value(CHARTS),
            canvases=self.value("document.querySelectorAll('canvas').length"),
            text=self.value("document.body.innerText"),
            load_ms=self.load_ms,
            overflow=self.value("document.documentElement.scrollWidth - document.documentElement.clientWidth"),
        )


def _error(event: dict[str, Any]) -> str | None:
    """Return the problem in an event, None if there is none."""
    what, told = event["method"], event["params"]
    if what == "Runtime.exceptionThrown":
        details = told["exceptionDetails"]
        return str(details.get("exception", {}).get("description") or details["text"])
    if what == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
        return " ".join(str(part.get("value", part.get("description"))) for part in told["args"])
    if what == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
        return str(told["entry"]["text"])
    return None


def _request(event: dict[str, Any]) -> str | None:
    """Return the address that an event requests, None if it requests none."""
    if event["method"] == "Network.requestWillBeSent":
        return str(event["params"]["request"]["url"])
    return None


class Chrome:
    """A running browser, process *pid*; made by :func:`started`."""

    def __init__(self, socket: ClientConnection, pid: int) -> None:
        self._socket, self._last_id = socket, 0
        self.pid = pid
        self._events: list[dict[str, Any]] = []

    def opened(self, page: Path, **look: Any) -> Seen:
        """Open *page*, wait until it is painted, close it, and return what it did; *look* as for :meth:`tab`."""
        with self.tab(page, **look) as tab:
            return tab.seen()

    @contextmanager
    def tab(
        self, page: Path, *, width: int = 1280, height: int = 900, dark: bool = False, scripts: bool = True
    ) -> Iterator[Tab]:
        """Open *page* in a window of a size, light or dark, with or without its scripts."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session, scripts=scripts)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        tab.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        tab.call("Emulation.setEmulatedMedia", features=[scheme])
        tab.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        try:
            tab.navigate(page)
            yield tab
        finally:
            self.call("Target.closeTarget", targetId=target)

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Call a *method* of the protocol and return its result."""
        self._last_id += 1
        where = {} if session is None else {"sessionId": session}
        self._socket.send(json.dumps({"id": self._last_id, "method": method, "params": params, **where}))
        deadline = time.monotonic() + PATIENCE_S
        while (message := self._next(deadline)).get("id") != self._last_id:
            self._events.append(message)
        assert "error" not in message, (method, message["error"])
        result: dict[str, Any] = message["result"]
        return result

    def until(self, method: str, session: str) -> None:
        """Wait for an event of a page; one that came before is taken."""
        deadline = time.monotonic() + PATIENCE_S
        while not any(event["method"] == method for event in self.events(session)):
            self._events.append(self._next(deadline))

    def events(self, session: str) -> list[dict[str, Any]]:
        """Return the events of a page."""
        return [event for event in self._events if event.get("sessionId") == session]

    def _next(self, deadline: float) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=max(0.01, deadline - time.monotonic())))
        return message


@contextmanager
def started(program: str) -> Iterator[Chrome]:
    """Start the browser, with a profile of its own, and end it with all that it started."""
    with tempfile.TemporaryDirectory(prefix="browser", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            # No keep-alive of its own: it would draw from `random` in a thread beside every other test.
            quiet = {"ping_interval": None, "compression": None}
            with connect(_address(process), max_size=None, open_timeout=PATIENCE_S, **quiet) as socket:
                yield Chrome(socket, process.pid)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)
            if process.stderr is not None:
                process.stderr.close()


def _address(process: "subprocess.Popen[str]") -> str:
    """Return the browser's listening address from its output; ``started`` ends one without output."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"DevTools listening on (ws://\S+)", line):
            return found.group(1)
    raise RuntimeError(f"{process.args} ended without listening: {''.join(said)}")
