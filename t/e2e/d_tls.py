# SPDX-License-Identifier: MIT
"""d_tls.py - HTTPS: certificates by name, reload, what is refused, and handshakes that never end."""
from __future__ import annotations

import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Dict, Tuple, Union

import harness
from harness import Case, Client, Server

_made: Dict[str, Tuple[bytes, bytes]] = {}


def certificate(name: str, turn: int = 0) -> Tuple[bytes, bytes]:
    """(certificate, key) in PEM, self-signed, for one name; another one for each turn."""
    found = _made.get(f"{name} {turn}")
    if found is None:
        folder = Path(tempfile.mkdtemp(prefix="heart-tls-"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
                        "-keyout", str(folder / "key"), "-out", str(folder / "cert")], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = _made[f"{name} {turn}"] = ((folder / "cert").read_bytes(), (folder / "key").read_bytes())
        shutil.rmtree(folder)
    return found


def context(**options: object) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname = False
    found.verify_mode = ssl.CERT_NONE
    for name, value in options.items():
        setattr(found, name, value)
    return found


def fingerprint(pem: bytes) -> bytes:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).digest()


APP = ("def application(environ, start_response):\n    start_response('200 OK', [])\n    body = environ['wsgi.input'].read()\n"
       "    return [body or (environ['wsgi.url_scheme'] + ' ' + environ['SERVER_PORT']).encode()]\n")
CONFIG = """
listen:
  - "127.0.0.1:@PORT@"
  - address: "127.0.0.1:@PORT2@"
    tls:
      certificates:
        - {hosts: [one.example], cert: one.pem, key: one.key}
        - {hosts: [two.example, "*.wild.example"], cert: two.pem, key: two.key}
        - {hosts: ["exact.wild.example"], cert: three.pem, key: three.key}
limits: {tls_handshake_timeout: 1s, keep_alive: {timeout: 30s}, body: 30m}
apps: {app: {wsgi: app, processes: 1}}
routes:
  - {path: /, respond: {body: "secret"}}
  - {path: /app, app: app}
  - {path: "/site/{f:path}", static: {root: site}}
"""
BIG = os.urandom(1 << 16) * 50


class Tls(Case):
    def setUp(self) -> None:
        files: Dict[str, Union[str, bytes]] = {"app.py": APP, "site/big.bin": BIG}
        for name, host in (("one", "one.example"), ("two", "two.example"), ("three", "exact.wild.example")):
            files[name + ".pem"], files[name + ".key"] = certificate(host)
        self.server: Server = self.serve(CONFIG, files)
        self.tls = ("127.0.0.1", self.server.ports[1])

    def client(self, name: str = "one.example", **options: object) -> Client:
        return Client(self.tls, tls=context(**options), name=name)

    def served(self, name: object) -> bytes:
        """The fingerprint of the certificate that a client which asks for `name` is shown."""
        with context().wrap_socket(socket.create_connection(self.tls, 10), server_hostname=name) as sock:  # type: ignore[arg-type]
            return hashlib.sha256(sock.getpeercert(True) or b"").digest()

    def test_certificates_by_name(self) -> None:
        prints = {host: fingerprint(certificate(host)[0]) for host in ("one.example", "two.example", "exact.wild.example")}
        for name, host in (("one.example", "one.example"), ("two.example", "two.example"), ("TWO.example", "two.example"), ("a.wild.example", "two.example"), ("exact.wild.example", "exact.wild.example"),
                           ("other.example", "one.example"), ("wild.example", "one.example"), (None, "one.example")):
            with self.subTest(name=name):
                self.assertEqual(self.served(name), prints[host])

    def test_answers(self) -> None:
        with self.client() as c:
            for _ in range(3):
                self.assertEqual(c.get("/").text, "secret")
            self.assertEqual(c.get("/app").text, f"https {self.server.ports[1]}")
            data = os.urandom(1 << 20) * 5
            self.assertEqual(c.request("POST", "/app", (), data).body, data)
            self.assertEqual(c.get("/site/big.bin").body, BIG)
            c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
            self.assertEqual([c.response().text for _ in range(3)], ["secret"] * 3)
        self.assertEqual(self.server.get("/app").text, f"http {self.server.ports[0]}")

    def test_versions(self) -> None:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version=version):
                with self.client(minimum_version=version, maximum_version=version) as c:
                    self.assertEqual(c.get("/").text, "secret")

    def test_reload_replaces_certificates_for_new_handshakes(self) -> None:
        old, new = fingerprint(certificate("one.example")[0]), fingerprint(certificate("one.example", 1)[0])
        with self.client() as kept:
            self.assertEqual(kept.get("/").text, "secret")
            self.server.write("one.pem", certificate("one.example", 1)[0])
            self.server.write("one.key", certificate("one.example", 1)[1])
            self.assertEqual(self.served("one.example"), old)
            self.server.reload()
            self.assertEqual({self.served("one.example") for _ in range(8)}, {new})
            self.assertTrue(kept.is_open())
            self.assertEqual(kept.get("/").text, "secret")
            self.assertEqual(hashlib.sha256(kept.sock.getpeercert(True)).digest(), old)  # type: ignore[attr-defined]

    def test_a_key_that_does_not_match_is_refused_with_its_line(self) -> None:
        old = fingerprint(certificate("one.example")[0])
        for name, content in (("one.key", certificate("two.example")[1]), ("one.key", b"no key"), ("one.pem", b"no certificate"), ("one.pem", None)):
            with self.subTest(name=name, content=(content or b"")[:10]):
                if content is None:
                    (self.server.dir / name).unlink()
                else:
                    self.server.write(name, content)
                ran = self.server.reload(expect=1)
                self.assertRegex(ran.out + ran.err, r"routes\.yaml:\d+:\d+: error")
                self.assertIn(name if content is None else "one", ran.out + ran.err)
                self.assertEqual(self.served("one.example"), old)
                self.server.write("one.pem", certificate("one.example")[0])
                self.server.write("one.key", certificate("one.example")[1])
        self.server.reload()

    def test_a_handshake_that_never_ends(self) -> None:
        for first in (b"", b"\x16\x03\x01"):
            with self.subTest(first=first):
                with socket.create_connection(self.tls, 20) as s:
                    s.sendall(first)
                    s.settimeout(15)
                    while True:
                        try:
                            if not s.recv(100):
                                break
                        except ConnectionResetError:
                            break
        self.assertGreaterEqual(self.server.counter("tls_failed"), 2)

    def test_plain_http_on_the_tls_port(self) -> None:
        with Client(self.tls) as c:
            c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertNotIn(b"secret", c.rest())

    def test_a_client_that_breaks_off(self) -> None:
        for _ in range(20):
            sock = context().wrap_socket(socket.create_connection(self.tls, 10), server_hostname="one.example")
            sock.sendall(b"GET /site/big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            sock.recv(10)
            sock.close()
        with self.client() as c:
            self.assertEqual(c.get("/").text, "secret")


class TlsStart(Case):
    def test_a_wrong_key_at_start(self) -> None:
        server = Server(CONFIG, {"app.py": APP, "site/x": "", "one.pem": certificate("one.example")[0], "one.key": certificate("two.example")[1], "two.pem": certificate("two.example")[0],
                                 "two.key": certificate("two.example")[1], "three.pem": certificate("x.example")[0], "three.key": certificate("x.example")[1]}, start=False)
        self.addCleanup(shutil.rmtree, server.dir, True)
        ran = subprocess.run([harness.HEARTD, "-c", str(server.dir / "routes.yaml")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=harness.PATIENCE_S)
        self.assertEqual(ran.returncode, 1, ran.stdout)
        self.assertRegex(ran.stdout, r"routes\.yaml:\d+:\d+: error")


if __name__ == "__main__":
    harness.main()
