# SPDX-License-Identifier: MIT
"""b_native.py - native apps and `python:` functions: typed parameters, conversions, errors, streams, async; and the same App as a WSGI callable."""
from __future__ import annotations

import threading
import time

import harness
from harness import Closed, Served

APP = '''
import asyncio, threading, time, uuid
from heart import App, Disconnected, HTTPError, JSON, Redirect, Request, Response, abort, log

app = App()
release = threading.Event()
left = []

@app.get("/")
def index(request):
    return {"hello": "world"}

@app.get("/int/{x:int}")
def an_int(request):
    return {"x": request.params["x"], "type": type(request.params["x"]).__name__}

@app.get("/typed/{i:int}/{f:float}/{b:bool}/{u:uuid}/{s:slug}/{r:re([a-c]+)}/{name}/{rest:path}")
def typed(request):
    return {name: [type(value).__name__, str(value)] for name, value in request.params.items()}

@app.get("/file-{n:int}.json")
def mixed(request):
    return request.params

@app.route("/both", methods=["GET", "POST"])
def both(request):
    return request.method

@app.put("/thing")
def put(): return "put"
@app.delete("/thing")
def delete(): return "delete"
@app.patch("/thing")
def patch(): return "patch"
@app.options("/thing")
def options(): return Response("options", headers={"Allow": "everything"})
@app.head("/thing")
def head(): return Response("head", headers={"X-Head": "yes"})

@app.get("/show")
def show(request):
    return {"method": request.method, "path": request.path, "target": request.target.decode(), "query": {k: request.query.getlist(k) for k in request.query}, "x": request.headers.get("X-Thing"),
            "many": request.headers.getlist("x-many"), "cookies": request.cookies, "client": request.client, "host": request.host, "scheme": request.scheme, "root_path": request.root_path, "url": request.url}

@app.post("/json")
def json_(request):
    return {"got": request.json()}

@app.post("/form")
def form(request):
    return {name: request.form.getlist(name) for name in request.form}

@app.post("/text")
def text(request):
    return request.text

@app.post("/body")
def body(request):
    return request.body

@app.post("/chunks")
def chunks(request):
    return [len(piece) for piece in request.chunks(50000)]

@app.get("/returns/{what}")
def returns(request):
    return {"str": "caf\\u00e9", "bytes": b"\\x00\\xff", "list": [1, None], "none": None, "tuple": ("made", 201), "tuple3": ({"a": 1}, 202, {"X-A": "1"}), "response": Response("<p>", 203, {"X-B": "2"}, content_type="text/html"),
            "json": JSON([1], 201), "redirect": Redirect("/there?x=\\u00e9", 307), "iterable": iter(["a", b"b", "\\u00e9"]), "generator": (str(n) for n in range(3)), "number": 42, "set": {1},
            "badheader": Response("x", headers={"X": "a\\r\\nb"}), "surrogate": {"x": "\\ud800"}, "unjson": {"x": object()}, "length": Response(iter(["ab", "c"]), headers={"Content-Length": "3"})}[request.params["what"]]

@app.get("/cookie")
def cookie():
    response = Response("x")
    response.set_cookie("a", "b c", max_age=60, secure=True)
    response.set_cookie("d", "e")
    return response

@app.get("/boom")
def boom():
    raise RuntimeError("boom in a handler")

@app.get("/abort/{status:int}")
def aborts(request):
    abort(request.params["status"], "because", {"X-Why": "yes"})

@app.get("/special")
def special():
    raise KeyError("mine")

@app.get("/broken-error-handler")
def beh():
    raise IndexError("first")

@app.get("/stepwise")
def stepwise():
    release.clear()
    yield "first"
    yield "second" if release.wait(10) else "nobody came"

@app.get("/release")
def dorelease():
    release.set()
    return "ok"

@app.get("/breaks")
def breaks():
    yield "begun"
    raise RuntimeError("broke in the middle")

@app.get("/breaks-at-once")
def breaks_at_once():
    raise RuntimeError("broke at once")
    yield

@app.get("/endless")
def endless():
    try:
        while True:
            yield b"x" * 50000
    finally:
        left.append("endless")

@app.get("/left")
def who_left():
    found, left[:] = list(left), []
    return found

@app.get("/async/{n:int}")
async def asynchronous(request):
    await asyncio.sleep(0.01)
    return {"n": request.params["n"], "thread": threading.current_thread().name}

@app.get("/async-boom")
async def async_boom():
    await asyncio.sleep(0)
    raise RuntimeError("boom in a coroutine")

@app.post("/async-body")
async def async_body(request):
    return str(len(request.body))

@app.get("/async-stream")
async def async_stream():
    async def pieces():
        for n in range(5):
            await asyncio.sleep(0)
            yield f"{n};"
    return Response(pieces(), content_type="text/plain")

@app.get("/async-sleep")
async def async_sleep():
    await asyncio.sleep(0.5)
    return "slept"

@app.get("/async-big")
async def async_big():
    return b"y" * 3_000_000

@app.get("/async-special")
async def async_special():
    raise KeyError("async")

@app.get("/thread")
def thread():
    return threading.current_thread().name

@app.get("/log")
def logs():
    log.info("logged %s", "by heart.log")
    print("printed by a handler")
    return "x"

@app.error(404)
def missing(request):
    return {"missing": request.path}

@app.error(KeyError)
async def key_error(request, error):
    return {"key": str(error)}, 409

@app.error(IndexError)
def index_error(request, error):
    raise ValueError("second")

@app.error(410)
def gone():
    return "gone for good"
'''

HOOKS = '''
from heart import App, Response, abort
app = App()

@app.before
def guard(request):
    request.state["begun"] = True
    if request.query.get("deny"):
        return Response("denied", 403)
    if request.query.get("abort"):
        abort(401)

@app.after
def stamp(request, response):
    response.headers["X-Stamp"] = str(request.state.get("begun"))

@app.get("/")
def index(request):
    return "hooked"

@app.get("/async")
async def a(request):
    return "hooked"
'''

FUNCTIONS = '''
def plain(request):
    return {"id": request.params["id"], "path": request.path}
def nothing():
    return "nothing"
async def later(request):
    return "later"
class K:
    def method(self, request):
        return "method"
k = K()
'''


class Native(Served):
    CONFIG = """
apps:
  api: {heart: "api:app", processes: 1, threads: 4}
  hooked: {heart: "hooked:app", processes: 1}
  aswsgi: {wsgi: "api:app", processes: 1, threads: 4, root_path: /wsgi}
  python: {processes: 1}
routes:
  - {path: "/{rest:path}", app: api}
  - {path: "/hooked/{rest:path}", app: hooked}
  - {path: "/wsgi/{rest:path}", app: aswsgi}
  - {path: "/fn/{id:int}", python: "functions:plain"}
  - {path: "/fn/nothing", python: "functions:nothing", methods: [GET]}
  - {path: "/fn/later", python: "functions:later"}
  - {path: "/fn/method", python: "functions:k.method"}
limits: {body: 30m}
"""
    FILES = {"api.py": APP, "hooked.py": HOOKS, "functions.py": FUNCTIONS}
    UUID = "6f1e6b0a-5a5f-4b6b-9d3c-0123456789ab"

    def both(self):
        """The prefix of the native app, and of the same App under WSGI."""
        for prefix in ("", "/wsgi"):
            yield prefix

    def test_a_dict_is_json(self) -> None:
        for prefix in self.both():
            with self.subTest(prefix=prefix):
                answer = self.get(prefix + "/")
                self.assertEqual((answer.status, answer.body, answer.header("content-type"), answer.header("content-length")), (200, b'{"hello":"world"}', "application/json", "17"))

    def test_typed_parameters(self) -> None:
        for prefix in self.both():
            with self.subTest(prefix=prefix):
                self.assertEqual(self.get(prefix + "/int/-12").json(), {"x": -12, "type": "int"})
                self.assertEqual(self.get(prefix + f"/typed/7/2.5/true/{self.UUID}/a-b/cab/x%20%C3%A9/p/q").json(),
                                 {"i": ["int", "7"], "f": ["float", "2.5"], "b": ["bool", "True"], "u": ["UUID", self.UUID], "s": ["str", "a-b"], "r": ["str", "cab"], "name": ["str", "x \u00e9"],
                                  "rest": ["str", "p/q"]})
                self.assertEqual(self.get(prefix + "/file-9.json").json(), {"n": 9})
                self.assertEqual(self.get(prefix + "/int/x").status, 404)

    def test_methods(self) -> None:
        for prefix in self.both():
            with self.subTest(prefix=prefix):
                for method, text in (("PUT", "put"), ("DELETE", "delete"), ("PATCH", "patch"), ("OPTIONS", "options")):
                    self.assertEqual(self.server.request(method, prefix + "/thing").text, text)
                self.assertEqual(self.server.request("HEAD", prefix + "/thing").header("x-head"), "yes")
                self.assertEqual([self.server.request(method, prefix + "/both").text for method in ("GET", "POST")], ["GET", "POST"])
                answer = self.server.request("DELETE", prefix + "/both")
                self.assertEqual((answer.status, {word.strip() for word in (answer.header("allow") or "").split(",")}), (405, {"GET", "HEAD", "POST", "OPTIONS"}))
                answer = self.server.request("OPTIONS", prefix + "/both")
                self.assertEqual((answer.status, {word.strip() for word in (answer.header("allow") or "").split(",")}), (204, {"GET", "HEAD", "POST", "OPTIONS"}))
                head = self.server.request("HEAD", prefix + "/")
                self.assertEqual((head.status, head.header("content-length")), (200, "17"))

    def test_the_request(self) -> None:
        for prefix in self.both():
            with self.subTest(prefix=prefix):
                found = self.get(prefix + "/show?a=1&a=%202&b=", [("Host", "x.example:8"), ("X-Thing", "caf\u00e9"), ("Cookie", "s=1; t=\"2\"")]).json()
                self.assertEqual((found["method"], found["target"], found["x"]), ("GET", prefix + "/show?a=1&a=%202&b=", "caf\u00e9"))
                self.assertEqual((found["query"], found["cookies"]), ({"a": ["1", " 2"], "b": [""]}, {"s": "1", "t": "2"}))
                self.assertEqual((found["client"], found["host"], found["scheme"]), ("127.0.0.1", "x.example:8", "http"))

    def test_json(self) -> None:
        for prefix in self.both():
            with self.subTest(prefix=prefix):
                self.assertEqual(self.server.request("POST", prefix + "/json", (), '{"a":"\u00e9"}'.encode()).json(), {"got": {"a": "\u00e9"}})
                for bad in (b"", b"{", b"\xff", b"[" * 100000):
                    self.assertEqual(self.server.request("POST", prefix + "/json", (), bad).status, 400)

    def test_form_text_body(self) -> None:
        for prefix in self.both():
            with self.subTest(prefix=prefix):
                form = [("Content-Type", "application/x-www-form-urlencoded")]
                self.assertEqual(self.server.request("POST", prefix + "/form", form, b"a=1&a=%C3%A9+x&b=").json(), {"a": ["1", "\u00e9 x"], "b": [""]})
                self.assertEqual(self.server.request("POST", prefix + "/form", [("Content-Type", "text/plain")], b"a=1").status, 415)
                self.assertEqual(self.server.request("POST", prefix + "/text", [("Content-Type", "text/plain; charset=iso-8859-1")], b"caf\xe9").text, "caf\u00e9")
                self.assertEqual(self.server.request("POST", prefix + "/text", (), b"caf\xe9").status, 400)
                data = bytes(range(256)) * 4000
                self.assertEqual(self.server.request("POST", prefix + "/body", (), data).body, data)
                self.assertEqual(sum(self.server.request("POST", prefix + "/chunks", (), data).json()), len(data))

    def test_what_handlers_return(self) -> None:
        text = "text/plain; charset=utf-8"
        for prefix in self.both():
            for what, status, body, kind in (
                ("str", 200, "caf\u00e9".encode(), text), ("bytes", 200, b"\x00\xff", "application/octet-stream"), ("list", 200, b"[1,null]", "application/json"), ("none", 204, b"", None),
                ("tuple", 201, b"made", text), ("tuple3", 202, b'{"a":1}', "application/json"), ("response", 203, b"<p>", "text/html"), ("json", 201, b"[1]", "application/json"),
                ("redirect", 307, b"", None), ("iterable", 200, "ab\u00e9".encode(), text), ("generator", 200, b"012", text), ("length", 200, b"abc", text), ("surrogate", 200, b'{"x":"\\ud800"}', "application/json"),
            ):
                with self.subTest(prefix=prefix, what=what):
                    answer = self.get(f"{prefix}/returns/{what}")
                    self.assertEqual((answer.status, answer.body, answer.header("content-type")), (status, body, kind))
            self.assertEqual(self.get(prefix + "/returns/redirect").header("location"), "/there?x=%C3%A9")
            self.assertEqual(self.get(prefix + "/returns/length").header("content-length"), "3")
            for what in ("number", "set", "badheader", "unjson"):
                if what == "set":
                    continue  # an iterable: its first piece is no text
                with self.subTest(prefix=prefix, what=what):
                    self.assertEqual(self.get(f"{prefix}/returns/{what}").status, 500)

    def test_cookies(self) -> None:
        cookies = self.get("/cookie").all("set-cookie")
        self.assertEqual(len(cookies), 2)
        for part in ('a="b c"', "Max-Age=60", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"):
            self.assertIn(part, cookies[0])

    def test_errors(self) -> None:
        for prefix in self.both():
            with self.subTest(prefix=prefix):
                self.assertEqual(self.get(prefix + "/abort/403").status, 403)
                self.assertEqual(self.get(prefix + "/abort/403").header("x-why"), "yes")
                self.assertIn("because", self.get(prefix + "/abort/403").text)
                self.assertEqual(self.get(prefix + "/abort/403", [("Accept", "application/json")]).json()["detail"], "because")
                answer = self.get(prefix + "/abort/404")
                self.assertEqual((answer.status, list(answer.json())), (404, ["missing"]))
                answer = self.get(prefix + "/abort/410")
                self.assertEqual((answer.status, answer.text), (410, "gone for good"))
                answer = self.get(prefix + "/special")
                self.assertEqual((answer.status, answer.json()), (409, {"key": "'mine'"}))

    def test_the_apps_404(self) -> None:
        for prefix in self.both():
            answer = self.get(prefix + "/no/such/route")
            self.assertEqual((answer.status, "missing" in answer.json()), (404, True))

    def test_an_exception_is_a_500_with_its_traceback_in_the_log(self) -> None:
        for path, name, text in (("/boom", "boom", "boom in a handler"), ("/async-boom", "async_boom", "boom in a coroutine"), ("/breaks-at-once", "breaks_at_once", "broke at once")):
            with self.subTest(path=path):
                since = len(self.server.log)
                answer = self.get(path)
                self.assertEqual(answer.status, 500)
                self.assertNotIn(b"boom", answer.body)
                self.server.wait_log(f'app api\\[\\d+\\]: request \\d+ "GET {path}": RuntimeError: {text}', since=since)
                self.server.wait_log(f'File ".*api.py", line \\d+, in {name}', since=since)
        since = len(self.server.log)
        self.assertEqual(self.get("/broken-error-handler").status, 500)
        self.server.wait_log("ValueError: second; in an error handler", since=since)

    def test_streams(self) -> None:
        with self.server.client() as c:
            c.send(b"GET /stepwise HTTP/1.1\r\nHost: a\r\n\r\n")
            c.head()
            chunks = c.chunks()
            self.assertEqual(next(chunks), b"first")
            self.assertEqual(self.get("/release").text, "ok")
            self.assertEqual(list(chunks), [b"second"])
            self.assertEqual(c.get("/async-stream").text, "0;1;2;3;4;")
        with self.server.client() as c:
            with self.assertRaises(Closed):
                c.get("/breaks")

    def test_a_client_that_leaves_ends_the_stream(self) -> None:
        with self.server.client() as c:
            c.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            c.head()
            next(c.chunks())
        harness.until("the generator's finally", lambda: "endless" in self.get("/left").json())

    def test_async(self) -> None:
        found = self.get("/async/5").json()
        self.assertEqual((found["n"], found["thread"]), (5, "heart-async"))
        self.assertNotEqual(self.get("/thread").text, "heart-async")
        self.assertEqual(self.server.request("POST", "/async-body", (), b"x" * 300000).text, "300000")
        self.assertEqual(len(self.get("/async-big").body), 3_000_000)
        self.assertEqual(self.get("/async-special").json(), {"key": "'async'"})
        self.assertEqual(self.get("/wsgi/async/5").json()["n"], 5)
        self.assertEqual(self.get("/wsgi/async-stream").text, "0;1;2;3;4;")

    def test_many_coroutines_share_one_pyworker(self) -> None:
        began = time.monotonic()
        results = []
        threads = [threading.Thread(target=lambda: results.append(self.get("/async-sleep").text)) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, ["slept"] * 30)
        self.assertLess(time.monotonic() - began, 10, "30 sleeps of 0.5 s, one after another, take 15 s")

    def test_hooks(self) -> None:
        for path in ("/hooked/", "/hooked/async"):
            with self.subTest(path=path):
                answer = self.get(path)
                self.assertEqual((answer.text, answer.header("x-stamp")), ("hooked", "True"))
                self.assertEqual(self.get(path + "?deny=1").status, 403)
                self.assertEqual(self.get(path + "?abort=1").status, 401)

    def test_functions(self) -> None:
        self.assertEqual(self.get("/fn/7").json(), {"id": 7, "path": "/fn/7"})
        self.assertEqual([self.get("/fn/" + name).text for name in ("nothing", "later", "method")], ["nothing", "later", "method"])
        self.assertEqual(self.server.request("POST", "/fn/nothing", (), b"").status, 405)

    def test_logs(self) -> None:
        since = len(self.server.log)
        self.get("/log")
        self.server.wait_log(r" app api\[\d+\]: INFO heart.app: logged by heart.log", since=since)
        self.server.wait_log(r" app api\[\d+\]: printed by a handler", since=since)

    def test_routes_say_where_they_come_from(self) -> None:
        routes = self.server.ctl("routes").out
        self.assertRegex(routes, r"/int/\{x:int\}.*api\.py:\d+")
        line = APP.split("\n").index('@app.get("/int/{x:int}")') + 1
        self.assertRegex(routes, rf"/int/\{{x:int\}}.*api\.py:{line}\b")


class ErrorPages(harness.Case):
    """What an app says of an error is the app's; where it says nothing but a status, the page is the server's."""

    APP = """
from heart import App, abort
app = App()
@app.get("/boom")
def boom(request): raise RuntimeError("boom")
@app.get("/async-boom")
async def async_boom(request): raise RuntimeError("boom")
@app.get("/abort/{status:int}")
def aborts(request): abort(request.params["status"])
@app.get("/detail")
def detail(request): abort(404, "no such book")
@app.get("/own")
def own(request): return "own", 404
def check(request): abort(402)
"""

    def test_a_bare_status_has_the_page_of_routes_yaml(self) -> None:
        server = self.serve("apps: {app: {heart: 'app:app'}}\nerrors: {404: {body: our 404}, 5xx: {body: our 5xx}}\n"
                            "routes:\n  - {path: '/{rest:path}', app: app}\n  - {path: /asked, respond: {body: in}, auth: {python: 'app:check'}}\n", {"app.py": self.APP})
        for path, status, text in (("/boom", 500, "our 5xx"), ("/async-boom", 500, "our 5xx"), ("/abort/404", 404, "our 404"), ("/abort/503", 503, "our 5xx"),
                                   ("/abort/410", 410, "410 Gone\n"), ("/detail", 404, "404 Not Found: no such book\n"), ("/own", 404, "own"),
                                   ("/asked", 402, "402 Payment Required\n"), ("/nothing", 404, "our 404")):
            with self.subTest(path=path):
                answer = server.get(path)
                self.assertEqual((answer.status, answer.text), (status, text))


if __name__ == "__main__":
    harness.main()
