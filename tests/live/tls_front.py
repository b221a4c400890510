"""A TLS front of a plain server on loopback, with its own certificate authority."""

import selectors
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

CHUNK = 1 << 16


def create_authority(folder: Path, name: str = "ca") -> Path:
    """Create an authority, and return its certificate."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    _openssl("req", "-x509", "-subj", f"/CN={name}", "-days", "2", *_KEY, "-keyout", key, "-out", certificate)
    return certificate


def issue_certificate(folder: Path, host: str, by: Path) -> tuple[Path, Path]:
    """Return certificate and key of a *host*, signed by the authority *by*."""
    key, request, certificate = (folder / f"{host}.{suffix}" for suffix in ("key", "csr", "crt"))
    names = folder / f"{host}.names"
    names.write_text(f"subjectAltName=DNS:{host}\n")
    _openssl("req", "-subj", f"/CN={host}", *_KEY, "-keyout", key, "-out", request)
    signer = ("-CA", by, "-CAkey", by.with_suffix(".key"), "-CAcreateserial")
    _openssl("x509", "-req", "-in", request, *signer, "-days", "2", "-extfile", names, "-out", certificate)
    return certificate, key


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=120)


@contextmanager
def tls_front(certificate: Path, key: Path, port: int):
    """Yield the TLS port, and the host names that clients requested; bytes go to the plain *port*."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server_names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: server_names.append(name)
    listener = socket.create_server(("127.0.0.1", 0))
    accepted_names: list[str | None] = []

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:  # closed: the test is over
                return
            threading.Thread(target=forward, args=(plain,), daemon=True).start()

    def forward(plain: socket.socket) -> None:
        with (
            suppress(OSError),
            context.wrap_socket(plain, server_side=True) as inside,
            socket.create_connection(("127.0.0.1", port)) as backend,
        ):
            accepted_names.append(server_names[-1] if server_names else None)
            _pump(inside, backend)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], accepted_names
    finally:
        listener.close()


def _pump(inside: ssl.SSLSocket, backend: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    with selectors.DefaultSelector() as ready:
        ready.register(inside, selectors.EVENT_READ, backend)
        ready.register(backend, selectors.EVENT_READ, inside)
        while True:
            for key, _ in ready.select():
                source, sink = key.fileobj, key.data
                while True:
                    data = source.recv(CHUNK)  # type: ignore[union-attr]
                    if not data:
                        return
                    sink.sendall(data)
                    if not (source is inside and inside.pending()):
                        break
