"""``mm trade cancel``: cancel the open orders of an account's symbols, beside a trader or without one."""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from mm.base.audit_chain import audit_folder
from mm.base.common_knobs import symbol_knob
from mm.base.knobs import REQUIRED, SWITCH, base_url, knob, one_of
from mm.cli.console import Console
from mm.cli.frame import command
from mm.cli.task_knobs import BinanceMarket
from mm.clock import now_us
from mm.commands.trade import KEYS
from mm.errors import MMError, TryLater, UsageError
from mm.live.account.locks import TraderLocks
from mm.live.knobs import BOX, PRODUCTION, TESTNET, VenueUrls
from mm.live.run.kill_switch import note_none_open
from mm.live.venues.addresses import addresses, quiet_file
from mm.live.venues.canceller import (
    KeyRefused,
    OpenOrderText,
    OrderCanceller,
    SignedRest,
    cancel_until_none,
    is_ours,
    named,
)
from mm.live.venues.keys import Credentials, blank_process_list, credentials_beside, read_credentials
from mm.play.knobs import OtherMarkets, Results

if TYPE_CHECKING:
    from mm.live.audit.books import AuditOrder


@dataclass(frozen=True, kw_only=True)
class CancelAccess(Results):
    """The venue and the symbols of the orders to cancel."""

    venue: str = knob(REQUIRED, one_of(BOX, TESTNET, PRODUCTION), "The venue of the orders.", common="The venue")
    symbol: str = symbol_knob("Symbol, in any case, or a list.", many=True)
    rest_url: str | None = knob(None, base_url("http", "https"), "Base URL of REST; default: the venue's.")
    remote_box: bool = knob(False, SWITCH, "1 allows --venue box on another machine.")

    def urls(self, market: str) -> VenueUrls:
        """Return the addresses of the venue.

        Raises:
            UsageError: If the venue is a box, and no address is given.
            SafetyError: As `addresses` raises it.
        """
        if self.venue == BOX and self.rest_url is None:
            raise UsageError("--venue box needs REST_URL: the address that `mm sim serve` prints when it is ready")
        given = (self.rest_url, self.rest_url, self.rest_url)
        return addresses(self.venue, *given, remote_box=self.remote_box, market=market)


_ALL = click.Option(["--all", "every"], is_flag=True, help="Cancel every order of the symbols, also those of others.")


CONTEST_S = 10.0
"""Time, in s, after which orders that a running trader places anew are left to it."""


@command(*(CancelAccess, BinanceMarket, OtherMarkets), arguments=(*KEYS[:2], _ALL), brief=(CancelAccess,))
def trade_cancel(
    console: Console, access: CancelAccess, market: BinanceMarket, others: OtherMarkets, **given: str | bool | None
) -> None:
    """Cancel the open orders of symbols until there are none: those of our traders, or with --all every order.

    It needs no audit log, no writable folder and no other process: it works beside a hung, a dead or a killed trader,
    and waits while the exchange blocks requests (429, 418) or does not answer. If the key is no longer accepted, it
    ends with 2 and names the orders; if a running trader places new ones, with 75. Ctrl-C ends it.

    Example: mm trade cancel --venue testnet --symbol BTCUSDT,ETHUSDT
    """
    places = _places(access, market.market, others)
    key, secret = given["api_key"], given["api_secret"]
    own = read_credentials(os.environ, api_key=_text(key), api_secret=_text(secret))
    wanted = (lambda _id: True) if given["every"] else is_ours
    exchanges = [_Exchange.of(place, own if at == 0 else None, own, wanted) for at, place in enumerate(places)]
    blank_process_list((_text(key), _text(secret)))
    cancellers = [exchange.canceller for exchange in exchanges]
    first: set[tuple[int, int]] = set()
    began_s = time.monotonic()

    def left() -> set[tuple[int, int]]:
        return {(at, order) for at, canceller in enumerate(cancellers) for order in canceller.left}

    def going() -> bool:
        """Return whether to go on: not while a running trader places what is cancelled, again and again."""
        if time.monotonic() - began_s < CONTEST_S:
            first.update(left())
            return True
        ended = any(canceller.ended for canceller in cancellers)
        return bool(left() & first) or not ended or not any(exchange.is_traded for exchange in exchanges)

    def waits(why: str, wait_s: float) -> None:
        console.log.warning("cancel_waits", why=why, wait_s=round(wait_s, 2), open=_open(cancellers))

    try:
        if not cancel_until_none(cancellers, going, waits=waits):
            raise TryLater(
                f"a running trader places orders again, open are {_open(cancellers)}; kill it first: "
                f"mm risk kill --symbol {','.join(places[0].symbols)}"
            )
    except KeyRefused as error:
        logged = ", ".join(filter(None, (_logged(place) for place in places)))
        if not left() and logged:
            raise KeyRefused(f"{error}; open according to the audit logs: {logged}") from error
        raise
    else:
        for place in places:
            for symbol in place.symbols:
                note_none_open(place.out_root, symbol, now_us())
    finally:
        for exchange in exchanges:
            exchange.rest.close()
        _show(console, cancellers)


@dataclass(frozen=True)
class _Place:
    """One exchange: its market, address, symbols, and the folder of their results."""

    market: str
    url: str
    symbols: list[str]
    out_root: Path


@dataclass(frozen=True)
class _Exchange:
    """One exchange, whose orders are cancelled."""

    place: _Place
    rest: SignedRest
    canceller: OrderCanceller
    locks: TraderLocks

    @classmethod
    def of(cls, place: _Place, key: Credentials | None, own: Credentials, wanted: Callable[[str], bool]) -> Self:
        """Return it; without a *key* its own variables name it, else it is the *own* one of the first."""
        used = key or credentials_beside(os.environ, place.market, own)
        rest = SignedRest(place.url, used, quiet_file(place.url), place.market)
        locks = TraderLocks(place.out_root, place.url, used.key)
        return cls(place, rest, OrderCanceller(rest, place.symbols, wanted), locks)

    @property
    def is_traded(self) -> bool:
        """Whether a trader of one of the symbols runs."""
        return any(map(self.locks.is_held, self.place.symbols))


def _places(access: CancelAccess, market: str, others: OtherMarkets) -> list[_Place]:
    """Return the exchanges of the symbols and of legs of their strategies."""
    by_market = {market: _Place(market, access.urls(market).rest, access.symbol.split(","), access.out_root)}
    for declared in others.declared().values():
        if "orders" not in declared:
            continue
        of_leg = declared.get("market", market)
        if of_leg not in by_market:
            there = replace(access, rest_url=declared.get("rest_url"))
            by_market[of_leg] = _Place(of_leg, there.urls(of_leg).rest, [], access.out_root / of_leg)
        symbols = by_market[of_leg].symbols
        symbols += [declared["symbol"]] if declared["symbol"] not in symbols else []
    return [*by_market.values()]


def _open(cancellers: Iterable[OrderCanceller]) -> str:
    return named(order for canceller in cancellers for order in canceller.left.values())


def _text(value: str | bool | None) -> str | None:
    return value if isinstance(value, str) else None


def _show(console: Console, cancellers: Iterable[OrderCanceller]) -> None:
    """Print what became of each order, and what is left."""
    ended = [order_status for canceller in cancellers for order_status in canceller.ended.values()]
    open_ = [order for canceller in cancellers for order in canceller.left.values()]
    for order, status in ended:
        console.print(f"{order}: {status}")
    for order in open_:
        console.print(f"{order}: still open")
    cancelled = [_as_json(order, status) for order, status in ended]
    left = [_as_json(order, "OPEN") for order in open_]
    console.print(f"{len(cancelled)} ended, {len(left)} left")
    console.set_json({"ended": cancelled, "left": left})


def _as_json(order: OpenOrderText, status: str) -> dict[str, object]:
    return {**order.to_json(), "status": status}


def _logged(place: _Place) -> str:
    """Return the orders that may be open according to the audit logs, as text, as far as these can be read."""
    from mm.live.pages.watchdog import AuditOrders

    open_orders: list[AuditOrder] = []
    for symbol in place.symbols:
        with suppress(MMError, OSError):
            orders = AuditOrders(audit_folder(place.out_root, symbol), symbol)
            orders.follow()
            open_orders += orders.open
    return ", ".join(
        f"{order.symbol} {order.client_id} {order.side} {order.qty} at {order.price}" for order in open_orders
    )
