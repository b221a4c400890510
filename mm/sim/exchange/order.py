"""One order of a user, as the exchange remembers it, and what happened to it."""

from dataclasses import dataclass, field, replace

NEW, PARTIALLY_FILLED, FILLED = "NEW", "PARTIALLY_FILLED", "FILLED"
CANCELED, EXPIRED, EXPIRED_IN_MATCH, REJECTED = "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"
OPEN = (NEW, PARTIALLY_FILLED)
TRADE, REPLACED, TRADE_PREVENTION = "TRADE", "REPLACED", "TRADE_PREVENTION"
SIDES = {+1: "BUY", -1: "SELL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """An order as it was asked for, read and on the grid.

    Attributes:
        side: +1 buy, -1 sell.
        type: ``LIMIT``, ``LIMIT_MAKER`` or ``MARKET``.
        time_in_force: ``GTC``, ``IOC`` or ``FOK``.
        ticks: Limit price; 0 of a MARKET order.
        lots: Quantity; 0 where *quote_e8* decides.
        quote_e8: What a MARKET order shall spend or earn, in 1e-8 of the quote asset; 0 where *lots* decide.
        client_id: The user's own name for it; empty where the exchange shall choose.
        stp: Self-trade prevention mode.
        response: ``ACK``, ``RESULT`` or ``FULL``.
        strategy_id: A user's label, None without.
        strategy_type: A user's label, None without.
    """

    side: int
    type: str
    time_in_force: str = "GTC"
    ticks: int = 0
    lots: int = 0
    quote_e8: int = 0
    client_id: str = ""
    stp: str = "NONE"
    response: str = "FULL"
    strategy_id: int | None = None
    strategy_type: int | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of one order.

    Attributes:
        trade_id: The trade's.
        order_id: The order's.
        us: When, µs.
        ticks: Price.
        lots: Quantity.
        side: The order's.
        is_maker: Whether the order rested.
        fee_e8: In 1e-8 of what the order receives.
        execution_id: Counts what happens to users' orders.
    """

    trade_id: int
    order_id: int
    us: int
    ticks: int
    lots: int
    side: int
    is_maker: bool
    fee_e8: int
    execution_id: int


@dataclass(frozen=True, slots=True)
class PreventedMatch:
    """A trade with oneself that did not happen.

    Attributes:
        match_id: Counted by one.
        us: When, µs.
        taker_id: Order that came.
        maker_id: Order that rested.
        ticks: Price of the resting order.
        stp: Mode of the taker.
        taker_lots: What the taker lost; 0 if nothing.
        maker_lots: What the maker lost; 0 if nothing.
    """

    match_id: int
    us: int
    taker_id: int
    maker_id: int
    ticks: int
    stp: str
    taker_lots: int
    maker_lots: int


@dataclass(frozen=True, slots=True)
class Amendment:
    """One reduction of an order that kept its place.

    Attributes:
        execution_id: Counts what happens to users' orders.
        us: When, µs.
        old_client_id: The order's name before.
        new_client_id: And after.
        old_lots: Its quantity before.
        new_lots: And after.
    """

    execution_id: int
    us: int
    old_client_id: str
    new_client_id: str
    old_lots: int
    new_lots: int


@dataclass(slots=True, kw_only=True)
class Order:
    """An order that the matching core accepted, or of which it is just told.

    Attributes:
        account: Number of its account.
        asked: What was asked for.
        client_id: Its name now.
        us: When it came, µs.
        order_id: Given by the core; -1 of a rejected one.
        lots: Quantity, as amended.
        left_lots: Not yet executed, prevented or cancelled.
        filled_lots: Executed.
        prevented_lots: Lost to self-trade prevention.
        spent_tl: Executed, in tick·lots.
        reserved_e8: Still locked for it, in 1e-8 of the asset that it spends.
        is_short: Whether the book held less than a MARKET order by quote quantity asks for: it expires when it ends.
        status: The exchange's word.
        updated_us: Instant of the last change, µs.
        fills: Its trades.
        prevented: Its trades with oneself that did not happen.
        amendments: Its reductions.
    """

    account: int
    asked: NewOrder
    client_id: str
    us: int
    lots: int
    left_lots: int
    order_id: int = -1
    filled_lots: int = 0
    prevented_lots: int = 0
    spent_tl: int = 0
    reserved_e8: int = 0
    is_short: bool = False
    status: str = NEW
    updated_us: int = 0
    fills: list[Fill] = field(default_factory=list)
    prevented: list[PreventedMatch] = field(default_factory=list)
    amendments: list[Amendment] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Return whether it can still trade."""
        return self.status in OPEN

    def snapshot(self) -> "Order":
        """Return the order as it is now, for what is told of it later."""
        return replace(self, fills=[], prevented=[], amendments=[])


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One thing that happened to an order, as its owner is told.

    Attributes:
        execution_id: Counted by one.
        kind: ``NEW CANCELED REPLACED REJECTED TRADE EXPIRED TRADE_PREVENTION``.
        us: When, µs.
        order: The order right after it.
        client_id: Name of the request that did it: of a cancel, the cancel's.
        old_client_id: Name of the order before a cancel or an amendment; empty otherwise.
        fill: Of a TRADE, None otherwise.
        prevented: Of a TRADE_PREVENTION, None otherwise.
        prevented_lots: Of a TRADE_PREVENTION, what this order lost.
        reject_reason: ``NONE`` unless rejected.
    """

    execution_id: int
    kind: str
    us: int
    order: Order
    client_id: str
    old_client_id: str = ""
    fill: Fill | None = None
    prevented: PreventedMatch | None = None
    prevented_lots: int = 0
    reject_reason: str = "NONE"


@dataclass(frozen=True, slots=True)
class Position:
    """Balances of an account after something changed them, in 1e-8.

    Attributes:
        us: When, µs.
        base: Free and locked.
        quote: Free and locked.
    """

    us: int
    base: tuple[int, int]
    quote: tuple[int, int]
