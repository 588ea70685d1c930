# SPDX-License-Identifier: MIT
"""b_file.py - apps that say which file is to be sent: heart.File, X-Sendfile and X-Accel-Redirect; and File under another WSGI server."""
from __future__ import annotations

import os
import sys
import threading
import wsgiref.simple_server
from typing import Any, Dict

import harness
from a_files import descriptors, parts_of
from harness import BUILD, Client, Served, until

BIG = os.urandom(1 << 16) * 20  # 1.3 MB
NATIVE = '''
import datetime
from heart import App, File, Response, abort

app = App()


@app.get("/movie")
def movie(request):
    return File("media/movie.bin")


@app.get("/named")
async def named(request):
    return File("media/a.txt", filename="Gr\\u00fc\\u00dfe \\"1\\".txt", cache=datetime.timedelta(minutes=1), content_type="text/x-mine", headers={"X-App": "yes"})


@app.get("/inline")
def inline(request):
    return File("media/a.txt", filename="plain.txt", inline=True)


@app.get("/status")
def status(request):
    return File("media/a.txt"), 404


@app.get("/any/{path:path}")
def any_file(request):
    return File(request.query["path"] if "path" in request.query else request.params["path"])


@app.post("/posted")
def posted(request):
    response = File("media/a.txt")
    response.set_cookie("seen", "1")
    return response


@app.error(404)
def missing(request):
    return "nothing here"
'''
WSGI = '''
def application(environ, start_response):
    target, _, rest = environ["PATH_INFO"].partition("?")
    query = dict(part.partition("=")[::2] for part in environ["QUERY_STRING"].split("&") if part)
    headers = [("Content-Type", "text/x-app"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Disposition", "attachment"), ("ETag", '"the app"'), ("X-App", "yes"), ("Content-Length", "5")]
    for name in ("X-Accel-Redirect", "X-Sendfile"):
        if name in query:
            headers.append((name, query[name]))
    start_response(query.get("status", "200") + " Whatever", headers)
    if "empty" in query:
        return [] if query["empty"] == "list" else iter([])
    return iter([b"he", b"llo"]) if "pieces" in query else [b"hello"]
'''
FILES = {
    "native.py": NATIVE, "app.py": WSGI, "media/movie.bin": BIG, "media/a.txt": "abcdefghijklmnopqrstuvwxyz", "media/.hidden": "SECRET", "media/odd name#%.txt": "odd", "secret.txt": "SECRET",
    "far/x": "", "private/a.txt": "internal", "private/sub/index.html": "index", "shared/s.txt": "shared", "public/p.txt": "public", ".env": "SECRET",
}


class Handed(Served):
    CONFIG = """
apps:
  native: {heart: "native:app", processes: 1}
  app: {wsgi: app, processes: 1, files: [media, shared]}
  shut: {wsgi: app, processes: 1, files: []}
  far: {heart: "native:app", path: media/../far/../., files: [private/.., media/../media], processes: 1}
routes:
  - {path: "/n/{rest:path}", app: native}
  - {path: "/w/{rest:path}", app: app}
  - {path: "/far/{rest:path}", app: far}
  - {path: "/shut/{rest:path}", app: shut}
  - {path: "/private/{file:path}", static: {root: private, internal: true, cache: 1h}}
  - {path: "/public/{file:path}", static: {root: public}}
  - {path: "/fixed", respond: {body: "fixed"}}
"""
    FILES = dict(FILES)

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        (cls.server.dir / "media/out").symlink_to("../secret.txt")
        (cls.server.dir / "media/in").symlink_to("a.txt")
        (cls.server.dir / "media/far").symlink_to("/etc/passwd")
        os.mkfifo(cls.server.dir / "media/fifo")

    def ask(self, query: str, **options: Any) -> harness.Answer:
        return self.server.request(options.get("method", "GET"), "/w/x?" + query, options.get("headers", ()), options.get("body"))

    # ---- heart.File ----

    def test_file(self) -> None:
        answer = self.get("/n/movie")
        self.assertEqual((answer.status, answer.body == BIG, answer.header("content-type"), answer.header("accept-ranges")), (200, True, "application/octet-stream", "bytes"))
        self.assertIsNone(answer.header("x-sendfile"))
        tag = answer.header("etag") or ""
        self.assertEqual(self.get("/n/movie", [("If-None-Match", tag)]).status, 304)
        self.assertEqual(self.get("/n/movie", [("If-Match", '"x"')]).status, 412)
        answer = self.get("/n/movie", [("Range", "bytes=10-19")])
        self.assertEqual((answer.status, answer.body), (206, BIG[10:20]))
        self.assertEqual([part[2] for part in parts_of(self.get("/n/movie", [("Range", "bytes=0-9,1000000-1000009")]))], [BIG[:10], BIG[1000000:1000010]])
        self.assertEqual(self.get("/n/movie", [("Range", f"bytes={len(BIG)}-")]).header("content-range"), f"bytes */{len(BIG)}")
        with self.server.client() as c:
            self.assertEqual(c.request("HEAD", "/n/movie").header("content-length"), str(len(BIG)))
            self.assertEqual(c.get("/n/movie").body, BIG)

    def test_what_the_handler_says_goes_along(self) -> None:
        answer = self.get("/n/named")
        self.assertEqual((answer.text, answer.header("content-type"), answer.header("cache-control"), answer.header("x-app")), ("abcdefghijklmnopqrstuvwxyz", "text/x-mine", "max-age=60", "yes"))
        self.assertEqual(answer.header("content-disposition"), "attachment; filename=\"Gr__e _1_.txt\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%221%22.txt")
        self.assertEqual(self.get("/n/inline").header("content-disposition"), 'inline; filename="plain.txt"')
        parts = parts_of(self.get("/n/named", [("Range", "bytes=0-0,2-2")]))
        self.assertEqual([(part[1], part[2]) for part in parts], [("text/x-mine", b"a"), ("text/x-mine", b"c")])
        answer = self.get("/n/status", [("Range", "bytes=0-0"), ("If-None-Match", "*")])
        self.assertEqual((answer.status, answer.text), (404, "abcdefghijklmnopqrstuvwxyz"))
        answer = self.server.request("POST", "/n/posted", [("Range", "bytes=0-0"), ("If-None-Match", "*")], b"x")
        self.assertEqual((answer.status, answer.text, answer.header("set-cookie")), (200, "abcdefghijklmnopqrstuvwxyz", "seen=1; HttpOnly; Path=/; SameSite=Lax"))

    def test_only_what_the_app_may(self) -> None:
        here = str(self.server.dir)
        for path, status in (("media/a.txt", 200), (here + "/media/a.txt", 200), ("media//./a.txt", 200), ("./media/a.txt", 200), ("media/in", 200), ("media/odd%20name%23%25.txt", 200),
                             ("nothing", 404), ("media", 404), ("media/", 404), ("media/far", 404), ("media/fifo", 404), ("media/.hidden", 404), (".env", 404), ("../secret.txt", 404),
                             ("media/../secret.txt", 404), ("/etc/passwd", 404), (here + "/../x", 404), (here + "2/a.txt", 404), ("media/a.txt/x", 404), ("%2e%2e/secret.txt", 404)):
            answer = self.get("/n/any/x?path=" + path)
            self.assertEqual(answer.status, status, path)
            self.assertNotIn(b"SECRET", answer.body)
            self.assertNotIn(b"root:", answer.body)

    def test_folders_that_were_written_with_dots(self) -> None:
        """As they are in routes.yaml, and as the app's own files know them."""
        for path, status in (("media/a.txt", 200), (str(self.server.dir) + "/private/../media/a.txt", 200), (str(self.server.dir) + "/media/../media/a.txt", 200),
                             (str(self.server.dir) + "/media/a.txt", 200), (str(self.server.dir) + "/private/../media/../media/a.txt", 404), (str(self.server.dir) + "/media/../../etc/passwd", 404)):
            answer = self.get("/far/any/x?path=" + path)
            self.assertEqual(answer.status, status, path)
            self.assertNotIn(b"root:", answer.body)

    # ---- X-Sendfile ----

    def test_x_sendfile(self) -> None:
        here = str(self.server.dir)
        for path, status in (("media/a.txt", 200), (here + "/shared/s.txt", 200), ("shared/s.txt", 200), ("app.py", 404), ("secret.txt", 404), (here + "/secret.txt", 404), ("media/out", 404)):
            answer = self.ask("X-Sendfile=" + path)
            self.assertEqual(answer.status, status, path)
            self.assertIsNone(answer.header("x-sendfile"))
            self.assertNotIn(b"SECRET", answer.body)

    def test_no_folder_is_none(self) -> None:
        for path in ("media/a.txt", "app.py", f"{self.server.dir}/media/a.txt"):
            self.assertEqual(self.get("/shut/x?X-Sendfile=" + path).status, 404)
        self.assertEqual(self.get("/shut/x?X-Accel-Redirect=/public/p.txt").text, "public")

    # ---- X-Accel-Redirect ----

    def test_x_accel_redirect(self) -> None:
        for query in ("", "&pieces=1"):
            answer = self.ask("X-Accel-Redirect=/private/a.txt" + query)
            self.assertEqual((answer.status, answer.text, answer.header("content-type"), answer.header("content-length")), (200, "internal", "text/x-app", "8"))
            self.assertEqual((answer.all("set-cookie"), answer.header("content-disposition"), answer.header("x-app")), (["a=1", "b=2"], "attachment", "yes"))
            self.assertEqual((answer.header("cache-control"), answer.header("x-accel-redirect")), ("max-age=3600", None))
            self.assertNotEqual(answer.header("etag"), '"the app"')
        tag = answer.header("etag") or ""
        self.assertEqual(self.ask("X-Accel-Redirect=/private/a.txt", headers=[("If-None-Match", tag)]).status, 304)
        self.assertEqual(self.ask("X-Accel-Redirect=/private/a.txt", headers=[("Range", "bytes=1-2")]).text, "nt")
        self.assertEqual(self.ask("X-Accel-Redirect=/private/a.txt", method="POST", body=b"x").text, "internal")
        self.assertEqual(self.ask("X-Accel-Redirect=/private/a.txt", method="HEAD").header("content-length"), "8")
        answer = self.ask("X-Accel-Redirect=/private/a.txt&status=404")
        self.assertEqual((answer.status, answer.text), (404, "internal"))
        self.assertEqual(self.ask("X-Accel-Redirect=/public/p.txt").text, "public")
        self.assertEqual(self.ask("X-Accel-Redirect=/private/sub/").text, "index")
        self.assertEqual(self.get("/private/a.txt").status, 404)

    def test_statuses_without_a_body(self) -> None:
        """A framework that says 304, or 206 with a part that it chose, beside the name: the first is its answer, the part is cut by heart."""
        for status, length in (("204", None), ("304", None), ("205", "5")):
            for name in ("X-Sendfile=media/a.txt", "X-Accel-Redirect=/private/a.txt"):
                with self.subTest(status=status, name=name), self.server.client() as c:
                    c.send(f"GET /w/x?{name}&status={status} HTTP/1.1\r\nHost: a\r\n\r\nGET /fixed HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                    answer = c.response()
                    self.assertEqual((answer.status, answer.header("content-length"), answer.header("x-app")), (int(status), length, "yes"))
                    self.assertEqual((answer.header("x-sendfile"), answer.header("x-accel-redirect")), (None, None))
                    self.assertEqual(c.response().text, "fixed")
        answer = self.ask("X-Accel-Redirect=/private/a.txt&status=206", headers=[("Range", "bytes=1-2")])
        self.assertEqual((answer.status, answer.text, answer.header("content-range")), (206, "nt", "bytes 1-2/8"))
        answer = self.ask("X-Accel-Redirect=/private/a.txt&status=206", headers=[("Range", "bytes=1-2"), ("If-Range", '"the app"')])
        self.assertEqual((answer.status, answer.text, answer.header("content-range")), (200, "internal", None))

    def test_without_the_body_that_its_length_promises(self) -> None:
        """Flask (send_file with USE_X_SENDFILE) and others give the file's length, and no byte of it."""
        for kind in ("list", "iterator"):
            for name in ("X-Sendfile=media/a.txt", "X-Accel-Redirect=/private/a.txt"):
                with self.subTest(kind=kind, name=name):
                    answer = self.ask(f"{name}&empty={kind}")
                    self.assertEqual((answer.status, answer.text), (200, "abcdefghijklmnopqrstuvwxyz" if "Sendfile" in name else "internal"))
                    self.assertEqual(self.ask(f"{name}&empty={kind}&status=304").status, 304)

    def test_x_accel_redirect_does_not_lead_up(self) -> None:
        self.assertEqual(self.ask("X-Accel-Redirect=/private/..a/../a.txt").status, 404)
        for path in ("/private/../public/p.txt", "/private/sub/%2e%2e/a.txt", "/private/sub/.%2E%2Fa.txt", "/private/sub/..", "/../private/a.txt"):
            with self.subTest(path=path):
                self.assertEqual(self.ask("X-Accel-Redirect=" + path).status, 404)

    def test_x_accel_redirect_to_nothing(self) -> None:
        for path in ("/private/gone", "/private/sub", "/fixed", "/w/x", "/nowhere", "private/a.txt", "/private/../secret.txt", "/private/%2e%2e/secret.txt", "/private/%00", ""):
            answer = self.ask("X-Accel-Redirect=" + path)
            self.assertEqual(answer.status, 404, path)
            self.assertNotIn(b"SECRET", answer.body)
        with self.server.client() as c:
            for _ in range(3):
                self.assertEqual(c.get("/w/x?X-Accel-Redirect=/private/gone").status, 404)
                self.assertEqual(c.get("/w/x?X-Accel-Redirect=/private/a.txt").text, "internal")
                self.assertEqual(c.get("/w/x").text, "hello")


class ElsewhereHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class Elsewhere(harness.Case):
    """The same app under wsgiref: Python does what C did."""

    def setUp(self) -> None:
        import tempfile
        from pathlib import Path

        self.dir = Path(tempfile.mkdtemp(prefix="heart-file-"))
        for name, data in FILES.items():
            path = self.dir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.encode())
        os.mkfifo(self.dir / "media/fifo")
        self.before = os.getcwd()
        os.chdir(self.dir)
        sys.path.insert(0, str(BUILD / "python"))
        space: Dict[str, Any] = {}
        exec(compile(NATIVE, "native.py", "exec"), space)
        self.httpd = wsgiref.simple_server.make_server("127.0.0.1", 0, space["app"], handler_class=ElsewhereHandler)
        self.thread = threading.Thread(target=self.httpd.serve_forever)
        self.thread.start()

    def tearDown(self) -> None:
        import shutil

        self.httpd.shutdown()
        self.thread.join()
        self.httpd.server_close()
        os.chdir(self.before)
        sys.path.remove(str(BUILD / "python"))
        shutil.rmtree(self.dir)

    def get(self, target: str, headers: Any = (), method: str = "GET") -> harness.Answer:
        with Client(("127.0.0.1", self.httpd.server_port)) as c:
            return c.request(method, target, headers, version="1.0")

    def test_file_under_wsgiref(self) -> None:
        answer = self.get("/movie")
        self.assertEqual((answer.status, answer.body == BIG, answer.header("content-type"), answer.header("content-length")), (200, True, "application/octet-stream", str(len(BIG))))
        tag, date = answer.header("etag") or "", answer.header("last-modified") or ""
        for headers, status in (([("If-None-Match", tag)], 304), ([("If-None-Match", "*")], 304), ([("If-None-Match", '"x"')], 200), ([("If-Modified-Since", date)], 304), ([("If-Match", '"x"')], 412),
                                ([("If-Match", tag)], 200), ([("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")], 412), ([("If-Match", "W/" + tag)], 412), ([("If-None-Match", "W/" + tag)], 304),
                                ([("Range", "bytes=0-1"), ("If-Range", tag)], 206), ([("Range", "bytes=0-1"), ("If-Range", '"x"')], 200), ([("Range", "bytes=x")], 200),
                                ([("Range", f"bytes={len(BIG)}-")], 416)):
            answer = self.get("/movie", headers)
            self.assertEqual(answer.status, status, headers)
            if status == 416:
                self.assertEqual(answer.header("content-range"), f"bytes */{len(BIG)}")
        answer = self.get("/movie", [("Range", "bytes=10-19")])
        self.assertEqual((answer.body, answer.header("content-range")), (BIG[10:20], f"bytes 10-19/{len(BIG)}"))
        self.assertEqual([part[2] for part in parts_of(self.get("/movie", [("Range", "bytes=0-9,1000000-1000009,-1")]))], [BIG[:10], BIG[1000000:1000010], BIG[-1:]])
        answer = self.get("/movie", method="HEAD")
        self.assertEqual((answer.header("content-length"), answer.body), (str(len(BIG)), b""))

    def test_the_rest_under_wsgiref(self) -> None:
        answer = self.get("/inline")
        self.assertEqual((answer.text, answer.header("content-type"), answer.header("content-disposition")),
                         ("abcdefghijklmnopqrstuvwxyz", "text/plain; charset=utf-8", 'inline; filename="plain.txt"'))
        self.assertEqual((self.get("/status").status, self.get("/status").text), (404, "abcdefghijklmnopqrstuvwxyz"))
        for path in ("nothing", "media", "../secret.txt", "media/fifo"):
            self.assertEqual(self.get("/any/x?path=" + path).status, 404, path)
        until("no file is left open", lambda: not [name for name in descriptors(os.getpid()) if name.startswith(str(self.dir))])


if __name__ == "__main__":
    harness.main()
