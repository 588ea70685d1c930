# SPDX-License-Identifier: MIT
"""test_routing.py - selectors and conditions of decorators: what is refused, who wins, and where a decorator stands."""
from __future__ import annotations

import os
import tempfile
import unittest
from typing import Any, Dict

from heart import App
from heart.pyworker import place_of
from heart.routing import Asked, Matcher, PatternError, check_pattern, check_when, split_selector


class Selectors(unittest.TestCase):
    def test_split(self) -> None:
        for text, wanted in (("/x", ("", "/x")), ("127.0.0.1::/debug", ("127.0.0.1::", "/debug")), (":::example.com:/info", (":::example.com", "/info")), (":8080::/x", (":8080::", "/x")),
                             ("[::1]:8000::/v1/{slug:str}", ("[::1]:8000::", "/v1/{slug:str}")), ("127.0.0.1:80::*.x:~^/a$", ("127.0.0.1:80::*.x", "~^/a$")), ("/a::b:/c", ("", "/a::b:/c")), ("a/b", ("", "a/b"))):
            self.assertEqual(split_selector(text), wanted, text)

    def test_refused(self) -> None:
        for text in ("127.0.0.1:/x", "x::/y", "a/b", ":99999::/x", ":0::/x", ":::*.:/x", ":::a.*:/x", ":::a.:/x", "300.0.0.1::/x", "::"):
            with self.subTest(text=text), self.assertRaises(PatternError):
                check_pattern(text)

    def test_the_most_specific_wins(self) -> None:
        paths = ("/x", ":::*.example.com:/x", ":::*.a.example.com:/x", ":::www.example.com:/x", ":8080::/x", "127.0.0.1::/x", "127.0.0.1:8080::/x")
        matcher = Matcher([(path, ("GET",)) for path in paths])
        for address, port, host, winner in (("10.0.0.1", 80, "localhost", 0), ("10.0.0.1", 80, "b.example.com", 1), ("10.0.0.1", 80, "b.a.example.com:80", 2), ("10.0.0.1", 80, "WWW.example.com", 3),
                                            ("10.0.0.1", 8080, "www.example.com", 4), ("127.0.0.1", 80, "www.example.com", 5), ("::ffff:127.0.0.1", 8080, "x", 6), ("0.0.0.0", 80, "example.com", 0)):
            asked = Asked({"SERVER_NAME": address, "SERVER_PORT": str(port), "HTTP_HOST": host})
            self.assertEqual(matcher.match("/x", "GET", asked).route, winner, (address, port, host))

    def test_a_route_of_another_host_is_not_in_allow(self) -> None:
        matcher = Matcher([(":::a.example:/x", ("PUT",)), ("/x", ("POST",))])
        self.assertEqual(matcher.match("/x", "GET", Asked({"HTTP_HOST": "b.example"})).allow, ("POST",))


class Conditions(unittest.TestCase):
    def test_refused(self) -> None:
        for when in ({}, {"scheme": "ftp"}, {"source": "10.0.0.1/8"}, {"source": []}, {"headers": {}}, {"headers": "x"}, {"header": {"x": "1"}}):
            with self.subTest(when=when), self.assertRaises(PatternError):
                check_when(when)
        self.assertEqual(check_when(None), {})

    def test_they_hold(self) -> None:
        environ = {"wsgi.url_scheme": "https", "REMOTE_ADDR": "10.1.2.3", "HTTP_X_API": "2", "CONTENT_TYPE": "text/plain", "QUERY_STRING": "a=1&b=%20c&a=2&d", "HTTP_COOKIE": 'k=v; q="w"'}
        cases: Dict[bool, Any] = {
            True: ({"scheme": "https"}, {"source": "10.0.0.0/8"}, {"source": ["fd00::/8", "10.1.2.3"]}, {"headers": {"X-Api": 2}}, {"headers": {"x-api": "*", "content-type": "text/plain"}},
                   {"query": {"a": "1", "b": " c", "d": ""}}, {"cookies": {"k": "v", "q": "w"}}),
            False: ({"scheme": "http"}, {"source": "11.0.0.0/8"}, {"headers": {"x-api": "3"}}, {"headers": {"x-none": "*"}}, {"query": {"a": "2"}}, {"query": {"e": "*"}}, {"cookies": {"k": "w"}},
                    {"scheme": "https", "cookies": {"x": "*"}}),
        }
        for wanted, whens in cases.items():
            for when in whens:
                self.assertEqual(Asked(environ).fulfils(check_when(when)), wanted, when)

    def test_more_of_them_go_first_and_what_fails_is_not_there(self) -> None:
        matcher = Matcher([("/x", ("GET",)), ("/x", ("GET",), {"headers": {"a": "1"}}), ("/x", ("GET",), {"headers": {"a": "1", "b": "1"}}), ("/y", ("PUT",), {"headers": {"a": "1"}})])
        self.assertEqual([matcher.match("/x", "GET", Asked(environ)).route for environ in ({}, {"HTTP_A": "1"}, {"HTTP_A": "1", "HTTP_B": "1"}, {"HTTP_B": "1"})], [0, 1, 2, 0])
        self.assertEqual((matcher.match("/y", "GET", Asked({})).allow, matcher.match("/y", "GET", Asked({"HTTP_A": "1"})).allow), ((), ("PUT",)))


class Places(unittest.TestCase):
    SOURCE = ('from heart import App\napp = App()\n\n\n@app.get("/one")\ndef one(): pass\n\n\n@app.post(\n    \'127.0.0.1::/two\',\n    when={"scheme": "https"},\n)\ndef two(): pass\n\n\n'
              'def make(number):\n    app.get(f"/made/{number}")(lambda: number)\n\n\nmake(3)\n@app.put("/é/" "x")\n@app.route("/é")\ndef both(): pass\n')

    def test_file_line_column_and_text(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "placed.py")
            with open(path, "w", encoding="utf-8") as file:
                file.write(self.SOURCE)
            names: Dict[str, Any] = {}
            with open(path, encoding="utf-8") as file:
                exec(compile(file.read(), path, "exec"), names)
            places = {route.path: place_of(route) for route in names["app"].routes}
        self.assertEqual(places["/one"], {"file": path, "line": 5, "column": 11, "length": 4, "text": '@app.get("/one")'})
        self.assertEqual(places["127.0.0.1::/two"], {"file": path, "line": 10, "column": 6, "length": 15, "text": "    '127.0.0.1::/two',"})
        self.assertEqual(places["/made/3"], {"file": path, "line": 17, "column": 5, "length": 42, "text": '    app.get(f"/made/{number}")(lambda: number)'})
        self.assertEqual((places["/é"]["line"], places["/é"]["column"], places["/é"]["length"]), (22, 13, 3))
        self.assertEqual((places["/é/x"]["line"], places["/é/x"]["column"]), (21, 1))

    def test_what_has_no_file(self) -> None:
        app = App()
        exec(compile("app.get('/x')(len)", "<string>", "exec"), {"app": app})
        self.assertEqual(place_of(app.routes[0]), {"file": "", "line": 0})


if __name__ == "__main__":
    unittest.main()
