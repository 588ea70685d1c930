# SPDX-License-Identifier: MIT
"""n_cors.py - pages of other origins: preflights and answers by routes.yaml, app.cors() at import and while it runs, over workers, restarts and reloads; and the same app under WSGI."""
from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Dict, List, Tuple

import harness
from harness import Answer, Case, Served, Server, until

APP = '''
import sys
from heart import App, Response
app = App()

@app.get("/get")
def get(request):
    return Response("got", headers=[("Access-Control-Allow-Origin", "*"), ("access-control-expose-headers", "X-Own"), ("Vary", "Accept, Origin"), ("X-Own", "1")])

@app.post("/post")
def post(request):
    return request.body

@app.options("/own")
def own_options(request):
    return Response("own", headers={"X-Own": "options"})

@app.put("/own")
def own(request):
    return "put"

@app.get("/on")
def on(request):
    app.cors([request.query["origin"]], methods=["GET", "PUT"], headers=["x-live"], credentials=True)
    return "on"

@app.get("/star")
def star(request):
    app.cors("*")
    return "star"

@app.get("/off")
def off(request):
    app.cors(None)
    return "off"
'''
A, B = "https://a.test", "https://b.test"


def preflight(client: Any, target: str, origin: str = A, method: str = "GET", headers: str = "") -> Answer:
    """Server or Client alike."""
    asked = [("Origin", origin), ("Access-Control-Request-Method", method)] + ([("Access-Control-Request-Headers", headers)] if headers else [])
    answer: Answer = client.request("OPTIONS", target, asked)
    return answer


def cors_of(answer: Answer) -> Dict[str, str]:
    """The CORS fields and Vary; none comes twice."""
    names = [name.lower() for name, _ in answer.headers if name.lower().startswith("access-control-") or name.lower() == "vary"]
    assert len(names) == len(set(names)), answer.headers
    return {name.lower().replace("access-control-", ""): value for name, value in answer.headers if name.lower() in names}


class File(Served):
    CONFIG = """
apps: {api: {heart: "api:app", processes: 1}}
cors: {origins: ["https://a.test", "https://*.example.com", "http://localhost:*"]}
limits: {body: 1k}
routes:
  - {path: "/app/{rest:path}", app: api, cors: {origins: ["https://a.test"], headers: [content-type], expose: [X-Heart], credentials: true, max_age: 10m}}
  - {path: /post, methods: [POST], respond: {body: posted}}
  - {path: /any, respond: {body: any}, cors: {origins: "*", headers: "*"}}
  - {path: /off, respond: {body: off}, cors: {origins: []}}
  - {path: /limited, respond: {body: x}, rate_limit: {key: ip, limit: 1, window: 1h}}
  - {path: /moved, rewrite: /post}
  - {path: /elsewhere, redirect: {to: /post}}
trailing_slash: redirect
"""
    FILES = {"api.py": APP}

    def test_answers(self) -> None:
        for origin, allowed in ((A, True), ("https://x.example.com", True), ("http://localhost:5173", True), ("https://example.com", False), ("https://x.example.com.evil.test", False), ("null", False)):
            answer = self.server.request("POST", "/post", [("Origin", origin)], b"")
            self.assertEqual(cors_of(answer), {**({"allow-origin": origin} if allowed else {}), "vary": "Origin"}, origin)
        self.assertEqual(cors_of(self.server.request("POST", "/post", (), b"")), {"vary": "Origin"})
        self.assertEqual(cors_of(self.get("/any")), {"allow-origin": "*"})
        self.assertEqual(cors_of(self.get("/off", [("Origin", A)])), {})

    def test_errors_and_redirects_have_them_too(self) -> None:
        for target, status, allowed in (("/none", 404, A), ("/post", 405, A), ("/elsewhere", 308, A), ("/any/", 308, "*")):
            answer = self.get(target, [("Origin", A)])
            self.assertEqual((answer.status, cors_of(answer).get("allow-origin")), (status, allowed), target)
        self.assertEqual(cors_of(self.get("/none", [("Origin", A), ("Accept", "text/html")]))["vary"], "Accept, Origin")
        answer = self.server.request("POST", "/app/post", [("Origin", A)], b"x" * 2000)
        self.assertEqual((answer.status, cors_of(answer)["allow-credentials"]), (413, "true"))

    def test_preflights(self) -> None:
        self.assertEqual(cors_of(preflight(self.server, "/app/post", method="POST", headers="Content-Type")),
                         {"allow-origin": A, "allow-credentials": "true", "allow-methods": "POST", "allow-headers": "content-type", "max-age": "600",
                          "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"})
        answer = preflight(self.server, "/post", method="POST")  # a route that has only POST
        self.assertEqual((answer.status, cors_of(answer)["allow-methods"], answer.body, answer.all("content-length")), (204, "POST", b"", []))
        self.assertNotIn("allow-origin", cors_of(preflight(self.server, "/post", origin=B, method="POST")))
        self.assertNotIn("max-age", cors_of(preflight(self.server, "/app/post", method="POST", headers="x-other")))
        self.assertEqual(cors_of(preflight(self.server, "/any", origin=B, method="PUT", headers="x-a,X-B"))["allow-headers"], "x-a, X-B")
        self.assertEqual(cors_of(preflight(self.server, "/moved", method="POST"))["allow-methods"], "POST")

    def test_what_is_no_preflight(self) -> None:
        answer = preflight(self.server, "/post", method="PUT")  # the path does not take it: an ordinary OPTIONS
        self.assertEqual((answer.status, answer.header("allow"), "allow-methods" in cors_of(answer)), (204, "POST, OPTIONS", False))
        self.assertEqual(preflight(self.server, "/none").status, 404)
        answer = self.server.request("OPTIONS", "/post", [("Origin", A)])
        self.assertEqual((answer.status, answer.header("allow")), (204, "POST, OPTIONS"))
        answer = preflight(self.server, "/off")
        self.assertEqual((answer.text, cors_of(answer)), ("off", {}))
        self.assertEqual(self.server.request("OPTIONS", "/app/own").header("x-own"), "options")  # the handler's own is for others than preflights
        self.assertIsNone(preflight(self.server, "/app/own", method="PUT").header("x-own"))

    def test_an_app_says_nothing_beside_the_policy(self) -> None:
        answer = self.get("/app/get", [("Origin", A)])
        self.assertEqual((cors_of(answer), answer.header("x-own")), ({"allow-origin": A, "allow-credentials": "true", "expose-headers": "X-Heart", "vary": "Accept, Origin"}, "1"))
        self.assertEqual(cors_of(self.get("/app/get", [("Origin", B)])), {"vary": "Accept, Origin"})

    def test_before_limits(self) -> None:
        self.assertEqual([self.get("/limited").status for _ in range(2)], [200, 429])
        for _ in range(3):
            self.assertEqual(preflight(self.server, "/limited").status, 204)
        self.assertEqual(cors_of(self.get("/limited", [("Origin", A)]))["allow-origin"], A)

    def test_kept_alive(self) -> None:
        with self.server.client() as c:
            for _ in range(3):
                self.assertEqual(preflight(c, "/app/post", method="POST").status, 204)
                self.assertEqual(c.request("POST", "/app/post", [("Origin", A)], b"x").body, b"x")


class Live(Case):
    CONFIG = """
workers: {processes: 2, loops: 2}
apps: {api: {heart: "api:app", processes: 2}}
cors: {origins: ["https://file.test"]}
routes:
  - {path: "/app/{rest:path}", app: api}
  - {path: /plain, respond: {body: plain}}
"""

    def allowed(self, server: Server, origin: str) -> List[bool]:
        """What 24 connections say, over all workers and loops."""
        said = []
        for _ in range(24):
            with server.client() as c:
                said.append(cors_of(c.get("/app/get", [("Origin", origin)])).get("allow-origin") == origin)
        return said

    def all_say(self, server: Server, origin: str, wanted: bool) -> None:
        until(f"{origin}: {wanted} everywhere", lambda: self.allowed(server, origin) == [wanted] * 24)

    def test_switched_while_it_runs(self) -> None:
        server = self.serve(self.CONFIG, {"api.py": APP})
        self.all_say(server, "https://file.test", True)
        self.assertEqual(server.get(f"/app/on?origin={A}").text, "on")
        self.all_say(server, A, True)
        self.all_say(server, "https://file.test", False)  # what the app says is in the file's place
        self.assertEqual(cors_of(preflight(server, "/app/post", method="POST", headers="x-live"))["allow-headers"], "x-live")
        self.assertEqual(cors_of(server.get("/plain", [("Origin", "https://file.test")]))["allow-origin"], "https://file.test")  # not the app's
        server.get(f"/app/on?origin={B}")
        self.all_say(server, B, True)
        server.get("/app/off")
        self.all_say(server, B, False)
        self.assertEqual(cors_of(server.get("/app/get", [("Origin", B)]))["allow-origin"], "*")  # off: the handler's own fields go out
        server.get("/app/star")
        until("any", lambda: cors_of(server.request("POST", "/app/post", (), b"")) == {"allow-origin": "*"})

    def test_outlives_workers_and_pyworkers_and_ends_with_a_reload(self) -> None:
        server = self.serve(self.CONFIG, {"api.py": APP})
        server.get(f"/app/on?origin={A}")
        self.all_say(server, A, True)
        before = server.workers()
        os.kill(before[0], signal.SIGKILL)
        until("a new worker", lambda: len(server.workers()) == 2 and before[0] not in server.workers())
        self.all_say(server, A, True)
        left = server.pyworkers("api")
        os.kill(left[0], signal.SIGKILL)
        until("a new pyworker", lambda: len(server.pyworkers("api")) == 2 and left[0] not in server.pyworkers("api"))
        self.all_say(server, A, True)
        server.reload()
        self.all_say(server, A, False)
        self.all_say(server, "https://file.test", True)

    def test_said_at_import(self) -> None:
        server = self.serve(self.CONFIG, {"api.py": APP + f"\napp.cors('{A}')\n"})
        self.all_say(server, A, True)
        self.all_say(server, "https://file.test", False)
        server.get("/app/off")
        self.all_say(server, A, False)
        server.reload()  # the code's word again
        self.all_say(server, A, True)
        server.write("api.py", APP + "\napp.cors(None)\n")
        server.reload()
        self.all_say(server, A, False)
        self.all_say(server, "https://file.test", False)
        server.write("api.py", APP)
        server.reload()
        self.all_say(server, "https://file.test", True)

    def test_refused_by_the_app(self) -> None:
        server = self.serve(self.CONFIG, {"api.py": APP})
        self.assertEqual(server.get("/app/on?origin=nonsense").status, 500)
        self.all_say(server, "https://file.test", True)
        broken = APP.replace("app = App()", "app = App()\napp.cors('*', credentials=True)")
        server.write("api.py", broken)
        self.assertIn("credentials", server.reload(expect=1).out + "\n".join(server.log))
        self.all_say(server, "https://file.test", True)

    def test_switched_under_load(self) -> None:
        server = self.serve(self.CONFIG, {"api.py": APP})
        stop = threading.Event()

        def switch() -> None:
            turn = 0
            while not stop.is_set():
                server.get(("/app/off", f"/app/on?origin={A}", "/app/star")[turn % 3])
                turn += 1

        switching = threading.Thread(target=switch)
        with harness.Load(server, "/app/get", threads=3) as load:
            switching.start()
            load.wait(1500)
            stop.set()
            switching.join()
        self.assertEqual(load.failures, [])


class UnderWsgi(Case):
    """The same App, by heart and by a WSGI call: the same CORS fields."""

    ASKED: Tuple[Tuple[str, str, str, str, str], ...] = tuple(
        (method, path, origin, asked, headers)
        for path in ("/get", "/post", "/own", "/none") for origin in (A, B, "https://x.wild.test", "null", "")
        for method, asked, headers in (("GET", "", ""), ("POST", "", ""), ("OPTIONS", "GET", ""), ("OPTIONS", "POST", "X-Live"), ("OPTIONS", "PUT", "x-other, x-live")))

    def test_the_same(self) -> None:
        for said in (f"'{A}', 'https://*.wild.test'], headers=['x-live'], expose=['X-Own'], credentials=True, max_age=60", "'*'], headers=['*'], methods=['GET', 'PUT']"):
            code = APP + f"\napp.cors([{said})\n@app.error(404)\ndef missing():\n    return 'missing'\n"
            server = self.serve('apps: {api: {heart: "api:app", processes: 1}}\nroutes: []\n', {"api.py": code})
            app = self.load(code)
            for method, path, origin, asked, headers in self.ASKED:
                fields = [(name, value) for name, value in (("Origin", origin), ("Access-Control-Request-Method", asked), ("Access-Control-Request-Headers", headers)) if value]
                by_heart = server.request(method, path, fields, b"" if method == "POST" else None)
                status, by_wsgi = self.call(app, method, path, fields)
                if by_heart.status == 405:  # heart's own pages vary by Accept
                    by_wsgi["vary"] = ", ".join(["Accept", *filter(None, [by_wsgi.get("vary")])])
                self.assertEqual((by_heart.status, cors_of(by_heart)), (status, by_wsgi), (method, path, fields))
            server.finish()

    def load(self, code: str) -> Any:
        sys.path.insert(0, os.environ.get("HEART_PYTHONPATH", str(Path(os.environ["HEART_BUILD"]) / "python")))
        self.addCleanup(sys.path.pop, 0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "api_of_test.py"
            path.write_text(code)
            spec = importlib.util.spec_from_file_location("api_of_test", path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        return module.app

    def call(self, app: Any, method: str, path: str, fields: List[Tuple[str, str]]) -> Tuple[int, Dict[str, str]]:
        import io

        said: List[Any] = []
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "SERVER_NAME": "localhost", "SERVER_PORT": "80", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "0"}
        environ.update({"HTTP_" + re.sub("-", "_", name.upper()): value for name, value in fields})
        list(app(environ, lambda status, headers: said.extend((status, headers))))
        return int(said[0][:3]), cors_of(Answer(0, [(name.lower(), value) for name, value in said[1]], b"", "", b""))


if __name__ == "__main__":
    harness.main()
