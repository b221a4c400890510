"""The events of orders, field by field, as sent by the user data stream."""

from typing import Any

from exchange_rig import ALICE, BOB, BUY, SELL, START_US, SYMBOL, Desk, Door, Talk
from mm.sim.exchange.orders import CancelRequest

MS = START_US // 1_000


LIMIT = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "100", "quantity": "1"}


def talk(query: str = "") -> tuple[Door, Talk]:
    """Return an exchange and a WebSocket API session."""
    door = Door(Desk())
    return door, door.talk(query)


def listening() -> tuple[Desk, Talk]:
    """Return an exchange and a session subscribed to Alice's events."""
    door, api = talk()
    api.signed(ALICE, "userDataStream.subscribe.signature")
    return door.desk, api


def shown(event: dict[str, Any], names: str) -> list[Any]:
    """Return some fields of an event."""
    return [event[name] for name in names]


def test_execution_report_has_all_documented_fields() -> None:
    """Of a new order: nothing is filled, no fee, no trade."""
    desk, api = listening()
    desk.limit(ALICE, BUY, 10_000, 1_000, client_id="mine", strategy_id=7)
    assert api.events[0] == {
        "e": "executionReport",
        "E": MS,
        "s": SYMBOL,
        "c": "mine",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTC",
        "q": "1.00000000",
        "p": "100.00000000",
        "P": "0.00000000",
        "F": "0.00000000",
        "g": -1,
        "C": "",
        "x": "NEW",
        "X": "NEW",
        "r": "NONE",
        "i": 1,
        "l": "0.00000000",
        "z": "0.00000000",
        "L": "0.00000000",
        "n": "0",
        "N": None,
        "T": MS,
        "t": -1,
        "I": 1,
        "w": True,
        "m": False,
        "M": False,
        "O": MS,
        "Z": "0.00000000",
        "Y": "0.00000000",
        "Q": "0.00000000",
        "W": MS,
        "V": "NONE",
        "j": 7,
    }
    assert api.events[1] == {
        "e": "outboundAccountPosition",
        "E": MS,
        "u": MS,
        "B": [
            {"a": "SIM", "f": "1000.00000000", "l": "0.00000000"},
            {"a": "USDT", "f": "999900.00000000", "l": "100.00000000"},
        ],
    }


def test_trade_reports_contain_cumulative_amounts() -> None:
    """0.3 at 100.00, then 0.7 at 100.00 a second later: maker, fee in SIM, cumulative amounts."""
    desk, api = listening()
    desk.limit(ALICE, BUY, 10_000, 1_000)
    desk.market(BOB, SELL, 300)
    desk.us += 1_000_000
    desk.market(BOB, SELL, 700)
    first, second = [event for event in api.events if event.get("x") == "TRADE"]
    assert shown(first, "XlzLnNtmMZYwOT") == [
        "PARTIALLY_FILLED",
        "0.30000000",
        "0.30000000",
        "100.00000000",
        "0.00030000",
        "SIM",
        1,
        True,
        True,
        "30.00000000",
        "30.00000000",
        True,
        MS,
        MS,
    ]
    assert shown(second, "XlzLnNtmMZYwOT") == [
        "FILLED",
        "0.70000000",
        "1.00000000",
        "100.00000000",
        "0.00070000",
        "SIM",
        2,
        True,
        True,
        "100.00000000",
        "70.00000000",
        False,
        MS,
        MS + 1_000,
    ]


def test_new_replaced_and_canceled_reports_come_in_order() -> None:
    """REPLACED and CANCELED have both client ids; execution ids increase."""
    desk, api = listening()
    desk.limit(ALICE, BUY, 9_990, 1_000, client_id="mine")
    desk.exchange.amend(desk.us, ALICE, CancelRequest(client_id="mine", request_id="less"), 500)
    desk.exchange.cancel(desk.us, ALICE, CancelRequest(client_id="less", request_id="away"))
    reports = [event for event in api.events if event["e"] == "executionReport"]
    assert [shown(one, "xXcCqI") for one in reports] == [
        ["NEW", "NEW", "mine", "", "1.00000000", 1],
        ["REPLACED", "NEW", "less", "mine", "0.50000000", 2],
        ["CANCELED", "CANCELED", "away", "less", "0.50000000", 3],
    ]


def test_expired_and_trade_prevention_events_are_sent() -> None:
    """EXPIRED of an IOC order, TRADE_PREVENTION with the prevented quantity."""
    desk, api = listening()
    desk.limit(ALICE, BUY, 9_990, 1_000, time_in_force="IOC")
    assert shown(api.events[1], "xXwf") == ["EXPIRED", "EXPIRED", False, "IOC"]
    desk.limit(ALICE, BUY, 9_990, 1_000)
    desk.limit(ALICE, SELL, 9_990, 400, stp="DECREMENT")
    maker, taker = [event for event in api.events if event.get("x") == "TRADE_PREVENTION"]
    names = ("X", "i", "v", "A", "B", "U", "pl", "pL", "pY")
    assert [maker[name] for name in names] == [
        "NEW", 2, 0, "0.40000000", "0.40000000", 3, "0.40000000", "99.90000000", "39.96000000",
    ]  # fmt: skip
    assert [taker[name] for name in names[:6]] == ["EXPIRED_IN_MATCH", 3, 0, "0.40000000", "0.40000000", 2]


def test_rejected_replacement_is_reported_with_its_reason() -> None:
    """After the report of the cancel."""
    door, api = talk()
    api.signed(ALICE, "userDataStream.subscribe.signature")
    api.signed(ALICE, "order.place", **LIMIT)
    door.desk.limit(BOB, SELL, 10_010, 1_000)
    parameters = {name: value for name, value in LIMIT.items() if name != "timeInForce"}
    parameters |= {"type": "LIMIT_MAKER", "price": "101", "cancelReplaceMode": "STOP_ON_FAILURE"}
    answer = api.signed(ALICE, "order.cancelReplace", **parameters, cancelOrderId=1)
    assert (answer["status"], answer["error"]["code"]) == (409, -2021)
    reports = [event for event in api.events if event["e"] == "executionReport"]
    assert [shown(one, "xXr") for one in reports[1:]] == [
        ["CANCELED", "CANCELED", "NONE"],
        ["REJECTED", "REJECTED", "WOULD_MATCH_IMMEDIATELY"],
    ]
