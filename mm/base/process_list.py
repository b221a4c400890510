"""Overwrites secrets in arguments and environment where the process list shows them."""

import ctypes
from collections.abc import Collection, Iterable, MutableMapping
from pathlib import Path

from mm.markets.registry import MARKETS

SECRET_VARIABLES = ("BINANCE_API_KEY", "BINANCE_API_SECRET")
"""The account's variables; an account in another market has variables with its name after the first word."""


def secret_variables() -> list[str]:
    return [*SECRET_VARIABLES, *(variable_of(name, market) for market in MARKETS for name in SECRET_VARIABLES)]


def variable_of(name: str, market: str) -> str:
    first, _, rest = name.partition("_")
    return f"{first}_{market.upper()}_{rest}"


SECRET_FLAGS = ("--api-key", "--api-secret")
_MEMORY_FIELDS = slice(45, 49)  # arg_start, arg_end, env_start, env_end of proc(5), counted after the command's name


def hide_secrets(words: Collection[str], environ: MutableMapping[str, str]) -> None:
    given = [*words, ""]
    texts = [given[at + 1] for at, word in enumerate(given[:-1]) if word in SECRET_FLAGS]
    texts += [word.partition("=")[2] for word in given if word.partition("=")[0] in SECRET_FLAGS]
    for name in secret_variables():
        if text := environ.get(name):
            environ[name] = text  # a copy: what processes started later inherit is not overwritten
            texts.append(text)
    overwrite(texts)


def overwrite(secrets: Iterable[str]) -> bool:
    """Overwrite them in the memory that the process list shows; False without ``/proc``."""
    texts = {text.encode() for text in secrets if text}
    try:
        ended = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        first, last, env_first, env_last = map(int, ended[_MEMORY_FIELDS])
    except (OSError, ValueError):
        return not texts
    for start, end in ((first, last), (env_first, env_last)) if texts else ():
        shown, at = ctypes.string_at(start, end - start) if end > start else b"", 0
        for part in shown.split(b"\0"):
            for text in texts:
                if part.endswith(text) and part.removesuffix(text)[-1:] in (b"", b"="):
                    ctypes.memset(start + at + len(part) - len(text), ord("x"), len(text))
            at += len(part) + 1
    return True
