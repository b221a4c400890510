"""A dead man's switch: cancels a trader's orders from another machine once it has given no sign of life for a while.

Signs of life are answers of its page, or changes of a file that is shipped here; and at the exchange orders of ours
that are new or amended, so that a line that is cut between the two machines cancels nothing of a trader that quotes.
Time is summed between looks by the clock that nobody sets: a clock that differs, or a pause of this process, counts
for nothing.
"""

import ssl
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from mm.errors import MMError
from mm.live.venues.canceller import NoAnswer, OrderCanceller, named
from mm.market_data.health import ENDED, read_health

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

ANSWER_S = 2.0
"""Time in which a page must answer, in s."""
MOST_S = 2.0
"""Longest time between two looks that counts as silence; beyond it this process did not look, in s."""
LIST_S = 1.0
"""Time between two listings of orders at the exchange, in s."""


class Heartbeat(Protocol):
    def beats(self) -> bool:
        """Return whether there was a sign of life since the last call."""


class PageBeat:
    """Answers of a trader's page, which its event loop gives."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._context = ssl.create_default_context() if parts.scheme == "https" else None

    def beats(self) -> bool:
        if self._context:
            there: HTTPConnection = HTTPSConnection(self._host, self._port, timeout=ANSWER_S, context=self._context)
        else:
            there = HTTPConnection(self._host, self._port, timeout=ANSWER_S)
        try:
            there.request("GET", "/health/live")
            return there.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            there.close()


class FileBeat:
    """Changes of a file that is shipped here, or of the health reports in a copy of a trader's DATA_ROOT."""

    def __init__(self, path: Path, symbols: Sequence[str]) -> None:
        self._path, self._symbols = path, symbols
        self._last: object = None

    def beats(self) -> bool:
        try:
            now = self._reports() if self._path.is_dir() else self._path.read_bytes() or None
        except (OSError, MMError):  # as it is shipped
            return False
        before, self._last = self._last, now or self._last
        return bool(now) and before is not None and now != before

    def _reports(self) -> list[tuple[str, int]]:
        found = [read_health(self._path, symbol) for symbol in self._symbols]
        return [(report.run_id, report.at_us) for report in found if report and report.state != ENDED]


class DeadMan:
    """Watches a trader at one exchange.

    Attributes:
        armed: A sign of life has come: before the first one nothing is cancelled.
        silent_s: Time without a sign of life here.
        still_s: Time in which no order of ours was new or amended at the exchange, since it is silent here.
    """

    def __init__(
        self,
        heart: Heartbeat,
        canceller: OrderCanceller,
        after_s: float,
        log: "Logger",
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._heart, self._canceller, self._after_s, self._log, self._now_s = heart, canceller, after_s, log, now_s
        self._looked_s = now_s()
        self.armed, self.silent_s = False, 0.0
        self._forget()

    def _forget(self) -> None:
        self.still_s, self._listed_s, self._due_s = 0.0, 0.0, 0.0
        self._orders: dict[int, str] | None = None
        self.trouble, self._acts = "", False

    def look(self) -> None:
        now_s = self._now_s()
        passed_s, self._looked_s = min(now_s - self._looked_s, MOST_S), now_s
        if self._heart.beats():
            if self.silent_s >= self._after_s or not self.armed:
                self._log.info("heartbeat_came", silent_s=round(self.silent_s, 1))
            self.armed, self.silent_s = True, 0.0
            self._forget()
            return
        if not self.armed:
            self.trouble = "no heartbeat has come yet, so nothing would be cancelled; see --heartbeat"
            return
        self.silent_s += passed_s
        self.trouble = f"no heartbeat for {self.silent_s:.0f} s"
        if self._now_s() >= self._due_s:
            self._at_exchange()

    def _at_exchange(self) -> None:
        try:
            listed = {one.order_id: f"{one.price} {one.qty}" for one in self._canceller.listed()}
            now_s = self._now_s()
            self._due_s = now_s + LIST_S
            lives = self._orders is not None and any(self._orders.get(key) != terms for key, terms in listed.items())
            if self._orders is None or lives:
                if lives and self.silent_s >= self._after_s:
                    self._log.warning(
                        "trader_lives", note="it places orders: the line to it is cut; nothing is cancelled"
                    )
                self.still_s, self._acts = 0.0, False
            else:
                self.still_s += min(now_s - self._listed_s, LIST_S + MOST_S)
            self._orders, self._listed_s = listed, now_s
            if min(self.silent_s, self.still_s) >= self._after_s:
                self._cancel(listed)
        except NoAnswer as error:
            self._due_s = self._now_s() + max(error.wait_s, LIST_S)
            self.trouble += f"; the exchange does not answer: {error}"
        except MMError as error:
            self._due_s = self._now_s() + LIST_S
            self.trouble += f"; {error}"

    def _cancel(self, listed: dict[int, str]) -> None:
        """Only what stood still, and not if the trader gives a sign of life just now."""
        canceller, ended = self._canceller, len(self._canceller.ended)
        if listed and not self._acts:
            self._acts = True
            self._log.error("dead_man_cancels", silent_s=round(self.silent_s, 1), orders=len(listed))
        found = canceller.sweep(lambda: canceller.left.keys() <= listed.keys() and not self._heart.beats())
        self._due_s = self._now_s()
        if len(canceller.ended) > ended:
            gone = [order for order, _ in [*canceller.ended.values()][ended:]]
            self._log.error("dead_man_cancelled", orders=named(gone))
        if found == 0:
            self._due_s += LIST_S
            self.trouble += "; the exchange lists no order of it"
