# SPDX-License-Identifier: MIT
"""test_forms.py - forms as handlers get them: fields, files, charsets, limits, and what is left afterwards. The grammar itself: test_multipart.c, test_urlencoded.c."""
from __future__ import annotations

import gc
import io
import itertools
import os
import random
import tempfile
import unittest
import warnings
from pathlib import Path
from typing import Any, Dict, List, Optional
from urllib.parse import parse_qsl

import heart
from heart import FormLimits, HTTPError, UploadedFile
from heart._ring import Form, FormError, parse_query
from heart.forms import URLENCODED
from heart.request import EnvironSource, Request

TYPE = "multipart/form-data; boundary=b"


def part(params: str, content: bytes, *lines: str) -> bytes:
    return "\r\n".join([f"--b\r\nContent-Disposition: form-data; {params}", *lines]).encode() + b"\r\n\r\n" + content + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


def request(content: bytes, content_type: str = TYPE, limits: Optional[FormLimits] = None, length: Optional[int] = None) -> Request:
    made = Request(EnvironSource({"REQUEST_METHOD": "POST", "PATH_INFO": "/", "CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(content) if length is None else length),
                                  "wsgi.input": io.BytesIO(content)}))
    if limits is not None:
        made.form_limits = limits
    return made


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


class Fields(unittest.TestCase):
    def test_multipart(self) -> None:
        made = request(body(part('name="a"', b"1"), part('name="b"', "é€".encode()), part('name="a"', b"2")))
        self.assertEqual(made.form.pairs(), [("a", "1"), ("a", "2"), ("b", "é€")])
        self.assertEqual((made.form["a"], made.form.getlist("a")), ("1", ["1", "2"]))
        self.assertEqual(len(made.files), 0)

    def test_urlencoded(self) -> None:
        made = request("a=1&a=2&b=%C3%A9+€&c&d=%FF".encode(), URLENCODED + "; charset=UTF-8")
        self.assertEqual(made.form.pairs(), [("a", "1"), ("a", "2"), ("b", "é €"), ("c", ""), ("d", "�")])
        self.assertEqual(made.body, "a=1&a=2&b=%C3%A9+€&c&d=%FF".encode(), "it is kept: it was in memory anyway")
        self.assertEqual(len(made.files), 0)

    def test_no_body_is_an_empty_form(self) -> None:
        for content_type in ("", URLENCODED):
            made = request(b"", content_type)
            self.assertEqual((len(made.form), len(made.files)), (0, 0))
        self.assertRaises(HTTPError, lambda: request(b"").form)

    def test_another_type_is_415(self) -> None:
        with self.assertRaises(HTTPError) as caught:
            request(b"{}", "application/json").form
        self.assertEqual(caught.exception.status, 415)

    def test_charsets(self) -> None:
        """RFC 7578, 4.5 and 4.6; the HTML standard's _charset_. What is not in the charset becomes U+FFFD, what is no charset UTF-8."""
        for label, raw, text in (("iso-8859-1", b"\xe9", "é"), ("windows-1252", b"\x80", "€"), ("Shift_JIS", "日".encode("shift_jis"), "日"), ("utf-8", b"\xff", "�"), ("none-such", "é".encode(), "é"),
                                 ("rot13", b"a", "a"), ("idna", b"a", "a"), ("unicode_escape", rb"\x41", r"\x41"), ("utf-7", b"+AGE-", "+AGE-"), ("hex", b"61", "61"), ("\u00e9", b"a", "a")):
            with self.subTest(label=label):
                self.assertEqual(request(body(part('name="a"', raw), part('name="_charset_"', label.encode()))).form["a"], text)
                if label != "\u00e9":
                    self.assertEqual(request(body(part('name="a"', raw, f'Content-Type: text/plain; charset="{label}"'))).form["a"], text)
                    quoted = "".join(f"%{byte:02x}" for byte in raw)
                    self.assertEqual(request(f"a={quoted}&_charset_={label}".encode(), URLENCODED).form["a"], text)
        named = request(body(part('name="_charset_"', b"iso-8859-1"), b'--b\r\nContent-Disposition: form-data; name="\xe9"; filename="\xe8"\r\n\r\nx\r\n'))
        self.assertEqual([(key, upload.filename) for key, upload in named.files.pairs()], [("é", "è")])

    def test_labels_of_strangers_are_not_kept(self) -> None:
        """The codecs of Python remember every name that they were asked for and did not know."""
        import encodings

        before = len(encodings._cache)  # type: ignore[attr-defined]
        for n in range(50):
            request(body(part('name="a"', b"1", f"Content-Type: text/plain; charset=none{n}"), part('name="_charset_"', f"none{n}".encode()))).form
            self.assertRaises(HTTPError, lambda: request(b"1", f"text/plain; charset=none{n}").text)
        self.assertLessEqual(len(encodings._cache), before + 1)  # type: ignore[attr-defined]

    def test_text(self) -> None:
        for label, raw, text in (("", "é".encode(), "é"), ("; charset=ISO-8859-1", b"\xe9", "é"), ('; charset="utf-16"', "é".encode("utf-16"), "é"), ("; charset=utf-8", b"\xff", None),
                                 ("; charset=punycode", b"a-", None), ("; charset=hex", b"61", None)):
            with self.subTest(label=label):
                if text is not None:
                    self.assertEqual(request(raw, "text/plain" + label).text, text)
                else:
                    self.assertRaises(HTTPError, lambda: request(raw, "text/plain" + label).text)

    def test_hostile_forms_are_400(self) -> None:
        good = part('name="a"', b"1")
        for content_type, content in ((TYPE, good), (TYPE, b""), (TYPE, b"--b\r\n\r\nx\r\n--b--"), ("multipart/form-data", body(good)), ("multipart/form-data; boundary=" + "b" * 71, body(good)),
                                      ("multipart/form-data; boundary=b; boundary=c", body(good)), (TYPE, body(part('name="a"', b"", "Content-Type: multipart/mixed; boundary=c"))),
                                      (TYPE, body(good) + b"x" * 5000), (TYPE, b"x" * 5000 + b"\r\n" + body(good))):
            with self.subTest(content=content[:40]):
                made = request(content, content_type)
                for _ in range(2):
                    with self.assertRaises(HTTPError) as caught:
                        made.form
                    self.assertEqual(caught.exception.status, 400)
                    self.assertRegex(caught.exception.detail or "", "form|part")

    def test_a_body_that_breaks_off(self) -> None:
        self.assertRaises(heart.Disconnected, lambda: request(body(part('name="a"', b"1"))[:-20], length=1000).form)

    def test_body_after_form(self) -> None:
        made = request(body(part('name="a"', b"1")))
        self.assertEqual(made.form["a"], "1")
        self.assertRaises(RuntimeError, lambda: made.body)
        made = request(body(part('name="a"', b"1")))
        self.assertEqual(made.body, body(part('name="a"', b"1")))
        self.assertEqual(made.form["a"], "1")
        long = b"&".join(b"a=%d" % n for n in range(30_000))
        made = request(long, URLENCODED)
        self.assertRaises(HTTPError, lambda: made.form)
        self.assertEqual(made.body, long, "all of it, though the form was given up at its thousandth field")


class Limits(unittest.TestCase):
    def refused(self, content: bytes, limits: FormLimits, content_type: str = TYPE) -> int:
        with self.assertRaises(HTTPError) as caught:
            request(content, content_type, limits).form
        return caught.exception.status

    def test_each(self) -> None:
        five = body(*[part(f'name="a{n}"', b"12345") for n in range(5)])
        files = body(*[part(f'name="a{n}"; filename="f"', b"12345") for n in range(5)])
        self.assertEqual(len(request(five, limits=FormLimits(fields=5)).form), 5)
        self.assertEqual(self.refused(five, FormLimits(fields=4)), 400)
        self.assertEqual(len(request(files, limits=FormLimits(fields=0, files=5)).files), 5)
        self.assertEqual(self.refused(files, FormLimits(files=4)), 400)
        self.assertEqual(self.refused(five, FormLimits(field_bytes=4)), 413)
        self.assertEqual(len(request(five, limits=FormLimits(field_bytes=5)).form), 5)
        self.assertEqual(self.refused(five, FormLimits(memory_bytes=500)), 413)
        self.assertEqual(self.refused(five, FormLimits(name_bytes=1)), 400)
        self.assertEqual(self.refused(b"a&b&c", FormLimits(fields=2), URLENCODED), 400)
        self.assertEqual(self.refused(b"a=" + b"b" * 100, FormLimits(memory_bytes=100), URLENCODED), 413)

    def test_names_alone_fill_memory_too(self) -> None:
        """A thousand parts without content are no way around the bound."""
        many = body(*[part(f'name="{"n" * 1000}{n}"', b"") for n in range(900)])
        self.assertEqual(self.refused(many, FormLimits(memory_bytes=500_000)), 413)

    def test_files_without_room_in_memory_go_to_disk(self) -> None:
        content = body(*[part(f'name="f"; filename="{n}"', b"x" * 2000) for n in range(20)])
        made = request(content, limits=FormLimits(memory_bytes=30_000))
        places = [upload.on_disk for _, upload in made.files.pairs()]
        self.assertEqual(places, sorted(places))
        self.assertTrue(places[-1] and not places[0], places)
        self.assertEqual({upload.read() for _, upload in made.files.pairs()}, {b"x" * 2000})
        made.close()

    def test_a_disk_that_fails_is_503(self) -> None:
        content = body(part('name="f"; filename="f"', b"x" * 100_000))
        before = descriptors()
        with self.assertLogs("heart.app") as logs:
            self.assertEqual(self.refused(content, FormLimits(folder="/nonexistent")), 503)
        self.assertIn("answering 503", logs.output[0])
        self.assertEqual(descriptors(), before)

    def test_without_the_extension(self) -> None:
        from heart import forms

        real, forms.Form = forms.Form, None  # type: ignore[misc,assignment]
        try:
            self.assertEqual(request(b"a=1&b=%C3%A9", URLENCODED).form.pairs(), [("a", "1"), ("b", "é")])
            self.assertRaises(RuntimeError, lambda: request(body(part('name="a"', b"1"))).form)
            self.assertEqual(self.refused(b"a&b&c", FormLimits(fields=2), URLENCODED), 400)
        finally:
            forms.Form = real  # type: ignore[misc]


class Files(unittest.TestCase):
    def upload(self, content: bytes, params: str = 'name="f"; filename="x.txt"', **limits: int) -> UploadedFile:
        made = request(body(part(params, content, "Content-Type: text/x-test; q=1", "X-More: é")), limits=FormLimits(**limits))
        self.addCleanup(made.close)
        return made.files["f"]

    def test_what_it_says(self) -> None:
        upload = self.upload(b"hello")
        self.assertEqual((upload.name, upload.filename, upload.content_type, upload.size, upload.on_disk), ("f", "x.txt", "text/x-test; q=1", 5, False))
        self.assertEqual((upload.headers["x-more"], upload.read(2), upload.read(), upload.read()), ("é", b"he", b"llo", b""))
        self.assertIn("x.txt", repr(upload))

    def test_on_disk_and_in_memory_alike(self) -> None:
        content = os.urandom(300_000)
        for spill in (0, 1, 299_999, 300_000):
            with self.subTest(spill=spill), tempfile.TemporaryDirectory() as folder:
                upload = self.upload(content, file_memory_bytes=spill)
                self.assertEqual(upload.on_disk, spill < 300_000)
                self.assertEqual(b"".join(upload), content)
                upload.file.seek(-10, io.SEEK_END)
                self.assertEqual(upload.read(), content[-10:])
                path = Path(folder) / "saved"
                path.write_bytes(b"old" * 200_000)
                upload.save(path)
                self.assertEqual(path.read_bytes(), content, "save writes all of it, wherever it was read to")
                if upload.on_disk:
                    self.assertEqual(os.fstat(upload.file.fileno()).st_nlink, 0, "it has no name")
                    self.assertFalse(os.get_inheritable(upload.file.fileno()))

    def test_no_file_chosen_is_no_file(self) -> None:
        made = request(body(part('name="f"; filename=""', b"", "Content-Type: application/octet-stream"), part('name="g"; filename=""', b"x")))
        self.assertEqual([name for name, _ in made.files.pairs()], ["g"])
        self.assertEqual(len(made.form), 0)

    def test_safe_name(self) -> None:
        for filename, safe in (("a.txt", "a.txt"), ("../../etc/passwd", "passwd"), ("C:\\dir\\x.doc", "x.doc"), (".htaccess", "htaccess"), ("..", "file"), ("", "file"), ("a b&c.png", "a_b_c.png"),
                               ("é.txt", "é.txt"), ("a\0b\r\n", "a_b_"), ("-rf", "rf"), ("x" * 300 + ".jpeg", "x" * 160 + ".jpeg"), ("日" * 100, "日" * 53), ("/", "file"), ("a/", "file")):
            with self.subTest(filename=filename):
                self.assertEqual(UploadedFile("f", filename, "", heart.Headers(), b"", 0).safe_name, safe)

    def test_descriptors_go_with_the_request(self) -> None:
        before = descriptors()
        content = body(*[part(f'name="f"; filename="{n}"', b"x" * 70_000) for n in range(10)])
        made = request(content)
        self.assertEqual(len(made.files.getlist("f")), 10)
        self.assertEqual(descriptors(), before + 10)
        made.close()
        self.assertEqual(descriptors(), before)
        for cut in (100, 70_200, len(content) - 5):
            self.assertRaises(HTTPError, lambda: request(content[:cut]).form)
        self.assertEqual(descriptors(), before, "a form that breaks off leaves none")
        made = request(content)
        made.files
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del made
            gc.collect()
        self.assertEqual(descriptors(), before, "nor does one that was forgotten")

    def test_the_end_of_a_request_under_wsgi(self) -> None:
        app = heart.App(form_limits=FormLimits(file_memory_bytes=0))
        seen: List[UploadedFile] = []

        @app.post("/{how}")
        def take(request: Request) -> Any:
            seen.append(request.files["f"])
            return iter(seen[-1]) if request.params["how"] == "stream" else "ok"

        content = body(part('name="f"; filename="x"', b"hello"))
        for path in ("/at-once", "/stream"):
            environ: Dict[str, Any] = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "CONTENT_TYPE": TYPE, "CONTENT_LENGTH": str(len(content)), "wsgi.input": io.BytesIO(content)}
            answer = app(environ, lambda status, headers: None)
            self.assertEqual(b"".join(answer), b"ok" if path == "/at-once" else b"hello")
            if hasattr(answer, "close"):
                self.assertFalse(seen[-1].file.closed)
                answer.close()
            self.assertTrue(seen[-1].file.closed)


class TheParser(unittest.TestCase):
    """heart._ring.Form itself."""

    def new(self, content_type: Optional[str] = TYPE, **more: Any) -> Form:
        return Form(content_type, **{"fields": 10, "files": 10, "memory": 100_000, "field": 10_000, "name": 100, "spill": 1000, "folder": tempfile.gettempdir(), **more})

    def outcome(self, pieces: List[bytes], content_type: Optional[str] = TYPE) -> List[Any]:
        form = self.new(content_type)
        for piece in pieces:
            form.feed(piece)
        found = form.finish()
        if content_type is None:
            return found
        read: List[Any] = []
        for *rest, content, size in found:
            if isinstance(content, int):
                with open(content, "rb") as file:
                    content = file.read()
            read.append((*rest, content, size))
        return read

    def test_cut_at_every_byte(self) -> None:
        whole = body(part('name="a"', b"1\r\n--\r\n"), part('name="f"; filename="x%22"', b"\r\n--c" * 300, "Content-Type: a/b"), part('name="e"', b""))
        expected = self.outcome([whole])
        self.assertEqual([entry[0] for entry in expected], [b"a", b"f", b"e"])
        for cut in range(len(whole)):
            self.assertEqual(self.outcome([whole[:cut], whole[cut:]]), expected)
        self.assertEqual(self.outcome([whole[at : at + 1] for at in range(len(whole))]), expected)

    def test_misuse(self) -> None:
        form = self.new()
        self.assertRaises(FormError, form.finish)
        self.assertRaises(ValueError, form.feed, b"x")
        self.assertRaises(ValueError, form.finish)
        form.close()
        self.assertRaises(TypeError, self.new().feed, "text")
        self.assertRaises(TypeError, Form)
        self.assertRaises(ValueError, Form.__new__(Form).feed, b"")
        self.assertRaises(ValueError, self.new().__init__, TYPE, 1, 1, 1, 1, 1, 1, "/tmp")  # type: ignore[misc]
        self.assertRaises(ValueError, lambda: self.new(memory=-1))
        self.assertRaises((ValueError, OverflowError), lambda: self.new(folder="a\0b"))

    def test_queries_as_urllib_reads_them(self) -> None:
        """But for raw bytes above ASCII, which urllib cannot see in a text."""
        dice = random.Random(7)
        letters = ["a", "b", "=", "&", "+", "%", "%4", "%41", "%C3%A9", "%ff", ";", "%26", "é"[:0]]
        for count in itertools.chain(range(0, 6), [30] * 200):
            for _ in range(50):
                text = "".join(dice.choice(letters) for _ in range(count))
                self.assertEqual(parse_query(text.encode(), 10000), parse_qsl(text, keep_blank_values=True, errors="replace"), text)
        self.assertRaises(ValueError, parse_query, b"a&b&c", 2)
        self.assertEqual(parse_query(b"\xc3\xa9=\xe9", 2), [("é", "�")])


if __name__ == "__main__":
    unittest.main()
