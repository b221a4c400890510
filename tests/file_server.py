"""A public file server on loopback: files with their checksums, range requests, and faults chosen by the test."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HEADERS = {
    "bookTicker": "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time",
    "trades": "id,price,qty,quote_qty,time,is_buyer_maker",
}


def place(kind: str, symbol: str, day: str, market: str = "futures/um") -> str:
    """Return the path under which the file of a *day*, YYYY-MM-DD, is published."""
    return f"/data/{market}/daily/{kind}/{symbol}/{symbol}-{kind}-{day}.zip"


def zipped(name: str, lines: list[str], header: str | None = None) -> bytes:
    """Return a zip of one CSV."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            zipfile.ZipInfo(f"{name}.csv"), "".join(f"{line}\n" for line in ([header] if header else []) + lines)
        )
    return packed.getvalue()


@dataclass
class Files:
    """Published files and faults of their server.

    Attributes:
        contents: Bytes by path.
        broken: Number of answers for a path that break off after 1,000 bytes, or are 503 where it is negative.
        ranges: Whether range requests are supported.
        requests: Method, path and Range of each request.
    """

    contents: dict[str, bytes] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    ranges: bool = True
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    url: str = ""

    def add(self, kind: str, symbol: str, day: str, lines: list[str], *, header: bool = True, **where: str) -> str:
        """Publish a file and its checksum; return its path."""
        at = place(kind, symbol, day, **where)
        self.put(at, zipped(at.rpartition("/")[2][:-4], lines, HEADERS[kind] if header else None))
        return at

    def put(self, at: str, data: bytes, sha256: str | None = None) -> None:
        """Publish bytes and their checksum, or the given checksum."""
        name = at.rpartition("/")[2]
        self.contents[at] = data
        self.contents[at + ".CHECKSUM"] = f"{sha256 or hashlib.sha256(data).hexdigest()}  {name}\n".encode()


class _Handler(BaseHTTPRequestHandler):
    files: Files

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        files, wanted = self.files, self.headers.get("Range")
        files.requests.append((self.command, self.path, wanted))
        faults = files.broken.get(self.path, 0)
        if faults < 0:
            files.broken[self.path] += 1
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = files.contents.get(self.path)
        if data is None:
            self.send_error(404)
            return
        begin = int(wanted[6:-1]) if wanted and files.ranges else 0
        if begin >= len(data) and begin:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if with_body:
            if faults:
                files.broken[self.path] -= 1
                self.wfile.write(data[begin : begin + 1000])
                self.close_connection = True
                return
            self.wfile.write(data[begin:])

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serving_files() -> Iterator[Files]:
    """Run a server and yield its files."""
    files = Files()
    handler = type("Handler", (_Handler,), {"files": files})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        files.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield files
        finally:
            server.shutdown()
            thread.join()
