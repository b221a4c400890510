"""Where a recording tells what happens."""

from typing import Any, Protocol


class Log(Protocol):
    """What is told of a recording as it goes on."""

    def info(self, event: str, **numbers: Any) -> Any:
        """Tell what happened."""

    def warning(self, event: str, **numbers: Any) -> Any:
        """Tell what somebody should look at."""
