"""``mm trade`` over https and wss: certificates are checked, for their authority and for the host that they name."""

import shutil
from urllib.parse import urlsplit

import pytest
from tls_front import authority, certified, tls_front
from trading_box import ended, venue
from trading_truth import assert_equal_books

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="the command openssl is not installed")
HOST, OTHER = "localhost", "elsewhere.example"
ADDRESSES = {"REST_URL": "rest_url", "WS_URL": "ws_url", "WS_API_URL": "ws_api_url"}


class Fronts:
    """A box behind two TLS fronts of one authority: one certified for the host, one for another."""

    def __init__(self, box, folder, good, bad):
        self.box, self.folder, self.good, self.bad = box, folder, good, bad

    def addresses(self, port):
        found = {name: urlsplit(self.box.ready[key]) for name, key in ADDRESSES.items()}
        return {name: f"{url.scheme}s://{HOST}:{port}{url.path}" for name, url in found.items()}

    def requests(self):
        return len(self.box.account()["requests"])


@pytest.fixture(scope="module")
def fronts(tmp_path_factory):
    folder, work = tmp_path_factory.mktemp("certificates"), tmp_path_factory.mktemp("work")
    ca = authority(folder)
    authority(folder, "unknown")
    with venue(work, "--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4") as box:
        port = urlsplit(box.url).port
        with (
            tls_front(*certified(folder, HOST, ca), port) as (good, let_in),
            tls_front(*certified(folder, OTHER, ca), port) as (bad, _),
        ):
            found = Fronts(box, folder, good, bad)
            found.let_in = let_in
            yield found


@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_it_trades_through_tls(fronts, transport):
    """Market, orders and user events; the books are equal, and each connection named the host."""
    box, before = fronts.box, len(fronts.box.account()["trades"])
    known = {"SSL_CERT_FILE": str(fronts.folder / "ca.pem"), "ORDER_TRANSPORT": transport}
    with box.trader(**fronts.addresses(fronts.good), **known) as process:
        box.until(lambda: len(box.account()["trades"]) > before + 2, "fills", process=process)
        code, output, _ = ended(process)
    assert code == 0, output
    assert_equal_books(box)
    assert len(fronts.let_in) >= 3
    assert set(fronts.let_in) == {HOST}


@pytest.mark.parametrize(
    ("authority_of", "wrong", "why"),
    [
        ("unknown.pem", [], "unable to get local issuer certificate"),
        ("ca.pem", ["REST_URL", "WS_URL", "WS_API_URL"], f"not valid for '{HOST}'"),
        ("ca.pem", ["WS_API_URL"], f"not valid for '{HOST}'"),
    ],
)
def test_a_wrong_certificate_is_one_line_and_nothing_is_sent(fronts, authority_of, wrong, why):
    addresses, bad = fronts.addresses(fronts.good), fronts.addresses(fronts.bad)
    addresses |= {name: bad[name] for name in wrong}
    before = fronts.requests()
    done = fronts.box.run("trade", SSL_CERT_FILE=str(fronts.folder / authority_of), **addresses)
    assert done.returncode == 5, done.stderr
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("error:")]
    assert "is not trusted" in line
    assert why in line
    assert "SSL_CERT_FILE" in line
    assert fronts.requests() == before
