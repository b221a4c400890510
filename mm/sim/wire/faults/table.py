"""The names of all faults."""

from collections.abc import Mapping

from mm.sim.wire.faults import connections, contents, messages, responses, world
from mm.sim.wire.faults.parameters import Fault

FAULTS: Mapping[str, type[Fault]] = {
    "drop": messages.Drop,
    "duplicate": messages.Duplicate,
    "stale": messages.Stale,
    "overlap": messages.Overlap,
    "swap": messages.Swap,
    "burst": messages.Burst,
    "lag": messages.Lag,
    "stall": messages.Stall,
    "bad_json": contents.BadJson,
    "bad_utf8": contents.BadUtf8,
    "unknown_event": contents.UnknownEvent,
    "missing_field": contents.MissingField,
    "extra_field": contents.ExtraField,
    "non_ascii": contents.NonAscii,
    "binary": contents.Binary,
    "huge": contents.Huge,
    "foreign_symbol": contents.ForeignSymbol,
    "crossed": contents.Crossed,
    "off_tick": contents.OffTick,
    "capped_qty": contents.CappedQty,
    "close": connections.Close,
    "reset": connections.Reset,
    "mute": connections.Mute,
    "half_open": connections.HalfOpen,
    "shutdown": connections.Shutdown,
    "age": connections.Age,
    "storm": connections.Storm,
    "phase": connections.Phase,
    "refuse_handshake": connections.RefuseHandshake,
    "refuse_connect": connections.RefuseConnect,
    "status": responses.Status,
    "slow": responses.Slow,
    "cut_body": responses.CutBody,
    "reset_request": responses.ResetRequest,
    "broken_body": responses.BrokenBody,
    "empty_sides": responses.EmptySides,
    "wrong_symbol": responses.WrongSymbol,
    "snapshot": responses.Snapshot,
    "tick_size": responses.TickSize,
    "halt": world.Halt,
    "id_reset": world.IdReset,
    "clock_offset": world.ClockOffset,
}
"""Names, as scripts write them, to classes."""
NAMES: Mapping[type[Fault], str] = {one: name for name, one in FAULTS.items()}
