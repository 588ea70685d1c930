# SPDX-License-Identifier: MIT
"""j_bodies.py - request bodies on their way to Python: received whole first, on disk when they are long, streamed where the route says so; and what ends them."""
from __future__ import annotations

import hashlib
import os
import resource
import socket
import stat
import threading

import harness
from d_tls import certificate, context
from harness import Case, Client, Closed

APP = '''
import hashlib, os, time

def application(environ, start_response):
    path, stream = environ["PATH_INFO"], environ["wsgi.input"]
    print("begun", path, os.getpid(), flush=True)
    if path == "/die":
        stream.read(100000)
        os._exit(9)
    if path == "/slow":
        while stream.read(65536):
            time.sleep(0.01)
    if path == "/sleep":
        time.sleep(1)
    found, size = hashlib.sha256(), 0
    if path != "/unread":
        while True:
            block = stream.read(50000)
            if not block:
                break
            found.update(block)
            size += len(block)
    text = f"{size} {found.hexdigest()} {environ.get('CONTENT_LENGTH')} {environ.get('HTTP_TRANSFER_ENCODING')}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
'''
MB = 1 << 20


def random_bytes(size: int) -> bytes:
    return os.urandom(size)


def told(body: bytes, length: object) -> str:
    return f"{len(body)} {hashlib.sha256(body).hexdigest()} {length} None"


def chunked(body: bytes, piece: int = 100_000) -> bytes:
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in pieces) + b"0\r\n\r\n"


def post(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", *lines]).encode() + b"\r\n\r\n"


def descriptors(server: harness.Server) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in server.workers())


def anonymous_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return [int(line.split()[1]) for line in status if line.startswith("RssAnon")][0]


class Bodies(Case):
    def app(self, more: str = "limits: {body: 64m}", routes: str = "", options: str = "processes: 1, threads: 1, queue: {timeout: 30s}") -> harness.Server:
        config = (f"workers: {{processes: 1}}\nspool: {{path: spool}}\napps: {{app: {{wsgi: app, {options}}}}}\nroutes:\n  - {{path: '/{{rest:path}}', app: app}}\n"
                  f"  - {{path: /fixed, respond: {{body: fixed}}}}\n{routes}\n{more}\n")
        if more.startswith("spool:"):
            config = config.replace("spool: {path: spool}\n", "")
        server = self.serve(config, {"app.py": APP})
        self.addCleanup(self.all_gone, server)  # runs before the server's own end
        return server

    def all_gone(self, server: harness.Server) -> None:
        """No body is left on disk, no descriptor of one open."""
        if not server.finished:
            harness.until("every spool is closed", lambda: server.counter("spool_opened") == server.counter("spool_closed"))
            folder = server.dir / "spool"
            self.assertEqual(list(folder.iterdir()) if folder.is_dir() else [], [])

    def test_a_long_body_comes_whole(self) -> None:
        server = self.app()
        body = random_bytes(20 * MB)
        with server.client() as c:
            self.assertEqual(c.request("POST", "/", (), body).text, told(body, len(body)))
            c.send(post("/", "Transfer-Encoding: chunked") + chunked(body))
            self.assertEqual(c.response().text, told(body, len(body)), "the length of a chunked body is known by then")
            self.assertEqual(c.get("/fixed").text, "fixed")
        self.assertEqual(server.counter("spool_opened"), 2)
        folder = server.dir / "spool"
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
        for pid in server.workers() + server.pyworkers("app"):
            self.assertLess(anonymous_kib(pid), 400_000 if harness.SANITIZED else 30_000)

    def test_over_tls(self) -> None:
        """Bytes wait inside OpenSSL while the body waits for the disk or the handler: no event of the socket tells of them."""
        cert, key = certificate("localhost")
        server = self.serve("listen: [{address: '127.0.0.1:@PORT@', tls: {certificates: [{cert: cert, key: key}]}}]\nlimits: {body: 64m}\nspool: {path: spool}\n"
                            "apps: {app: {wsgi: app, processes: 1}}\nroutes: [{path: '/{rest:path}', app: app}, {path: /stream, app: app, body_buffer: 0}]\n",
                            {"app.py": APP, "cert": cert, "key": key})
        body = random_bytes(8 * MB)
        with Client(server.address, tls=context(), name="localhost") as c:
            for path, length in (("/", len(body)), ("/stream", None)):
                self.assertEqual(c.request("POST", path, (), body).text, told(body, len(body)))
                c.send(post(path, "Transfer-Encoding: chunked") + chunked(body))
                self.assertEqual(c.response().text, f"{told(body, length)[:-5]} {'None' if length else 'chunked'}")
        self.assertEqual(server.counter("spool_opened"), 2)

    def test_sizes_around_the_edges(self) -> None:
        """What fits the slot, what fits memory, what is a byte longer; a spool of whole pieces and of a piece and a byte."""
        server = self.app()
        whole = random_bytes(300_000)
        with server.client() as c:
            for size in (1, 7000, 8192, 61439, 61440, 61441, 65536, 122880, 122881, 131072, 300_000):
                body = whole[:size]
                self.assertEqual(c.request("POST", "/", (), body).text, told(body, size))
                c.send(post("/", "Transfer-Encoding: chunked") + chunked(body, 5000))
                self.assertEqual(c.response().text, told(body, size))

    def test_a_slow_upload_holds_no_pyworker(self) -> None:
        server = self.app()
        body = random_bytes(MB)
        with server.client() as slow, server.client() as chunks, server.client() as c:
            slow.send(post("/up", f"Content-Length: {len(body)}") + body[:1000])
            chunks.send(post("/up", "Transfer-Encoding: chunked") + chunked(body)[: MB // 2])
            for at in range(1000, 200_000, 20_000):
                slow.send(body[at : at + 20_000])
                self.assertEqual(c.get("/").status, 200, "the one pyworker is free")
            self.assertFalse([line for line in server.log if "begun /up" in line])
            slow.send(body[201_000:])
            chunks.send(chunked(body)[MB // 2 :])
            self.assertEqual(slow.response().text, told(body, len(body)))
            self.assertEqual(chunks.response().text, told(body, len(body)))

    def test_where_it_streams_the_handler_begins_at_once(self) -> None:
        server = self.app(routes="  - {path: /stream, app: app, body_buffer: 0}\n  - {path: /upto, app: app, body_buffer: 200k}\n")
        body = random_bytes(2 * MB)
        with server.client() as c:
            c.send(post("/stream", f"Content-Length: {len(body)}"))
            server.wait_log("begun /stream")
            c.send(body)
            self.assertEqual(c.response().text, told(body, len(body)))
            c.send(post("/upto", f"Content-Length: {len(body)}"))
            server.wait_log("begun /upto")
            c.send(body)
            self.assertEqual(c.response().text, told(body, len(body)))
            self.assertEqual(server.counter("spool_opened"), 0)
            c.send(post("/upto", "Content-Length: 150000"))
            c.send(body[:150_000])
            self.assertEqual(c.response().text, told(body[:150_000], 150_000))
            self.assertEqual(server.counter("spool_opened"), 1)

    def test_chunks_longer_than_the_buffer_stream_on(self) -> None:
        """Nobody knew: what was gathered goes first, from disk, then what the client still sends."""
        server = self.app(routes="  - {path: /upto, app: app, body_buffer: 200k}\n  - {path: /small, app: app, body_buffer: 1k}\n")
        body = random_bytes(3 * MB)
        wire = chunked(body, 30_000)
        for path, buffered in (("/upto", 200_000), ("/small", 1000)):
            with server.client() as c:
                c.send(post(path, "Transfer-Encoding: chunked") + wire[: buffered // 2])
                self.assertFalse([line for line in server.log if f"begun {path}" in line])
                c.send(wire[buffered // 2 : buffered + 100_000])
                server.wait_log(f"begun {path}")
                c.send(wire[buffered + 100_000 :])
                self.assertEqual(c.response().text, f"{len(body)} {hashlib.sha256(body).hexdigest()} None chunked")

    def test_many_at_once(self) -> None:
        """More uploads than chunks in a lane, and one pyworker: each of them arrives, nobody starves."""
        server = self.app()
        bodies = [random_bytes(600_000 + number) for number in range(24)]
        answers = {}

        def upload(number: int) -> None:
            answers[number] = server.request("POST", "/", (), bodies[number]).text

        threads = [threading.Thread(target=upload, args=(number,)) for number in range(len(bodies))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, {number: told(body, len(body)) for number, body in enumerate(bodies)})

    def test_the_folder_is_made_by_whoever_comes_first(self) -> None:
        """Several disk threads miss it at the same moment; one makes it, and none of the others may take that for a failure."""
        server = self.app()
        folder = server.dir / "spool"
        for _ in range(20):
            clients = [server.client() for _ in range(8)]
            for client in clients:
                client.send(post("/", "Content-Length: 80000"))
            if folder.exists():
                folder.rmdir()
            for client in clients:
                client.send(b"x" * 80_000)
            self.assertEqual([client.response().status for client in clients], [200] * 8)
            for client in clients:
                client.close()

    def test_more_in_the_queue_than_there_are_chunks(self) -> None:
        """Bodies that fit memory, but no slot, wait for their turn: as many as queue.size says, not as many as the lane has chunks."""
        server = self.app()
        body = random_bytes(50_000)
        clients = [server.client() for _ in range(40)]
        clients[0].send(post("/sleep", "Content-Length: 0"))
        server.wait_log("begun /sleep")
        for client in clients[1:]:
            client.send(post("/", f"Content-Length: {len(body)}") + body)
        self.assertEqual(clients[0].response().status, 200)
        for client in clients[1:]:
            self.assertEqual(client.response().text, told(body, len(body)))
            client.close()

    def test_a_thousand_slow_uploads_in_bounded_memory(self) -> None:
        """Each has sent more than a piece and then drips: past a bound of memory they wait on disk."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        server = self.app("limits: {body: 64m, body_min_rate: 0}")
        body = random_bytes(300_000)
        clients = []
        for _ in range(1000):
            client = server.client()
            client.send(post("/", f"Content-Length: {len(body)}") + body[:110_000])
            clients.append(client)
        for at in range(110_000, 110_003):
            for client in clients:
                client.send(body[at : at + 1])
        harness.until("most of it is on disk", lambda: server.counter("spool_bytes") > 60_000_000)
        pid = server.workers()[0]
        if not harness.SANITIZED:
            self.assertLess(anonymous_kib(pid), 90_000, "128k each would be 125 MB, and 16k for what comes in")
        self.assertEqual(server.get("/").status, 200)
        for client in clients[:10]:
            client.send(body[110_003:])
            self.assertEqual(client.response().text, told(body, len(body)))
        for client in clients:
            client.close()

    def test_a_client_that_leaves_frees_its_spool(self) -> None:
        server = self.app()
        before = descriptors(server)
        clients = [server.client() for _ in range(5)]
        for client in clients:
            client.send(post("/", f"Content-Length: {4 * MB}") + random_bytes(MB))
        harness.until("they are on disk", lambda: server.counter("spool_bytes") > 4 * MB)
        self.assertEqual(server.counter("spool_opened"), 5)
        self.assertEqual(descriptors(server), before + 10, "a socket and a file each")
        for client in clients:
            client.close()
        harness.until("they are gone", lambda: server.counter("spool_closed") == 5)
        harness.until("so are the descriptors", lambda: descriptors(server) == before)
        self.assertFalse([line for line in server.log if "begun" in line], "Python never saw them")

    def test_a_client_that_leaves_with_its_last_byte_is_never_run(self) -> None:
        server = self.app()
        with server.client() as slow:
            slow.send(b"GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_log("begun /sleep")
            for size in (20_000, MB):
                with server.client() as c:
                    c.send(post("/gone", f"Content-Length: {size}") + random_bytes(size))
            self.assertEqual(slow.response().status, 200)
        self.assertEqual(server.get("/").status, 200)
        self.assertFalse([line for line in server.log if "begun /gone" in line])
        self.assertEqual(server.counter("python_abandoned"), 2)

    def test_a_client_that_only_closes_its_sending_side_is_answered(self) -> None:
        server = self.app()
        body = random_bytes(MB)
        with server.client() as c:
            c.send(post("/", f"Content-Length: {len(body)}") + body)
            c.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(c.response().text, told(body, len(body)))

    def test_a_pyworker_that_dies_with_a_body(self) -> None:
        server = self.app()
        with server.client() as c:
            self.assertEqual(c.request("POST", "/die", (), random_bytes(4 * MB)).status, 502)
            harness.until("served again", lambda: server.get("/fixed").status == 200 and server.pyworkers("app"))
        body = random_bytes(MB)
        self.assertEqual(server.request("POST", "/", (), body).text, told(body, len(body)))

    def test_an_unread_body_does_no_harm(self) -> None:
        server = self.app()
        with server.client() as c:
            for _ in range(3):
                self.assertEqual(c.request("POST", "/unread", (), random_bytes(MB)).status, 200)
            self.assertEqual(c.get("/").status, 200)

    def test_a_reload_between(self) -> None:
        server = self.app()
        body = random_bytes(2 * MB)
        with server.client() as c:
            c.send(post("/", f"Content-Length: {len(body)}") + body[:MB])
            harness.until("some is on disk", lambda: server.counter("spool_bytes") > MB // 2)
            server.reload()
            c.send(body[MB:])
            self.assertEqual(c.response().text, told(body, len(body)))

    def test_too_long_is_413_as_soon_as_known(self) -> None:
        server = self.app("limits: {body: 1m}", routes="  - {path: /few, app: app, body: 1k}\n")
        with server.client() as c:
            c.send(post("/", f"Content-Length: {MB + 1}"))
            self.assertEqual(c.response().status, 413)
            self.assertTrue(c.is_closed())
        with server.client() as c:
            c.send(post("/few", "Content-Length: 1025"))
            self.assertEqual(c.response().status, 413)
        with server.client() as c:
            c.send(post("/", "Transfer-Encoding: chunked") + chunked(random_bytes(MB + 1))[:-7])
            self.assertEqual(c.response().status, 413, "before its end")
        self.assertFalse([line for line in server.log if "begun" in line])

    def test_too_slow_is_408(self) -> None:
        server = self.app("limits: {body: 64m, body_min_rate: 0}", routes="  - {path: /fast, app: app, body_min_rate: 100k}\n")
        patient = server.client()
        patient.send(post("/", "Content-Length: 1000000") + b"x" * 10)
        for lines, some in ((f"Content-Length: {4 * MB}", random_bytes(200_000)), ("Transfer-Encoding: chunked", chunked(random_bytes(200_000))[:-5])):
            with server.client() as c:
                c.send(post("/fast", lines) + some)
                self.assertEqual(c.response().status, 408)
                self.assertTrue(c.is_closed())
        patient.send(b"y" * 999_990)
        self.assertEqual(patient.response().status, 200)
        patient.close()
        self.assertFalse([line for line in server.log if "begun /fast" in line])

    def test_time_for_the_body_is_not_the_handlers(self) -> None:
        """handler_timeout counts from when Python may begin."""
        server = self.app("limits: {handler_timeout: 1s, body_min_rate: 0}")
        body = random_bytes(200_000)
        with server.client() as c:
            c.send(post("/", f"Content-Length: {len(body)}") + body[:100_000])
            threading.Event().wait(1.5)
            c.send(body[100_000:])
            self.assertEqual(c.response().text, told(body, len(body)))

    def test_spool_size_is_a_bound(self) -> None:
        server = self.app("spool: {path: spool, size: 1m}")
        with server.client() as first, server.client() as second, server.client() as third:
            first.send(post("/", "Content-Length: 800000") + b"x" * 400_000)
            harness.until("it is on disk", lambda: server.counter("spool_opened") == 1)
            second.send(post("/", "Content-Length: 800000") + b"x" * 100_000)
            answer = second.response()
            self.assertEqual((answer.status, bool(answer.header("retry-after"))), (503, True))
            third.send(post("/", "Transfer-Encoding: chunked") + chunked(b"y" * 400_000))
            self.assertEqual(third.response().status, 503)
            self.assertEqual(server.counter("spool_full"), 2)
            first.send(b"x" * 400_000)
            self.assertEqual(first.response().text, told(b"x" * 800_000, 800_000))
        body = b"z" * 800_000
        self.assertEqual(server.request("POST", "/", (), body).text, told(body, len(body)), "the room is there again")

    def test_descriptors_are_for_connections_first(self) -> None:
        server = self.serve("workers: {processes: 1}\nspool: {path: spool}\napps: {app: {wsgi: app, processes: 1, queue: {timeout: 30s}}}\nroutes: [{path: '/{rest:path}', app: app}]\n", {"app.py": APP}, nofile=120)
        clients = [server.client() for _ in range(45)]
        for client in clients:
            client.send(post("/", "Content-Length: 200000") + b"x" * 100_000)
        harness.until("each is on disk or refused", lambda: server.counter("spool_opened") + server.counter("spool_full") == 45)
        self.assertEqual(server.counter("spool_opened"), 30)
        self.assertEqual(server.get("/").status, 200)
        answers = []
        for client in clients:
            try:
                client.send(b"x" * 100_000)
                answers.append(client.response().status)
            except (OSError, Closed):
                answers.append(503)  # reset before it was read
            client.close()
        self.assertEqual((answers.count(200), answers.count(503)), (30, 15))
        harness.until("all are closed", lambda: server.counter("spool_closed") == 30)

    def test_a_disk_that_takes_no_more_is_503(self) -> None:
        """A limit on the size of files stands for the full disk: it needs no root."""
        server = self.app()
        for pid in server.workers():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
        with server.client() as c:
            c.send(post("/", "Content-Length: 1000000") + b"x" * 1_000_000)
            answer = c.response()
            self.assertEqual((answer.status, bool(answer.header("retry-after"))), (503, True))
        server.wait_log(r"body cannot be kept in .*/spool: File too large; answering 503")
        self.assertGreaterEqual(server.counter("spool_failed"), 1)
        body = b"y" * 200_000
        self.assertEqual(server.request("POST", "/", (), body).text, told(body, len(body)), "it lives, and serves what fits")

    def test_a_folder_that_is_none_is_503(self) -> None:
        server = self.app("spool: {path: later}")
        server.write("later", "a file where the folder was to be")
        self.assertEqual(server.request("POST", "/", (), b"x" * 200_000).status, 503)
        server.wait_log("Not a directory; answering 503")
        self.assertEqual(server.request("POST", "/", (), b"x" * 20_000).status, 200, "short ones need no disk")

    def test_100_only_when_the_handler_wants_the_body(self) -> None:
        server = self.app(routes="  - {path: /few, app: app, body: 1k}\n")
        body = random_bytes(3 * MB)
        with server.client() as c:
            c.send(post("/", "Expect: 100-continue", f"Content-Length: {len(body)}"))
            self.assertEqual(c.head().status, 100)
            c.send(body)
            self.assertEqual(c.response().text, told(body, len(body)))
        for path, status in (("/fixed", 200), ("/unread", 200), ("/few", 413)):
            with self.subTest(path=path), server.client() as c:
                c.send(post(path, "Expect: 100-continue", "Content-Length: 5000"))
                answer = c.response()
                self.assertEqual((answer.status, answer.header("connection")), (status, "close"))
                self.assertTrue(c.is_closed())

    def test_an_unwanted_body_is_dropped_within_a_bound(self) -> None:
        server = self.app()
        with server.client() as c:
            for lines, wire in (("Content-Length: 100000", b"x" * 100_000), ("Transfer-Encoding: chunked", chunked(b"x" * 100_000))):
                c.send(post("/fixed", lines) + wire)
                self.assertEqual(c.response().text, "fixed")
            self.assertEqual(c.get("/fixed").text, "fixed", "short ones: the connection goes on")
        for lines, wire in ((f"Content-Length: {8 * MB}", b"x" * 100_000), ("Transfer-Encoding: chunked", chunked(b"x" * MB)[:-5])):
            with server.client() as c:
                try:
                    c.send(post("/fixed", lines) + wire)
                    self.assertEqual(c.response().text, "fixed")
                    c.rest()
                except (OSError, Closed):
                    pass  # a reset is how the rest of a long one may be refused

    def test_the_end_of_the_server_with_uploads_under_way(self) -> None:
        server = self.serve("workers: {processes: 1}\ndrain_timeout: 500ms\nspool: {path: spool}\napps: {app: {wsgi: app}}\nroutes: [{path: '/{rest:path}', app: app}]\n", {"app.py": APP})
        clients = [server.client() for _ in range(3)]
        for client in clients:
            client.send(post("/", f"Content-Length: {4 * MB}") + random_bytes(MB))
        harness.until("they are on disk", lambda: server.counter("spool_opened") == 3)
        server.finish()
        for client in clients:
            client.close()


if __name__ == "__main__":
    harness.main()
