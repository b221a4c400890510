"""Limits on sending: the exchange's counts of requests and orders, and the time for which it forbids requests.

Counts come with responses (``rateLimits`` of the WebSocket API, headers of REST); requests sent since are added. After
429 or 418 without ``Retry-After`` the wait doubles with each refusal. Processes of one host share this state through
the recorder's `RateBudget`.
"""

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from time import monotonic

from mm.live.venues.binance import ApiLimit
from mm.live.venues.codes import BANNED, SLOW_DOWN, TOO_MANY_ORDERS, TOO_MANY_REQUESTS
from mm.live.venues.refusals import Refusal, Why
from mm.live.venues.requests import ApiAnswer, Route
from mm.market_data.rate_budget import RateBudget

_UNITS_S = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}
_LETTERS = {"S": "SECOND", "M": "MINUTE", "H": "HOUR", "D": "DAY"}
_HEADER = re.compile(r"x-mbx-(used-weight|order-count)-([0-9]+)([smhd])", re.IGNORECASE)
_FIRST_SILENCE_S, _LONGEST_SILENCE_S = {SLOW_DOWN: 1.0, BANNED: 120.0}, 600.0
_QUIET_MOST_S = 0.05
_REFUSALS = {"ORDERS": (TOO_MANY_ORDERS, Why.ORDER_RATE), "REQUEST_WEIGHT": (TOO_MANY_REQUESTS, Why.REQUESTS)}
SHARED_EVERY_S = 1.0


class CountWindow:
    """One limit: the exchange's count, and the requests sent since."""

    def __init__(self, window_s: float, limit: int) -> None:
        self.window_s = window_s
        self.limit = limit
        self._counted, self._counted_s = 0, -window_s
        self._since: deque[tuple[float, int]] = deque()
        self._sent = 0

    def count(self, used: int, now_s: float) -> None:
        self._counted, self._counted_s = used, now_s
        self._since.clear()
        self._sent = 0

    def add(self, amount: int, now_s: float) -> None:
        self._since.append((now_s, amount))
        self._sent += amount

    def used(self, now_s: float) -> int:
        while self._since and now_s - self._since[0][0] >= self.window_s:
            self._sent -= self._since.popleft()[1]
        counted = self._counted if now_s - self._counted_s < self.window_s else 0
        return counted + self._sent


class OrderLimits:
    def __init__(
        self,
        budget: RateBudget | None = None,
        now_s: Callable[[], float] = monotonic,
        attempts: RateBudget | None = None,
    ) -> None:
        self._windows: dict[tuple[str, float], CountWindow] = {}
        self.silenced: Callable[[], None] = lambda: None
        self._budget, self._attempts = budget, attempts
        self._now_s = now_s
        self._silent_until_s = 0.0
        self._refusals = 0
        self._shared_s = 0.0

    def sent(self, route: Route) -> None:
        now_s = self._now_s()
        for (kind, _), window in self._windows.items():
            if kind == "REQUEST_WEIGHT":
                window.add(route.weight, now_s)
            elif kind == "ORDERS" and route.counted:
                window.add(1, now_s)

    def answered(self, answer: ApiAnswer) -> None:
        if answer.status not in _FIRST_SILENCE_S or answer.code == TOO_MANY_ORDERS:
            self._refusals = 0 if answer.status and answer.status not in _FIRST_SILENCE_S else self._refusals
            return
        silence_s = answer.retry_after_s
        if silence_s <= 0:
            silence_s = min(_FIRST_SILENCE_S[answer.status] * 2**self._refusals, _LONGEST_SILENCE_S)
        self._refusals += 1
        self.hold_off(silence_s)

    def hold_off(self, seconds: float) -> None:
        self._silent_until_s = max(self._silent_until_s, self._now_s() + seconds)
        if self._budget:
            self._budget.hold_off(seconds)
        self.silenced()

    def counted(self, limits: Iterable[ApiLimit]) -> None:
        now_s = self._now_s()
        for limit in limits:
            window_s = float(_UNITS_S.get(limit.interval, 60) * limit.intervalNum)
            self._window(limit.rateLimitType, window_s, limit.limit).count(limit.count, now_s)
            if limit.rateLimitType == "REQUEST_WEIGHT" and now_s - self._shared_s >= SHARED_EVERY_S:
                self._shared_s = now_s
                self._share(limit.count)

    def headers(self, headers: Mapping[str, str]) -> None:
        now_s = self._now_s()
        for name, text in headers.items():
            found = _HEADER.fullmatch(name)
            if not found or not text.isdigit():
                continue
            kind = "REQUEST_WEIGHT" if found[1].lower() == "used-weight" else "ORDERS"
            window_s = float(_UNITS_S[_LETTERS[found[3].upper()]] * int(found[2]))
            known = self._windows.get((kind, window_s))
            if known:
                known.count(int(text), now_s)

    def known(self, limits: Iterable[ApiLimit]) -> None:
        for limit in limits:
            self._window(limit.rateLimitType, float(_UNITS_S.get(limit.interval, 60) * limit.intervalNum), limit.limit)

    @property
    def silence_s(self) -> float:
        return max(0.0, self._silent_until_s - self._now_s())

    @property
    def silence_text(self) -> str:
        silence_s = self.silence_s
        return f"the exchange has blocked requests for {silence_s:.1f} s" if silence_s else ""

    async def may_connect(self) -> None:
        """Wait until a connection may be attempted, and count the attempt."""
        if self._attempts:
            await self._attempts.granted(1)

    def not_connected(self, retry_after_s: float) -> None:
        if self._attempts and retry_after_s:
            self._attempts.hold_off(retry_after_s)

    @property
    def orders_used(self) -> bool:
        """Whether a window longer than a minute is used up."""
        now_s = self._now_s()
        return any(
            kind == "ORDERS" and window_s > _UNITS_S["MINUTE"] and window.used(now_s) >= window.limit
            for (kind, window_s), window in self._windows.items()
        )

    def refusal(self, kinds: Collection[str] = tuple(_REFUSALS)) -> Refusal | None:
        """Return None if a request that counts in *kinds* may be sent now."""
        now_s = self._now_s()
        if now_s < self._silent_until_s:
            left_s = self._silent_until_s - now_s
            why = f"the exchange has blocked requests for another {left_s:.1f} s"
            return Refusal(TOO_MANY_REQUESTS, why, Why.REQUESTS)
        for (kind, window_s), window in self._windows.items():
            if kind in kinds and window.used(now_s) >= window.limit:
                code, meaning = _REFUSALS[kind]
                used = f"{window.used(now_s)} of {window.limit} in {window_s:g} s"
                return Refusal(code, f"{kind}: {used} are used", meaning)
        return None

    def _window(self, kind: str, window_s: float, limit: int) -> CountWindow:
        window = self._windows.setdefault((kind, window_s), CountWindow(window_s, limit))
        window.limit = limit
        return window

    def _share(self, used: int) -> None:
        if self._budget is not None:
            self._budget.soon(partial(self._budget.shared, used), self._quiet)

    def _quiet(self, quiet_s: float) -> None:
        if quiet_s > _QUIET_MOST_S:
            self._silent_until_s = max(self._silent_until_s, self._now_s() + quiet_s)
            self.silenced()
