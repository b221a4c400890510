"""``mm token``."""

import re
from dataclasses import dataclass
from pathlib import Path

import click

from mm.base.atomic_file import write_atomic
from mm.base.doors import ROLES, TOKENS, Token, new_token, read_tokens
from mm.base.knobs import PATH, REQUIRED, knob
from mm.cli.frame import command
from mm.errors import DataError, UsageError
from mm.terminal.console import Console


@dataclass(frozen=True, kw_only=True)
class TokensPlace:
    """The file of the tokens."""

    tokens_file: Path = knob(REQUIRED, PATH, "File of the tokens; it has their hashes only.", common="File of tokens")


_NAME = click.Argument(["name"], metavar="NAME")


_ROLE = click.Option(["--role", "roles"], type=click.Choice(ROLES), multiple=True, help="What it allows; repeatable.")


@command(arguments=[_NAME, _ROLE])
def token_add(console: Console, place: TokensPlace, name: str, roles: tuple[str, ...]) -> None:
    """Add a token to a file, which running servers read again, and print it: it is shown this once.

    read: pages, book, streams; trade: orders and cancels, runs of the dashboard; kill and rearm: the kill switch.

    Example: mm token add prometheus --role read --tokens-file /etc/mm/tokens
    """
    if not roles:
        raise UsageError(f"--role is missing; give at least one of {', '.join(ROLES)}")
    if not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(f"the name of a token was {name!r}; it must have letters, digits, _, . and - only")
    tokens = read_tokens(place.tokens_file) if place.tokens_file.exists() else []
    if any(token.name == name for token in tokens):
        raise UsageError(f"{place.tokens_file} has a token {name!r}; mm token revoke removes it, or give another name")
    text, token = new_token(name, roles)
    _write(place.tokens_file, [*tokens, token])
    console.print(text)
    console.set_json({"name": name, "roles": list(roles), "token": text})


@command(arguments=[_NAME])
def token_revoke(console: Console, place: TokensPlace, name: str) -> None:
    """Remove a token from a file; running servers refuse it from then on, and end its streams.

    Example: mm token revoke prometheus --tokens-file /etc/mm/tokens
    """
    tokens = read_tokens(place.tokens_file)
    left = [token for token in tokens if token.name != name]
    if len(left) == len(tokens):
        raise DataError(f"{place.tokens_file} has no token {name!r}; mm token list shows them")
    _write(place.tokens_file, left)
    console.print(f"{name} is revoked")
    console.set_json({"revoked": name})


@command()
def token_list(console: Console, place: TokensPlace) -> None:
    """List the tokens of a file by name and roles.

    Example: mm token list --tokens-file /etc/mm/tokens
    """
    tokens = read_tokens(place.tokens_file)
    for token in tokens:
        console.print(token.line().rpartition(" ")[0])
    console.set_json({"tokens": {token.name: sorted(token.roles) for token in tokens}})


def _write(path: Path, tokens: list[Token]) -> None:
    try:
        write_atomic(path, "".join(f"{token.line()}\n" for token in tokens).encode(), mode=0o600)
    except OSError as error:
        raise UsageError(f"{TOKENS}: {path} cannot be written ({error.strerror}); give another file") from error
