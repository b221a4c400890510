"""Who trades a symbol on an account: a trader holds files locked, which are released however it ends."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from mm.base.held_file import hold_file, is_held
from mm.errors import TryLater

LOCKS = "locks"
_DIGITS = 16


class TraderLocks:
    def __init__(self, out_root: Path, rest_url: str, key: str) -> None:
        from mm.market_data.rate_budget import shared_path  # here, since a help text needs none of it

        account = hashlib.sha256(key.encode()).hexdigest()[:_DIGITS]
        of_host = shared_path("trader", f"{urlsplit(rest_url).netloc}-{account}-")
        self._starts = [out_root.resolve() / LOCKS / f"{account}-.json", *([of_host] if of_host else [])]

    def paths(self, symbol: str) -> list[Path]:
        return [start.with_stem(start.stem + symbol) for start in self._starts]

    def is_held(self, symbol: str) -> bool:
        return any(_is_held(path) for path in self.paths(symbol))

    def symbols(self) -> set[str]:
        found = [(path, start) for start in self._starts for path in start.parent.glob(f"{start.stem}*{start.suffix}")]
        return {path.stem.removeprefix(start.stem) for path, start in found}

    @contextmanager
    def alone(self, symbol: str) -> Iterator[None]:
        """Exclude other traders of a symbol until the block ends; TryLater if there is one already."""
        held: list[int] = []
        try:
            for path in self.paths(symbol):
                path.parent.mkdir(parents=True, exist_ok=True)
                held.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                if not hold_file(held[-1]):
                    raise TryLater(
                        f"another trader of {symbol} runs on this account ({path} is held); stop it first, or trade "
                        f"another symbol"
                    )
            yield
        finally:
            for descriptor in held:
                os.close(descriptor)


def _is_held(path: Path) -> bool:
    with suppress(OSError):
        return is_held(path)
    return False
