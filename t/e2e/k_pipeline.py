# SPDX-License-Identifier: MIT
"""k_pipeline.py - many requests at once on one connection: answered in order, written together, bounded when the client does not read."""
from __future__ import annotations

import re
import select
import socket
import struct
import time
from typing import List, Tuple

import harness
from harness import Client, Served

APP = """
import time
def application(environ, start_response):
    number = environ["PATH_INFO"].rsplit("/", 1)[1]
    if environ["PATH_INFO"].startswith("/slow/"):
        time.sleep(0.2)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"].startswith("/stream/"):
        return (piece.encode() for piece in ("stream ", number, " " * 40000))
    return [("python " + number).encode() + environ["wsgi.input"].read()]
"""
PAGE = "x" * 4000
BIG = bytes(range(256)) * 1200


def get(target: str, more: str = "") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode()


def segments_with_data(sock: socket.socket) -> int:
    """How many segments with data came (struct tcp_info, linux/tcp.h: tcpi_data_segs_in). On loopback one write of less than 64 kB is one segment."""
    return int(struct.unpack_from("=I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 152)[0])


class Pipeline(Served):
    CONFIG = f"""
workers: {{processes: 1}}
limits: {{send_timeout: 60s}}
logs: {{access: {{path: access.log, format: combined}}}}
apps: {{app: {{wsgi: app, processes: 2, threads: 1}}}}
routes:
  - {{path: "/fixed/{{n:int}}", respond: {{body: "fixed\\n"}}}}
  - {{path: /page, respond: {{body: {PAGE}}}}}
  - {{path: "/site/{{file:path}}", static: {{root: site}}}}
  - {{path: "/old/{{n}}", redirect: {{to: "/new/{{n}}"}}}}
  - {{path: "/{{kind}}/{{n}}", app: app}}
"""
    FILES = {"app.py": APP, "site/small.txt": "small", "site/big.bin": BIG}

    def test_sixteen_fixed_replies_are_one_write(self) -> None:
        with self.server.client() as c:
            c.get("/fixed/0")
            before = segments_with_data(c.sock)
            c.send(b"".join(get(f"/fixed/{number}") for number in range(16)))
            self.assertEqual([c.response().body for _ in range(16)], [b"fixed\n"] * 16)
            self.assertEqual(segments_with_data(c.sock) - before, 1)

    def test_small_files_and_errors_are_in_the_same_write(self) -> None:
        with self.server.client() as c:
            c.get("/site/small.txt"), c.get("/site/none")  # the first time, the disk may have to be asked, which a thread does
            before = segments_with_data(c.sock)
            c.send((get("/fixed/1") + get("/site/small.txt") + get("/site/none") + get("/old/7")) * 4)
            self.assertEqual([c.response().status for _ in range(16)], [200, 200, 404, 308] * 4)
            self.assertEqual(segments_with_data(c.sock) - before, 1)

    def test_fast_and_slow_in_order(self) -> None:
        """Whatever is ready first waits its turn."""
        kinds: List[Tuple[bytes, bytes]] = []
        for number in range(4):
            kinds += [(get(f"/slow/{number}"), f"python {number}".encode()), (get(f"/fixed/{number}"), b"fixed\n"), (get("/site/big.bin"), BIG), (get(f"/quick/{number}"), f"python {number}".encode()),
                      (get(f"/stream/{number}"), f"stream {number}".encode() + b" " * 40000), (get("/site/small.txt"), b"small"),
                      (f"POST /quick/{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".encode(), f"python {number}abc".encode()),
                      (get("/site/big.bin", "Range: bytes=100-199\r\n"), BIG[100:200])]
        with self.server.client() as c:
            c.send(b"".join(request for request, _ in kinds))
            for request, body in kinds:
                self.assertEqual(c.response().body, body, request)
            self.assertTrue(c.is_open())

    def test_nothing_behind_the_last_one_is_answered(self) -> None:
        with self.server.client() as c:
            c.send(get("/fixed/1") + get("/slow/2", "Connection: close\r\n") + get("/fixed/3"))
            self.assertEqual([c.response().body, c.response().body], [b"fixed\n", b"python 2"])
            self.assertEqual(c.rest(), b"")

    def test_a_malformed_one_ends_the_row(self) -> None:
        with self.server.client() as c:
            c.send(get("/quick/1") + get("/fixed/2") + b"GET / HTTP/1.1\r\nHost : a\r\n\r\n" + get("/fixed/3"))
            self.assertEqual([c.response().status for _ in range(3)], [200, 200, 400])
            self.assertEqual(c.rest(), b"")

    def test_a_thousand(self) -> None:
        with self.server.client() as c:
            c.send(b"".join(get(f"/fixed/{number}") for number in range(1000)))
            self.assertEqual({c.response().body for _ in range(1000)}, {b"fixed\n"})

    def test_a_row_does_not_starve_others(self) -> None:
        """One worker, one loop: a client with thousands of requests at hand is answered 64 at a time."""
        with self.server.client() as greedy, self.server.client() as other:
            other.get("/fixed/0")
            greedy.sock.setblocking(False)
            row, sent, answered = get("/fixed/1") * 2000, 0, 0
            for _ in range(300):
                try:
                    sent += greedy.sock.send(row[sent % len(row):])
                except BlockingIOError:
                    pass
                if select.select([greedy.sock], [], [], 0)[0]:
                    greedy.sock.recv(1 << 20)
                if _ % 30 == 0:
                    self.assertEqual(other.get("/fixed/0").status, 200)
                    answered += 1
            self.assertEqual(answered, 10)

    def test_a_client_that_sends_but_does_not_read(self) -> None:
        """Its answers fill the socket, then CONN_OUT_HIGH, then its requests are not read any more; when it reads at last, nothing is missing."""
        pid = self.server.workers()[0]

        def kib() -> int:
            with open(f"/proc/{pid}/status") as status:
                return [int(line.split()[1]) for line in status if line.startswith("RssAnon")][0]

        before, rows = kib(), []
        for _ in range(20):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            sock.connect(self.server.address)
            sock.setblocking(False)
            rows.append([sock, 0])
        request = get("/page")
        quiet = 0
        while quiet < 20:  # until nobody could send any more for a second
            quiet += 1
            for row in rows:
                try:
                    while row[1] < 400_000 * len(request):
                        at = row[1] % len(request)
                        row[1] += row[0].send(request[at:] + request * 1000)
                        quiet = 0
                except BlockingIOError:
                    pass
            time.sleep(0.05)
        for sock, sent in rows:
            self.assertLess(sent, 20_000_000, "the server goes on reading")
        self.assertLess(kib() - before, 400_000 if harness.SANITIZED else 20 * 300)
        client = Client.__new__(Client)
        client.sock, client.buffer, client.host = rows[0][0], b"", "a"
        client.sock.settimeout(harness.PATIENCE_S)
        for _ in range(rows[0][1] // len(request)):
            self.assertEqual(len(client.response().body), len(PAGE))
        for sock, _ in rows:
            sock.close()

    def test_half_a_request_behind_whole_ones(self) -> None:
        """A client that has said all, and a byte too much or half a request more: what was whole is answered."""
        for tail in (b"", b"\r\n", b"\r", b"GET", get("/fixed/4")[:-1], b"POST /slow/4 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"):
            for row, bodies in ((get("/fixed/1"), [b"fixed\n"]), (get("/slow/1"), [b"python 1"]), (get("/quick/1") + get("/site/big.bin"), [b"python 1", BIG]),
                                (get("/fixed/1") + b"POST /slow/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", [b"fixed\n", b"python 2body"])):
                with self.subTest(row=row, tail=tail), self.server.client() as c:
                    c.send(row + tail)
                    c.sock.shutdown(socket.SHUT_WR)
                    self.assertEqual([c.response().body for _ in bodies], bodies)
                    self.assertTrue(c.is_closed())

    def test_each_has_its_own_line_in_the_access_log(self) -> None:
        """The next one's bytes, or what lay behind the last one, are in nobody else's line."""
        row = [("/fixed/71", "first"), ("/quick/72", "the second, with more to say"), ("/site/small.txt", "3"), ("/lost", "none"), ("/fixed/76", "x" * 60)]
        with self.server.client() as c:
            c.send(b"".join(get(path, f"User-Agent: log {agent}\r\n") for path, agent in row))
            for _ in row:
                c.response()
        log = self.server.dir / "access.log"

        def lines() -> List[Tuple[str, ...]]:
            return [(found.group(1), found.group(2)) for found in re.finditer(r'"([^"]*)" \d+ \d+ "-" "log ([^"]*)"', log.read_text())]

        harness.until("all are logged", lambda: len(lines()) >= len(row))
        self.assertEqual(sorted(lines()), sorted((f"GET {path} HTTP/1.1", agent) for path, agent in row))

    def test_a_client_that_leaves_half_way(self) -> None:
        for _ in range(20):
            with self.server.client() as c:
                c.send(get("/fixed/1") * 3 + get("/slow/2") + get("/quick/3") * 50)
                c.response()
        self.assertEqual(self.get("/quick/1").body, b"python 1")


if __name__ == "__main__":
    harness.main()
