"""A public page, asked as anybody would ask it: on real connections, with real certificates."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from releasekit.hosts.local import LocalHost
from releasekit.ports import Page


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(301)
            self.send_header("Location", "/login")
        else:
            self.send_response(200 if self.path == "/up?full=1" else 404)
            self.send_header("X-Release", "3f2a9c1")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Site:
    port: int
    certificate: Path

    def ask(self, path: str, scheme: str = "http", host: str = "localhost") -> Page:
        url = f"{scheme}://{host}:{self.port}{path}"
        return LocalHost(os.environ).fetch(url, deadline_s=5.0)


def served(context: ssl.SSLContext | None, certificate: Path) -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Site(server.server_port, certificate)
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Site]:
    yield from served(None, tmp_path)


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Site]:
    """With a certificate for `localhost` that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    began = datetime.now(UTC) - timedelta(days=1)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(secret + signed.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    yield from served(context, certificate)


def test_a_page_tells_its_status_and_headers_and_no_redirect_is_followed(plain: Site) -> None:
    page = plain.ask("/up?full=1")
    assert (page.status, page.headers["x-release"]) == (200, "3f2a9c1")
    assert plain.ask("").status == 404
    moved = plain.ask("/moved")
    assert (moved.status, moved.detail) == (301, "/login")


def test_a_certificate_of_an_authority_that_the_host_knows_is_good(
    secured: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secured.certificate))
    assert secured.ask("/up?full=1", "https").status == 200


@pytest.mark.parametrize(
    ("is_known", "host", "why"),
    [
        (False, "localhost", "self-signed certificate"),
        (True, "127.0.0.1", "not valid for '127.0.0.1'"),
    ],
)
def test_a_certificate_that_is_not_valid_is_no_answer(
    is_known: bool, host: str, why: str, secured: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_known:
        monkeypatch.setenv("SSL_CERT_FILE", str(secured.certificate))
    page = secured.ask("/up?full=1", "https", host)
    assert (page.status, page.is_unknown) == (None, False)
    assert page.detail.startswith("its certificate is not valid: ")
    assert why in page.detail


def test_who_does_not_answer_is_told_from_who_is_not_known() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    host = LocalHost(os.environ)
    refused = host.fetch(f"http://127.0.0.1:{port}/", deadline_s=5.0)
    assert refused == Page(None, detail="Connection refused")
    for name in ("shop.invalid", "shop..example", 64 * "a"):
        unknown = host.fetch(f"https://{name}/up", deadline_s=5.0)
        assert (unknown.status, unknown.is_unknown) == (None, True)
        assert unknown.detail.startswith(f"{name} is not known here")


def test_who_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        page = LocalHost(os.environ).fetch(url, deadline_s=0.2)
    assert page == Page(None, detail="no answer in time")
