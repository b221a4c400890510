"""Where a recording logs what happens."""

from typing import Any, Protocol


class EventLog(Protocol):
    """Takes the events of a recording."""

    def info(self, event: str, **numbers: Any) -> Any:
        """Log what happened."""

    def warning(self, event: str, **numbers: Any) -> Any:
        """Log what needs attention."""
