"""Clients of the streams without a socket: what they were sent, and the book that it makes."""


class Listener:
    """Keeps what it is sent.

    Args:
        phase_ms: When its batches end.
        micro: Whether its stamps are µs.
    """

    def __init__(self, phase_ms=0, *, micro=False):
        self.phase_ms = phase_ms
        self.micro = micro
        self.slow = False
        self.got = []

    def is_slow(self, stream):
        return self.slow

    def deliver(self, message):
        self.got.append(message)

    def events(self, kind=None):
        return [message.event for message in self.got if kind in (None, message.kind)]


def rebuilt(events):
    """Return the book that depth events make, decimal texts as they came, and check that they chain."""
    book = {"b": {}, "a": {}}
    for before, event in zip([None, *events], events, strict=False):
        assert before is None or event["U"] == before["u"] + 1
        assert event["U"] <= event["u"]
        for side, levels in book.items():
            prices = [float(price) for price, _ in event[side]]
            assert prices == sorted(set(prices), reverse=side == "b")
            for price, qty in event[side]:
                levels[price] = qty
    return {side: {price: qty for price, qty in levels.items() if float(qty)} for side, levels in book.items()}


def book_of(rows, instrument, until_id=None):
    """Return the book of the LEVEL rows of a log up to an update id, decimal texts by side."""
    book = {"b": {}, "a": {}}
    for _, kind, _, _, _, side, ticks, lots, _, update_id in rows:
        if kind == 3 and (until_id is None or update_id <= until_id):
            levels = book["b" if side > 0 else "a"]
            levels[instrument.price(ticks)] = instrument.qty(lots)
            if not lots:
                del levels[instrument.price(ticks)]
    return book
