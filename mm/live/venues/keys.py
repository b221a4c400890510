"""The keys of an account: sources, checks and signatures (HMAC-SHA256 or Ed25519); secrets are never shown.

Secrets passed by flag or environment are erased from the process list before anything else.
"""

import hmac
import os
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mm.base.private_file import read_private
from mm.base.process_list import SECRET_VARIABLES, overwrite, secret_variables, variable_of
from mm.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY, SECRET = SECRET_VARIABLES
KEY_FILE = "BINANCE_PRIVATE_KEY_FILE"
_PEM = "-----BEGIN"


class Credentials:
    """One API key with one way to sign; it has no text form."""

    __slots__ = ("_private", "_secret", "key", "kind", "variable")

    def __init__(self, key: str, *, secret: str = "", private: "Ed25519PrivateKey | None" = None) -> None:
        self.key = key
        self.kind = "HMAC" if private is None else "ED25519"
        self.variable = KEY
        self._private, self._secret = private, secret.encode()

    def sign(self, payload: str) -> str:
        if self._private is None:
            return hmac.digest(self._secret, payload.encode(), "sha256").hex()
        return b64encode(self._private.sign(payload.encode())).decode()

    def handed(self) -> dict[str, str]:
        """Return what a trader's guardian signs with; it goes there over a socket, and nowhere else."""
        private = "" if self._private is None else self._private.private_bytes_raw().hex()
        return {"key": self.key, "secret": self._secret.decode(), "private": private}

    @classmethod
    def of_handed(cls, handed: Mapping[str, str]) -> "Credentials":
        if not handed["private"]:
            return cls(handed["key"], secret=handed["secret"])
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(handed["key"], private=Ed25519PrivateKey.from_private_bytes(bytes.fromhex(handed["private"])))

    def __repr__(self) -> str:
        return f"Credentials({self.kind})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not written anywhere")


def read_credentials(
    environ: Mapping[str, str], *, api_key: str | None = None, api_secret: str | None = None
) -> Credentials:
    key, secret = (api_key or environ.get(KEY, "")).strip(), (api_secret or environ.get(SECRET, "")).strip()
    file = "" if api_secret else environ.get(KEY_FILE, "").strip()
    if not key:
        raise UsageError(f"there is no API key; set {KEY}, and {SECRET} or {KEY_FILE}")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", key):
        raise UsageError(f"{KEY} is not an API key: it has other characters than letters, digits, _ and -")
    if secret and file:
        raise UsageError(f"{SECRET} and {KEY_FILE} are both set; unset whichever does not belong to {KEY}")
    if file:
        return Credentials(key, private=_read_private(Path(file).expanduser()))
    if not secret:
        raise UsageError(f"{KEY} is set, but nothing signs with it; set {SECRET} (HMAC) or {KEY_FILE} (Ed25519)")
    if _PEM in secret:
        raise UsageError(f"{SECRET} is a PEM key, not an HMAC secret; write it to a file and set {KEY_FILE}")
    if not re.fullmatch(r"[\x21-\x7e]+", secret):
        raise UsageError(f"{SECRET} is not an HMAC secret: it has blanks or characters that are not ASCII")
    return Credentials(key, secret=secret)


def credentials_beside(environ: Mapping[str, str], market: str, own: Credentials) -> Credentials:
    """Return the key in variables with *market*'s name, else *own*; raises as `read_credentials`."""
    names = {name: variable_of(name, market) for name in (KEY, SECRET, KEY_FILE)}
    given = {name: environ[of_market] for name, of_market in names.items() if environ.get(of_market)}
    if not given:
        return own
    try:
        credentials = read_credentials(given)
    except UsageError as error:
        variables = ", ".join(names.values())
        raise UsageError(f"of the account in {market}, whose variables are {variables}: {error}") from None
    credentials.variable = names[KEY]
    return credentials


def _read_private(path: Path) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = read_private(path, KEY_FILE)
    if _PEM.encode() not in content:
        raise UsageError(f"{KEY_FILE}: {path} is not a PEM file; set an HMAC secret in {SECRET}")
    try:
        private = load_pem_private_key(content, None)
    except TypeError:  # raised by the library for a key with a password
        raise UsageError(f"{KEY_FILE}: {path} is encrypted; write it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{KEY_FILE}: {path} is a PEM file, but has no readable private key") from None
    if not isinstance(private, Ed25519PrivateKey):
        kind = type(private).__name__.removeprefix("_").removesuffix("PrivateKey")
        raise UsageError(f"{KEY_FILE}: {path} has a key of the kind {kind}; it must be Ed25519")
    return private


def key_refused(credentials: Credentials, why: str) -> UsageError:
    return UsageError(
        f"the exchange does not accept the API key and its {credentials.kind} signature ({why}); check "
        f"{credentials.variable}, the secret or key file that belongs to it, its permissions and addresses, and the "
        f"venue"
    )


def sorted_payload(parameters: Mapping[str, object]) -> str:
    return "&".join(f"{name}={value}" for name, value in sorted(parameters.items()))


def blank_process_list(secrets: Iterable[str | None], environ: MutableMapping[str, str] = os.environ) -> bool:
    """Blank them in the memory that the process list shows; False without ``/proc``.

    The key variables are removed from *environ*, so that later processes do not inherit them.
    """
    return overwrite(text for text in [*secrets, *(environ.pop(name, None) for name in secret_variables())] if text)
