"""What a gateway needs of an exchange, in no exchange's words: events, connections, abilities."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mm.errors import MMError
from mm.instrument import Instrument
from mm.live.venues.balances import Balances, Transfer
from mm.live.venues.fills import AccountFill
from mm.live.venues.live_orders import LiveOrder, OrderSeen
from mm.live.venues.positions import (
    ContractSetup,
    MarginCalled,
    MarginSeen,
    PositionIncome,
    PositionSeen,
    RuleSeen,
    SetupChanged,
    StopSeen,
)
from mm.live.venues.refusals import Refusal, Why
from mm.live.venues.requests import ApiAnswer, ApiWatcher, Call, ExchangeClock, OrderApi

if TYPE_CHECKING:
    from mm.live.knobs import VenueUrls
    from mm.live.venues.binance import ApiLimit
    from mm.live.venues.keys import Credentials
    from mm.live.venues.request_limits import OrderLimits
    from mm.live.venues.rest_api import Surroundings


class Replaced(NamedTuple):
    cancelled: OrderSeen | Refusal
    placed: OrderSeen | Refusal


class ListedOrder(NamedTuple):
    seen: OrderSeen
    side: int
    price: str
    qty: str
    kind: str


class AccountSeen(NamedTuple):
    balances: Balances
    us: int
    margins: Mapping[str, MarginSeen] | None = None


class FeeRates(NamedTuple):
    """The commission rates of an account for a symbol, in 1e-8 of the notional; negative for a rebate.

    If the account *burns*, it pays the *discounted_e8* maker and taker rates in the discount asset while it holds it;
    they equal the others if the exchange does not tell the discount.
    """

    maker_e8: int
    taker_e8: int
    burns: bool
    discounted_e8: tuple[int, int]

    def paid_e8(self, *, held: bool) -> tuple[int, int]:
        return self.discounted_e8 if self.burns and held else (self.maker_e8, self.taker_e8)


# ---------------------------------------------------------------------- events


class OrderEvent(Protocol):
    @property
    def symbol(self) -> str: ...

    @property
    def client_ids(self) -> tuple[str, str]: ...

    @property
    def exchange_id(self) -> int: ...

    @property
    def side(self) -> int: ...

    @property
    def forced(self) -> str:
        """The name of the exchange's own order, such as a liquidation; empty for a client's."""

    def seen(self, client_id: str, us: int) -> OrderSeen: ...

    def fill(self, client_id: str) -> AccountFill | None: ...


class BalancesEvent(NamedTuple):
    """Changed balances, and their instant, µs; 0 if the exchange does not tell.

    *paid* is why they changed if no trade explains it, such as funding: the payments must be asked for. *transfers* are
    what came or went without a trade, if the same event tells of it.
    """

    balances: Balances
    us: int
    paid: str = ""
    transfers: tuple[Transfer, ...] = ()


AccountEvent = OrderEvent | BalancesEvent | Transfer | MarginCalled | SetupChanged | StopSeen


class OrderConnection(OrderApi, Protocol):
    """The connection of an account, for orders and its events: up only while it has both."""

    @property
    def failure(self) -> MMError | None: ...

    @property
    def unread(self) -> bool: ...

    @property
    def trouble(self) -> str: ...

    async def run(self) -> None: ...

    def close(self) -> None: ...


class RestTransport(OrderApi, Protocol):
    async def close(self) -> None: ...


class Wiring(NamedTuple):
    urls: "VenueUrls"
    credentials: "Credentials"
    window_ms: int
    clock: ExchangeClock
    limits: "OrderLimits"
    around: "Surroundings"


# ---------------------------------------------------------------------- an exchange


class OrderFilters(Protocol):
    """Checks of a symbol's orders before they are sent, with the exchange's own refusals."""

    average_e8: int
    most_orders: int

    def refusal(
        self, side: int, price: str, qty: str, kind: str, open_orders: Iterable[LiveOrder], *, reduces: bool = False
    ) -> Refusal | None:
        """Return the exchange's refusal with *open_orders* open; *reduces*: it may only reduce a position."""

    def bounds_e8(self, side: int) -> tuple[int, int]:
        """Lowest and highest price, in 1e-8; 0 for no bound."""

    def no_amendment(self, order: LiveOrder, qty: str, price: str = "") -> Refusal | None:
        """Why an order cannot be amended to *qty* in all, and to *price* if given; None if no reason is known."""


class SymbolTerms(Protocol):
    @property
    def halted(self) -> str: ...

    @property
    def instrument(self) -> Instrument: ...

    @property
    def limits(self) -> Sequence["ApiLimit"]: ...

    @property
    def filters(self) -> OrderFilters: ...


class ContractRequests(Protocol):
    countdown_ms: int
    income_page: int

    def setup(self) -> Sequence[Call]: ...

    def setup_of(self, answers: Sequence[ApiAnswer]) -> ContractSetup: ...

    def position(self) -> Call: ...

    def position_of(self, answer: ApiAnswer) -> PositionSeen: ...

    def incomes(self, since_us: int, page: int) -> Call:
        """List payments, oldest first; pages count from 1."""

    def incomes_of(self, answer: ApiAnswer) -> tuple[Sequence[PositionIncome], int]:
        """The booked payments of an answer, and how many it has in all."""

    def count_down(self, ms: int) -> Call:
        """Ask the exchange to cancel all open orders in *ms*, unless this is sent again; 0 ends it."""

    def trading_rules(self) -> Call: ...

    def trading_rules_of(self, answer: ApiAnswer) -> Sequence[RuleSeen]: ...

    def place_stop(self, client_id: str, side: int, trigger: str) -> Call:
        """Close a position of the other side once the mark price is at *trigger*."""

    def cancel_stop(self, client_id: str) -> Call: ...

    def stops(self) -> Call: ...

    def stops_of(self, answer: ApiAnswer) -> Sequence[StopSeen]: ...

    def stop_of(self, answer: ApiAnswer) -> StopSeen: ...

    def forced(self, client_id: str) -> str:
        """Name the exchange's order, or a stop of ours; empty for neither."""


class SymbolVenue(Protocol):
    """Requests of one symbol's orders, and their answers.

    Attributes:
        can_replace: Whether one request cancels an order and sends another, or does neither.
        can_amend: Whether an order's quantity can be lowered without losing its place.
        can_move: Whether one request gives an order another price.
        span_us: The longest time that an answer without a trade id covers, µs; 0 for no bound.
    """

    can_replace: bool
    can_amend: bool
    can_move: bool
    page: int
    span_us: int

    @property
    def contract(self) -> ContractRequests | None:
        """None for a symbol whose assets the account holds."""

    # requests that change orders

    def place(self, order: LiveOrder) -> Call: ...

    def replace(self, old: LiveOrder, new: LiveOrder) -> Call:
        """If *old* cannot be cancelled, nothing is placed."""

    def amend(self, order: LiveOrder, qty: str, price: str) -> Call:
        """Change it to *qty* in all, and to *price* if given; its client id stays."""

    def cancel(self, order: LiveOrder) -> Call: ...

    def cancel_symbol(self) -> Call: ...

    # queries

    def order(self, order: LiveOrder) -> Call: ...

    def order_of_id(self, exchange_id: int) -> Call: ...

    def open_orders(self) -> Call: ...

    def every_open_order(self) -> Call: ...

    def symbols_of(self, answer: ApiAnswer) -> set[str]:
        """The symbols of listed orders."""

    def trades_of(self, order: LiveOrder, first_id: int | None) -> Call: ...

    def trades_from(self, first_id: int) -> Call: ...

    def trades_since(self, us: int) -> Call: ...

    def last_trade(self) -> Call: ...

    def mean_price(self) -> Call: ...

    def terms(self) -> Call: ...

    def fee_rates(self) -> Sequence[Call]: ...

    # answers

    def fee_rates_of(self, answers: Sequence[ApiAnswer]) -> FeeRates: ...

    def seen(self, answer: ApiAnswer) -> OrderSeen: ...

    def seen_all(self, answer: ApiAnswer) -> list[OrderSeen]: ...

    def amended(self, answer: ApiAnswer) -> OrderSeen: ...

    def replaced(self, answer: ApiAnswer) -> Replaced:
        """Both halves of an answer: executed or refused."""

    def trades(self, answer: ApiAnswer) -> Sequence[AccountFill]:
        """Trades of an answer, by id; client ids are not known."""

    def listed(self, answer: ApiAnswer) -> ListedOrder: ...

    def listed_all(self, answer: ApiAnswer) -> Sequence[ListedOrder]: ...

    def terms_of(self, answer: ApiAnswer) -> SymbolTerms:
        """DataError if the exchange does not have the symbol."""

    def ours_e8(self, instrument: Instrument, balances: Balances, orders: Iterable[LiveOrder]) -> tuple[int, int]:
        """Base asset to sell and quote asset to spend, in 1e-8, open orders included."""


class AccountVenue(Protocol):
    codes: Mapping[Why, int]
    discount_asset: str

    def orders_of(self, symbol: str) -> SymbolVenue: ...

    def limits(self, urls: "VenueUrls", seconds: Callable[[], float]) -> "OrderLimits":
        """Shared with the other processes of this host."""

    def transports(self, wiring: Wiring, watcher: ApiWatcher) -> tuple[OrderConnection, RestTransport]: ...

    # requests, and their answers

    def time(self) -> Call: ...

    def time_us(self, answer: ApiAnswer) -> int: ...

    def account(self) -> Call: ...

    def account_of(self, answer: ApiAnswer) -> AccountSeen: ...

    def order_counts(self) -> Call: ...

    def counts(self, answer: ApiAnswer) -> Collection["ApiLimit"]: ...

    def price_of(self, asset: str, quote: str) -> Call: ...

    def price(self, answer: ApiAnswer) -> str: ...

    def event(self, kind: str, body: bytes) -> AccountEvent | None:
        """None for an event without orders or balances; MsgspecError if unreadable."""
