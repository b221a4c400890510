"""Clients of Bybit's topics in a box in lockstep, and the book of their messages."""

import asyncio
import json
from dataclasses import replace

from websockets.asyncio.client import connect

from exchange_double import receive
from mm.sim.wire.box import Box
from mm.sim.wire.bybit.market import BybitMarket

SYMBOL = "SIMUSDT"
BOOK, PRINTS, TICKER = f"orderbook.50.{SYMBOL}", f"publicTrade.{SYMBOL}", f"tickers.{SYMBOL}"


def make(*, contract=True, scenario="poisson", faults=()):
    market = BybitMarket(contract=contract)
    limits = replace(market.connections, attempts=None, close_s=0.05)
    return Box.in_lockstep(scenario, seed=3, market=market, faults=faults, wire_limits=limits)


def client_of(box):
    path = box.market.streams.path
    return connect(box.ws_url + path, proxy=None, max_queue=None)


async def ask(client, op, *args, request_id="1"):
    await client.send(json.dumps({"op": op, "args": list(args), "req_id": request_id}))
    return await receive(client)


async def drained(client, topic=None):
    """Return the messages that have arrived, of a topic if it is given."""
    got = []
    while True:
        try:
            got.append(json.loads(await asyncio.wait_for(client.recv(), 0.2)))
        except TimeoutError:
            return [message for message in got if topic in (None, message.get("topic"))]


def replayed(messages):
    """Return (u, seq, bids, asks) after each message, and check that changes follow each other."""
    book, states, last_u = {"b": {}, "a": {}}, [], None
    for message in messages:
        data = message["data"]
        if message["type"] == "snapshot":
            book = {"b": {}, "a": {}}
        else:
            assert data["u"] == last_u + 1
        last_u = data["u"]
        for side, levels in book.items():
            for price, qty in data[side]:
                if float(qty):
                    levels[price] = qty
                else:
                    levels.pop(price)  # only levels of the window are removed
        states.append((data["u"], data["seq"], dict(book["b"]), dict(book["a"])))
    return states


def best(levels, most, side):
    return sorted(((float(price), float(qty)) for price, qty in levels), reverse=side > 0)[:most]
