"""The door of a server: who may call it, and how."""

import hashlib
import hmac
import ipaddress
import os
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mm.base.private_file import read_private
from mm.errors import MMError, SafetyError, Sentence, UsageError, parameter

READ, TRADE, KILL, REARM = ROLES = ("read", "trade", "kill", "rearm")
TOKENS, CERTIFICATE, KEY = map(parameter, ("tokens_file", "tls_cert_file", "tls_key_file"))
NO_TOKEN, UNKNOWN, WRONG_ROLE, OTHER_HOST = "no_token", "unknown_token", "wrong_role", "other_host"
REASONS = (NO_TOKEN, UNKNOWN, WRONG_ROLE, OTHER_HOST)
_SAME_STAMP_NS = 10**9  # two changes of a file within this time may have the same stamp
_LOGGED_EVERY_S = 1.0
_USUAL_PORTS = {"http": 80, "https": 443}

Report = Callable[..., Any]
"""Logs an event with its numbers: a logger's ``warning``."""


def named_hosts(host: str | None, origin: str | None) -> tuple[str, str]:
    named = [f"//{host}" if host is not None else "//localhost", origin if origin is not None else "//localhost"]
    try:
        called, page = (urlsplit(text).hostname or "" for text in named)
    except ValueError:  # brackets without an address
        return "", ""
    return called, page


def is_other_page(host: str | None, origin: str | None) -> bool:
    if origin is None:
        return False
    try:
        page, called = urlsplit(origin), urlsplit(f"//{host or ''}")
        usual = _USUAL_PORTS.get(page.scheme)
        ports = page.port or usual, called.port or usual
    except ValueError:  # no number, or brackets without an address
        return True
    names = (page.hostname or "").lower(), (called.hostname or "").lower()
    return ports[0] != ports[1] or not (names[0] == names[1] or all(map(is_loopback, names)))


def is_loopback(host: str) -> bool:
    return host == "localhost" or ((address := _address(host)) is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Token:
    """One line of a file of tokens; *digest* is the token's SHA-256 in hex."""

    name: str
    roles: frozenset[str]
    digest: str

    def line(self) -> str:
        return f"{self.name} {','.join(role for role in ROLES if role in self.roles)} {self.digest}"


def new_token(name: str, roles: Collection[str]) -> tuple[str, Token]:
    text = secrets.token_urlsafe(32)
    return text, Token(name, frozenset(roles), _digest(text))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def read_tokens(path: Path) -> list[Token]:
    """SafetyError if others may read the file; UsageError if it is unreadable or a line is no token."""
    tokens = []
    for number, line in enumerate(read_private(path, TOKENS).decode("utf-8-sig", "replace").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        roles = words[1].split(",") if len(words) == 3 else []
        if not roles or not set(roles) <= set(ROLES) or len(words[2]) != 64 or set(words[2]) - set("0123456789abcdef"):
            raise UsageError(
                f"{TOKENS}: {path}: line {number} is not NAME ROLES HASH with roles of {', '.join(ROLES)}; "
                f"mm token add writes one"
            )
        tokens.append(Token(words[0], frozenset(roles), words[2]))
    return tokens


class Tokens:
    """The tokens of a file, read again whenever it changes; raises as `read_tokens`."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path, self._report = path, report
        self._stamp = self._stamp_now()
        self._tokens = read_tokens(path)

    def find(self, text: str) -> Token | None:
        """The time this takes depends neither on the text nor on the match."""
        self._read_if_changed()
        matching, digest = None, _digest(text)
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                matching = token
        return matching

    def _read_if_changed(self) -> None:
        stamp = self._stamp_now()
        if stamp == self._stamp and time.time_ns() - max(stamp[:2]) > _SAME_STAMP_NS:
            return
        before, changed, self._stamp = self._tokens, stamp != self._stamp, stamp
        try:
            self._tokens = read_tokens(self._path)
        except MMError as error:  # nobody may enter by a token that may have been revoked
            self._tokens = []
            if changed:
                self._report("tokens_unreadable", error=str(error), note="every request is refused")
            return
        if self._tokens != before:
            self._report("tokens_read", tokens=[token.name for token in self._tokens])

    def _stamp_now(self) -> tuple[int, int, int, int]:
        try:
            status = os.stat(self._path)
        except OSError:
            return 0, 0, 0, 0
        return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    status: int
    reason: str

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}


class ServerCertificate:
    """A certificate with its key, read again whenever the files change.

    Both are PEM: *certificate* with those between it and an authority, *key* perhaps None, in the same file.
    """

    def __init__(self, certificate: Path, key: Path | None, report: Report) -> None:
        self._certificate, self._key, self._report = certificate, key or certificate, report
        self._stamp = self._stamp_now()
        self.context = self._read()
        # Called at the beginning of each handshake, also without a name: a renewed certificate needs no restart.
        self.context.sni_callback = self._handshake

    def _handshake(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        if (stamp := self._stamp_now()) != self._stamp:
            self._stamp = stamp
            try:
                self._renewed = self._read()
                self._report("certificate_read", expires_s=self.expires_s)
            except MMError as error:
                self._report("certificate_unreadable", error=str(error), note="the earlier one is used")
        if self._renewed is not None:
            connection.context = self._renewed

    _renewed: ssl.SSLContext | None = None

    def _stamp_now(self) -> list[int]:
        with suppress(OSError):
            return [os.stat(path).st_mtime_ns for path in (self._certificate, self._key)]
        return []

    def _read(self) -> ssl.SSLContext:
        files = f"{CERTIFICATE} {self._certificate}, {KEY} {self._key}"
        try:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
            if os.stat(self._key).st_mode & 0o007:
                raise SafetyError(f"{KEY}: {self._key} can be read by every user; chmod 600 {self._key}")
            self.expires_s = _expiry_s(context, self._certificate)
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message
            raise SafetyError(f"{CERTIFICATE}: {self._certificate} is not valid: {why}; renew it") from error
        except ssl.SSLError as error:
            why = (error.reason or "not PEM").lower().replace("_", " ")
            raise UsageError(f"{files}: no certificate with its key ({why}); give the PEM files of both") from error
        except ValueError as error:
            raise UsageError(f"{files}: {error}") from error
        except OSError as error:
            raise UsageError(f"{files}: {error.strerror}: {error.filename}; give PEM files") from error
        return context


def _no_password() -> str:
    raise ValueError("the key is encrypted; write it without a password, readable by its owner only")


def _expiry_s(context: ssl.SSLContext, certificate: Path) -> int:
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is trusted, but must be valid now
    trusting.load_verify_locations(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return int(ssl.cert_time_to_seconds(str((client.getpeercert() or {})["notAfter"])))


def _report_nothing(event: str, **numbers: Any) -> None: ...


@dataclass(frozen=True, kw_only=True)
class DoorFiles:
    """What a server beyond loopback needs; see the knobs of `mm.cli.config.Doors`."""

    certificate: Path | None = None
    key: Path | None = None
    tokens: Path | None = None
    allowed_hosts: Collection[str] = ()
    plain_http: bool = False


class Door:
    """Decides about each request to a server; messages call the parameter with the address *name*."""

    def __init__(
        self,
        host: str,
        files: DoorFiles | None = None,
        *,
        name: "Sentence | str" = "the host",
        report: Report = _report_nothing,
    ) -> None:
        files = files or DoorFiles()
        self._here, self._names = is_loopback(host), frozenset(name.lower() for name in files.allowed_hosts)
        self._report = report
        lacks = []
        if (not self._here or self._names) and files.tokens is None:
            lacks.append(f"tokens by {TOKENS} (mm token add writes one)")
        if not self._here and files.certificate is None and not files.plain_http:
            lacks.append(f"TLS by {CERTIFICATE}, or {parameter('plain_http')} 1 behind a proxy that ends TLS")
        if lacks:
            reached = f"{name} was {host!r}" if not self._here else f"{parameter('allowed_hosts')} was given"
            raise SafetyError(f"{reached}: other machines could call this server; it needs {', and '.join(lacks)}")
        if files.key and not files.certificate:
            raise UsageError(f"{KEY} was {str(files.key)!r} without a certificate; give {CERTIFICATE}")
        self.tokens = Tokens(files.tokens, report) if files.tokens else None
        self._certificate = ServerCertificate(files.certificate, files.key, report) if files.certificate else None
        self.refusals = Counter[str](dict.fromkeys(REASONS, 0))
        self._next_log_s, self._unlogged = 0.0, 0

    @property
    def context(self) -> ssl.SSLContext | None:
        return self._certificate.context if self._certificate else None

    @property
    def expires_s(self) -> int | None:
        return self._certificate.expires_s if self._certificate else None

    def refusal(
        self, role: str | None, headers: Iterable[tuple[bytes, bytes]], peer: str = "", target: str = ""
    ) -> HttpRefusal | None:
        given = {name: value.decode("latin-1") for name, value in headers}
        host, origin = given.get(b"host"), given.get(b"origin")
        called, page = named_hosts(host, origin)
        proxied = page in self._names and page != called
        if not self._knows(called) or (is_other_page(host, origin) and not proxied):
            why = "the request names another host in Host, or a page of another host or port in Origin"
            return self._refuse(403, OTHER_HOST, why, peer, target)
        if role is None or self.tokens is None:
            return None
        scheme, _, text = given.get(b"authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            return self._refuse(401, NO_TOKEN, "a token is needed: Authorization: Bearer TOKEN", peer, target)
        token = self.tokens.find(text.strip())
        if token is None:
            return self._refuse(401, UNKNOWN, "the token is not known", peer, target)
        if role not in token.roles:
            why = f"the token {token.name!r} has not the role {role!r}"
            return self._refuse(403, WRONG_ROLE, why, peer, target, token.name)
        return None

    def _knows(self, called: str) -> bool:
        """A page of another host cannot have used this name of the server.

        It may use a name that resolves to this server, never an address.
        """
        by_address = not self._here and _address(called) is not None
        return is_loopback(called) or by_address or called in self._names

    def _refuse(
        self, status: int, reason: str, text: str, peer: str, target: str, name: str | None = None
    ) -> HttpRefusal:
        """A flood of refusals is one line a second, with the number of the rest."""
        self.refusals[reason] += 1
        now_s = time.monotonic()
        if now_s < self._next_log_s:
            self._unlogged += 1
        else:
            more = {"others": self._unlogged} if self._unlogged else {}
            who = {"token": name} if name else {}
            self._report("request_refused", reason=reason, status=status, peer=peer, target=target[:100], **who, **more)
            self._next_log_s, self._unlogged = now_s + _LOGGED_EVERY_S, 0
        return HttpRefusal(status, text)
