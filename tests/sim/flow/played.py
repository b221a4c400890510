"""Markets simulated in memory: a session's order log, and a user who trades at random meanwhile."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mm.sim.flow.order_flow import Flow, Scenario
from mm.sim.flow.session import Session
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import COLUMNS, IOC, LIMIT, MAKER, MARKET, ROW_CANCEL, ROW_NEW, ROW_REFUSE
from plain_matching import PlainMatching

Ints = NDArray[np.int64]
US, KIND, ORDER, OTHER, ACCOUNT, SIDE, TICKS, LOTS, TRADE, UPDATE = range(len(COLUMNS))
USER = 7


@dataclass
class Played:
    """A session that was simulated to its end."""

    log: Ints
    matching: Matching
    flow: Flow

    def rows(self, kind: int, account: int | None = None) -> Ints:
        """Return the rows of a kind, and of an account."""
        rows = self.log[self.log[:, KIND] == kind]
        return rows if account is None else rows[rows[:, ACCOUNT] == account]


def session(hours: float = 0.1, seed: int = 7) -> Session:
    return Session("SIMUSDT", "20260105", hours, seed)


def play(
    scenario: Scenario, period: Session, cuts: tuple[int, ...] = (), act: Callable[[Matching, int], None] | None = None
) -> Played:
    """Simulate a whole session, stopping at *cuts* (µs after its opening), where *act* may trade."""
    matching = Matching()
    flow = scenario.flow(matching, period)
    logs = []
    for cut in (*sorted(cuts), period.close_us - period.open_us):
        flow.advance(period.open_us + cut)
        if act:
            act(matching, period.open_us + cut)
        logs.append(matching.take_log())
    return Played(np.concatenate(logs), matching, flow)


def random_user(seed: int) -> Callable[[Matching, int], None]:
    """Return a user who sends, cancels and takes at random, sometimes far too large quantities."""
    draws = np.random.default_rng(seed)

    def act(matching: Matching, us: int) -> None:
        bid, bid_lots, ask, ask_lots = matching.best()
        for _ in range(int(draws.integers(0, 4))):
            side = 1 if draws.random() < 0.5 else -1
            kind = int(draws.choice([LIMIT, LIMIT, MAKER, IOC, MARKET]))
            near = (ask if side > 0 else bid) or bid or ask or 10_000
            ticks = 0 if kind == MARKET else max(1, near - side * int(draws.integers(-6, 8)))
            lots = int((bid_lots + ask_lots + 10) * draws.choice([0.01, 0.5, 3.0])) + 1
            matching.submit(us, USER, side, ticks, lots, kind)
        for order_id in matching.open_orders(USER):
            if draws.random() < 0.2:
                matching.cancel(us, order_id)

    return act


def cuts_of(seed: int, period: Session, count: int = 200) -> tuple[int, ...]:
    """Return random instants of a session, µs after its opening, some of them on its depth instants."""
    draws = np.random.default_rng(seed)
    span = period.close_us - period.open_us
    free = draws.integers(0, span, count)
    return tuple(np.concatenate([free, free[: count // 4] // 100_000 * 100_000]).tolist())


def as_rows(log: Ints) -> Iterator[tuple[int, ...]]:
    return map(tuple, log.tolist())


def matched_again(log: Ints) -> list[tuple[int, ...]]:
    """Return the log of the plain engine for the same orders and cancellations."""
    plain = PlainMatching()
    for us, kind, order_id, other_id, account, side, ticks, lots, _, _ in log.tolist():
        if kind == ROW_NEW:
            plain.submit(us, account, side, ticks, lots, other_id)
        elif kind == ROW_REFUSE:
            plain.submit(us, account, side, ticks, lots, MAKER)
        elif kind == ROW_CANCEL:
            plain.cancel(us, order_id)
    return list(plain.take_log())
