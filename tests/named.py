"""Models, kinds of events and codes of a journal by their names."""

import numpy as np

from mm.backtest.engine.live_feed import FeedEvent, feed_events
from mm.backtest.journal import ACTIONS, CANCEL_REASONS, REJECT_REASONS
from mm.backtest.models import FILL_MODELS, QUOTE_MODELS, declared
from mm.tape.tape import KIND_NAMES

_CODES = {name: code for code, name in KIND_NAMES.items()}


def model_of(name, /, **parameters):
    """Return the model of a name of ``QUOTE_MODEL`` or ``FILL_MODEL``."""
    return {**QUOTE_MODELS, **FILL_MODELS}[name](**parameters)


def kind_of(event):
    """Return the kind of an event of a feed, or of a code of a tape."""
    return KIND_NAMES[int(getattr(event, "kind", event))]


def is_kind(tape, *kinds):
    """Return which events of a tape are of these kinds."""
    return np.isin(tape.kind, [_CODES[kind] for kind in kinds])


def feed_event(kind, us, recv_seq, event_id, rows=(), exch_us=0):
    """Return an event of a feed."""
    return FeedEvent(_CODES[kind], us, recv_seq, event_id, rows, exch_us)


def events_of(tape):
    """Return the events of a tape as those of a feed."""
    return list(feed_events(tape))


def action_of(row):
    """Return the action of an order row of a journal."""
    return ACTIONS[row[2]]


def reason_of(row):
    """Return why an order row rejects or cancels; empty if it does neither."""
    return REJECT_REASONS[row[12]] or CANCEL_REASONS[row[13]]


def parameters_of(name):
    """Return the names of a model's parameters."""
    return {one.name for one in declared({**QUOTE_MODELS, **FILL_MODELS}[name]).of_user()}
