"""Third-party clients of USD-M futures, unmodified but for their addresses, against ``mm sim serve --market usdm``."""

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
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
CONTRACT, SYMBOL = "SIM/USDT:USDT", "SIMUSDT"


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


@pytest.fixture(scope="module")
def market() -> Iterator[Ready]:
    """Serve a contract with simulated traders."""
    with serving("--market", "usdm", "--scenario", "zero_intelligence", "--seed", "7") as (_, ready):
        yield ready


@pytest.fixture
def empty() -> Iterator[Ready]:
    """Serve a contract on which only the test trades."""
    with serving("--market", "usdm", "--scenario", "empty") as (_, ready):
        yield ready


def ccxt_client(ready: Ready, account_index: int = 0, *, pro: bool = False, key: str = "secret") -> Any:
    """Return a ccxt client of an account; the caller closes it."""
    account, rest = ready["accounts"][account_index], f"{ready['rest_url']}/fapi/v"
    api: dict[str, Any] = {}
    for whose in ("Public", "Private"):
        api |= {f"fapi{whose}": f"{rest}1", f"fapi{whose}V2": f"{rest}2", f"fapi{whose}V3": f"{rest}3"}
    api["ws"] = {"linear": f"{ready['ws_url']}/ws", "ws-api": {"linear": ready["ws_api_url"]}}
    options = {"fetchMarkets": {"types": ["linear"]}, "fetchCurrencies": False, "fetchMargins": False}
    keys = {"apiKey": account["api_key"], "secret": account[key]}
    return (ccxt_pro if pro else ccxt).binanceusdm({**keys, "options": options, "urls": {"api": api}})


@pytest.fixture
def addresses(market: Ready, monkeypatch: pytest.MonkeyPatch) -> Ready:
    """Set python-binance's addresses to the market."""
    for client in (binance.Client, binance.AsyncClient):
        monkeypatch.setattr(client, "FUTURES_URL", f"{market['rest_url']}/fapi")
        monkeypatch.setattr(client, "WS_FUTURES_URL", market["ws_api_url"])
    monkeypatch.setattr(binance.BinanceSocketManager, "FSTREAM_URL", f"{market['ws_url']}/")
    return market


def in_time(awaitable: Awaitable[Any]) -> Any:
    """Await with a timeout."""
    return asyncio.wait_for(awaitable, 60)


def truth(ready: Ready, update_id: int) -> Any:
    """Return the exact book after an update id."""
    return HTTP.get(f"{ready['rest_url']}/sim/truth?id={update_id}").json()


def numbers(levels: Any) -> list[list[float]]:
    """Return levels in ccxt's format."""
    return [[float(price), float(quantity)] for price, quantity, *_ in levels]


def test_ccxt_reads_the_contract_and_its_terms(market: Ready, closing: Closing) -> None:
    """Covers rules, book, mark price, funding, leverage brackets and fees by REST."""
    client = closing(ccxt_client(market))
    rules = client.load_markets()[CONTRACT]
    assert (rules["swap"], rules["linear"], rules["active"], rules["settle"]) == (True, True, True, "USDT")
    assert (rules["precision"]["price"], rules["precision"]["amount"]) == (0.01, 0.001)
    assert rules["limits"]["cost"]["min"] == 5
    book = client.fetch_order_book(CONTRACT, 1000)
    exact = truth(market, book["nonce"])
    assert (book["bids"], book["asks"]) == (numbers(exact["bids"]), numbers(exact["asks"]))
    funding = client.fetch_funding_rate(CONTRACT)
    assert (funding["fundingRate"], funding["fundingTimestamp"] % 28_800_000) == (0.0001, 0)
    assert abs(funding["markPrice"] - (book["bids"][0][0] + book["asks"][0][0]) / 2) < 1
    tiers = client.fetch_leverage_tiers([CONTRACT])[CONTRACT]
    assert (tiers[0]["maxLeverage"], tiers[0]["maintenanceMarginRate"]) == (125, 0.004)
    fee = client.fetch_trading_fee(CONTRACT)
    assert (fee["maker"], fee["taker"]) == (0.0002, 0.0005)


@pytest.mark.parametrize("key", ["secret", "ed25519_private_key"])
def test_ccxt_opens_moves_reduces_and_closes_a_position(key: str, empty: Ready, closing: Closing) -> None:
    """Alice offers, Bob buys a part and sells it again; positions, fees and balances are checked."""
    alice, bob = closing(ccxt_client(empty, key=key)), closing(ccxt_client(empty, 1, key=key))
    offer = alice.create_order(CONTRACT, "limit", "sell", 3, 100, {"postOnly": True})
    assert offer["status"] == "open"
    fill = bob.create_order(CONTRACT, "market", "buy", 1)
    assert (fill["status"], fill["average"], fill["filled"]) == ("closed", 100, 1)
    (long,) = bob.fetch_positions([CONTRACT])
    assert (long["side"], long["contracts"], long["entryPrice"]) == ("long", 1, 100)
    assert bob.fetch_balance()["USDT"]["total"] == 999_999.95
    assert bob.fetch_my_trades(CONTRACT)[0]["fee"] == {"currency": "USDT", "cost": 0.05}
    moved = alice.edit_order(offer["id"], CONTRACT, "limit", "sell", 4, 101)
    assert (moved["id"], alice.fetch_order_book(CONTRACT)["asks"]) == (offer["id"], [[101, 3]])
    alice.cancel_order(offer["id"], CONTRACT)
    alice.create_order(CONTRACT, "limit", "buy", 1, 99, {"reduceOnly": True})
    with pytest.raises(ccxt.ExchangeError, match="-2022"):
        alice.create_order(CONTRACT, "limit", "buy", 1, 98, {"reduceOnly": True})
    sold = bob.create_order(CONTRACT, "market", "sell", 2, None, {"reduceOnly": True})
    assert (sold["filled"], sold["average"]) == (1, 99)
    assert bob.fetch_positions([CONTRACT]) == alice.fetch_positions([CONTRACT]) == []
    rows = [(row["info"]["incomeType"], row["amount"], row["direction"]) for row in bob.fetch_ledger("USDT")]
    assert rows == [("COMMISSION", 0.05, "out"), ("REALIZED_PNL", 1.0, "out"), ("COMMISSION", 0.0495, "out")]
    assert alice.cancel_all_orders(CONTRACT)


def test_ccxt_changes_settings_and_raises_own_exceptions(empty: Ready, closing: Closing) -> None:
    """Covers leverage, margin type, position mode, and refusals that ccxt maps to its exceptions."""
    alice, bob = closing(ccxt_client(empty)), closing(ccxt_client(empty, 1))
    for client in (alice, bob):
        client.load_markets()
    assert alice.set_leverage(10, CONTRACT)["leverage"] == 10
    assert alice.fetch_leverages([CONTRACT])[CONTRACT]["longLeverage"] == 10
    alice.set_margin_mode("isolated", CONTRACT)
    assert alice.fetch_leverages([CONTRACT])[CONTRACT]["marginMode"] == "isolated"
    assert alice.fetch_position_mode(CONTRACT)["hedged"] is False
    bob.set_position_mode(True, CONTRACT)
    assert bob.fetch_position_mode(CONTRACT)["hedged"] is True
    with pytest.raises(ccxt.ExchangeError, match="-4061"):
        bob.create_order(CONTRACT, "limit", "buy", 1, 99)
    alice.create_order(CONTRACT, "limit", "sell", 1, 100)
    refusals = [
        ("limit", "buy", 1, 100, {"postOnly": True}, ccxt.InvalidOrder),
        ("limit", "buy", 600_000, 99, {}, ccxt.ExchangeError),
        ("limit", "buy", 1, 80, {}, ccxt.ExchangeError),
        ("limit", "buy", 0.01, 99, {}, ccxt.ExchangeError),
    ]
    for kind, side, amount, price, more, error in refusals:
        with pytest.raises(error):
            alice.create_order(CONTRACT, kind, side, amount, price, more)
    with pytest.raises(ccxt.OrderNotFound):
        alice.cancel_order("99", CONTRACT)


def test_ccxt_pro_book_equals_true_book(market: Ready) -> None:
    """The book equals the truth at each update id; trades, mark prices and best prices arrive."""

    async def main() -> None:
        client = ccxt_client(market, pro=True)
        try:
            for _ in range(6):
                book = await in_time(client.watch_order_book(CONTRACT))
                exact = truth(market, book["nonce"])
                assert numbers(book["bids"]) == numbers(exact["bids"])
                assert numbers(book["asks"]) == numbers(exact["asks"])
            (trade, *_) = await in_time(client.watch_trades(CONTRACT))
            trades = HTTP.get(f"{market['rest_url']}/sim/trades?from={trade['id']}&to={trade['id']}").json()
            assert Decimal(str(trade["price"])) == Decimal(trades[0]["price"])
            assert (await in_time(client.watch_mark_price(CONTRACT)))["markPrice"] > 90
            best = (await in_time(client.watch_bids_asks([CONTRACT])))[CONTRACT]
            assert best["bid"] < best["ask"]
        finally:
            await client.close()

    asyncio.run(main())


def test_ccxt_pro_asks_for_book_and_prices_over_websocket(market: Ready) -> None:
    """It signs these requests too, which anybody may send."""

    async def main() -> None:
        client = ccxt_client(market, pro=True)
        try:
            book = await in_time(client.fetch_order_book_ws(CONTRACT, 5))
            exact = truth(market, book["nonce"])
            assert (book["bids"], book["asks"]) == (numbers(exact["bids"])[:5], numbers(exact["asks"])[:5])
            best = await in_time(client.fetch_ticker_ws(CONTRACT))
            assert 0 < best["bid"] < best["ask"]
            assert (await in_time(client.fetch_ticker_ws(CONTRACT, {"method": "ticker.price"})))["last"] > 90
        finally:
            await client.close()

    asyncio.run(main())


def test_ccxt_pro_trades_over_websocket_and_receives_updates(empty: Ready) -> None:
    """Covers the WebSocket API, and the user stream by listen key: orders, own trades, positions, balances."""

    async def main() -> None:
        alice, bob = ccxt_client(empty, pro=True), ccxt_client(empty, 1, pro=True, key="ed25519_private_key")
        try:
            orders = asyncio.ensure_future(alice.watch_orders(CONTRACT))
            while not orders.done():  # there is no signal that the stream is open
                offer = await in_time(alice.create_order_ws(CONTRACT, "limit", "sell", 2, 100))
                await asyncio.wait([orders], timeout=0.2)
            assert (orders.result()[-1]["id"], orders.result()[-1]["status"]) == (offer["id"], "open")
            moved = await in_time(alice.edit_order_ws(offer["id"], CONTRACT, "limit", "sell", 2, 99.5))
            assert (moved["id"], moved["price"]) == (offer["id"], 99.5)
            trades, balance = (
                asyncio.ensure_future(item) for item in (alice.watch_my_trades(CONTRACT), alice.watch_balance())
            )
            await asyncio.sleep(0)
            fill = await in_time(bob.create_order_ws(CONTRACT, "market", "buy", 0.5))
            assert (fill["status"], fill["filled"]) == ("closed", 0.5)
            assert (await in_time(trades))[-1]["price"] == 99.5
            assert (await in_time(balance))["USDT"]["total"] == 999_999.99005
            (held,) = await in_time(bob.fetch_positions_ws([CONTRACT]))
            assert (held["contracts"], held["entryPrice"]) == (0.5, 99.5)
            assert (await in_time(alice.cancel_order_ws(offer["id"], CONTRACT)))["status"] == "canceled"
        finally:
            await asyncio.gather(alice.close(), bob.close())

    asyncio.run(main())


def test_python_binance_trades_by_rest_and_hears_of_it(addresses: Ready) -> None:
    """Covers its futures client, its user socket, and its WebSocket API."""
    account = addresses["accounts"][0]

    async def main() -> None:
        client = binance.AsyncClient(account["api_key"], account["secret"])
        sockets = binance.BinanceSocketManager(client)
        order = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "quantity": 1}
        async with sockets.futures_user_socket() as user:
            placed = await in_time(client.futures_create_order(**order, price="97.00"))
            which = {"symbol": SYMBOL, "orderId": placed["orderId"]}
            await in_time(client.futures_modify_order(**which, side="BUY", quantity=2, price="97.50"))
            assert (await in_time(client.futures_get_order(**which)))["price"] == "97.50000000"
            assert (await in_time(client.futures_cancel_order(**which)))["status"] == "CANCELED"
            events = [await in_time(user.recv()) for _ in range(3)]
            assert [(one["e"], one["o"]["x"], one["o"]["i"]) for one in events] == [
                ("ORDER_TRADE_UPDATE", kind, placed["orderId"]) for kind in ("NEW", "AMENDMENT", "CANCELED")
            ]
            taken = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "newOrderRespType": "RESULT"}
            sold = await in_time(client.futures_create_order(**taken, quantity="0.100"))
            assert sold["status"] == "FILLED"
            while (event := await in_time(user.recv()))["e"] != "ACCOUNT_UPDATE":
                pass
            assert (event["a"]["m"], Decimal(event["a"]["P"][0]["pa"])) == ("ORDER", Decimal("-0.1"))
        (position,) = await in_time(client.futures_position_information(symbol=SYMBOL))
        assert Decimal(position["entryPrice"]) == Decimal(sold["avgPrice"])
        trades = await in_time(client.futures_account_trades(symbol=SYMBOL))
        income = await in_time(client.futures_income_history(incomeType="COMMISSION"))
        assert sum(Decimal(one["commission"]) for one in trades) == -sum(Decimal(one["income"]) for one in income)
        balances = await in_time(client.ws_futures_account_balance())
        assert balances[0]["asset"] == "USDT"
        with pytest.raises(binance.exceptions.BinanceAPIException, match="-1111"):
            await client.futures_create_order(**order, price="97.001")
        await client.close_connection()

    asyncio.run(main())


def test_python_binance_market_streams_have_their_routes(addresses: Ready) -> None:
    """Its sockets use the public and the market route of each stream."""

    async def main() -> None:
        client = binance.AsyncClient()
        sockets = binance.BinanceSocketManager(client)
        kinds = set()
        async with sockets.futures_multiplex_socket(["simusdt@aggTrade", "simusdt@markPrice@1s"]) as socket:
            while len(kinds) < 2:
                kinds.add((await in_time(socket.recv()))["data"]["e"])
        assert kinds == {"aggTrade", "markPriceUpdate"}
        async with sockets.futures_depth_socket(SYMBOL) as socket:
            event = (await in_time(socket.recv()))["data"]
        assert (event["e"], event["pu"] < event["u"]) == ("depthUpdate", True)
        await client.close_connection()

    asyncio.run(main())
