"""The knobs of what a report tells beyond the run itself."""

from dataclasses import dataclass

from mm.cli.knobs import SWITCH, knob


@dataclass(frozen=True, kw_only=True)
class Honesty:
    """Whether the sensitivity is measured: the same strategy under kinder and harsher assumptions."""

    honesty: bool | None = knob(
        None,
        SWITCH,
        "Sensitivity: 1 plays it also with optimistic and pessimistic fills, and at 0.5 and 2 times the latency; "
        "without it that is done where no model of yours in Python is played.",
    )
