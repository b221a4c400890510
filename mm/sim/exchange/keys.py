"""API keys: checks account, signature and timestamp of a request."""

import hmac
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha512
from typing import TYPE_CHECKING, Any

from mm.clock import US_PER_MS, US_PER_S
from mm.sim.exchange.accounts import UserAccount
from mm.sim.exchange.api_error import UNAUTHORIZED, ApiError
from mm.sim.exchange.parameters import RequestParameters

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_KEY_LENGTH = 64
_ED25519_BYTES = 32
_WINDOW_MS = 5_000
_LONGEST_MS = 60_000
SIGNED_PARAMETERS = ("timestamp", "recvWindow", "signature")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The name in requests, a secret for HMAC-SHA256, and a key pair for Ed25519."""

    account: int
    key: str
    secret: str
    private_pem: str
    public: "Ed25519PublicKey"

    def signed(self, payload: bytes, signature: str) -> str:
        """Return ``HMAC``, ``ED25519``, or empty for neither."""
        digest = hmac.new(self.secret.encode(), payload, "sha256").hexdigest()
        if hmac.compare_digest(digest.encode(), signature.lower().encode()):
            return "HMAC"
        from cryptography.exceptions import InvalidSignature

        try:
            self.public.verify(b64decode(signature, validate=True), payload)
        except (InvalidSignature, NotBase64, ValueError):
            return ""
        return "ED25519"


class KeyRing:
    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = {key.key: key for key in keys}

    def find(self, name: str) -> ApiKey:
        if len(name) != _KEY_LENGTH or not set(name) <= set(_LETTERS):
            raise ApiError(-2014, "API-key format invalid.", UNAUTHORIZED)
        if name not in self._keys:
            raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", UNAUTHORIZED)
        return self._keys[name]


def make_keys(accounts: Iterable[int], seed: int) -> list[ApiKey]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    keys = []
    for account in accounts:
        draws = [sha512(f"{seed} {account} {purpose}".encode()).digest() for purpose in ("key", "secret", "ed25519")]
        private = Ed25519PrivateKey.from_private_bytes(draws[2][:_ED25519_BYTES])
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        key, secret = ("".join(_LETTERS[byte % len(_LETTERS)] for byte in draw) for draw in draws[:2])
        keys.append(ApiKey(account, key, secret, pem, private.public_key()))
    return keys


def check_signature(key: ApiKey, parameters: RequestParameters, payload: bytes, now_us: Sequence[int]) -> str:
    """Return the credential of *payload*; ApiError for an invalid signature or time."""
    signature = parameters.must("signature")
    check_fresh(parameters, now_us)
    credential = key.signed(payload, signature)
    if not credential:
        raise ApiError(-1022, "Signature for this request is not valid.")
    return credential


def check_fresh(parameters: RequestParameters, now_us: Sequence[int]) -> None:
    """Raise ApiError if the timestamp is too old or in the future by every clock reading in *now_us*."""
    sent_us, window_e8 = parameters.must("timestamp"), parameters["recvWindow"]
    window_us = _WINDOW_MS * US_PER_MS if window_e8 is None else window_e8 * US_PER_MS // 10**8
    if window_us > _LONGEST_MS * US_PER_MS:
        raise ApiError(-1102, f"'recvWindow' contains unexpected value. Cannot be greater than {_LONGEST_MS}.")
    ages = [clock_us - sent_us for clock_us in now_us]
    if any(-US_PER_S < age <= window_us for age in ages):
        return
    if all(age <= -US_PER_S for age in ages):
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def described(accounts: Iterable[UserAccount], keys: Iterable[ApiKey]) -> list[dict[str, Any]]:
    by_account = {key.account: key for key in keys}
    return [
        {
            "name": account.name,
            "api_key": by_account[account.number].key,
            "secret": by_account[account.number].secret,
            "ed25519_private_key": by_account[account.number].private_pem,
        }
        for account in accounts
    ]
