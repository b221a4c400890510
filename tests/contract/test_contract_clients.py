"""Third-party client libraries, unmodified but for their addresses, against ``mm sim serve`` as a process.

ccxt gets its addresses from the constructor (``urls``), python-binance from class constants (``API_URL``, …).
"""

import asyncio
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from queue import SimpleQueue
from typing import Any

import httpx
import pytest

from serving import serving

pytestmark = pytest.mark.usefixtures("collected_sockets")

ccxt: Any = None
ccxt_pro: Any = None
binance: Any = None
Ready = dict[str, Any]
Closing = Callable[[Any], Any]
HTTP: Any = None
PAIR, SYMBOL = "SIM/USDT", "SIMUSDT"


@pytest.fixture(scope="module", autouse=True)
def _clients() -> Iterator[None]:
    """Import the clients, which takes seconds that every worker would spend at collection; close connections."""
    with warnings.catch_warnings():  # python-binance imports the legacy API of websockets
        warnings.filterwarnings("ignore", module="websockets|binance", category=DeprecationWarning)
        globals().update(
            {name.replace(".", "_"): pytest.importorskip(name) for name in ("ccxt", "ccxt.pro", "binance")}
        )
    # Opened here and not by the import: a worker that steals tests may run this file's in two parts.
    with httpx.Client(trust_env=False) as http:
        globals()["HTTP"] = http
        yield


@pytest.fixture
def loop() -> Iterator[None]:
    """Provide the event loop for python-binance's clients and threads, which leave it open, and close it."""
    own = asyncio.new_event_loop()
    asyncio.set_event_loop(own)
    yield
    asyncio.set_event_loop(None)
    own.close()


@pytest.fixture(scope="module")
def market() -> Iterator[Ready]:
    """Serve a market with simulated traders."""
    with serving("--scenario", "zero_intelligence", "--seed", "7") as (_, ready):
        yield ready


@pytest.fixture
def empty() -> Iterator[Ready]:
    """Serve an exchange on which only the test trades."""
    with serving("--scenario", "empty") as (_, ready):
        yield ready


def ccxt_client(ready: Ready, *, pro: bool = False, account_index: int = 0, key: str = "secret") -> Any:
    """Return a ccxt client of an account; the caller closes it."""
    account, rest = ready["accounts"][account_index], ready["rest_url"] + "/api/v3"
    addresses = {"public": rest, "private": rest}
    streams = {"ws": {"spot": ready["ws_url"] + "/ws", "ws-api": {"spot": ready["ws_api_url"]}}}
    options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
    keys = {"apiKey": account["api_key"], "secret": account[key]}
    return (ccxt_pro if pro else ccxt).binance({**keys, "options": options, "urls": {"api": {**addresses, **streams}}})


@pytest.fixture
def addresses(market: Ready, loop: None, monkeypatch: pytest.MonkeyPatch) -> Ready:
    """Set python-binance's addresses to the market."""
    for client in (binance.Client, binance.AsyncClient):
        monkeypatch.setattr(client, "API_URL", market["rest_url"] + "/api")
        monkeypatch.setattr(client, "WS_API_URL", market["ws_api_url"])
    monkeypatch.setattr(
        binance.ws.reconnecting_websocket.ReconnectingWebsocket, "TIMEOUT", 0.5
    )  # its shutdown takes this long
    monkeypatch.setattr(binance.BinanceSocketManager, "STREAM_URL", market["ws_url"] + "/")
    return market


def keys_of(ready: Ready, account_index: int = 0) -> tuple[str, str]:
    """Return the key and the secret of an account."""
    account = ready["accounts"][account_index]
    return account["api_key"], account["secret"]


def in_time(awaitable: Awaitable[Any]) -> Any:
    """Await with a timeout."""
    return asyncio.wait_for(awaitable, 120)


def wait_for_items(count: int, read: Callable[[], list[Any]]) -> list[Any]:
    """Return the result of *read* when it has *count* items: the market starts with the first of these tests."""
    ends = time.monotonic() + 60
    while len(found := read()) < count and time.monotonic() < ends:
        time.sleep(0.1)
    return found


def truth(ready: Ready, update_id: int) -> Any:
    """Return the exact book after an update id."""
    return HTTP.get(f"{ready['rest_url']}/sim/truth?id={update_id}").json()


def numbers(levels: Any) -> list[list[float]]:
    """Return levels in ccxt's format."""
    return [[float(price), float(quantity)] for price, quantity, *_ in levels]


def test_ccxt_reads_the_market(market: Ready, closing: Closing) -> None:
    """Covers rules, time, book, trades, ticker and prices by REST."""
    client = closing(ccxt_client(market))
    rules = client.load_markets()[PAIR]
    assert (rules["precision"]["price"], rules["precision"]["amount"], rules["active"]) == (0.01, 0.001, True)
    assert rules["limits"]["cost"]["min"] == 5
    book = client.fetch_order_book(PAIR, 1000)
    exact = truth(market, book["nonce"])
    assert (book["bids"], book["asks"]) == (numbers(exact["bids"]), numbers(exact["asks"]))
    trades = wait_for_items(10, lambda: client.fetch_trades(PAIR, limit=10))
    assert int(trades[-1]["id"]) == int(trades[0]["id"]) + 9
    assert client.fetch_bids_asks([PAIR])[PAIR]["bid"] < client.fetch_bids_asks([PAIR])[PAIR]["ask"]
    assert client.fetch_last_prices([PAIR])[PAIR]["price"] > 90
    assert client.fetch_ticker(PAIR)["last"] > 90
    assert abs(client.fetch_time() - client.milliseconds()) < 60_000


@pytest.mark.parametrize("key", ["secret", "ed25519_private_key"])
def test_ccxt_places_fills_changes_and_cancels_orders(key: str, empty: Ready, closing: Closing) -> None:
    """Alice offers, Bob takes a part, Alice moves and cancels the rest; trades and balances are checked."""
    alice, bob = closing(ccxt_client(empty, key=key)), closing(ccxt_client(empty, account_index=1, key=key))
    offer = alice.create_order(PAIR, "limit", "sell", 3, 100)
    assert (offer["status"], [item["id"] for item in alice.fetch_open_orders(PAIR)]) == ("open", [offer["id"]])
    fill = bob.create_order(PAIR, "market", "buy", 1)
    assert (fill["status"], fill["average"], fill["filled"]) == ("closed", 100, 1)
    assert fill["fees"] == [{"currency": "SIM", "cost": 0.001}]
    (trade,) = alice.fetch_my_trades(PAIR)
    assert (trade["order"], trade["takerOrMaker"], trade["side"]) == (offer["id"], "maker", "sell")
    assert trade["fee"] == {"currency": "USDT", "cost": 0.1}
    moved = alice.edit_order(offer["id"], PAIR, "limit", "sell", 2, 101)
    assert alice.fetch_order_book(PAIR)["asks"] == [[101, 2]]
    assert alice.fetch_balance()["SIM"] == {"free": 997, "used": 2, "total": 999}
    assert alice.cancel_order(moved["id"], PAIR)["status"] == "canceled"
    assert [item["status"] for item in alice.fetch_orders(PAIR)] == ["canceled", "canceled"]
    assert alice.fetch_balance()["USDT"]["free"] == 1_000_099.9
    assert bob.fetch_balance()["SIM"]["free"] == 1_000.999
    alice.create_order(PAIR, "limit", "buy", 1, 99)
    assert len(alice.cancel_all_orders(PAIR)) == 1
    assert alice.fetch_order_book(PAIR)["bids"] == []


def test_ccxt_raises_own_exceptions_for_rejects(empty: Ready, closing: Closing) -> None:
    """ccxt maps the exchange's codes and messages to its own exceptions."""
    client, stranger, bob = (closing(ccxt_client(empty, account_index=account_index)) for account_index in (0, 0, 1))
    rejects = [
        ("limit", "buy", 10**9, 99, ccxt.InvalidOrder),
        ("limit", "buy", 10_200, 99, ccxt.InsufficientFunds),
        ("limit", "buy", 10, 1, ccxt.InvalidOrder),
        ("limit", "buy", 0.01, 99, ccxt.BadRequest),
    ]
    for kind, side, amount, price, error in rejects:
        with pytest.raises(error):
            client.create_order(PAIR, kind, side, amount, price)
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order("99", PAIR)
    stranger.apiKey = "A" * 64
    with pytest.raises(ccxt.AuthenticationError):
        stranger.fetch_balance()
    client.create_order(PAIR, "limit", "sell", 1, 100)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        bob.create_order(PAIR, "limit", "buy", 1, 100, {"postOnly": True})


def test_ccxt_pro_book_equals_true_book(market: Ready) -> None:
    """The book equals the truth at each update id; trades and best prices are checked as well."""

    async def main() -> None:
        client = ccxt_client(market, pro=True)
        try:
            for _ in range(8):
                book = await in_time(client.watch_order_book(PAIR))
                exact = truth(market, book["nonce"])
                assert (numbers(book["bids"]), numbers(book["asks"])) == (
                    numbers(exact["bids"]),
                    numbers(exact["asks"]),
                )
            (trade, *_) = await in_time(client.watch_trades(PAIR))
            trades = HTTP.get(f"{market['rest_url']}/sim/trades?from={trade['id']}&to={trade['id']}").json()
            assert Decimal(str(trade["price"])) == Decimal(trades[0]["price"])
            best = (await in_time(client.watch_bids_asks([PAIR])))[PAIR]
            assert best["bid"] < best["ask"]
        finally:
            await client.close()

    asyncio.run(main())


def test_ccxt_pro_trades_over_websocket_and_receives_updates(empty: Ready) -> None:
    """Covers the WebSocket API with its user data stream: orders, own trades and balances."""

    async def main() -> None:
        alice, bob = (ccxt_client(empty, pro=True, account_index=account_index) for account_index in (0, 1))
        try:
            watch = asyncio.ensure_future(alice.watch_orders(PAIR))
            while not watch.done():  # there is no signal that the subscription is active
                offer = await in_time(alice.create_order_ws(PAIR, "limit", "sell", 2, 100))
                await asyncio.wait([watch], timeout=0.1)
            assert (watch.result()[-1]["id"], watch.result()[-1]["status"]) == (offer["id"], "open")
            trades, balance = (
                asyncio.ensure_future(item) for item in (alice.watch_my_trades(PAIR), alice.watch_balance())
            )
            fill = await in_time(bob.create_order_ws(PAIR, "market", "buy", 0.5))
            assert (fill["status"], fill["filled"]) == ("closed", 0.5)
            assert (await in_time(trades))[-1]["price"] == 100
            assert (await in_time(balance))["USDT"]["free"] == 1_000_049.95
            cancelled = await in_time(alice.cancel_order_ws(offer["id"], PAIR))
            assert cancelled["status"] == "canceled"
            assert offer["id"] not in [item["id"] for item in await in_time(alice.fetch_open_orders_ws(PAIR))]
        finally:
            await asyncio.gather(alice.close(), bob.close())

    asyncio.run(main())


def test_python_binance_reads_the_market_and_trades(addresses: Ready) -> None:
    """Covers its REST client and its exceptions."""
    client = binance.Client(*keys_of(addresses))
    (symbol,) = client.get_exchange_info()["symbols"]
    assert symbol["symbol"] == SYMBOL
    book = client.get_order_book(symbol=SYMBOL, limit=100)
    exact = truth(addresses, book["lastUpdateId"])
    assert (book["bids"], book["asks"]) == (exact["bids"][:100], exact["asks"][:100])
    trades = wait_for_items(2, lambda: client.get_historical_trades(symbol=SYMBOL, fromId=3, limit=2))
    assert trades[0]["id"] == 3
    assert client.get_aggregate_trades(symbol=SYMBOL, limit=1)[0]["l"] >= 1
    assert float(client.get_avg_price(symbol=SYMBOL)["price"]) > 90
    order = client.order_limit_buy(symbol=SYMBOL, quantity=1, price="90.00")
    assert client.get_order(symbol=SYMBOL, orderId=order["orderId"])["status"] == "NEW"
    assert [item["orderId"] for item in client.get_open_orders(symbol=SYMBOL)] == [order["orderId"]]
    assert client.get_asset_balance(asset="USDT")["locked"] == "90.00000000"
    assert client.cancel_order(symbol=SYMBOL, orderId=order["orderId"])["status"] == "CANCELED"
    sold = client.order_market_sell(symbol=SYMBOL, quantity="0.100")
    own = client.get_my_trades(symbol=SYMBOL, orderId=sold["orderId"])
    assert [(item["price"], item["qty"]) for item in own] == [(item["price"], item["qty"]) for item in sold["fills"]]
    assert client.get_asset_balance(asset="SIM")["free"] == "999.90000000"
    with pytest.raises(binance.exceptions.BinanceAPIException, match="PRICE_FILTER"):
        client.order_limit_buy(symbol=SYMBOL, quantity=1, price="90.001")
    client.close_connection()


def test_python_binance_depth_cache_equals_true_book(addresses: Ready) -> None:
    """Covers its depth cache, its socket manager, and its user socket together with its WebSocket API."""

    async def main() -> None:
        client = await binance.AsyncClient.create(*keys_of(addresses, 1))
        sockets = binance.BinanceSocketManager(client)
        options = {"bm": sockets, "limit": 5000, "ws_interval": 100, "conv_type": str}
        async with binance.DepthCacheManager(client, SYMBOL, **options) as cache:
            for _ in range(6):  # the first event triggers a second snapshot; the book is exact from the second event on
                book = await in_time(cache.recv())
            exact = truth(addresses, cache._last_update_id)
            assert (dict(book.get_bids()), dict(book.get_asks())) == (dict(exact["bids"]), dict(exact["asks"]))
        async with sockets.multiplex_socket(["simusdt@trade", "simusdt@aggTrade"]) as socket:
            assert (await in_time(socket.recv()))["stream"] in ("simusdt@trade", "simusdt@aggTrade")
        async with sockets.user_socket() as user:
            order = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "90.00"}
            placed = await in_time(client.ws_create_order(**order, quantity="1"))
            events = [await in_time(user.recv()) for _ in range(2)]
            assert [(item["e"], item.get("X"), item.get("i")) for item in events] == [
                ("executionReport", "NEW", placed["orderId"]),
                ("outboundAccountPosition", None, None),
            ]
            assert (await in_time(client.ws_cancel_order(symbol=SYMBOL, orderId=placed["orderId"])))[
                "status"
            ] == "CANCELED"
            assert (await in_time(user.recv()))["X"] == "CANCELED"
        await client.close_connection()

    asyncio.run(main())


@pytest.mark.slow
def test_python_binance_threaded_manager_receives_streams(addresses: Ready) -> None:
    """Covers its threaded manager, which most of its users use."""
    messages: SimpleQueue[dict[str, Any]] = SimpleQueue()
    manager = binance.ThreadedWebsocketManager(*keys_of(addresses))
    manager.start()
    manager.start_trade_socket(callback=messages.put, symbol=SYMBOL)
    manager.start_depth_socket(callback=messages.put, symbol=SYMBOL, interval=100)
    kinds = set()
    while kinds != {"trade", "depthUpdate"}:
        kinds.add(messages.get(timeout=120)["e"])
    manager.stop()
    manager.join(20)
    assert not manager.is_alive()
