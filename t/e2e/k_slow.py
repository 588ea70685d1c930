# SPDX-License-Identifier: MIT
"""k_slow.py - slow clients of every kind: each is given its time and no more, none holds what others need. t/bench/slow.py does the same with thousands and a clock."""
from __future__ import annotations

import gzip
import os
import random
import select
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
from typing import List

import d_tls
import harness
from harness import Case, Client, Load

APP = """
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body or b"x" * int(environ["QUERY_STRING"] or 1)]
"""
LONG = 900_000


def narrow(server: harness.Server) -> socket.socket:
    """A connection whose kernel takes little before the program reads."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(harness.PATIENCE_S)
    sock.connect(server.address)
    return sock


def drip(sock: socket.socket, data: bytes, pause_s: float) -> bytes:
    """One byte after the other until the server says something: what it says, up to its close."""
    for at in range(len(data)):
        if select.select([sock], [], [], pause_s)[0]:
            break
        try:
            sock.send(data[at:at + 1])
        except OSError:
            break
    found = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return found
            found += piece
    except ConnectionResetError:
        return found


class Heads(Case):
    def setUp(self) -> None:
        cert, key = d_tls.certificate("one.example")
        self.server = self.serve("""
listen:
  - "127.0.0.1:@PORT@"
  - {address: "127.0.0.1:@PORT2@", tls: {certificates: [{cert: one.pem, key: one.key}]}}
limits: {header_timeout: 700ms, tls_handshake_timeout: 700ms, keep_alive: {timeout: 700ms}}
routes: [{path: /, respond: {body: x}}]
""", {"one.pem": cert, "one.key": key})

    def test_a_head_that_drips_is_408(self) -> None:
        """Every byte is progress; the deadline is absolute all the same."""
        with self.server.client() as c:
            self.assertTrue(drip(c.sock, b"GET / HTTP/1.1\r\nHost: " + b"a" * 200, 0.05).startswith(b"HTTP/1.1 408 "))

    def test_a_second_head_that_drips_is_408(self) -> None:
        with self.server.client() as c:
            self.assertEqual(c.get("/").status, 200)
            self.assertTrue(drip(c.sock, b"GET / HTTP/1.1\r\nHost: " + b"a" * 200, 0.05).startswith(b"HTTP/1.1 408 "))

    def test_a_head_behind_a_whole_one_is_408(self) -> None:
        with self.server.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT")
            self.assertEqual((c.response().status, c.response().status), (200, 408))
            self.assertTrue(c.is_closed())

    def test_empty_lines_are_no_way_around_it(self) -> None:
        with self.server.client() as c:
            self.assertRegex(drip(c.sock, b"\r\n" * 200, 0.05), rb"^HTTP/1.1 40[08] ")
        with self.server.client() as c:
            self.assertTrue(drip(c.sock, b"\r\n", 0.05).startswith(b"HTTP/1.1 408 "))

    def test_without_a_byte_it_is_closed(self) -> None:
        with self.server.client() as c:
            self.assertTrue(c.is_closed())

    def test_tls_without_a_byte(self) -> None:
        with Client(("127.0.0.1", self.server.ports[1])) as c:
            self.assertTrue(c.is_closed())

    def test_a_tls_handshake_that_drips(self) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = d_tls.context().wrap_bio(incoming, outgoing, server_hostname="one.example")
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        with Client(("127.0.0.1", self.server.ports[1])) as c:
            self.assertNotIn(b"HTTP", drip(c.sock, outgoing.read(), 0.05))

    def test_a_tls_handshake_and_no_byte(self) -> None:
        with Client(("127.0.0.1", self.server.ports[1]), tls=d_tls.context(), name="one.example") as c:
            self.assertTrue(c.is_closed())

    def test_a_tls_handshake_and_half_a_head(self) -> None:
        with Client(("127.0.0.1", self.server.ports[1]), tls=d_tls.context(), name="one.example") as c:
            c.send(b"GET / HT")
            self.assertEqual(c.response().status, 408)
            self.assertTrue(c.is_closed())


class Bodies(Case):
    CONFIG = "limits: {body_min_rate: 1k}\napps: {app: {wsgi: app, processes: 1}}\nroutes: [{path: /, app: app}, {path: /fixed, respond: {body: x}}]\n"

    def test_bodies_that_drip_are_408_and_hold_no_pyworker(self) -> None:
        server = self.serve(self.CONFIG, {"app.py": APP})
        post = b"POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n"
        length, chunked = b"Content-Length: 20000", b"Transfer-Encoding: chunked"
        silent = [server.client() for _ in range(20)]
        for client in silent:
            client.send(post % (b"/", length) + b"ab")
        drips = [(post % (b"/", length), b"c" * 1000), (post % (b"/", chunked), b"1\r\na\r\n" * 200), (post % (b"/fixed", length), b"c" * 1000)]
        clients = [server.client() for _ in drips]
        for client, (head, _) in zip(clients, drips):
            client.send(head)
        self.assertEqual(server.status()["slots_in_use"], 0)
        self.assertEqual(server.get("/?5").body, b"xxxxx")
        self.assertEqual(clients[2].response().status, 200, "nobody wanted that body")
        found: List[bytes] = [b""] * len(drips)

        def run(number: int) -> None:
            found[number] = drip(clients[number].sock, drips[number][1], 0.1)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(drips))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([answer[:13] for answer in found], [b"HTTP/1.1 408 ", b"HTTP/1.1 408 ", b""])
        for client in silent:
            self.assertEqual(client.response().status, 408)
            self.assertTrue(client.is_closed())


class Readers(Case):
    def serve_long(self, limits: str) -> harness.Server:
        return self.serve(f"workers: {{processes: 1}}\nlimits: {{{limits}}}\napps: {{app: {{wsgi: app, processes: 1}}}}\n"
                          "routes: [{path: '/static/{f:path}', static: {root: site}}, {path: /app, app: app}, {path: /, respond: {body: x}}]\n",
                          {"app.py": APP, "site/long": b"x" * LONG})

    def test_one_byte_now_and_then_is_not_enough(self) -> None:
        """It makes progress within each send_timeout, but below send_min_rate."""
        server = self.serve_long("send_timeout: 1s, send_min_rate: 20k")
        for target in ("/static/long", f"/app?{LONG}"):
            with self.subTest(target=target), narrow(server) as sock:
                sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                before = server.counter("slow_readers")

                def left() -> bool:
                    try:
                        sock.recv(100)
                    except ConnectionResetError:
                        pass
                    return server.counter("slow_readers") > before

                harness.until("it is left", left)
            harness.until("nothing remains of it", lambda: server.status()["slots_in_use"] == 0)
        self.assertEqual(server.get("/app").body, b"x")

    def test_a_slow_but_steady_reader_gets_all_of_it(self) -> None:
        """It takes longer than send_timeout, keep_alive.timeout and the time that a closing connection lingers, and still gets every byte."""
        server = self.serve_long("send_timeout: 1s, send_min_rate: 10k, keep_alive: {timeout: 500ms}")
        for target, close in (("/static/long", ""), (f"/app?{LONG}", ""), (f"/app?{LONG}", "Connection: close\r\n")):
            with self.subTest(target=target, close=close), narrow(server) as sock:
                sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n{close}\r\n".encode())
                found = b""
                while len(found.partition(b"\r\n\r\n")[2]) < LONG:
                    piece = sock.recv(40000)
                    self.assertTrue(piece, f"cut off after {len(found)} bytes")
                    found += piece
                    time.sleep(0.01)
        self.assertEqual(server.counter("slow_readers"), 0)

    def test_an_answer_that_waits_is_not_idle_time(self) -> None:
        """keep_alive.timeout begins when the client has its answer."""
        server = self.serve_long("keep_alive: {timeout: 500ms}")
        with narrow(server) as sock:
            sock.sendall(f"GET /app?{LONG} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            time.sleep(1.5)
            client = Client.__new__(Client)
            client.sock, client.buffer, client.host = sock, b"", "a"
            self.assertEqual(len(client.response().body), LONG)
            self.assertTrue(client.is_closed())


def pattern(count: int) -> bytes:
    """Bytes that tell where they belong."""
    return b"".join(b"%09d " % at for at in range(0, count, 10))[:count]


class Kept(Case):
    """Answers of Python that wait on disk for slow clients (limits.answer_buffer)."""

    APP = """
import random
def application(environ, start_response):
    count = int(environ["QUERY_STRING"] or 10)
    kind = environ["PATH_INFO"]
    if kind == "/noise":
        data = random.Random(4).randbytes(count)
    else:
        data = b"".join(b"%09d " % at for at in range(0, count, 10))[:count]
    start_response("200 OK", [("Content-Type", "text/plain")] + ([("Content-Length", str(count + 5))] if kind == "/short" else []))
    if kind == "/list":
        return [data]
    def pieces():
        for at in range(0, count, 30000):
            yield data[at:at + 30000]
        if kind == "/raise":
            raise RuntimeError("in the middle")
    return pieces()
"""
    COUNT = 6_000_000

    def kept(self, limits: str = "send_timeout: 60s", more: str = "") -> harness.Server:
        cert, key = d_tls.certificate("one.example")
        return self.serve(f"""
listen:
  - "127.0.0.1:@PORT@"
  - {{address: "127.0.0.1:@PORT2@", tls: {{certificates: [{{cert: one.pem, key: one.key}}]}}}}
workers: {{processes: 1}}
limits: {{{limits}}}
apps: {{app: {{wsgi: app, processes: 1, threads: 1, queue: {{timeout: 60s}}}}}}
routes: [{{path: "/{{rest:path}}", app: app}}]
{more}
""", {"app.py": self.APP, "one.pem": cert, "one.key": key})

    def ask(self, server: harness.Server, target: str, version: str = "1.1", tls: bool = False, more: str = "") -> Client:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        sock.settimeout(harness.PATIENCE_S)
        sock.connect(("127.0.0.1", server.ports[1 if tls else 0]))
        client = Client.__new__(Client)
        client.sock, client.buffer, client.host = d_tls.context().wrap_socket(sock, server_hostname="one.example") if tls else sock, b"", "a"
        client.send(f"GET {target} HTTP/{version}\r\nHost: a\r\n{more}\r\n".encode())
        return client

    def test_the_pyworker_is_free_at_once(self) -> None:
        server = self.kept()
        clients = [self.ask(server, f"/{kind}?{self.COUNT}", version, tls) for kind in ("list", "stream") for version, tls in (("1.1", False), ("1.0", False), ("1.1", True))]
        harness.until("the pyworker is free", lambda: server.status()["counters"]["slots_claimed"] == 6 and server.status()["slots_in_use"] == 0)
        with server.client() as c:
            self.assertEqual(c.get("/list").status, 200)
        self.assertEqual((server.counter("spool_opened"), server.counter("spool_closed")), (6, 0))
        for client in clients:
            self.assertEqual(client.response().body, pattern(self.COUNT))
        harness.until("nothing is kept", lambda: server.counter("spool_closed") == 6)
        self.assertEqual(clients[0].get("/list?20").body, pattern(20), "the connection goes on")
        for client in clients:
            client.close()

    def test_a_client_that_is_slow_and_then_is_not(self) -> None:
        """It catches up with the file while the handler goes on: no byte is lost, doubled or out of order."""
        server = self.kept("answer_buffer: 1m, send_timeout: 60s")
        for target in (f"/list?{self.COUNT}", f"/stream?{self.COUNT}"):
            with self.subTest(target=target):
                client, found = self.ask(server, target, "1.0"), b""
                for turn in range(1000):
                    piece = client.sock.recv(50_000 if turn % 50 else 1_000_000)
                    if not piece:
                        break
                    found += piece
                    if turn % 50 == 0 and turn < 400:
                        time.sleep(0.15)
                while piece:
                    piece = client.sock.recv(1 << 20)
                    found += piece
                self.assertEqual(found.partition(b"\r\n\r\n")[2], pattern(self.COUNT))
                self.assertGreater(server.counter("spool_opened"), 0)
                client.close()

    def test_compressed_on_its_way(self) -> None:
        server = self.kept("answer_buffer: 4m, send_timeout: 60s", "compress: {min: 1k}")
        client = self.ask(server, f"/noise?{self.COUNT}", more="Accept-Encoding: gzip\r\n")
        harness.until("some is kept", lambda: server.counter("spool_opened") == 1)
        answer = client.response()
        self.assertEqual(answer.header("content-encoding"), "gzip")
        self.assertEqual(gzip.decompress(answer.body), random.Random(4).randbytes(self.COUNT))

    def test_past_its_bounds_the_pyworker_waits(self) -> None:
        for limits, more, files in (("answer_buffer: 0, send_timeout: 60s", "", 0), ("answer_buffer: 1m, send_timeout: 60s", "", 1),
                                    ("send_timeout: 60s", "spool: {size: 2m}", 1), ("send_timeout: 60s", "spool: {size: 100k}", 0)):
            with self.subTest(limits=limits, more=more):
                server = self.kept(limits, more)
                client = self.ask(server, f"/stream?{self.COUNT}")
                harness.until("the file is full", lambda: server.counter("spool_opened") >= files)
                time.sleep(0.3)
                self.assertEqual(server.status()["slots_in_use"], 1)
                self.assertLess(server.counter("spool_bytes"), 1_100_000)
                self.assertEqual(client.response().body, pattern(self.COUNT))
                harness.until("it is free", lambda: server.status()["slots_in_use"] == 0)
                server.finish()

    def test_what_was_kept_of_a_broken_answer(self) -> None:
        """An answer that breaks off never ends well, whatever waited on disk."""
        server = self.kept()
        for target in (f"/raise?{self.COUNT}", f"/short?{self.COUNT}"):
            with self.subTest(target=target):
                client = self.ask(server, target)
                harness.until("the pyworker is free", lambda: server.status()["slots_in_use"] == 0)
                with self.assertRaises(harness.Closed):
                    client.response()
        harness.until("nothing is kept", lambda: server.counter("spool_opened") == server.counter("spool_closed"))

    @unittest.skipIf(os.geteuid() != 0, "a full disk of its own needs root")
    def test_a_full_disk_breaks_it_off(self) -> None:
        """Bytes that the disk did not take are lost: the answer ends at once, and its pyworker does not wait for them."""
        folder = tempfile.mkdtemp(prefix="heart-full-")
        self.addCleanup(os.rmdir, folder)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=1777", "none", folder], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)
        server = self.kept(more=f"spool: {{path: {folder}}}")
        client = self.ask(server, f"/stream?{self.COUNT}")
        server.wait_log("its answer cannot be kept in .*No space left on device; breaking it off")
        harness.until("the pyworker is free", lambda: server.status()["slots_in_use"] == 0)
        with self.assertRaises(harness.Closed):
            client.response()
        harness.until("nothing is kept", lambda: server.counter("spool_opened") == server.counter("spool_closed"))
        self.assertEqual(server.get("/list?20").body, pattern(20))

    def test_a_reload_and_a_stop_wait_for_what_is_kept(self) -> None:
        server = self.kept()
        client = self.ask(server, f"/stream?{self.COUNT}")
        harness.until("the pyworker is free", lambda: server.counter("slots_claimed") == 1 and server.status()["slots_in_use"] == 0)
        server.write("app.py", self.APP.replace("%09d ", "new %d "))
        server.reload()
        server.ctl("restart", "app")
        threading.Timer(0.5, server.process.terminate).start()  # type: ignore[union-attr]
        time.sleep(1)
        self.assertEqual(client.response().body, pattern(self.COUNT))
        self.assertEqual(server.wait_exit(), 0)
        server.finished = True
        shutil.rmtree(server.dir, ignore_errors=True)
        self.assertEqual([line for line in server.log if " alert " in line], [])

    def test_a_client_that_leaves(self) -> None:
        server = self.kept()
        clients = [self.ask(server, f"/stream?{self.COUNT}") for _ in range(10)]
        harness.until("all is kept", lambda: server.counter("spool_opened") == 10)
        for client in clients:
            client.close()
        harness.until("nothing is kept", lambda: server.counter("spool_closed") == 10)
        self.assertEqual(server.get("/list?20").body, pattern(20))

    def test_async_streams_wait_each_for_its_own_client(self) -> None:
        """Forty clients that do not read take nothing from the forty-first: what waits for a client has a thread of its own, however few processors there are."""
        app = """
from heart import App
app = App()

@app.get("/endless")
async def endless():
    async def pieces():
        while True:
            yield b"x" * 60000
    return pieces()

@app.get("/short")
async def short():
    async def pieces():
        for n in range(3):
            yield f"{n};"
    return pieces()

@app.post("/sum")
async def sum_up(request):
    return str(len(request.body))
"""
        server = self.serve("""
workers: {processes: 1}
limits: {answer_buffer: 0, send_timeout: 60s}
apps: {app: {heart: "app:app", processes: 1}}
routes: [{path: "/{rest:path}", app: app, body_buffer: 0}]
""", {"app.py": app})
        clients = [self.ask(server, "/endless") for _ in range(40)]
        for client in clients:
            self.assertEqual(client.head().status, 200)
        with server.client() as c:
            self.assertEqual(c.get("/short").text, "0;1;2;")
            self.assertEqual(c.request("POST", "/sum", (), b"x" * 300_000).text, "300000")
        for client in clients:
            client.close()
        harness.until("all have ended", lambda: server.status()["slots_in_use"] == 0)

    def test_memory(self) -> None:
        server = self.kept()
        clients = [self.ask(server, f"/stream?{self.COUNT}") for _ in range(20)]
        harness.until("all is kept", lambda: server.counter("slots_claimed") == 20 and server.status()["slots_in_use"] == 0)
        with open(f"/proc/{server.workers()[0]}/status") as status:
            kib = [int(line.split()[1]) for line in status if line.startswith("RssAnon")][0]
        self.assertLess(kib, 400_000 if harness.SANITIZED else 15_000)
        for client in clients:
            client.close()


class Crowd(Case):
    def test_a_mixed_crowd_bothers_nobody(self) -> None:
        server = self.serve("workers: {processes: 1}\nlimits: {header_timeout: 60s, keep_alive: {timeout: 60s}, body_min_rate: 0}\napps: {app: {wsgi: app, processes: 1}}\n"
                            "routes: [{path: '/static/{f:path}', static: {root: site}}, {path: /app, app: app}, {path: /, respond: {body: x}}]\n",
                            {"app.py": APP, "site/long": b"x" * LONG})
        crowd: List[socket.socket] = []
        for number in range(200):
            sock = narrow(server)
            sock.sendall((b"GET / HTTP/1.1\r\nHo", b"POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\nab", b"GET /static/long HTTP/1.1\r\nHost: a\r\n\r\n",
                          b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"")[number % 5])
            crowd.append(sock)
        harness.until("they are there", lambda: server.status()["connections"] >= 200)
        for target in ("/app", "/"):
            with Load(server, target, threads=2) as load:
                load.wait(200)
            self.assertEqual(load.failures, [])
        with open(f"/proc/{server.workers()[0]}/status") as status:
            kib = [int(line.split()[1]) for line in status if line.startswith("RssAnon")][0]
        self.assertLess(kib, 400_000 if harness.SANITIZED else 40_000)
        for sock in crowd:
            sock.close()
        harness.until("they are forgotten", lambda: server.status()["connections"] == 0)


if __name__ == "__main__":
    harness.main()
