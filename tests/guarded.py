"""Doors of servers that tokens open."""

from mm.base.doors import Door, DoorFiles, new_token


def add_token(file, *roles, name=None):
    """Add a token with these roles to a file of tokens, and return its text."""
    text, token = new_token(name or "-".join(roles), list(roles))
    with file.open("a") as tokens:
        tokens.write(token.line() + "\n")
    file.chmod(0o600)
    return text


def door_of(host="127.0.0.1", **files):
    """Return the door of a server, with its files and options."""
    return Door(host, DoorFiles(**files))
