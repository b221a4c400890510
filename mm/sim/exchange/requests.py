"""Wishes about orders that are there already, and what became of them."""

from dataclasses import dataclass

from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.order import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequest:
    """Which order to cancel, to replace or to amend.

    Attributes:
        order_id: The exchange's id, None where only the name is given.
        client_id: The order's name, empty where only the id is given.
        request_id: The user's name for the cancel, or of the order once it is amended; empty for one of the exchange.
        restrictions: ``ONLY_NEW``, ``ONLY_PARTIALLY_FILLED`` or empty.
        stop_on_failure: Whether a replacement is not tried where the cancel fails.
        when_exceeded_cancel: Whether the cancel is done although too many orders were sent to replace it.
    """

    order_id: int | None = None
    client_id: str = ""
    request_id: str = ""
    restrictions: str = ""
    stop_on_failure: bool = True
    when_exceeded_cancel: bool = False


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A cancel that was done.

    Attributes:
        order: What was cancelled.
        request_id: Name of the cancel.
    """

    order: Order
    request_id: str


@dataclass(frozen=True, slots=True)
class CancelReplaced:
    """What became of a cancel and of the order that was to follow it.

    Attributes:
        cancelled: The cancel, or why it was refused.
        placed: The new order, why it was refused, or None where it was not tried.
        exceeded: Whether the account had sent too many orders.
        stop_on_failure: As it was asked for.
    """

    cancelled: Cancelled | ApiError
    placed: Order | ApiError | None
    exceeded: bool
    stop_on_failure: bool
