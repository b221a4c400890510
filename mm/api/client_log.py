"""The log of a trading interface: a JSON line for each event of an order, written before its answer."""

import os
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from mm.api.desk import Client, Desk, ended_by, remaining_lots, status_of
from mm.api.desk_messages import DeskMessages
from mm.api.messages import OrderRequest, encode
from mm.sim.exchange.orders import NEW, ExecutionReport


class ClientLog:
    """Appends the events of a market's clients, and the orders that it rejects, to a file.

    *failure* is why a row could not be written, after which the market stops.
    """

    def __init__(self, path: Path, desk: Desk) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._desk, self._messages = path, desk, DeskMessages(desk)
        self.failure: OSError | None = None
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        desk.listen(self._report)

    def rejected(self, given: OrderRequest, reason: str) -> None:
        row = {"client_id": given.client_id, "side": given.side, "type": given.type, "size": str(given.size)}
        self._append("rejected", row | {"price": None if given.price is None else str(given.price), "reason": reason})

    def _report(self, client: Client, event: ExecutionReport) -> None:
        messages, order, fill = self._messages, event.order, event.fill
        name = "fill" if fill else "accepted" if event.kind == NEW else status_of(order)
        row = asdict(messages.fill(fill) if fill else messages.order(order))
        row |= {"remaining": messages.size(remaining_lots(order)), "reason": ended_by(order) or None}
        if not (fill or order.request.ticks):  # a market order
            row["price"] = None
        self._append(name, {"client_id": client.name, **row})

    def _append(self, event: str, row: dict[str, Any]) -> None:
        try:
            os.write(self._file, encode({"event": event, "us": self._desk.us, **row}) + b"\n")
        except OSError as error:
            self.failure = error
            raise
