"""Open a page in a headless browser and inspect it, through the DevTools protocol over loopback.

Tests use the fixture ``chrome`` (conftest.py), which skips if no browser is installed::

    def test_page_draws_charts(chrome, tmp_path):
        page = chrome.opened(tmp_path / "report.html")
        assert page.errors == [] and page.requests == [] and page.charts > 0

    with chrome.tab(page, width=400, dark=True) as tab:   # to interact with it
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
    "--no-sandbox",  # pages are our own, and a container's user has no namespaces for a sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # not even DNS requests leave the browser
    "--remote-debugging-port=0",
)
OWN = ("file:", "data:", "about:", "blob:")
# Resolves when the page's charts are drawn and it has been painted: the second frame follows the paint of the first.
DRAWN = """Promise.resolve(window.charts)
  .then(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done()))))"""
CHARTS = """[...document.querySelectorAll(".js-plotly-plot")].filter(chart => {
  const marks = [...chart.querySelectorAll(".mlayer path, .mlayer image")];
  return marks.some(mark => {
    const box = mark.getBoundingClientRect();
    return box.width + box.height > 0;
  });
}).length"""


def browser() -> str | None:
    """Return the program of a supported browser, or None if none is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass(frozen=True)
class Seen:
    """What a page did while it was opened.

    Attributes:
        errors: Uncaught errors, and errors and warnings on the console.
        requests: Requested addresses other than the page itself and its embedded data.
        charts: Charts that contain drawn shapes.
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
    """An open page."""

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
        """Return the value of a JavaScript *expression*, as JSON; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def settle(self) -> None:
        """Wait until changes are painted; without scripts, force a paint."""
        if self._scripts:
            self.value(DRAWN)
        else:
            self.call("Page.captureScreenshot")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Send a mouse event (``mouseMoved``, ``mousePressed``, …) at a position in the window."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def wheel(self, x: float, y: float, delta: float, *, sideways: float = 0.0) -> None:
        """Turn the wheel at a position; a negative *delta* scrolls up."""
        self.mouse("mouseWheel", x, y, deltaX=sideways, deltaY=delta)
        self.settle()

    def click(self, x: float, y: float, clicks: int = 1) -> None:
        """Click at a position, or double-click."""
        for count in range(1, clicks + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.mouse(kind, x, y, button="left", clickCount=count)
        self.settle()

    def drag(self, start: tuple[float, float], end: tuple[float, float], *, shift: bool = False) -> None:
        """Press at *start*, move to *end* in a few steps, release."""
        held = {"button": "left", "modifiers": 8 if shift else 0}
        self.mouse("mousePressed", *start, clickCount=1, **held)
        for share in (0.25, 0.5, 0.75, 1.0):
            x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            self.mouse("mouseMoved", x, y, buttons=1, **held)
        self.mouse("mouseReleased", *end, clickCount=1, **held)
        self.settle()

    def key(self, key: str) -> None:
        """Press and release a key by its DOM name (``ArrowLeft``, ``+``)."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.settle()

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write a screenshot of the window, or of the *whole* page, for manual inspection."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def seen(self) -> Seen:
        """Return what the page has done so far."""
        events = self._chrome.events(self._session)
        return Seen(
            errors=[error for event in events if (error := _error(event))],
            requests=[url for event in events if (url := _request(event)) and not url.startswith(OWN)],
            charts=self.value(CHARTS),
            canvases=self.value("document.querySelectorAll('canvas').length"),
            text=self.value("document.body.innerText"),
            load_ms=self.load_ms,
            overflow=self.value("document.documentElement.scrollWidth - document.documentElement.clientWidth"),
        )


def _error(event: dict[str, Any]) -> str | None:
    """Return the problem in an event, None if there is none."""
    method, params = event["method"], event["params"]
    if method == "Runtime.exceptionThrown":
        details = params["exceptionDetails"]
        return str(details.get("exception", {}).get("description") or details["text"])
    if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
        return " ".join(str(part.get("value", part.get("description"))) for part in params["args"])
    if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
        return str(params["entry"]["text"])
    return None


def _request(event: dict[str, Any]) -> str | None:
    """Return the address that an event requests, None if it requests none."""
    if event["method"] == "Network.requestWillBeSent":
        return str(event["params"]["request"]["url"])
    return None


class Chrome:
    """A running browser with process id *pid*, started by :func:`started`."""

    def __init__(self, socket: ClientConnection, pid: int) -> None:
        self._socket, self._last_id = socket, 0
        self.pid = pid
        self._events: list[dict[str, Any]] = []

    def opened(self, page: Path, **look: Any) -> Seen:
        """Open *page*, wait until it is painted, close it and return what it did; *look* as in :meth:`tab`."""
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
        """Wait for an event of a page; an event received earlier counts."""
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
    """Start the browser with a temporary profile, and end it with all its child processes."""
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
            # No keep-alive: its thread would draw from `random` while other tests run.
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
    """Return the browser's listening address from its output; ``started`` ends the process on failure."""
    assert process.stderr is not None
    output = []
    for line in process.stderr:
        output.append(line)
        if found := re.search(r"DevTools listening on (ws://\S+)", line):
            return found.group(1)
    raise RuntimeError(f"{process.args} ended without listening: {''.join(output)}")
