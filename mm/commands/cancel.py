"""``mm trade cancel``: cancel the open orders of an account's symbols, beside a trader or without one."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    OpenOrder,
    OrderCanceller,
    SignedRest,
    cancel_until_none,
    is_ours,
    named,
)
from mm.live.venues.keys import blank_process_list, read_credentials
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
    legs = [one["symbol"] for one in others.declared().values() if "orders" in one]
    symbols = list(dict.fromkeys([*access.symbol.split(","), *legs]))
    key, secret = given["api_key"], given["api_secret"]
    credentials = read_credentials(os.environ, api_key=_text(key), api_secret=_text(secret))
    blank_process_list((_text(key), _text(secret)))
    url = access.urls(market.market).rest
    every = bool(given["every"])
    rest = SignedRest(url, credentials, quiet_file(url), market.market)
    canceller = OrderCanceller(rest, symbols, (lambda _id: True) if every else is_ours)
    locks = TraderLocks(access.out_root, url, credentials.key)
    first: set[int] = set()
    began_s = time.monotonic()

    def going() -> bool:
        """Return whether to go on: not while a running trader places what is cancelled, again and again."""
        if time.monotonic() - began_s < CONTEST_S:
            first.update(canceller.left)
            return True
        return bool(canceller.left.keys() & first) or not canceller.ended or not any(map(locks.is_held, symbols))

    def waits(why: str, wait_s: float) -> None:
        console.log.warning("cancel_waits", why=why, wait_s=round(wait_s, 2), open=named(canceller.left.values()))

    try:
        if not cancel_until_none(canceller, going, waits=waits):
            raise TryLater(
                f"a running trader places orders again, open are {named(canceller.left.values())}; kill it first: "
                f"mm risk kill --symbol {','.join(symbols)}"
            )
    except KeyRefused as error:
        if not canceller.left and (logged := _logged(access, symbols)):
            raise KeyRefused(f"{error}; open according to the audit logs: {logged}") from error
        raise
    else:
        for symbol in symbols:
            note_none_open(access.out_root, symbol, now_us())
    finally:
        rest.close()
        _show(console, canceller)


def _text(value: str | bool | None) -> str | None:
    return value if isinstance(value, str) else None


def _show(console: Console, canceller: OrderCanceller) -> None:
    """Print what became of each order, and what is left."""
    for order, status in canceller.ended.values():
        console.print(f"{order}: {status}")
    for order in canceller.left.values():
        console.print(f"{order}: still open")
    cancelled = [_as_json(order, status) for order, status in canceller.ended.values()]
    left = [_as_json(order, "OPEN") for order in canceller.left.values()]
    console.print(f"{len(cancelled)} ended, {len(left)} left")
    console.set_json({"ended": cancelled, "left": left})


def _as_json(order: OpenOrder, status: str) -> dict[str, object]:
    return {**order.to_json(), "status": status}


def _logged(access: CancelAccess, symbols: Iterable[str]) -> str:
    """Return the orders that may be open according to the audit logs, as text, as far as these can be read."""
    from mm.live.pages.watchdog import AuditOrders

    found: list[AuditOrder] = []
    for symbol in symbols:
        with suppress(MMError, OSError):
            orders = AuditOrders(audit_folder(access.out_root, symbol), symbol)
            orders.follow()
            found += orders.open
    return ", ".join(f"{one.symbol} {one.client_id} {one.side} {one.qty} at {one.price}" for one in found)
