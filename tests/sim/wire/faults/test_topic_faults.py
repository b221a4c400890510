"""Faults of topics alone: snapshots in the middle, fields in any order, prints of a taker in several messages."""

import pytest

from exchange_double import run
from topic_clients import BOOK, PRINTS, ask, best, client_of, drained, make, replayed


async def books(*faults):
    """Return the messages of a book over eight seconds, after checking each book that follows from them."""
    async with make(faults=faults).open() as box, client_of(box) as client:
        await ask(client, "subscribe", BOOK)
        await box.advance(seconds=8)
        messages = await drained(client)
        for _, seq, bids, asks in replayed(messages):
            true_bids, true_asks = box.truth.book(seq)
            assert best(bids.items(), 50, 1) == best(true_bids, 50, 1)
            assert best(asks.items(), 50, -1) == best(true_asks, 50, -1)
        return messages


async def resnapshot():
    messages = await books("at time 2 do resnapshot n=2")
    assert [message["type"] for message in messages].count("snapshot") == 3


async def reorder_fields():
    messages = await books("at time 2 do reorder_fields n=5")
    assert [next(iter(message)) != "topic" for message in messages].count(True) == 5


async def split_prints():
    """The parts have the same seq."""
    async with make(faults=["at time 1 do split_prints n=100000 most=1"]).open() as box, client_of(box) as client:
        await ask(client, "subscribe", PRINTS)
        await box.advance(seconds=1)
        await drained(client)
        await box.advance(seconds=60)
        messages = await drained(client)
        assert {len(message["data"]) for message in messages} == {1}
        seqs = [message["data"][0]["seq"] for message in messages]
        assert len(set(seqs)) < len(seqs)


CASES = {case.__name__: case for case in (resnapshot, reorder_fields, split_prints)}


@pytest.mark.parametrize("name", CASES)
def test_fault_of_topics_reaches_the_client(name):
    """A fault without effect would make the recorder's tests prove nothing."""
    run(CASES[name])


def test_restart_counts_on_from_one_with_a_snapshot():
    """`id_reset` of topics is a restart of the exchange's service."""

    async def scenario():
        messages = await books("at time 2 do resnapshot", "at time 4 do id_reset first=1")
        kinds = [message["type"] for message in messages]
        assert kinds.count("snapshot") == 3
        (at,) = (at for at, message in enumerate(messages) if message["data"]["u"] == 1)
        assert kinds[at] == "snapshot"

    run(scenario)


def test_print_may_come_after_the_change_that_has_it():
    """`lag of=trade`: the sample has none, but nothing promises the order."""

    async def scenario():
        late = ["at time 1 do lag of=trade delay_s=0.5"]
        async with make(faults=late).open() as box, client_of(box) as client:
            await ask(client, "subscribe", BOOK, PRINTS)
            await box.advance(seconds=40)
            last_seq, behind = 0, 0
            for message in await drained(client):
                if message["topic"] == BOOK:
                    last_seq = message["data"]["seq"]
                else:
                    behind += message["data"][0]["seq"] <= last_seq
            assert behind

    run(scenario)
