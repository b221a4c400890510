"""``mm trade cancel``."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from mm.base.audit_chain import audit_folder
from mm.base.common_knobs import symbol_knob
from mm.base.knobs import REQUIRED, SWITCH, base_url, closest, knob, number, one_of
from mm.cli.frame import command
from mm.cli.task_knobs import BinanceMarket
from mm.clock import now_us
from mm.commands.trade import KEYS
from mm.errors import MMError, TryLater, UsageError
from mm.live.account.kill_switch import note_none_open
from mm.live.account.locks import KnownTraders, TraderLocks
from mm.live.audit.books import runs_in
from mm.live.knobs import BOX, PRODUCTION, TESTNET, VenueUrls
from mm.live.venues.addresses import addresses, quiet_file
from mm.live.venues.canceller import (
    Contested,
    KeyRefused,
    OpenOrderText,
    OrderCanceller,
    SignedRest,
    cancel_until_none,
    is_ours,
    named,
    run_of,
)
from mm.live.venues.keys import Credentials, blank_process_list, credentials_beside, read_credentials
from mm.play.knobs import OtherMarkets, Results
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.live.audit.books import AuditOrder


@dataclass(frozen=True, kw_only=True)
class CancelAccess(Results):
    """The venue and the symbols of the orders to cancel."""

    venue: str = knob(REQUIRED, one_of(BOX, TESTNET, PRODUCTION), "The venue of the orders.", common="The venue")
    symbol: str = symbol_knob("Symbol, in any case, or a list.", many=True)
    rest_url: str | None = knob(None, base_url("http", "https"), "Base URL of REST; default: the venue's.")
    remote_box: bool = knob(False, SWITCH, "1 allows --venue box on another machine.")
    give_up_s: float = knob(60.0, number(low=1), "Time without an answer after which an exchange is given up, in s.")

    def urls(self, market: str) -> VenueUrls:
        """UsageError for a box without an address, SafetyError as `addresses`."""
        if self.venue == BOX and self.rest_url is None:
            raise UsageError("--venue box needs REST_URL: the address that `mm sim serve` prints when it is ready")
        given = (self.rest_url, self.rest_url, self.rest_url)
        return addresses(self.venue, *given, remote_box=self.remote_box, market=market)


_FEW = 3
_ALL = click.Option(["--all", "every"], is_flag=True, help="Cancel every order of the symbols, also others' orders.")


@command(arguments=(*KEYS[:2], _ALL), brief=(CancelAccess,))
def trade_cancel(
    console: Console, access: CancelAccess, market: BinanceMarket, others: OtherMarkets, **given: str | bool | None
) -> None:
    """Cancel the open orders of symbols until there are none: our traders' orders, or with --all every order.

    It needs no audit log, no writable folder and no other process: it works beside a hung, a dead or a killed trader,
    and waits while the exchange blocks requests (429, 418). If the key is no longer accepted, it ends with 2 and names
    the orders; if an exchange has not answered for GIVE_UP_S, or a running trader places new ones, with 75, once the
    other exchanges are empty. Ctrl-C ends it.

    Example: mm trade cancel --venue testnet --symbol BTCUSDT,ETHUSDT
    """
    places = _places(access, market.market, others)
    key, secret = given["api_key"], given["api_secret"]
    own = read_credentials(os.environ, api_key=_text(key), api_secret=_text(secret))
    wanted = (lambda _id: True) if given["every"] else is_ours
    exchanges = [_Exchange.of(place, own if at == 0 else None, own, wanted) for at, place in enumerate(places)]
    blank_process_list((_text(key), _text(secret)))
    by_canceller = {exchange.canceller: exchange for exchange in exchanges}

    def waits(canceller: OrderCanceller, why: str, wait_s: float) -> None:
        place, left = by_canceller[canceller].place, named(canceller.left.values())
        console.log.warning("cancel_waits", market=place.market, why=why, wait_s=round(wait_s, 2), open=left)

    try:
        failed = cancel_until_none([*by_canceller], access.give_up_s, waits)
        for canceller in by_canceller.keys() - failed.keys():
            place, unknown = by_canceller[canceller].place, by_canceller[canceller].unknown
            if unknown:
                near = closest(unknown[0], sorted(place.known.symbols()), 3)
                why = "{symbol} {}: the exchange does not list it (-1121), nor has it an order{}"
                failed[canceller] = UsageError(why, ",".join(unknown), near)
                continue
            for symbol in place.symbols:
                for root in place.roots(symbol):
                    note_none_open(root, symbol, now_us())
    finally:
        for exchange in exchanges:
            exchange.rest.close()
        _show(console, exchanges)
    if failed:
        texts = [by_canceller[canceller].failure(error, len(exchanges)) for canceller, error in failed.items()]
        refused = [error for error in failed.values() if isinstance(error, UsageError)]
        raise (type(refused[0]) if refused else TryLater)("; ".join(texts))


@dataclass(frozen=True)
class _Place:
    """*out_root* is the folder of the symbols' results, where *known* does not name that of their traders."""

    market: str
    url: str
    symbols: list[str]
    out_root: Path
    known: KnownTraders

    def roots(self, symbol: str) -> list[Path]:
        """Folders of traders of the symbol in this market, and the one that was given if it has logs, or none has."""
        of_market = [one for one in self.known.traders if one.holder.market in ("", self.market)]
        found = [root for one in of_market if one.holder.symbol == symbol and (root := one.out_root)]
        if not found or audit_folder(self.out_root, symbol).is_dir():
            found.insert(0, self.out_root.resolve())
        return list(dict.fromkeys(found))


@dataclass(frozen=True)
class _Exchange:
    place: _Place
    rest: SignedRest
    canceller: OrderCanceller
    locks: TraderLocks

    @classmethod
    def of(cls, place: _Place, key: Credentials | None, own: Credentials, wanted: Callable[[str], bool]) -> Self:
        used = key or credentials_beside(os.environ, place.market, own)
        rest = SignedRest(place.url, used, quiet_file(place.url), place.market)
        locks = TraderLocks(place.out_root, place.url, used.key)
        return cls(place, rest, OrderCanceller(rest, place.symbols, wanted, stops=True), locks)

    @property
    def unknown(self) -> list[str]:
        unlisted = sorted(self.canceller.unlisted)
        place = self.place
        logs = (symbol for symbol in unlisted for root in place.roots(symbol) if audit_folder(root, symbol).is_dir())
        return sorted(set(unlisted).difference(logs))

    def failure(self, error: MMError, exchanges: int) -> str:
        where = f"{self.place.market} ({self.place.url}): " if exchanges > 1 else ""
        if isinstance(error, Contested):
            kill = f"kill it first: mm risk kill --symbol {','.join(self.place.symbols)}"
            way_out = (
                kill if any(map(self.locks.is_held, self.place.symbols)) else "it is not on this host: stop it there"
            )
            return f"{where}{error}, open are {named(self.canceller.left.values())}; {way_out}"
        known = f"; open when last listed: {named(self.canceller.left.values())}" if self.canceller.was_listed else ""
        logged = "" if self.canceller.left else _logged(self.place)
        listed = "" if isinstance(error, KeyRefused) else known
        return f"{where}{error}{listed}{f'; open according to the audit logs: {logged}' if logged else ''}"

    @property
    def elsewhere(self) -> list[str]:
        ids = [order.client_id for order, _ in self.canceller.ended.values() if is_ours(order.client_id)]
        runs = set[str]()
        for symbol in self.place.symbols if ids else ():
            for root in self.place.roots(symbol):
                with suppress(MMError, OSError):
                    runs |= runs_in(audit_folder(root, symbol))
        return [client_id for client_id in ids if run_of(client_id) not in runs]


def _places(access: CancelAccess, market: str, others: OtherMarkets) -> list[_Place]:
    known = KnownTraders.look(access.out_root)
    by_market = {market: _Place(market, access.urls(market).rest, access.symbol.split(","), access.out_root, known)}
    for declared in others.declared().values():
        if "orders" not in declared:
            continue
        of_leg = declared.get("market", market)
        if of_leg not in by_market:
            there = replace(access, rest_url=declared.get("rest_url"))
            by_market[of_leg] = _Place(of_leg, there.urls(of_leg).rest, [], access.out_root / of_leg, known)
        symbols = by_market[of_leg].symbols
        symbols += [declared["symbol"]] if declared["symbol"] not in symbols else []
    return [*by_market.values()]


def _text(value: str | bool | None) -> str | None:
    return value if isinstance(value, str) else None


def _show(console: Console, exchanges: "Sequence[_Exchange]") -> None:
    cancelled, left, elsewhere = list[dict[str, object]](), list[dict[str, object]](), list[str]()
    for exchange in exchanges:
        market, canceller = exchange.place.market, exchange.canceller
        where = f"{market} " if len(exchanges) > 1 else ""
        for order, status in canceller.ended.values():
            console.print(f"{where}{order}: {status}")
            cancelled.append(_as_json(order, status, market))
        for order in canceller.left.values():
            console.print(f"{where}{order}: still open")
            left.append(_as_json(order, "OPEN", market))
        elsewhere += exchange.elsewhere
    if elsewhere:
        console.print(
            f"{len(elsewhere)} of another trader, whose audit logs are in no folder that is known here "
            f"({', '.join(elsewhere[:_FEW])}): if it runs, stop it where it runs"
        )
    for exchange in exchanges:
        unknown = set(exchange.place.symbols) - exchange.place.known.symbols()
        for symbol in sorted(unknown if not exchange.canceller.ended else ()):
            console.print(str(exchange.place.known.unknown(symbol)))
    console.print(f"{len(cancelled)} ended, {len(left)} left")
    console.set_json({"ended": cancelled, "left": left, "elsewhere": elsewhere})


def _as_json(order: OpenOrderText, status: str, market: str) -> dict[str, object]:
    return {**order.to_json(), "status": status, "market": market}


def _logged(place: _Place) -> str:
    from mm.live.pages.watchdog import AuditOrders

    open_orders: list[AuditOrder] = []
    for symbol in place.symbols:
        for root in place.roots(symbol):
            with suppress(MMError, OSError):
                orders = AuditOrders(audit_folder(root, symbol), symbol)
                orders.follow()
                open_orders += orders.open
    return ", ".join(
        f"{order.symbol} {order.client_id} {order.side} {order.qty} at {order.price}" for order in open_orders
    )
