"""The knobs of what a report tells beyond the run itself."""

from dataclasses import dataclass

from mm.knobs import SWITCH, knob


@dataclass(frozen=True, kw_only=True)
class Honesty:
    """Whether the same strategy is played again under kinder and harsher assumptions."""

    honesty: bool = knob(
        False, SWITCH, "1 plays it also with optimistic and pessimistic fills, and at 0.5 and 2 times the latency."
    )
