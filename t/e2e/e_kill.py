# SPDX-License-Identifier: MIT
"""e_kill.py - kill -9 of pyworkers and workers under load: they are replaced, others' requests are untouched, no slot is lost."""
from __future__ import annotations

import os
import random
import signal
import threading
import time

import harness
from harness import SANITIZED, Case, Closed, Load, Server

ROUNDS = 5 if SANITIZED else 12

APP = """
import os, sys, time
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/sleep":
        print("asleep", os.getpid())
        time.sleep(3)
    elif path in ("/die", "/die-again"):
        os.kill(os.getpid(), 9)
    elif path == "/half":
        def body():
            yield b"x" * 1000
            os.kill(os.getpid(), 9)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body()
    elif path == "/upload":
        data = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [str(len(data)).encode()]
    elif path.startswith("/dies-first/"):  # the first time that this is asked for
        try:
            os.close(os.open(path.rpartition("/")[2], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            data = environ["wsgi.input"].read()
            start_response("200 OK", [("Content-Type", "text/plain"), ("X-Added", environ.get("HTTP_X_ADDED", ""))])
            return [environ["REQUEST_METHOD"].encode() + b" " + str(len(data)).encode()]
        os.kill(os.getpid(), 9)
    elif path == "/segfault":
        import ctypes
        ctypes.string_at(0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
CONFIG = """
apps:
  app: {wsgi: app, processes: 3, queue: {timeout: 10s}}
  other: {wsgi: app, processes: 1}
routes:
  - {path: "/{rest:path}", app: app}
  - {path: "/upload", app: app, body_buffer: 0}
  - {path: "/other", app: other}
  - {path: "/dies-first/{x}", app: app, retry: idempotent, request_headers: {set: {X-Added: "1"}}}
  - {path: "/dies-first/once/{x}", app: app}
  - {path: "/die-again", app: app, retry: idempotent}
  - {path: "/fixed", respond: {body: fixed}}
limits: {body: 100m}
"""


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


class Kill(Case):
    def start(self) -> Server:
        return self.serve(CONFIG, {"app.py": APP})

    def whole(self, server: Server) -> None:
        """All pyworkers and workers are back, and every slot is free."""
        harness.until("all pyworkers are back", lambda: (len(server.pyworkers("app")), len(server.pyworkers("other")), len(server.workers())) == (3, 1, 2), 60)
        harness.until("every slot is free", lambda: server.status()["slots_in_use"] == 0)
        for _ in range(20):
            self.assertEqual(server.get("/").status, 200)

    def test_what_a_dying_pyworker_had_started_is_502(self) -> None:
        server = self.start()
        for path in ("/die", "/segfault"):
            with self.subTest(path=path):
                self.assertEqual(server.get(path).status, 502)
        self.whole(server)
        self.assertGreaterEqual(server.counter("python_died"), 2)
        self.assertTrue([line for line in server.log if "signal 9" in line or "SIGKILL" in line or "Killed" in line])

    def test_what_may_be_repeated_is_given_to_another(self) -> None:
        server = self.start()
        for method, body, expected in (("GET", None, (200, "GET 0")), ("PUT", b"x" * 3000, (200, "PUT 3000")), ("DELETE", None, (200, "DELETE 0"))):
            with self.subTest(method=method):
                answer = server.request(method, f"/dies-first/{method}", body=body)
                self.assertEqual((answer.status, answer.text, answer.header("x-added")), (*expected, "1"))
        self.assertEqual(server.request("POST", "/dies-first/post", body=b"x").status, 502, "a POST twice is not a POST once")
        self.assertEqual(server.request("PUT", "/dies-first/streamed", body=b"x" * 400000).status, 502, "half of its body may be gone")
        self.assertEqual(server.get("/dies-first/once/more").status, 502, "the route does not say so")
        self.assertEqual(server.get("/die-again").status, 502, "once, not for ever")
        self.assertEqual(server.counter("python_retried"), 4)
        self.whole(server)

    def test_a_body_that_had_begun_is_broken_off(self) -> None:
        server = self.start()
        with server.client() as c:
            with self.assertRaises(Closed):
                c.get("/half")
        self.whole(server)

    def test_only_its_own_request_is_lost(self) -> None:
        server = self.start()
        sleepers = [server.client() for _ in range(3)]
        for client in sleepers:
            client.send(b"GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n")
        pids = [int(line.rsplit(" ", 1)[1]) for line in server.wait_log("asleep", 3)]
        self.assertEqual(len(set(pids)), 3, "each pyworker has one")
        kill(pids[0])
        self.assertEqual(sorted(client.response().status for client in sleepers), [200, 200, 502])
        self.whole(server)

    def test_queued_requests_go_to_another_pyworker(self) -> None:
        server = self.serve("apps: {app: {wsgi: app, processes: 1, queue: {timeout: 20s}}}\nroutes: [{path: '/{rest:path}', app: app}]\n", {"app.py": APP})
        with server.client() as first:
            first.send(b"GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_log("asleep")
            waiting = [server.client() for _ in range(10)]
            for client in waiting:
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            kill(server.pyworkers("app")[0])
            self.assertEqual(first.response().status, 502)
            self.assertEqual([client.response().status for client in waiting], [200] * 10)

    def test_a_pyworker_that_dies_during_an_upload(self) -> None:
        server = self.start()
        for _ in range(3):
            with server.client() as c:
                c.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 1_000_000)
                for pid in server.pyworkers("app"):
                    kill(pid)
                try:
                    self.assertIn(c.response().status, (502, 503))
                except Closed:
                    pass
            self.whole(server)

    def test_pyworkers_under_load(self) -> None:
        server = self.start()
        with Load(server, "/", threads=4, forgive=(502,)) as load, Load(server, "/other", threads=2) as other, Load(server, "/fixed", threads=2) as fixed:
            for _ in range(ROUNDS):
                pids = harness.until("a pyworker", lambda: server.pyworkers("app"))
                kill(random.choice(pids))
                load.wait(30)
            other.wait(10)
            fixed.wait(10)
        self.assertEqual(load.failures + other.failures + fixed.failures, [])
        self.assertLessEqual(load.statuses.get(502, 0), ROUNDS, "one request a death at most")
        self.assertEqual((set(other.statuses), set(fixed.statuses)), ({200}, {200}))
        self.assertEqual((load.reopened, other.reopened, fixed.reopened), (load.statuses.get(502, 0) if load.reopened else 0, 0, 0))
        self.whole(server)

    def test_all_pyworkers_at_once(self) -> None:
        server = self.start()
        with Load(server, "/", threads=4, forgive=(502, 503)) as load, Load(server, "/fixed", threads=2) as fixed:
            for _ in range(3):
                for pid in server.pyworkers("app"):
                    kill(pid)
                load.wait(20)
                fixed.wait(20)
                harness.until("they are back", lambda: len(server.pyworkers("app")) == 3, 60)
        self.assertEqual(load.failures + fixed.failures, [])
        self.whole(server)

    def test_workers_under_load(self) -> None:
        """The connections of the killed worker break; those of the other do not, and new ones are served at once."""
        server = self.start()
        broken = []
        stop = threading.Event()
        answers = [0]

        def one() -> None:
            client = None
            while not stop.is_set():
                try:
                    client = client or server.client()
                    if client.get("/").status != 200:
                        broken.append("status")
                    answers[0] += 1
                except (Closed, OSError):
                    broken.append("closed")
                    if client is not None:
                        client.close()
                    client = None

        threads = [threading.Thread(target=one, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(ROUNDS):
            pid = random.choice(harness.until("two workers", lambda: len(server.workers()) == 2 and server.workers(), 60))
            kill(pid)
            had = answers[0]
            harness.until("answers", lambda: answers[0] > had + 50, 60)
        stop.set()
        for thread in threads:
            thread.join(30)
        self.assertLessEqual(len(broken), ROUNDS * 8)
        self.assertNotIn("status", broken)
        self.whole(server)

    def test_a_worker_that_dies_with_requests_in_pyworkers(self) -> None:
        server = self.start()
        clients = [server.client() for _ in range(3)]
        for client in clients:
            client.send(b"GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_log("asleep", 3)
        for pid in server.workers():
            kill(pid)
        for client in clients:
            with self.assertRaises(Closed):
                client.response()
        self.whole(server)

    def test_what_a_dead_worker_had_open_counts_as_closed(self) -> None:
        """A body and a file on disk, a compressor at work: `heartctl status` does not tell of them for ever."""
        stream = "import time\ndef application(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    yield b'x' * 5000\n    time.sleep(3)\n"
        server = self.serve("workers: {processes: 1}\napps: {app: {wsgi: app, threads: 2}}\ncompress: {encodings: [gzip]}\nroutes:\n  - {path: '/{x:path}', app: app}\n"
                            "  - {path: '/files/{x:path}', static: {root: files}}\n", {"app.py": stream, "files/long.bin": bytes(1 << 20)})
        with server.client() as upload, server.client() as answer:
            upload.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(500000))
            answer.send(b"GET /stream HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
            self.assertEqual(answer.head().header("content-encoding"), "gzip")
            self.assertEqual(len(server.get("/files/long.bin").body), 1 << 20)
            pairs = (("spool_opened", "spool_closed"), ("encoders_taken", "encoders_given"), ("files_opened", "files_closed"))
            harness.until("all three are open", lambda: [server.counter(a) - server.counter(b) for a, b in pairs] == [1, 1, 1])
            kill(server.workers()[0])
            harness.until("none is", lambda: [server.counter(a) - server.counter(b) for a, b in pairs] == [0, 0, 0])

    def test_the_master_dies(self) -> None:
        """Nothing is left behind: workers and pyworkers see that they are alone, and go."""
        server = self.start()
        self.assertEqual(server.get("/").status, 200)
        kill(server.pid)
        assert server.process is not None
        server.process.wait()
        harness.until("all processes have gone", lambda: not server.processes(), 60)
        server.finished = True

    def test_kill_and_reload_together(self) -> None:
        server = self.start()
        with Load(server, "/", threads=3, forgive=(502, 503)) as load:
            for number in range(ROUNDS):
                server.write("app.py", APP + f"# {number}\n")
                pids = server.pyworkers("app")
                killer = threading.Timer(random.random() * 0.3, lambda: pids and kill(random.choice(pids)))
                killer.start()
                server.ctl("reload", expect=None)
                killer.join()
                load.wait(5)
            time.sleep(0)
        self.assertEqual(load.failures, [])
        self.whole(server)


if __name__ == "__main__":
    harness.main()
