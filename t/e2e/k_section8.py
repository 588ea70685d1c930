# SPDX-License-Identifier: MIT
"""k_section8.py - what a client sees: the table of DESIGN.md, section 8, a class for each row. Many corners of it have tests of their own elsewhere; here the whole table is read at once."""
from __future__ import annotations

import os
import signal
from typing import Dict, List

import harness
from harness import Answer, Case, Client, Closed, Server

APP = """
import os, time
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/sleep/"):
        print("asleep", os.getpid())
        time.sleep(float(path[7:]))
    elif path == "/die":
        os.kill(os.getpid(), 9)
    elif path == "/raise":
        raise LookupError("no such thing")
    elif path == "/half":
        write = start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
        write(b"x" * 50)
        os.kill(os.getpid(), 9)
    elif path == "/read":
        print("reads")
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


class Row(Case):
    def app(self, options: str = "processes: 1", more: str = "") -> Server:
        return self.serve(f"apps: {{app: {{wsgi: app, {options}}}}}\nroutes:\n  - {{path: '/{{rest:path}}', app: app}}\n  - {{path: /fixed, methods: [GET, POST], respond: {{body: fixed}}}}\n{more}\n",
                          {"app.py": APP})

    def assert_busy(self, answer: Answer) -> None:
        self.assertEqual(answer.status, 503)
        self.assertRegex(answer.header("retry-after") or "", r"^[1-9]\d*$")

    def asleep(self, server: Server, client: Client, seconds: float) -> None:
        since = len(server.log)
        client.send(f"GET /sleep/{seconds} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        server.wait_log("asleep", since=since)


class QueueOfSockets(Row):
    CONFIG = "workers: {processes: 1, connections: 4}\nqueue: {size: 4, timeout: %s}\nroutes: [{path: /, respond: {body: x}}]\n"

    def taken(self, timeout: str) -> Server:
        server = self.serve(self.CONFIG % timeout)
        self.holders: List[Client] = [server.client() for _ in range(4)]
        for client in self.holders:
            self.assertEqual(client.get("/").status, 200)
        return server

    def test_full(self) -> None:
        server = self.taken("60s")
        waiting = [server.client() for _ in range(4)]
        harness.until("the queue is full", lambda: server.status()["queue"] == 4)
        with server.client() as c:
            self.assert_busy(c.get("/"))
        for client in self.holders:
            client.close()
        self.assertEqual([client.get("/").status for client in waiting], [200] * 4)
        self.assertEqual(server.counter("connections_refused"), 1)

    def test_too_long_in_it(self) -> None:
        server = self.taken("300ms")
        with server.client() as c:
            self.assert_busy(c.get("/"))
            self.assertTrue(c.is_closed())
        for client in self.holders:
            client.close()


class QueueOfTheApp(Row):
    def test_full(self) -> None:
        server = self.app("processes: 1, queue: {size: 1, timeout: 60s}", "workers: {processes: 1}")
        with server.client() as slow:
            self.asleep(server, slow, 1.5)
            clients = [server.client() for _ in range(6)]
            for client in clients:
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answers = [client.response() for client in clients]
            refused = [answer for answer in answers if answer.status == 503]
            self.assertGreaterEqual(len(refused), 4)
            for answer in refused:
                self.assert_busy(answer)
            self.assertEqual(server.get("/fixed").status, 200, "what needs no Python is served")
            self.assertEqual(slow.response().status, 200)

    def test_too_long_in_it(self) -> None:
        server = self.app("processes: 1, queue: {timeout: 300ms}")
        with server.client() as slow, server.client() as c:
            self.asleep(server, slow, 1.5)
            self.assert_busy(c.get("/"))
            self.assertEqual(slow.response().status, 200)
            self.assertEqual(c.get("/").status, 200, "503 does not cost the connection")

    def test_an_app_that_did_not_start(self) -> None:
        """Its pyworkers die one after the other while it serves: there is nobody to ask."""
        server = self.app("processes: 1, queue: {timeout: 300ms}")
        server.write("app.py", "raise SystemExit('not today')\n")
        os.kill(server.pyworkers("app")[0], signal.SIGKILL)
        answer = harness.until("it is said", lambda: [a for a in [server.get("/")] if a.status == 503])[0]
        self.assert_busy(answer)
        server.write("app.py", APP)
        harness.until("it is back", lambda: server.get("/").status == 200)


class TooSlow(Row):
    def test_504_and_the_pyworker_comes_back(self) -> None:
        server = self.app("processes: 1, timeout_kill: 60s", "limits: {handler_timeout: 300ms}")
        pids = server.pyworkers("app")
        with server.client() as c:
            self.assertEqual(c.get("/sleep/1").status, 504)
            harness.until("it is back", lambda: c.get("/").status == 200)
        self.assertEqual(server.pyworkers("app"), pids)

    def test_504_then_its_stacks_in_the_log_and_sigkill(self) -> None:
        server = self.app("processes: 1, timeout_kill: 300ms", "limits: {handler_timeout: 300ms}")
        pid = server.pyworkers("app")[0]
        self.assertEqual(server.get("/sleep/60").status, 504)
        server.wait_log("most recent call first")
        server.wait_log(r'app\.py", line \d+ in application')
        server.wait_log(rf"\b{pid}\b.*(signal 9|SIGKILL|[Kk]illed)")
        harness.until("another one", lambda: server.pyworkers("app") not in ([], [pid]))
        self.assertEqual(server.get("/").status, 200)


class Died(Row):
    def test_502_for_what_it_had_started_nothing_for_others(self) -> None:
        server = self.app("processes: 2")
        with server.client() as other, server.client() as c:
            self.asleep(server, other, 1)
            self.assertEqual(c.get("/die").status, 502)
            self.assertEqual(other.response().status, 200)
            self.assertEqual(c.get("/").status, 200, "502 does not cost the connection")

    def test_half_an_answer_never_ends_well(self) -> None:
        server = self.app("processes: 1")
        with server.client() as c:
            with self.assertRaises(Closed):
                c.get("/half")


class Raised(Row):
    def test_500_and_the_traceback_with_request_line_and_id(self) -> None:
        server = self.app()
        answer = server.get("/raise?a=1", [("Accept", "text/html")])
        self.assertEqual((answer.status, answer.header("content-type")), (500, "text/html; charset=utf-8"))
        self.assertNotIn(b"LookupError", answer.body)
        server.wait_log("LookupError: no such thing")
        server.wait_log(r'request \d+ "GET /raise\?a=1"')
        server.wait_log(r'app\.py", line \d+, in application')


class Malformed(Row):
    """Each is 400 and a close, and what stands behind it is never answered."""

    BAD: Dict[str, bytes] = {
        "length and coding (9112, 6.1)": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "two lengths (9112, 6.3)": b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "a length that is none (9112, 6.3)": b"Content-Length: +4\r\n\r\nabcd",
        "chunked twice (9112, 6.1)": b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "a chunk size that is none (9112, 7.1)": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        "a blank before the colon (9112, 5.1)": b"X : y\r\n\r\n",
        "a folded line (9112, 5.2)": b"X: y\r\n z\r\n\r\n",
        "a bare CR (9112, 2.2)": b"X: y\rz\r\n\r\n",
        "a second Host (9112, 3.2)": b"Host: b\r\n\r\n",
    }

    def test_400_and_close(self) -> None:
        server = self.app()
        for target in ("/fixed", "/read"):
            for name, bad in self.BAD.items():
                with self.subTest(name=name, target=target), server.client() as c:
                    c.send(f"POST {target} HTTP/1.1\r\nHost: a\r\n".encode() + bad + b"GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n")
                    answers = [c.response()]
                    if "chunk size" in name and target == "/fixed":  # nobody wanted the body: its answer stands, and is the last one
                        self.assertIn(answers[0].status, (200, 400))
                    else:
                        self.assertEqual(answers[0].status, 400)
                        self.assertEqual((answers[0].header("connection") or "").lower(), "close")
                    self.assertEqual(c.rest(), b"")
        self.assertEqual(server.get("/").status, 200)


class Limits(Row):
    LIMITS = "limits: {header: 1k, request_line: 256, body: 1000, header_timeout: 500ms, body_min_rate: 100k}"

    def test_408_of_the_head(self) -> None:
        server = self.app(more=self.LIMITS)
        with server.client() as c:
            c.send(b"GET /fixed HTTP/1.1\r\nHo")
            self.assertEqual(c.response().status, 408)
            self.assertTrue(c.is_closed())

    def test_408_of_the_body(self) -> None:
        server = self.app(more=self.LIMITS)
        with server.client() as c:
            c.send(b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\nab")
            self.assertEqual(c.response().status, 408)
            self.assertTrue(c.is_closed())

    def test_413_414_431(self) -> None:
        server = self.app(more=self.LIMITS)
        for status, request in ((413, b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n"),
                                (413, b"POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024 + b"\r\n"),
                                (414, b"GET /" + b"x" * 300 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
                                (431, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 2000 + b"\r\n\r\n")):
            with self.subTest(status=status), server.client() as c:
                c.send(request)
                self.assertEqual(c.response().status, status)
                self.assertTrue(c.is_closed())


    def test_429(self) -> None:
        server = self.serve("routes: [{path: /, respond: {body: x}, rate_limit: {key: ip, limit: 2, window: 10m}}, {path: /other, respond: {body: y}}]\n")
        with server.client() as c:
            self.assertEqual([c.get("/").status, c.get("/").status], [200, 200])
            answer = c.get("/")
            self.assertEqual(answer.status, 429)
            self.assertRegex(answer.header("retry-after") or "", r"^[1-9]\d*$")
            self.assertEqual(c.get("/other").status, 200, "429 does not cost the connection, nor other routes")


class InFlight(Row):
    def test_too_many_at_once_is_503(self) -> None:
        server = self.app("processes: 2, threads: 2", "limits: {in_flight: 1}\nqueue: {timeout: 300ms}")
        with server.client() as slow, server.client() as c:
            self.asleep(server, slow, 1.5)
            self.assert_busy(c.get("/"))
            self.assertEqual(slow.response().status, 200)
            self.assertEqual(c.get("/").status, 200)


class Expect(Row):
    def test_100_when_the_handler_first_wants_the_body(self) -> None:
        server = self.app()
        with server.client() as c:
            c.send(b"POST /read HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            self.assertEqual(c.response().status, 100)
            server.wait_log("reads")
            c.send(b"body")
            self.assertEqual(c.response().body, b"body")

    def test_no_100_when_nobody_wants_it(self) -> None:
        server = self.app()
        for target in ("/", "/fixed", "/raise"):
            with self.subTest(target=target), server.client() as c:
                c.send(f"POST {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n".encode())
                answer = c.response()
                self.assertEqual(answer.status, 500 if target == "/raise" else 200)
                self.assertEqual((answer.header("connection") or "").lower(), "close", "nobody knows whether the body will come")
                self.assertTrue(c.is_closed())

    def test_no_100_for_what_is_refused(self) -> None:
        server = self.app(more="limits: {body: 1k}")
        for status, head in ((413, "POST /read HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4000\r\n\r\n"),
                             (417, "POST /read HTTP/1.1\r\nHost: a\r\nExpect: the-moon\r\nContent-Length: 4\r\n\r\n")):
            with self.subTest(status=status), server.client() as c:
                c.send(head.encode())
                self.assertEqual(c.response().status, status)
                c.rest()


if __name__ == "__main__":
    harness.main()
