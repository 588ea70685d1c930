# SPDX-License-Identifier: MIT
"""test_package.py - the parts of the package `heart` that need no server: routes, stale code, headers, conversions."""
from __future__ import annotations

import os
import py_compile
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import heart
from heart import reloading
from heart.app import endpoint_of
from heart.datastructures import Headers, MultiDict
from heart.logs import request_line
from heart.response import error_page, make_response
from heart.routing import Matcher, PatternError, check_pattern

PACKAGE = str(Path(heart.__file__).parents[1])


class Routes(unittest.TestCase):
    PATHS = ("/{a}", "/{a:int}", "/{a:slug}", "/new", "/f-{a:int}.json", "/f-{a}", "/{rest:path}", r"~^/v(?<m>\d+)/x$", "/u/{x:re([a-z]{2})}", "/u/{x}", "/x/{a}/y", "/x/{a:int}/{b}")

    def test_the_most_specific_wins(self) -> None:
        matcher = Matcher([(path, ("GET",)) for path in self.PATHS])
        for path, winner, params in (("/7", "/{a:int}", {"a": 7}), ("/new", "/new", {}), ("/ab", "/{a:slug}", {"a": "ab"}), ("/a.b", "/{a}", {"a": "a.b"}), ("/f-12.json", "/f-{a:int}.json", {"a": 12}),
                                     ("/f-x.json", "/f-{a}", {"a": "x.json"}), ("/", "/{rest:path}", {"rest": ""}), ("/q/r", "/{rest:path}", {"rest": "q/r"}), ("/u/ab", self.PATHS[8], {"x": "ab"}),
                                     ("/u/abc", "/u/{x}", {"x": "abc"}), ("/x/7/y", "/x/{a:int}/{b}", {"a": 7, "b": "y"}), ("/x/z/y", "/x/{a}/y", {"a": "z"})):
            with self.subTest(path=path):
                found = matcher.match(path, "GET")
                self.assertIsNotNone(found.route)
                self.assertEqual((self.PATHS[found.route or 0], found.params), (winner, params))

    def test_regexes_come_last(self) -> None:
        matcher = Matcher([("~^/v(?<m>[0-9]+)$", ("GET",)), ("/v{n:int}", ("GET",))])
        self.assertEqual(matcher.match("/v7", "GET").route, 1)
        self.assertEqual(Matcher([("~^/v(?<m>[0-9]+)$", ("GET",))]).match("/v7", "HEAD").params, {"m": "7"})

    def test_methods(self) -> None:
        matcher = Matcher([("/a", ("GET",)), ("/{x}", ("POST",))])
        self.assertEqual(matcher.match("/a", "POST").route, 1)
        self.assertEqual((matcher.match("/a", "DELETE").route, set(matcher.match("/a", "DELETE").allow)), (None, {"GET", "POST"}))
        self.assertEqual(matcher.match("/a/b", "GET").allow, ())

    def test_bad_patterns(self) -> None:
        for path in ("a", "", "/{a", "/{a:nope}", "/{a}{b}", "/{a:path}/x", "/{a}/{a}", "/{1}", "/{a:re()", "/{a:re([)}"):
            with self.subTest(path=path):
                self.assertRaises(PatternError, check_pattern, path)

    def test_registering(self) -> None:
        app = heart.App()
        self.assertRaises(ValueError, app.route, "/", methods=["GETT"])
        self.assertRaises(ValueError, app.route, "/", methods=[])
        self.assertRaises(TypeError, app.get("/"), 42)
        self.assertRaises(ValueError, app.error, 200)
        self.assertRaises(TypeError, app.error, "404")

        @app.get("/x")
        def handler() -> str:
            return "x"

        self.assertEqual((app.routes[0].methods, app.routes[0].endpoint.name, app.routes[0].endpoint.file), (("GET",), "handler", __file__))
        self.assertEqual(app.routes[0].endpoint.call(None), "x")  # type: ignore[arg-type]
        self.assertEqual(handler(), "x", "the decorator leaves the function alone")

    def test_async_handlers_are_seen(self) -> None:
        class Handler:
            async def __call__(self, request: object) -> None: ...

        async def plain(request: object) -> None: ...

        self.assertEqual([endpoint_of(one).is_async for one in (plain, Handler(), lambda request: None)], [True, True, False])


class StaleCode(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.source = self.folder / "mod_stale.py"

    def run_fresh(self, code: str) -> str:
        program = f"import sys; sys.path[:0] = [{str(self.folder)!r}, {PACKAGE!r}]\nfrom heart import reloading\nreloading.install()\n{code}"
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, universal_newlines=True, env=env).stdout.strip()

    def stamp(self, path: Path, seconds: float) -> None:
        os.utime(path, ns=(int(seconds * 1e9), int(seconds * 1e9)))

    def test_bytecode_of_the_same_second_is_not_trusted(self) -> None:
        second = int(time.time()) - 100
        self.source.write_text("V = 1\n")
        self.stamp(self.source, second + 0.2)
        cached = Path(py_compile.compile(str(self.source)) or "")
        self.stamp(cached, second + 0.4)
        self.source.write_text("V = 2\n")  # the same length, the same second: the .pyc's header still fits
        self.stamp(self.source, second + 0.6)
        self.assertEqual(self.run_fresh("import mod_stale; print(mod_stale.V)"), "2")

    def test_older_bytecode_is_used(self) -> None:
        second = int(time.time()) - 100
        self.source.write_text("V = 1\n")
        self.stamp(self.source, second)
        py_compile.compile(str(self.source))
        self.source.write_text("V = 2\n")
        self.stamp(self.source, second)
        self.assertEqual(self.run_fresh("import mod_stale; print(mod_stale.V)"), "1", "else every import would compile")

    def test_no_bytecode_is_written(self) -> None:
        self.source.write_text("V = 1\n")
        self.run_fresh("import mod_stale")
        self.assertFalse((self.folder / "__pycache__").exists())

    def test_snapshot(self) -> None:
        self.source.write_text("V = 1\n")
        self.stamp(self.source, time.time() - 10)
        check = "import os, time, mod_stale\np = mod_stale.__file__\ns = reloading.Snapshot()\n"
        for change, expected in (("pass", "False"), ("open(p, 'w').write('V = 2')", "True"), ("os.unlink(p)", "True"), ("os.utime(p)", "True"),
                                 ("os.utime(p, ns=(os.stat(p).st_atime_ns, os.stat(p).st_mtime_ns + 1))", "True"), ("q = p + 'x'; open(q, 'w').write('V = 1\\n'); os.replace(q, p)", "True")):
            with self.subTest(change=change):
                self.source.write_text("V = 1\n")
                self.stamp(self.source, time.time() - 10)
                found = self.run_fresh(f"{check}{change}\nprint(p in s.changed(100)[1])")
                self.assertEqual(found, expected)

    def test_what_was_written_while_the_app_was_imported_counts_as_changed(self) -> None:
        self.source.write_text("V = 1\n")
        self.assertEqual(self.run_fresh("import os, mod_stale\nos.utime(mod_stale.__file__)\ns = reloading.Snapshot()\nprint(mod_stale.__file__ in s.changed(100)[1])"), "True")

    def test_a_later_import_is_watched(self) -> None:
        self.source.write_text("V = 1\n")
        self.stamp(self.source, time.time() - 10)
        code = "import os\ns = reloading.Snapshot()\nimport mod_stale\np = mod_stale.__file__\na = p in s.changed(100)[1]\nos.utime(p)\nprint(a, p in s.changed(100)[1])"
        self.assertEqual(self.run_fresh(code), "False True")

    def test_pythons_own_modules_are_not_watched(self) -> None:
        self.assertFalse([path for path in reloading._module_files() if path.startswith(os.path.dirname(os.__file__)) and "-packages" not in path])


class LogLines(unittest.TestCase):
    def test_a_request_line_is_quoted_and_cut(self) -> None:
        self.assertEqual(request_line("GET", b"/a\n\xff"), '"GET /a\\n\\u00ff"')
        self.assertEqual(len(request_line("GET", b"/" + b"x" * 8000)), 512 + len('"..."'))


class Values(unittest.TestCase):
    def test_headers(self) -> None:
        headers = Headers([("A", "1"), ("b", "2"), ("a", "3")])
        self.assertEqual((headers["a"], headers.getlist("A"), headers.get("c"), "B" in headers, list(headers)), ("1", ["1", "3"], None, True, ["a", "b"]))
        headers["A"] = "9"
        self.assertEqual(headers.items(), [("b", "2"), ("A", "9")])
        self.assertRaises(KeyError, headers.__getitem__, "x")

    def test_multidict(self) -> None:
        found = MultiDict([("a", "1"), ("a", "2"), ("b", "")])
        self.assertEqual((found["a"], found.getlist("a"), dict(found), len(found), found.get("c")), ("1", ["1", "2"], {"a": "1", "b": ""}, 2, None))

    def test_conversions(self) -> None:
        for value in (42, 1.5, object(), ("x",), ("x", "200"), (1, 200)):
            with self.subTest(value=value):
                self.assertRaises(TypeError, make_response, value)
        self.assertRaises(ValueError, make_response, ("x", 99))
        self.assertRaises(ValueError, heart.Response, "", 700)
        self.assertRaises(ValueError, heart.Redirect, "/", 200)
        self.assertRaises(ValueError, heart.HTTPError, 200)

    def test_error_pages_escape(self) -> None:
        page = error_page(400, "<script>", "text/html")
        self.assertNotIn(b"<script>", page.body)  # type: ignore[arg-type]

    def test_redirects_encode(self) -> None:
        self.assertEqual(heart.Redirect("/a b\r\nX: y\u00e9").headers["location"], "/a%20b%0D%0AX:%20y%C3%A9")

    def test_cookies(self) -> None:
        response = heart.Response("x")
        self.assertRaises(ValueError, response.set_cookie, "a b", "x")
        self.assertRaises(ValueError, response.set_cookie, "a", "x;y\r\n")  # whatever this Python's http.cookies does
        self.assertRaises(ValueError, response.set_cookie, "a", "x", path="/\n")
        self.assertRaises(ValueError, response.set_cookie, "a", "x", domain="b\x7f")
        self.assertNotIn("set-cookie", response.headers)
        response.set_cookie("a", "x;y")
        self.assertIn('a="x\\073y"', response.headers["set-cookie"])


if __name__ == "__main__":
    unittest.main()
