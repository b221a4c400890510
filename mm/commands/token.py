"""``mm token``: the tokens with which other machines may call a server of this program."""

import re
from pathlib import Path

from mm.base.atomic_file import write_atomic
from mm.base.doors import ROLES, TOKENS_FLAG, Token, new_token, read_tokens
from mm.catalog.operations import TokensPlace
from mm.cli.console import Console
from mm.errors import DataError, UsageError


def add(console: Console, place: TokensPlace, name: str, roles: tuple[str, ...]) -> None:
    """Add a token to a file, which running servers read again, and print it: it is shown this once."""
    if not roles:
        raise UsageError(f"--role is missing; give at least one of {', '.join(ROLES)}")
    if not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(f"the name of a token was {name!r}; it must have letters, digits, _, . and - only")
    tokens = read_tokens(place.tokens_file) if place.tokens_file.exists() else []
    if any(one.name == name for one in tokens):
        raise UsageError(f"{place.tokens_file} has a token {name!r}; mm token revoke removes it, or give another name")
    text, token = new_token(name, roles)
    _write(place.tokens_file, [*tokens, token])
    console.print(text)
    console.set_json({"name": name, "roles": list(roles), "token": text})


def revoke(console: Console, place: TokensPlace, name: str) -> None:
    """Remove a token from a file; running servers refuse it from then on, and end its streams."""
    tokens = read_tokens(place.tokens_file)
    left = [one for one in tokens if one.name != name]
    if len(left) == len(tokens):
        raise DataError(f"{place.tokens_file} has no token {name!r}; mm token list shows them")
    _write(place.tokens_file, left)
    console.print(f"{name} is revoked")
    console.set_json({"revoked": name})


def list_tokens(console: Console, place: TokensPlace) -> None:
    """List the tokens of a file by name and roles."""
    tokens = read_tokens(place.tokens_file)
    for one in tokens:
        console.print(one.line().rpartition(" ")[0])
    console.set_json({"tokens": {one.name: sorted(one.roles) for one in tokens}})


def _write(path: Path, tokens: list[Token]) -> None:
    try:
        write_atomic(path, "".join(f"{one.line()}\n" for one in tokens).encode(), mode=0o600)
    except OSError as error:
        raise UsageError(f"{TOKENS_FLAG}: {path} cannot be written ({error.strerror}); give another file") from error
