# SPDX-License-Identifier: MIT
"""test_cors.py - app.cors(): what is refused, the table of t/unit/cors.cases (which test_cors.c reads too), and App under WSGI."""
from __future__ import annotations

import json
import os
import pathlib
import unittest
from typing import Any, Dict, List, Optional, Tuple

from heart import App, Response
from heart.cors import Cors, merge_vary

SRC = pathlib.Path(os.environ.get("HEART_SRC", pathlib.Path(__file__).resolve().parents[3]))


def call(app: App, method: str, path: str, **environ: str) -> Tuple[str, List[Tuple[str, str]]]:
    """Status and header fields."""
    said: List[Any] = []
    list(app({"REQUEST_METHOD": method, "PATH_INFO": path, "SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.url_scheme": "http", **environ}, lambda status, headers: said.extend((status, headers))))
    return said[0], said[1]


class Table(unittest.TestCase):
    def test_cases(self) -> None:
        policies: Dict[str, Cors] = {}
        count = 0
        for line in (SRC / "t/unit/cors.cases").read_text().splitlines():
            if line.startswith("#"):
                continue
            cells = [None if cell == "-" else cell for cell in line.split("\t")]
            if cells[0] == "policy":
                policies[cells[1] or ""] = Cors(**json.loads(cells[2] or ""))
                continue
            name, kind, origin, method, headers, private, wanted = cells
            policy = policies[name or ""]
            if kind == "answer":
                fields, varies = policy.fields(origin)
                fields = fields + ([("Vary", "Origin")] if varies else [])
            else:
                fields = policy.preflight(origin or "", method or "", headers, private == "true")
            self.assertEqual("|".join(f"{key}: {value}" for key, value in fields), wanted or "", line)
            count += 1
        self.assertGreater(count, 80)


class Said(unittest.TestCase):
    def test_refused(self) -> None:
        for origins, more in ((["*"], {"credentials": True}), (["example.com"], {}), (["https://example.com/"], {}), (["https://a*.example.com"], {}), (["https://*"], {}), (["*.example.com"], {}),
                              (["https://x.test:0"], {}), (["https://x.test"], {"headers": ["a b"]}), (["https://x.test"], {"methods": [""]}), (["https://x.test"], {"max_age": -1}),
                              (["https://x.test"], {"max_age": 86401}), (["https://x.test"], {"expose": ["a\r\nb"]}), ([f"https://{'a' * 60}.{number}.test" for number in range(600)], {})):
            with self.subTest(origins=origins[:2], more=more), self.assertRaises(ValueError):
                App().cors(origins, **more)  # type: ignore[arg-type]

    def test_what_is_reported(self) -> None:
        app, reports, told = App(), [], []  # type: Tuple[App, List[Any], List[Any]]
        app.report_cors(reports.append, told.append)
        app.cors("https://a.test", max_age=60)
        app.cors(None)
        self.assertEqual(reports, [{}])
        self.assertEqual([said and (said["origins"], said["max_age"]) for said in told], [(["https://a.test"], 60), None])
        for origins, wanted in ((None, None), ("*", ["*"])):
            app = App()
            app.cors(origins)
            app.report_cors(reports.append, told.append)
            self.assertEqual(reports[-1]["cors"] and reports[-1]["cors"]["origins"], wanted)

    def test_one_vary(self) -> None:
        for values, wanted in ((["Accept", "Origin"], "Accept, Origin"), (["origin", "Origin"], "origin"), (["*", "Origin"], "*"), (["Accept, Origin", "Origin"], "Accept, Origin"), ([], "")):
            self.assertEqual(merge_vary(values), wanted)


class UnderWsgi(unittest.TestCase):
    def setUp(self) -> None:
        self.app = App()

        @self.app.post("/x")
        def x() -> Response:
            return Response("x", headers=[("Access-Control-Allow-Origin", "*"), ("Vary", "Accept")])

        self.app.cors("https://a.test", headers="x-a")

    def fields(self, method: str, path: str, **environ: str) -> Tuple[str, Dict[str, Optional[str]]]:
        status, fields = call(self.app, method, path, **environ)
        names = [name.lower() for name, _ in fields]
        self.assertEqual(len(names), len(set(names)), fields)
        return status[:3], dict(fields)  # type: ignore[arg-type]

    def test_answers(self) -> None:
        status, fields = self.fields("POST", "/x", HTTP_ORIGIN="https://a.test")
        self.assertEqual((status, fields["Access-Control-Allow-Origin"], fields["Vary"]), ("200", "https://a.test", "Accept, Origin"))
        status, fields = self.fields("POST", "/x", HTTP_ORIGIN="https://b.test")
        self.assertEqual((status, fields.get("Access-Control-Allow-Origin"), fields["Vary"]), ("200", None, "Accept, Origin"))
        status, fields = self.fields("GET", "/none", HTTP_ORIGIN="https://a.test")
        self.assertEqual((status, fields["Access-Control-Allow-Origin"]), ("404", "https://a.test"))

    def test_preflights(self) -> None:
        asked = {"HTTP_ORIGIN": "https://a.test", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"}
        status, fields = self.fields("OPTIONS", "/x", **asked)
        self.assertEqual((status, fields["Access-Control-Allow-Methods"], fields["Access-Control-Allow-Headers"]), ("204", "POST", "x-a"))
        for path, change, wanted in (("/x", {"HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}, "204"), ("/none", {}, "404")):  # no route would take it: an ordinary OPTIONS
            status, fields = self.fields("OPTIONS", path, **{**asked, **change})
            self.assertEqual((status, "Access-Control-Allow-Methods" in fields), (wanted, False))

    def test_off_and_on(self) -> None:
        self.app.cors(None)
        self.assertEqual(self.fields("POST", "/x", HTTP_ORIGIN="https://b.test")[1]["Access-Control-Allow-Origin"], "*")  # the handler's own
        self.app.cors("*")
        self.assertEqual(self.fields("POST", "/x")[1]["Vary"], "Accept")


if __name__ == "__main__":
    unittest.main()
