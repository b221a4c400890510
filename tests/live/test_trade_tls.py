"""``mm trade`` over https and wss: certificates are checked, for their authority and for their host."""

import shutil
from urllib.parse import urlsplit

import pytest
from tls_front import create_authority, issue_certificate, tls_front
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
    ca = create_authority(folder)
    create_authority(folder, "unknown")
    with venue(work, "--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4") as box:
        port = urlsplit(box.url).port
        with (
            tls_front(*issue_certificate(folder, HOST, ca), port) as (good, accepted_names),
            tls_front(*issue_certificate(folder, OTHER, ca), port) as (bad, _),
        ):
            found = Fronts(box, folder, good, bad)
            found.accepted_names = accepted_names
            yield found


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_trade_works_over_tls(fronts, transport):
    """Market, orders and user events; the books match, and each connection names the host."""
    box, before = fronts.box, len(fronts.box.account()["trades"])
    known = {"SSL_CERT_FILE": str(fronts.folder / "ca.pem"), "ORDER_TRANSPORT": transport}
    with box.trader(**fronts.addresses(fronts.good), **known) as process:
        box.until(lambda: len(box.account()["trades"]) > before + 2, "fills", process=process)
        code, output, _ = ended(process)
    assert code == 0, output
    assert_equal_books(box)
    assert len(fronts.accepted_names) >= 3
    assert set(fronts.accepted_names) == {HOST}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("authority_of", "wrong", "why"),
    [
        ("unknown.pem", [], "unable to get local issuer certificate"),
        ("ca.pem", ["REST_URL", "WS_URL", "WS_API_URL"], f"not valid for '{HOST}'"),
        ("ca.pem", ["WS_API_URL"], f"not valid for '{HOST}'"),
    ],
)
def test_untrusted_certificate_prints_one_error_and_sends_nothing(fronts, authority_of, wrong, why):
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
