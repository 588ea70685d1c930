# SPDX-License-Identifier: MIT
"""f_limits.py - slow handlers, full queues, too few descriptors, many idle connections: who waits, who is refused, who is not bothered."""
from __future__ import annotations

import os
import resource
import socket
import threading
import time

import harness
from harness import Case, Client, Closed, Load

APP = """
import os, time
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/sleep/"):
        print("asleep", os.getpid())
        time.sleep(float(path[7:]))
    elif path == "/stream-then-sleep":
        start_response("200 OK", [("Content-Type", "text/plain")])
        def body():
            yield b"begun"
            time.sleep(4)
            yield b"late"
        return body()
    elif path == "/spin":
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pass
    elif path == "/flood":
        start_response("200 OK", [("Content-Type", "text/plain")])
        def body():
            for _ in range(400):
                yield b"x" * 100000
        return body()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


def threads_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


class Limits(Case):
    def app(self, options: str = "processes: 2", more: str = "", **rest: object) -> harness.Server:
        return self.serve(f"apps: {{app: {{wsgi: app, {options}}}}}\nroutes:\n  - {{path: '/{{rest:path}}', app: app}}\n  - {{path: /fixed, respond: {{body: fixed}}}}\n{more}\n", {"app.py": APP}, **rest)  # type: ignore[arg-type]

    def test_a_listener_may_have_limits_of_its_own(self) -> None:
        listen = 'listen: ["127.0.0.1:@PORT@", {address: "127.0.0.1:@PORT2@", limits: {header: 1k, body: %s, keep_alive: {requests: 1}}}]\n'
        rest = "limits: {body: 3k}\nroutes: [{path: /, respond: {body: ok}}]\n"
        server = self.serve(listen % 100 + rest)
        strict = ("127.0.0.1", server.ports[1])
        long, body = [("X-Long", "a" * 1500)], b"b" * 2000
        for address, statuses, stays in ((server.address, [200, 200], True), (strict, [431, 413], False)):
            with Client(address) as one, Client(address) as two, Client(address) as three:
                self.assertEqual([one.get("/", long).status, two.request("POST", "/", body=body).status], statuses)
                self.assertEqual(three.get("/").header("connection") != "close", stays)
        server.configure(listen % "2k" + rest)
        server.reload()
        with Client(strict) as c:
            self.assertEqual(c.request("POST", "/", body=body).status, 200)

    def test_a_slow_handler_delays_nobody_else(self) -> None:
        server = self.app()
        with server.client() as slow:
            began = time.monotonic()
            slow.send(b"GET /sleep/5 HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_log("asleep")
            longest = 0.0
            with server.client() as c:
                for number in range(200):
                    at = time.monotonic()
                    self.assertEqual(c.get("/").status, 200)
                    self.assertEqual(c.get("/fixed").status, 200)
                    longest = max(longest, time.monotonic() - at)
            with Load(server, "/", threads=4) as load:
                load.wait(400)
            self.assertEqual(load.failures, [])
            self.assertLess(longest, 2, "a request waited behind the slow one")
            self.assertEqual(slow.response().status, 200)
            self.assertGreater(time.monotonic() - began, 4.5)

    def test_a_handler_over_its_time_is_504(self) -> None:
        server = self.app("processes: 1, timeout_kill: 10s", "limits: {handler_timeout: 700ms}")
        with server.client() as c:
            began = time.monotonic()
            self.assertEqual(c.get("/sleep/2").status, 504)
            self.assertLess(time.monotonic() - began, 1.9)
        pids = server.pyworkers("app")
        with server.client() as c:
            harness.until("the same pyworker is back", lambda: c.get("/").status == 200)
        self.assertEqual(server.pyworkers("app"), pids)
        self.assertEqual(server.counter("python_timeouts") >= 1, True)

    def test_a_handler_that_does_not_come_back_is_killed(self) -> None:
        server = self.app("processes: 1, timeout_kill: 700ms", "limits: {handler_timeout: 500ms}")
        for path in ("/sleep/30", "/spin"):
            with self.subTest(path=path):
                since = len(server.log)
                pid = server.pyworkers("app")[0]
                self.assertEqual(server.get(path).status, 504)
                server.wait_log(r"most recent call first", since=since)
                server.wait_log(r"app.py\", line \d+ in application", since=since)
                harness.until("a new pyworker", lambda: [new for new in server.pyworkers("app") if new != pid])
                self.assertEqual(server.get("/").status, 200)

    def test_a_routes_own_timeout(self) -> None:
        server = self.serve("apps: {app: {wsgi: app, processes: 1}}\nroutes:\n  - {path: '/{rest:path}', app: app}\n  - {path: /sleep/2, app: app, timeout: 500ms}\n", {"app.py": APP})
        self.assertEqual((server.get("/sleep/2").status, server.get("/").status), (504, 200))

    def test_an_answer_that_had_begun_is_broken_off_in_time(self) -> None:
        server = self.app("processes: 1, timeout_kill: 10s", "limits: {handler_timeout: 1s}")
        with server.client() as c:
            try:
                self.assertEqual(c.get("/stream-then-sleep").body, b"beginlate"[:0] + b"begunlate")
            except Closed as closed:
                self.assertNotIn(b"0\r\n\r\n", closed.part)

    def test_a_full_queue_is_503(self) -> None:
        server = self.app("processes: 1, queue: {size: 4, timeout: 10s}", "workers: {processes: 1}")
        clients = [server.client() for _ in range(12)]
        clients[0].send(b"GET /sleep/2 HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_log("asleep")
        for client in clients[1:]:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answers = [client.response() for client in clients]
        refused = [answer for answer in answers if answer.status == 503]
        self.assertEqual({answer.status for answer in answers}, {200, 503})
        self.assertGreaterEqual(len(refused), 5)
        self.assertLessEqual(len(refused), 8)
        for answer in refused:
            self.assertRegex(answer.header("retry-after") or "", r"^\d+$")
        self.assertEqual(server.counter("python_queue_full"), len(refused))
        self.assertEqual([client.get("/").status for client in clients if client.is_open()][:1], [200])

    def test_too_long_in_the_queue_is_503_and_never_run(self) -> None:
        server = self.app("processes: 1, queue: {timeout: 500ms}")
        with server.client() as slow, server.client() as c:
            slow.send(b"GET /sleep/2 HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_log("asleep")
            answer = c.get("/sleep/0.1")
            self.assertEqual(answer.status, 503)
            self.assertTrue(answer.header("retry-after"))
            self.assertEqual(slow.response().status, 200)
        self.assertEqual(server.get("/").status, 200)
        self.assertEqual(len([line for line in server.log if "asleep" in line]), 1)

    def test_a_request_whose_client_left_is_never_run(self) -> None:
        server = self.app("processes: 1, queue: {timeout: 10s}")
        with server.client() as slow:
            slow.send(b"GET /sleep/1.5 HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_log("asleep")
            gone = [server.client() for _ in range(10)]
            for client in gone:
                client.send(b"GET /sleep/0.01 HTTP/1.1\r\nHost: a\r\n\r\n")
            harness.until("they wait", lambda: server.status()["slots_in_use"] >= 11)
            for client in gone:
                client.close()
            self.assertEqual(slow.response().status, 200)
        self.assertEqual(server.get("/").status, 200)
        self.assertEqual(len([line for line in server.log if "asleep" in line]), 1)
        self.assertEqual(server.counter("python_abandoned"), 10)

    def test_a_slow_upload_is_408(self) -> None:
        server = self.app("processes: 1", "limits: {body_min_rate: 10k}")
        with server.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nab")
            try:
                self.assertEqual(c.response().status, 408)
            except Closed:
                self.fail("closed without an answer")
            self.assertTrue(c.is_closed())
        self.assertEqual(server.get("/").status, 200)

    def test_a_client_that_reads_nothing_is_left(self) -> None:
        server = self.app("processes: 1", "limits: {send_timeout: 1s}")
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(server.address)
        with sock:
            sock.sendall(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
            harness.until("its pyworker is free again", lambda: server.counter("slots_claimed") == 1 and server.status()["slots_in_use"] == 0)
        self.assertEqual(server.get("/").status, 200)

    def test_a_slow_reader_does_not_fill_memory(self) -> None:
        server = self.app("processes: 1", "workers: {processes: 1}")
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(server.address)
        with sock:
            sock.sendall(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
            sock.recv(100)
            time.sleep(1)  # time for 40 MB to pile up, were there no window
            for pid in server.workers() + server.pyworkers("app"):
                with open(f"/proc/{pid}/status") as status:
                    kib = [int(line.split()[1]) for line in status if line.startswith("RssAnon")][0]
                self.assertLess(kib, 400_000 if harness.SANITIZED else 30_000)

    def test_a_thousand_idle_connections_cost_no_thread(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        server = self.app("processes: 1")
        try:
            with server.client() as c:
                c.get("/")
            before = {pid: threads_of(pid) for pid in server.processes()}
            clients = [server.client() for _ in range(1000)]
            for client in clients:
                client.send(b"GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual({client.response().status for client in clients}, {200})
            self.assertEqual({pid: threads_of(pid) for pid in server.processes()}, before)
            self.assertGreaterEqual(server.status()["connections"], 1000)
            with Load(server, "/", threads=2) as load:
                load.wait(100)
            self.assertEqual(load.failures, [])
            self.assertEqual({client.get("/fixed").status for client in clients}, {200})
            for client in clients:
                client.close()
            harness.until("they are forgotten", lambda: server.status()["connections"] == 0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def test_without_descriptors_it_waits_and_recovers(self) -> None:
        """Master and workers run out of descriptors: no spinning, and service goes on once some are free."""
        server = self.serve("workers: {processes: 1}\nroutes: [{path: /, respond: {body: x}}]\n", nofile=80)
        clients = []
        for _ in range(200):
            try:
                clients.append(Client(server.address, timeout_s=5))
            except OSError:
                break
        time.sleep(0.3)
        used = self.cpu(server)
        time.sleep(1)
        self.assertLess(self.cpu(server) - used, 0.5, "it spins")
        for client in clients:
            client.close()

        def served() -> bool:
            try:
                with Client(server.address, timeout_s=2) as c:
                    return c.get("/").status == 200
            except (OSError, Closed):
                return False

        harness.until("it serves again", served)
        harness.until("connections are forgotten", lambda: server.status()["connections"] == 0)

    def cpu(self, server: harness.Server) -> float:
        """CPU seconds of all its processes so far."""
        total = 0
        for pid in server.processes():
            fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def test_idle_costs_no_cpu(self) -> None:
        server = self.app("processes: 2")
        server.get("/")
        used = self.cpu(server)
        time.sleep(2)
        self.assertLess(self.cpu(server) - used, 0.3)

    def test_more_connections_than_a_worker_takes(self) -> None:
        server = self.serve("workers: {processes: 1, connections: 10}\nqueue: {size: 5, timeout: 500ms}\nroutes: [{path: /, respond: {body: x}}]\n")
        clients = [server.client() for _ in range(10)]
        for client in clients:
            self.assertEqual(client.get("/").status, 200)
        more = [server.client() for _ in range(10)]
        for client in more:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for client in more:
            answer = client.response()
            self.assertEqual(answer.status, 503)
            self.assertRegex(answer.header("retry-after") or "", r"^\d+$")
        for client in clients:
            self.assertEqual(client.get("/").status, 200)
            client.close()
        self.assertEqual(harness.until("room again", lambda: server.get("/").status in (200,) and 200), 200)

    def test_threads_of_a_pyworker(self) -> None:
        server = self.app("processes: 1, threads: 4")
        began = time.monotonic()
        threads = [threading.Thread(target=server.get, args=("/sleep/1",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLess(time.monotonic() - began, 3.5, "four sleeps of 1 s, one after another, take 4 s")


if __name__ == "__main__":
    harness.main()
