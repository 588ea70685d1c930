# SPDX-License-Identifier: MIT
"""j_forms.py - forms and uploads from the wire to a handler: native (with and without async), the demo's example, Flask and Django through WSGI."""
from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
from typing import Tuple

import harness
from harness import Answer, Case, Served

APP = '''
import asyncio, hashlib, os
from heart import App, FormLimits, HTTPError

app = App(form_limits=FormLimits(files=20, fields=50))

def told(request):
    files = []
    for upload in [one for name in request.files for one in request.files.getlist(name)]:
        digest = hashlib.sha256()
        for piece in upload:
            digest.update(piece)
        files.append([upload.name, upload.filename, upload.content_type, upload.size, upload.on_disk, digest.hexdigest()])
    return {"form": request.form.pairs(), "files": files, "fds": len(os.listdir("/proc/self/fd"))}

@app.post("/up")
def up(request):
    return told(request)

@app.post("/async")
async def async_up(request):
    await asyncio.sleep(0)
    return told(request)

@app.post("/sizes")
def sizes(request):
    return {f.name: f.size for f in request.files.values()}

@app.post("/body")
async def body(request):
    return {"bytes": len(request.body)}

@app.post("/tight")
def tight(request):
    request.form_limits = FormLimits(fields=2)
    return request.form.pairs()

@app.post("/fails")
def fails(request):
    request.files
    raise HTTPError(418)

@app.post("/stream")
def stream(request):
    upload = request.files["f"]
    return iter(upload)

@app.get("/fds")
def fds():
    return {"fds": len(os.listdir("/proc/self/fd"))}

@app.error(413)
def too_long(request, error):
    return {"sorry": error.detail}
'''
FLASK = '''
import hashlib
from flask import Flask, request
application = Flask(__name__)

@application.post("/up")
def up():
    upload = request.files["f"]
    content = upload.read()
    return {"a": request.form.getlist("a"), "name": upload.filename, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "length": request.content_length}
'''
DJANGO = '''
import hashlib
from django.conf import settings
settings.configure(SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[])
import django
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

def up(request):
    upload = request.FILES["f"]
    digest = hashlib.sha256()
    for piece in upload.chunks():
        digest.update(piece)
    return JsonResponse({"a": request.POST.getlist("a"), "name": upload.name, "bytes": upload.size, "sha256": digest.hexdigest(), "length": int(request.META["CONTENT_LENGTH"])})

urlpatterns = [path("up", up)]
application = get_wsgi_application()
'''
MB = 1 << 20
Part = Tuple[str, bytes]


def multipart(*parts: Part, boundary: str = "----geckoformboundary7") -> Tuple[bytes, str]:
    """parts: what stands behind form-data; in Content-Disposition (more lines after a line break), and the content."""
    body = b"".join(f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts)
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def chunked(body: bytes, piece: int = 9000) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(body[at : at + piece]), body[at : at + piece]) for at in range(0, len(body), piece)) + b"0\r\n\r\n"


def anonymous_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return [int(line.split()[1]) for line in status if line.startswith("RssAnon")][0]


class Forms(Served):
    CONFIG = "workers: {processes: 1}\nlimits: {body: 64m}\napps: {app: {heart: 'app:app', processes: 1}}\nroutes: [{path: '/{rest:path}', app: app}]\n"
    FILES = {"app.py": APP}

    def post(self, path: str, body: bytes, content_type: str) -> Answer:
        return self.server.request("POST", path, [("Content-Type", content_type)], body)

    def test_fields_and_files(self) -> None:
        big = os.urandom(200_000)
        body, content_type = multipart(('name="a"', b"1"), ('name="a"', "é\r\n".encode()), ('name="f"; filename="x.txt"\r\nContent-Type: text/plain', b"short"),
                                       ('name="g"; filename="a%22b.bin"\r\nContent-Type: application/octet-stream', big), ('name="none"; filename=""', b""))
        for path in ("/up", "/async"):
            told = self.post(path, body, content_type).json()
            self.assertEqual(told["form"], [["a", "1"], ["a", "é\r\n"]])
            self.assertEqual(told["files"], [["f", "x.txt", "text/plain", 5, False, digest(b"short")], ["g", 'a"b.bin', "application/octet-stream", len(big), True, digest(big)]])
        self.assertEqual(self.post("/sizes", body, content_type).json(), {"f": 5, "g": len(big)})

    def test_urlencoded(self) -> None:
        for path in ("/up", "/async"):
            told = self.post(path, b"a=1&a=2&b=%E2%82%AC+x", "application/x-www-form-urlencoded").json()
            self.assertEqual((told["form"], told["files"]), ([["a", "1"], ["a", "2"], ["b", "€ x"]], []))

    def test_curl(self) -> None:
        big = os.urandom(3 * MB)
        self.server.write("big.bin", big)
        self.server.write("small.txt", "hello")
        ran = subprocess.run(["curl", "-sS", "-F", "a=1", "-F", 'odd"name=x', "-F", f"f=@{self.server.dir}/big.bin", "-F", f"f=@{self.server.dir}/small.txt;type=text/x-test;filename=o\"dd.txt",
                              f"http://127.0.0.1:{self.server.address[1]}/up"], stdout=subprocess.PIPE, timeout=harness.PATIENCE_S)
        told = json.loads(ran.stdout)
        self.assertEqual(told["form"], [["a", "1"], ['odd"name', "x"]])
        self.assertEqual(told["files"], [["f", "big.bin", "application/octet-stream", len(big), True, digest(big)], ["f", 'o"dd.txt', "text/x-test", 5, False, digest(b"hello")]])

    def test_twenty_megabytes_in_bounded_memory(self) -> None:
        content = os.urandom(20 * MB)
        body, content_type = multipart(('name="f"; filename="x"', content))
        for path in ("/up", "/async"):
            told = self.post(path, body, content_type).json()
            self.assertEqual(told["files"], [["f", "x", "", len(content), True, digest(content)]])
        with self.server.client() as c:
            c.send(f"POST /up HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunked(body, 100_000))
            self.assertEqual(c.response().json()["files"][0][5], digest(content))
        for pid in self.server.workers() + self.server.pyworkers("app"):
            self.assertLess(anonymous_kib(pid), 400_000 if harness.SANITIZED else 30_000)

    def test_files_go_with_the_request(self) -> None:
        body, content_type = multipart(*[(f'name="f{number}"; filename="x"', b"x" * 100_000) for number in range(10)])
        for path, status in (("/up", 200), ("/async", 200), ("/fails", 418)):
            before = self.server.get("/fds").json()["fds"]
            for _ in range(3):
                self.assertEqual(self.post(path, body, content_type).status, status)
            harness.until("they are closed", lambda: self.server.get("/fds").json()["fds"] == before)
        content = b"streamed" * 50_000
        answer = self.post("/stream", *multipart(('name="f"; filename="x"', content)))
        self.assertEqual(digest(answer.body), digest(content), "an answer may stream the file")

    def test_what_is_no_form(self) -> None:
        good, content_type = multipart(('name="a"', b"1"))
        nested, _ = multipart(('name="a"\r\nContent-Type: multipart/mixed; boundary=x', b""))
        for path in ("/up", "/async"):
            for body, kind, status in ((good[:-10], content_type, 400), (good, "multipart/form-data", 400), (good, "multipart/form-data; boundary=" + "x" * 71, 400), (nested, content_type, 400),
                                       (good + b"x" * 2000, content_type, 400), (b"{}", "application/json", 415), (good, content_type + "; boundary=y", 400)):
                with self.subTest(path=path, kind=kind[:60]):
                    self.assertEqual(self.post(path, body, kind).status, status)

    def test_limits(self) -> None:
        many, content_type = multipart(*[(f'name="a{number}"', b"1") for number in range(51)])
        self.assertEqual(self.post("/up", many, content_type).status, 400)
        self.assertEqual(self.post("/up", b"&".join([b"a=1"] * 51), "application/x-www-form-urlencoded").status, 400)
        self.assertEqual(self.post("/up", *multipart(*[(f'name="a"; filename="{number}"', b"1") for number in range(21)])).status, 400)
        self.assertEqual(self.post("/tight", b"a=1&b=2&c=3", "application/x-www-form-urlencoded").status, 400)
        self.assertEqual(self.post("/tight", b"a=1&b=2", "application/x-www-form-urlencoded").json(), [["a", "1"], ["b", "2"]])
        answer = self.post("/up", *multipart(('name="a"', b"x" * 600_000)))
        self.assertEqual(answer.json(), {"sorry": "a field of the form is too long"})
        self.assertEqual(answer.status, 413)

    def test_a_long_form_is_no_body_in_async_handlers(self) -> None:
        body, content_type = multipart(('name="f"; filename="x"', b"x" * 100_000))
        self.assertEqual(self.post("/body", body, content_type).status, 500)
        self.server.wait_log("the body was read as a multipart form and is not kept")
        self.assertEqual(self.post("/body", b"x" * 100_000, "application/octet-stream").json(), {"bytes": 100_000})

    def test_cut_anywhere(self) -> None:
        """The same upload in two pieces, cut at many places, whole and in chunks."""
        body, content_type = multipart(('name="a"', b"1\r\n--"), ('name="f"; filename="x"', b"\r\n----geckoformboundary" * 10))
        dice = random.Random(3)
        expected = self.post("/up", body, content_type).json()
        with self.server.client() as c:
            for at in range(1, len(body), 7):
                if dice.random() < 0.5:
                    head = f"POST /up HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                    wire, cut = head + body, len(head) + at
                else:
                    head = f"POST /up HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                    wire, cut = head + chunked(body, at), len(head) + at
                c.send(wire[:cut])
                c.send(wire[cut:])
                told = c.response().json()
                self.assertEqual((told["form"], told["files"]), (expected["form"], expected["files"]))


class Frameworks(Case):
    def upload(self, module: str, source: str) -> None:
        python = os.environ.get("HEART_PYTHON", "python3")
        if subprocess.run([python, "-c", f"import {module}"], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest(f"{module} is not installed")
        server = self.serve("limits: {body: 64m}\napps: {app: {wsgi: site_app, processes: 1}}\nroutes: [{path: '/{rest:path}', app: app}]\n", {"site_app.py": source})
        for size in (10, 50_000, 5 * MB):
            content = os.urandom(size)
            body, content_type = multipart(('name="a"', b"1"), ('name="a"', b"2"), ('name="f"; filename="x.bin"', content))
            expected = {"a": ["1", "2"], "name": "x.bin", "bytes": size, "sha256": digest(content), "length": len(body)}
            self.assertEqual(server.request("POST", "/up", [("Content-Type", content_type)], body).json(), expected)
            with server.client() as c:
                c.send(f"POST /up HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunked(body, 50_000))
                self.assertEqual(c.response().json(), expected)

    def test_flask(self) -> None:
        self.upload("flask", FLASK)

    def test_django(self) -> None:
        self.upload("django", DJANGO)


if __name__ == "__main__":
    harness.main()
