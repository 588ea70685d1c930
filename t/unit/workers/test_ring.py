# SPDX-License-Identifier: MIT
"""test_ring.py - heart._ring against a loop's side made of the real ipc/ (loopside.py): real shared memory, threads and processes."""
from __future__ import annotations

import gc
import os
import resource
import select
import signal
import sys
import threading
import time
import unittest
import uuid
from typing import Any, Dict, List, Optional

import loopside
from loopside import ABORT, BODY, CONSUMED, DONE, HEAD, STREAMED, TAKEN, TLS, WANT_BODY, World

from heart._ring import Disconnected, Request, Ring

BASE: Dict[str, Any] = {"SCRIPT_NAME": "", "wsgi.version": (1, 0), "wsgi.multithread": False}
OK = [("Content-Type", "text/plain")]


class RingTest(unittest.TestCase):
    returned_before = 0

    def setUp(self) -> None:
        self.world = World()
        self.ring = Ring(self.world.owner, self.world.bell_fd, self.world.wake_fd)
        self.world.attach(self.ring)
        self.woken()
        self.addCleanup(self.world.close)

    def take(self, **request: Any) -> Request:
        self.slot, self.generation = self.world.send(**request)
        taken = self.ring.take(0)
        assert taken is not None
        return taken

    def woken(self, fd: Optional[int] = None) -> int:
        """How often the loop was woken since the last look."""
        try:
            return int.from_bytes(os.read(self.world.loop_wake_fd if fd is None else fd, 8), "little")
        except BlockingIOError:
            return 0

    def returned(self, fds: List[int]) -> List[int]:
        """How many wake-ups were handed back since the last look, then how often each loop was woken."""
        count = loopside.lib().ipc_bell_returned(self.world.bell)
        new, self.returned_before = count - self.returned_before, count
        return [new, *map(self.woken, fds)]

    def loop_sleeps(self) -> None:
        loopside.lib().ipc_answers_sleep(self.world.answers)
        loopside.lib().ipc_fence()


class Properties(RingTest):
    def test_what_was_sent_is_what_python_sees(self) -> None:
        q = self.take(method=b"POST", path=b"/caf\xc3\xa9/a%2Fb", query=b"x=1&y=%20", headers=[(b"Host", b"example.com:81"), (b"X-Odd", b"\xe9")], body=b"hello",
                      flags=TLS, minor=0, handler=0xFFFFFFFF, root_path=b"/app", deadline_us=int((time.monotonic() + 9) * 1e6), client=b"2001:db8::1")
        self.assertEqual((q.id, q.method, q.path, q.query), (42, "POST", "/café/a%2Fb", "x=1&y=%20"))
        self.assertEqual(q.target, b"/caf\xc3\xa9/a%2Fb?x=1&y=%20")
        self.assertEqual((q.host, q.http_version, q.scheme, q.root_path), ("example.com", "1.0", "https", "/app"))
        self.assertEqual((q.client, q.server), (("2001:db8::1", 50123), ("127.0.0.1", 8080)))
        self.assertEqual((q.handler, q.generation, q.content_length, q.streamed), (0xFFFFFFFF, 9, 5, False))
        self.assertAlmostEqual(q.deadline or 0, time.monotonic() + 9, delta=1)
        self.assertEqual(q.headers, [("host", "example.com:81"), ("x-odd", "\xe9")])
        self.assertEqual((q.started, q.finished, q.cancelled), (False, False, False))
        self.assertEqual(q.body, b"hello")
        q.respond(200, [], b"")
        self.assertEqual(q.path, "/café/a%2Fb")  # stays readable
        self.assertEqual(q.headers[1], ("x-odd", "\xe9"))
        self.assertEqual((q.started, q.finished, q.body, q.read()), (True, True, b"", b""))

    def test_absent_things_are_none(self) -> None:
        q = self.take()
        self.assertIsNone(q.deadline)
        self.assertIsNone(q.content_length)
        self.assertEqual((q.headers, q.params, q.body, q.read()), ([], {}, b"", b""))

    def test_headers_are_found_in_any_case(self) -> None:
        q = self.take(headers=[(b"ACCEPT", b"a"), (b"Accept", b"b"), (b"X-Custom", b"c"), (b"x-custom", b"d")])
        for name in ("accept", "Accept", "ACCEPT"):
            self.assertEqual(q.header(name), "a")
        for name in ("x-custom", "X-CUSTOM"):
            self.assertEqual(q.header(name), "c")
        for name in ("host", "x-customs", "", "é"):
            self.assertIsNone(q.header(name))

    def test_params_are_converted_by_their_type(self) -> None:
        u = "12345678-1234-5678-1234-567812345678"
        q = self.take(params=[(b"s", b"a%2Fb%25", 0), (b"i", b"-007", 1), (b"big", b"9" * 40, 1), (b"f", b"2.5", 2), (b"t", b"true", 3), (b"no", b"false", 3),
                              (b"u", u.encode(), 4), (b"g", b"a-slug", 5), (b"p", b"x/\xc3\xa9", 6), (b"r", b"42", 7)])
        self.assertEqual(q.params, {"s": "a/b%", "i": -7, "big": int("9" * 40), "f": 2.5, "t": True, "no": False, "u": uuid.UUID(u), "g": "a-slug",
                                    "p": "x/é", "r": "42"})
        self.assertIs(q.params["t"], True)

    def test_more_headers_than_the_object_has_room_for(self) -> None:
        headers = [(b"x-%03d" % i, b"v" * (i % 50)) for i in range(250)]
        q = self.take(headers=headers)
        self.assertEqual(q.headers, [(n.decode(), v.decode()) for n, v in headers])
        q.respond(200, OK, b"x")
        self.assertEqual(len(q.headers), 250)
        self.assertEqual(self.world.answer().body, b"x")

    def test_a_message_that_lies_in_a_chunk(self) -> None:
        q = self.take(path=b"/" + b"a" * 20000, headers=[(b"cookie", b"c" * 9000)], body=b"in the chunk too")
        self.assertEqual(len(q.path), 20001)
        self.assertEqual(q.header("cookie"), "c" * 9000)
        self.assertEqual(q.read(), b"in the chunk too")
        q.respond(200, OK, b"x")
        self.world.answer()

    def test_request_cannot_be_made_by_hand(self) -> None:
        with self.assertRaises(TypeError):
            Request()


class Environ(RingTest):
    def environ(self, base: Dict[str, Any] = BASE, **request: Any) -> Dict[str, Any]:
        q = self.take(**request)
        env = q.environ(base)
        self.assertIs(env.pop("wsgi.input"), q)
        q.respond(204, [], b"")
        self.world.answer()
        return env

    def test_all_of_it(self) -> None:
        env = self.environ(method=b"POST", path=b"/a/b", query=b"q=1", headers=[(b"Host", b"h:81"), (b"Content-Type", b"text/x"), (b"X-One-Two", b"3"),
                           (b"Content-Length", b"2")], body=b"ab")
        self.assertEqual(env, {
            "SCRIPT_NAME": "", "wsgi.version": (1, 0), "wsgi.multithread": False, "REQUEST_METHOD": "POST", "PATH_INFO": "/a/b", "QUERY_STRING": "q=1",
            "RAW_URI": "/a/b?q=1", "REQUEST_URI": "/a/b?q=1", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8080", "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "50123", "wsgi.url_scheme": "http", "HTTP_HOST": "h:81", "CONTENT_TYPE": "text/x",
            "CONTENT_LENGTH": "2", "HTTP_X_ONE_TWO": "3"})

    def test_native_strings_only(self) -> None:
        env = self.environ(path=b"/\xc3\xa9", query=b"\xe9", headers=[(b"x", b"\xff")])
        self.assertEqual((env["PATH_INFO"], env["QUERY_STRING"], env["HTTP_X"]), ("/\xc3\xa9", "\xe9", "\xff"))
        for key, value in env.items():
            self.assertIs(type(key), str)
            if isinstance(value, str):
                value.encode("latin-1")

    def test_paths(self) -> None:
        for path, root, script, info in [
            (b"/", b"", "", "/"),
            (b"/a%2Fb%25c", b"", "", "/a/b%c"),
            (b"/%C3%A9%2f", b"", "", "/\xc3\xa9/"),
            (b"/a%", b"", "", "/a%"),
            (b"/a%4", b"", "", "/a%4"),
            (b"/app/x", b"/app", "/app", "/x"),
            (b"/app", b"/app", "/app", ""),
            (b"/app/", b"/app", "/app", "/"),
            (b"/application", b"/app", "/app", "/application"),
            (b"/other", b"/app", "/app", "/other"),
            (b"*", b"", "", "*"),
            (b"/" + b"%41" * 300, b"", "", "/" + "A" * 300),
        ]:
            with self.subTest(path=path, root=root):
                env = self.environ(path=path, root_path=root)
                self.assertEqual((env["SCRIPT_NAME"], env["PATH_INFO"]), (script, info))

    def test_the_root_may_come_from_base(self) -> None:
        env = self.environ(base={"SCRIPT_NAME": "/mnt"}, path=b"/mnt/x")
        self.assertEqual((env["SCRIPT_NAME"], env["PATH_INFO"]), ("/mnt", "/x"))

    def test_repeated_headers_are_joined(self) -> None:
        env = self.environ(headers=[(b"accept", b"a"), (b"Accept", b"b"), (b"X-F", b"1"), (b"cookie", b"a=1"), (b"x-f", b"2"), (b"Cookie", b"b=2"), (b"x-f", b"")])
        self.assertEqual((env["HTTP_ACCEPT"], env["HTTP_X_F"], env["HTTP_COOKIE"]), ("a,b", "1,2,", "a=1; b=2"))

    def test_what_never_gets_in(self) -> None:
        env = self.environ(headers=[(b"x_a", b"1"), (b"Proxy", b"evil"), (b"content_length", b"9"), (b"Content_Type", b"t"), (b"X-_", b"1")])
        self.assertFalse([key for key in env if key.startswith("HTTP_")])
        self.assertNotIn("CONTENT_LENGTH", env)
        self.assertNotIn("CONTENT_TYPE", env)

    def test_content_length_is_what_framing_settled_on(self) -> None:
        self.assertEqual(self.environ(headers=[(b"content-length", b"007")], body=b"1234567")["CONTENT_LENGTH"], "7")
        self.assertNotIn("CONTENT_LENGTH", self.environ(headers=[(b"transfer-encoding", b"chunked")], flags=STREAMED))
        self.assertEqual(self.environ(content_length=0)["CONTENT_LENGTH"], "0")

    def test_servers_and_clients(self) -> None:
        env = self.environ(server=b"", client=b"", flags=TLS)
        self.assertEqual((env["SERVER_NAME"], env["SERVER_PORT"], env["REMOTE_ADDR"], env["wsgi.url_scheme"]), ("localhost", "443", "", "https"))
        self.assertNotIn("REMOTE_PORT", env)
        env = self.environ(server=b"::1", minor=0)
        self.assertEqual((env["SERVER_NAME"], env["SERVER_PORT"], env["SERVER_PROTOCOL"]), ("::1", "8080", "HTTP/1.0"))

    def test_who_logged_in_and_what_went_wrong(self) -> None:
        env = self.environ(headers=[(b"remote-user", b"eve"), (b"heart-error-status", b"200")])
        self.assertFalse({"REMOTE_USER", "AUTH_TYPE", "HEART_ERROR_STATUS"} & set(env), "a client cannot say who it is")
        env = self.environ(user="J\u00fcrgen".encode(), handler=0xFFFE0000 + 502)
        self.assertEqual((env["REMOTE_USER"], env["AUTH_TYPE"], env["HEART_ERROR_STATUS"]), ("J\xc3\xbcrgen", "Basic", "502"))
        self.assertNotIn("HEART_ERROR_STATUS", self.environ(handler=0xFFFFFFFF))
        q = self.take(user="J\u00fcrgen".encode())
        self.assertEqual(q.user, "J\u00fcrgen")
        q.respond(204, [], b"")
        self.world.answer()

    def test_each_environ_is_fresh(self) -> None:
        base = dict(BASE)
        first = self.environ(base, headers=[(b"x-a", b"1")])
        first["wsgi.version"] = None
        first["MINE"] = 1
        second = self.environ(base)
        self.assertEqual(second["wsgi.version"], (1, 0))
        self.assertNotIn("MINE", second)
        self.assertNotIn("HTTP_X_A", second)
        self.assertEqual(base, BASE)
        self.assertIs(type(first), dict)

    def test_another_base_counts_at_once(self) -> None:
        self.environ({"a": 1})
        self.assertEqual(self.environ({"b": 2})["b"], 2)
        q = self.take()
        with self.assertRaises(TypeError):
            q.environ([])  # type: ignore[arg-type]
        q.abort()

    def test_values_of_one_request_do_not_show_in_the_next(self) -> None:
        for i in range(50):
            value = b"%d" % (i // 2) * (1 + i % 3)
            env = self.environ(path=b"/" + value, headers=[(b"host", value), (b"user-agent", value), (b"cookie", value)], client=value, query=value)
            text = value.decode()
            self.assertEqual([env[k] for k in ("PATH_INFO", "HTTP_HOST", "HTTP_USER_AGENT", "HTTP_COOKIE", "REMOTE_ADDR", "QUERY_STRING")], ["/" + text] + [text] * 5)


class InlineBody(RingTest):
    def test_reads_mix(self) -> None:
        q = self.take(body=b"one\ntwo\n\nfour")
        self.assertEqual(q.read(2), b"on")
        self.assertEqual(q.readline(), b"e\n")
        self.assertEqual(q.readline(2), b"tw")
        self.assertEqual(q.read(0), b"")
        self.assertEqual(q.readline(-1), b"o\n")
        self.assertEqual(next(q), b"\n")
        self.assertEqual(q.read(None), b"four")
        self.assertEqual((q.read(), q.readline(), q.readlines(), list(q)), (b"", b"", [], []))
        self.assertEqual(q.body, b"one\ntwo\n\nfour")

    def test_lines(self) -> None:
        self.assertEqual(list(self.take(body=b"a\nb\nc")), [b"a\n", b"b\n", b"c"])
        self.assertEqual(self.take(body=b"a\nb\nc\n").readlines(), [b"a\n", b"b\n", b"c\n"])
        self.assertEqual(self.take(body=b"aa\nbb\ncc\n").readlines(4), [b"aa\n", b"bb\n"])

    def test_bad_arguments(self) -> None:
        q = self.take(body=b"x")
        for call in (q.read, q.readline, q.readlines):
            with self.assertRaises(TypeError):
                call("1")  # type: ignore[arg-type]
            with self.assertRaises(TypeError):
                call(1, 2)  # type: ignore[call-arg]

    def test_a_body_from_a_chunk_is_not_read_after_the_answer(self) -> None:
        q = self.take(body=b"z" * 30000)
        self.assertEqual(q.read(10), b"z" * 10)
        q.respond(200, OK, b"")
        self.assertEqual((q.read(), q.body), (b"", b""))
        self.world.answer()


class StreamedBody(RingTest):
    """The loop's part runs in a thread: it answers WANT_BODY and CONSUMED by pushing pieces."""

    def streamed(self, pieces: List[bytes], **request: Any) -> Request:
        self.wants = self.consumed = 0
        self.failure: Optional[BaseException] = None
        q = self.take(method=b"POST", flags=STREAMED, **request)

        def feed() -> None:
            try:
                left = list(pieces)
                ended = False
                until = time.monotonic() + 20
                while time.monotonic() < until and not (ended and self.consumed == len(pieces)):
                    record = self.world.record(0.01)
                    if record:
                        self.wants += record.kind == WANT_BODY
                        self.consumed += record.arg if record.kind == CONSUMED else 0
                    while self.wants and left and self.world.push(self.slot, left[0]):
                        del left[0]
                    if self.wants and not left and not ended:
                        self.world.push(self.slot, b"", True)
                        ended = True
            except BaseException as error:
                self.failure = error

        self.feeder = threading.Thread(target=feed)
        self.feeder.start()
        self.addCleanup(self.fed)
        return q

    def fed(self) -> None:
        self.feeder.join()
        if self.failure:
            raise self.failure

    def test_all_at_once(self) -> None:
        data = os.urandom(1 << 20)
        q = self.streamed([data[i:i + 65536] for i in range(0, len(data), 65536)])
        self.assertTrue(q.streamed)
        self.assertEqual(q.read(), data)
        self.assertEqual(q.read(), b"")
        self.fed()
        self.assertEqual((self.wants, self.consumed), (1, 16))
        q.respond(200, OK, b"")
        self.world.answer()

    def test_piece_by_piece(self) -> None:
        q = self.streamed([b"abc", b"d", b"efghij"])
        self.assertEqual([q.read(2), q.read(3), q.read(100), q.read(1)], [b"ab", b"cde", b"fghij", b""])

    def test_lines_across_pieces(self) -> None:
        q = self.streamed([b"a\nb", b"b", b"b\n", b"\n", b"c"])
        self.assertEqual(list(q), [b"a\n", b"bbb\n", b"\n", b"c"])

    def test_a_line_limit_across_pieces(self) -> None:
        q = self.streamed([b"abc", b"def\n"])
        self.assertEqual([q.readline(4), q.readline(4), q.readline(4)], [b"abcd", b"ef\n", b""])

    def test_an_empty_stream(self) -> None:
        self.assertEqual(self.streamed([]).read(), b"")

    def test_the_body_is_not_asked_for_unless_it_is_read(self) -> None:
        q = self.take(flags=STREAMED)
        q.respond(204, [], b"")
        record = self.world.record()
        assert record
        self.assertEqual(record.kind, HEAD)

    def broken_off(self, action: Any) -> None:
        q = self.take(flags=STREAMED)
        self.world.push(self.slot, b"half")
        self.assertEqual(q.read(4), b"half")
        threading.Timer(0.05, action).start()
        began = time.monotonic()
        with self.assertRaises(Disconnected):
            q.read()
        self.assertLess(time.monotonic() - began, 2)
        q.abort()

    def test_a_client_that_breaks_off(self) -> None:
        self.broken_off(lambda: loopside.lib().ipc_body_abort(self.world.lane, self.slot))

    def test_a_request_that_is_cancelled(self) -> None:
        self.broken_off(lambda: self.world.cancel(self.slot))

    def test_a_loop_that_is_gone(self) -> None:
        self.broken_off(lambda: self.ring.detach(7))

    def test_the_deadline(self) -> None:
        q = self.take(flags=STREAMED, deadline_us=int((time.monotonic() + 0.1) * 1e6))
        with self.assertRaises(Disconnected):
            q.read()
        self.assertTrue(issubclass(Disconnected, OSError))


class Answers(RingTest):
    def test_a_small_answer_is_one_record_and_one_wake(self) -> None:
        q = self.take()
        self.loop_sleeps()
        q.respond(200, [("Content-Type", "text/plain"), ("x-odd", "\xe9")], b"hello")
        self.assertEqual(self.woken(), 1)
        record = self.world.record()
        assert record
        self.assertEqual((record.kind, record.end, record.slot, record.generation), (HEAD, True, self.slot, self.generation))
        self.assertEqual(self.world.decode(record.payload), (200, [(b"Content-Type", b"text/plain"), (b"x-odd", b"\xe9")], 5, b"hello"))
        self.assertEqual(self.world.state(self.slot), DONE)
        self.assertTrue(self.world.release(self.slot))

    def test_an_awake_loop_is_not_woken(self) -> None:
        self.take().respond(200, OK, b"")
        self.assertEqual(self.woken(), 0)
        self.world.answer()

    def test_any_buffer_is_a_body(self) -> None:
        for body in (b"ab", bytearray(b"ab"), memoryview(b"xaby")[1:3]):
            self.take().respond(200, OK, body)
            self.assertEqual(self.world.answer().body, b"ab")
        q = self.take()
        with self.assertRaises(TypeError):
            q.respond(200, OK, "text")  # type: ignore[arg-type]
        q.respond(200, OK, b"still possible")
        self.assertEqual(self.world.answer().body, b"still possible")

    def test_headers_that_cannot_be_sent(self) -> None:
        q = self.take()
        for headers, error in [
            ([("a b", "c")], ValueError), ([("", "c")], ValueError), ([("a", "b\r\nc")], ValueError), ([("a", "b\nc")], ValueError),
            ([("a", "\0")], ValueError), ([("a:", "b")], ValueError), ([("é", "b")], ValueError), ([("a", "\u20ac")], ValueError), ([("a", "\x7f")], ValueError),
            ([("a", b"b")], TypeError), ([(b"a", "b")], TypeError), ([("a", 1)], TypeError), ([("a",)], TypeError), (["ab"], TypeError), (5, TypeError),
            ([("a", "b")] * 257, ValueError), ([("a", "b" * 70000)], ValueError),
        ]:
            with self.subTest(headers=headers if isinstance(headers, int) else headers[:1]), self.assertRaises(error):
                q.respond(200, headers, b"")  # type: ignore[arg-type]
            with self.assertRaises(error):
                q.start(200, headers)  # type: ignore[arg-type]
        for status in (100, 199, 1000, -1):
            with self.assertRaises(ValueError):
                q.respond(status, OK, b"")
        with self.assertRaises(TypeError):
            q.respond("200", OK, b"")  # type: ignore[arg-type]
        self.assertFalse(q.started)
        self.assertIsNone(self.world.record())
        q.respond(999, [("tab", "a\tb")] * 256, b"ok")
        self.assertEqual(self.world.answer().body, b"ok")

    def test_large_headers(self) -> None:
        headers = [("x", "v" * 30000), ("y", "w" * 30000)]
        self.take().respond(200, headers, b"body")
        answer = self.world.answer()
        self.assertEqual([len(v) for _, v in answer.headers], [30000, 30000])
        self.assertEqual(answer.body, b"body")

    def answer_beside(self, run: Any) -> loopside.Answer:
        """run() in a thread, the loop here."""
        failures: List[BaseException] = []

        def guarded() -> None:
            try:
                run()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=guarded)
        thread.start()
        try:
            return self.world.answer()
        finally:
            thread.join()
            self.assertEqual(failures, [])

    def test_a_large_answer(self) -> None:
        body = os.urandom(5 << 20)
        q = self.take()
        answer = self.answer_beside(lambda: q.respond(200, OK, body))
        self.assertEqual((answer.content_length, answer.body), (len(body), body))

    def test_a_stream(self) -> None:
        q = self.take()
        blocks = [os.urandom(n) for n in (1, 70000, 0, 300000, 5)]

        def run() -> None:
            q.start(201, OK, content_length=sum(map(len, blocks)))
            for block in blocks:
                q.write(block)
            q.finish()

        answer = self.answer_beside(run)
        self.assertEqual((answer.status, answer.content_length, answer.body), (201, 370006, b"".join(blocks)))

    def test_start_keeps_the_head_back(self) -> None:
        q = self.take()
        q.start(200, OK)
        self.assertTrue(q.started)
        self.assertIsNone(self.world.record())
        q.write(b"first")
        record = self.world.record()
        assert record
        self.assertEqual((record.kind, record.end), (HEAD, False))
        self.assertEqual(self.world.decode(record.payload)[2:], (-1, b"first"))
        self.assertEqual(self.world.state(self.slot), TAKEN)
        q.finish()
        record = self.world.record()
        assert record
        self.assertEqual((record.kind, record.end, record.payload), (BODY, True, b""))

    def test_a_head_alone(self) -> None:
        q = self.take()
        q.start(304, OK)
        q.finish()
        record = self.world.record()
        assert record
        self.assertEqual((record.kind, record.end), (HEAD, True))
        q = self.take()
        q.start(200, OK, None)
        q.write(b"")  # an empty write sends the head, as a first empty block does in no framework: it is explicit here
        record = self.world.record()
        assert record
        self.assertEqual((record.kind, record.end), (HEAD, False))
        q.finish()

    def test_the_order_of_calls_is_kept(self) -> None:
        q = self.take()
        for call in (lambda: q.write(b"x"), q.finish):
            with self.assertRaises(RuntimeError):
                call()
        q.start(200, OK)
        with self.assertRaises(RuntimeError):
            q.start(200, OK)
        with self.assertRaises(RuntimeError):
            q.respond(200, OK, b"")
        q.finish()
        for call in (lambda: q.write(b"x"), q.finish, lambda: q.respond(200, OK, b""), lambda: q.start(200, OK)):
            with self.assertRaises(RuntimeError):
                call()
        q.abort()
        self.assertEqual(self.world.answer().status, 200)
        self.assertIsNone(self.world.record())

    def test_bad_arguments_of_start(self) -> None:
        q = self.take()
        for args, kwargs in [((200,), {}), ((200, [], 1, 2), {}), ((200, []), {"length": 1}), ((200, []), {"content_length": "1"}), ((200, [], 1), {"content_length": 1})]:
            with self.assertRaises(TypeError):
                q.start(*args, **kwargs)
        with self.assertRaises(ValueError):
            q.start(200, [], -1)
        self.assertFalse(q.started)

    def test_the_window_holds_a_fast_writer(self) -> None:
        q = self.take()
        q.start(200, OK)
        written = 0

        def run() -> None:
            nonlocal written
            try:
                while True:
                    q.write(b"x" * 10000)
                    written += 10000
            except Disconnected:
                q.abort()

        thread = threading.Thread(target=run)
        thread.start()
        received = 0
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            record = self.world.record(0.05)
            received += len(record.payload) if record else 0
        self.assertLess(received, 262144 + 100)
        self.assertGreater(received, 240000)
        self.world.ack(self.slot, 100000)  # the client drank a little: that much more comes, no more
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            record = self.world.record(0.05)
            received += len(record.payload) if record else 0
        self.assertLess(received, 262144 + 100000 + 100)
        self.assertGreater(received, 330000)
        self.world.cancel(self.slot)
        thread.join(5)
        self.assertFalse(thread.is_alive())
        record = self.world.record(1)
        while record and record.kind != ABORT:
            record = self.world.record(1)
        self.assertTrue(record and record.end)

    def test_abort(self) -> None:
        for begin in (lambda q: None, lambda q: q.start(200, OK), lambda q: (q.start(200, OK), q.write(b"x"), self.world.record())):
            q = self.take()
            begin(q)
            q.abort()
            q.abort()
            self.assertTrue(q.finished)
            record = self.world.record()
            assert record
            self.assertEqual((record.kind, record.end), (ABORT, True))
            self.assertTrue(self.world.release(self.slot))

    def test_a_dropped_request_aborts_itself(self) -> None:
        q: Optional[Request] = self.take()
        del q
        record = self.world.record()
        assert record
        self.assertEqual((record.kind, record.slot), (ABORT, self.slot))
        self.assertTrue(self.world.release(self.slot))

    def test_a_finished_request_may_be_kept(self) -> None:
        kept = []
        for i in range(100):  # far more than there are slots
            q = self.take(path=b"/%d" % i, body=b"x")
            env = q.environ(BASE)
            q.respond(200, OK, b"")
            self.world.answer()
            kept.append((q, env))
        self.assertEqual([q.path for q, _ in kept], [f"/{i}" for i in range(100)])
        self.assertEqual({env["wsgi.input"].read() for _, env in kept}, {b""})

    def test_a_full_ring_is_waited_for(self) -> None:
        requests = []
        for _ in range(15):
            requests.append(self.take())
        done: List[int] = []

        def run(q: Request) -> None:
            q.respond(200, OK, b"x" * 60000)
            done.append(1)

        threads = [threading.Thread(target=run, args=(q,)) for q in requests]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        self.assertLess(len(done), 15)
        for _ in range(15):
            self.assertEqual(len(self.world.answer().body), 60000)
        for thread in threads:
            thread.join()
        self.assertEqual(len(done), 15)


class Taking(RingTest):
    def test_nothing_to_take(self) -> None:
        self.assertIsNone(self.ring.take(0))
        began = time.monotonic()
        self.assertIsNone(self.ring.take(50))
        self.assertGreater(time.monotonic() - began, 0.045)
        self.assertEqual(loopside.lib().ipc_bell_mask(self.world.bell), 0)

    def test_the_dead_and_the_late_never_come_out(self) -> None:
        late, _ = self.world.send(deadline_us=int((time.monotonic() - 1) * 1e6))
        left, _ = self.world.send()
        good, _ = self.world.send(id=77)
        self.world.cancel(left)
        q = self.ring.take(0)
        assert q
        self.assertEqual(q.id, 77)
        for slot in (late, left):
            record = self.world.record()
            assert record
            self.assertEqual((record.kind, record.slot), (ABORT, slot))
            self.assertTrue(self.world.release(slot))

    def test_a_sleeper_is_woken(self) -> None:
        for _ in range(200):
            got: List[Optional[Request]] = []
            thread = threading.Thread(target=lambda: got.append(self.ring.take(-1)))
            thread.start()
            self.world.send()
            thread.join(10)
            self.assertFalse(thread.is_alive())
            assert got[0]
            got[0].respond(200, OK, b"")
            self.world.answer()

    def sleeping(self, count: int = 1) -> List[threading.Thread]:
        self.results: List[Optional[Request]] = []
        threads = [threading.Thread(target=lambda: self.results.append(self.ring.take(-1))) for _ in range(count)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 5
        while not loopside.lib().ipc_bell_mask(self.world.bell) and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(0.02)
        return threads

    def test_close_ends_every_wait(self) -> None:
        threads = self.sleeping(5)
        self.assertFalse(self.ring.closed)
        self.ring.close()
        for thread in threads:
            thread.join(5)
        self.assertEqual(self.results, [None] * 5)
        self.assertTrue(self.ring.closed)
        self.assertEqual(loopside.lib().ipc_bell_mask(self.world.bell), 0)
        self.world.send()
        self.assertIsNone(self.ring.take(-1))
        self.ring.close()

    def test_what_was_taken_can_be_answered_after_close(self) -> None:
        q = self.take()
        self.ring.close()
        q.respond(200, OK, b"last")
        self.assertEqual(self.world.answer().body, b"last")

    def test_a_claimed_wake_is_given_back_by_close(self) -> None:
        threads = self.sleeping()
        self.returned([])
        self.assertEqual(loopside.lib().ipc_bell_pick(self.world.bell), 0)  # a loop has chosen this pyworker, but not woken it yet
        self.ring.close()
        threads[0].join(5)
        self.assertEqual(self.returned([self.world.loop_wake_fd]), [1, 1])

    def test_a_claimed_wake_is_given_back_by_who_found_another_request(self) -> None:
        """The window is between setting the bell's bit and the last look before sleep. A request that came too late holds the taker there:
        it is aborted, and the ring of answers has no room for that until this test makes some."""
        lanes = (self.world, World(loop=8, bell=self.world.bell_fd, wake=self.world.wake_fd))
        for lane in lanes:
            lane.fill()
        ring = Ring(self.world.owner, self.world.bell_fd, self.world.wake_fd)
        self.addCleanup(lanes[1].close)
        for lane in lanes:
            lane.attach(ring)
            self.addCleanup(ring.detach, lane.loop)
        self.addCleanup(ring.close)
        ring.take(20)  # attach() woke it
        self.returned([lane.loop_wake_fd for lane in lanes])

        def held_by(lane: World, slot: int) -> None:
            until = time.monotonic() + 5
            while lane.state(slot) != TAKEN and time.monotonic() < until:
                time.sleep(0.001)
            self.assertEqual(lane.state(slot), TAKEN)

        late = int((time.monotonic() - 1) * 1e6)
        results: List[Optional[Request]] = []
        thread = threading.Thread(target=lambda: results.append(ring.take(-1)))
        first_look, _ = lanes[1].send(deadline_us=late, ring_bell=False)
        thread.start()
        held_by(lanes[1], first_look)  # it has passed the first lane, and sees what comes there now only when it looks again
        self.assertEqual(loopside.lib().ipc_bell_mask(self.world.bell), 0)
        last_look, _ = lanes[0].send(deadline_us=late, ring_bell=False)
        lanes[0].send(id=1, ring_bell=False)  # nobody sleeps yet
        lanes[1].pop()
        held_by(lanes[0], last_look)
        second, _ = lanes[0].send(id=2, ring_bell=False)
        self.assertEqual(lanes[0].ring_bell(), 0)  # this pyworker has said that it sleeps: it is woken for the second
        lanes[0].pop()
        thread.join(5)
        lanes[0].pop()  # room for the end of what it took
        assert results and results[0]
        self.assertEqual((results[0].id, lanes[0].state(second)), (1, loopside.READY))
        self.assertEqual(self.returned([lane.loop_wake_fd for lane in lanes]), [1, 1, 1], "the loops do not learn that the second waits for another pyworker")

    def test_many_threads_share_the_work(self) -> None:
        names = set()
        stop = False

        def serve() -> None:
            while not stop:
                q = self.ring.take(-1)
                if q:
                    time.sleep(0.01)
                    names.add(threading.current_thread().name)
                    q.respond(200, OK, b"")

        threads = [threading.Thread(target=serve) for _ in range(4)]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        for _ in range(10):
            for _ in range(8):
                self.world.send()
            for _ in range(8):
                self.world.answer()
        elapsed = time.monotonic() - began
        stop = True
        self.ring.close()
        for thread in threads:
            thread.join(5)
        self.assertEqual(len(names), 4)
        self.assertLess(elapsed, 0.6)  # 80 times 10 ms, four at once: 0.2 s

    def test_attach_wakes_a_sleeper(self) -> None:
        other = World(loop=8, bell=self.world.bell_fd, wake=self.world.wake_fd)
        other.send(id=99, ring_bell=False)
        threads = self.sleeping()
        other.attach(self.ring)
        threads[0].join(5)
        assert self.results[0]
        self.assertEqual(self.results[0].id, 99)
        self.results[0].respond(200, OK, b"to the other loop")
        self.results.clear()
        self.assertEqual(other.answer().body, b"to the other loop")
        self.ring.detach(8)
        other.close()

    def test_wakes_that_came_before_attach_are_given_back(self) -> None:
        """A loop picks whoever sleeps, also one that has not got its lane yet; that one may be busy by the time it gets it."""
        other = World(loop=8, bell=self.world.bell_fd, wake=self.world.wake_fd)
        threads = self.sleeping()
        early, _ = other.send(ring_bell=False)
        self.assertEqual(other.ring_bell(), 0)
        self.world.send(id=1)
        threads[0].join(5)
        assert self.results[0]
        self.assertEqual((self.results[0].id, other.state(early)), (1, loopside.READY))
        self.returned([])
        other.attach(self.ring)
        self.assertEqual(self.returned([other.loop_wake_fd]), [1, 1])
        self.results.clear()
        self.ring.detach(8)
        other.close()

    def test_lanes_take_turns(self) -> None:
        other = World(loop=8, bell=self.world.bell_fd, wake=self.world.wake_fd)
        other.attach(self.ring)
        for i in range(4):
            self.world.send(id=1, ring_bell=False)
            other.send(id=2, ring_bell=False)
        ids = []
        for _ in range(8):
            q = self.ring.take(0)
            assert q
            ids.append(q.id)
            q.abort()
        self.assertEqual(ids, [1, 2] * 4)
        self.ring.detach(8)
        other.close()

    def test_detach_with_open_requests(self) -> None:
        q, streaming, waiting = self.take(body=b"body"), self.take(), self.take(flags=STREAMED)
        streaming.start(200, OK)
        self.ring.detach(7)
        self.assertTrue(q.cancelled)
        with self.assertRaises(Disconnected):
            q.respond(200, OK, b"")
        with self.assertRaises(Disconnected):
            streaming.write(b"x")
        with self.assertRaises(Disconnected):
            waiting.read()
        self.assertEqual(q.read(), b"body")  # the memory is still there
        for request in (q, streaming, waiting):
            request.abort()
        self.assertIsNone(self.ring.take(0))
        with self.assertRaises(ValueError):
            self.ring.detach(7)

    def test_the_memory_goes_with_the_last_request(self) -> None:
        def mappings() -> int:
            with open("/proc/self/maps") as maps:
                return sum("memfd:heart-" in line for line in maps)

        before = mappings()
        q = self.take()
        self.ring.detach(7)
        self.assertEqual(mappings(), before)
        q.abort()
        self.assertEqual(mappings(), before - 4)

    def test_attach_refuses(self) -> None:
        with self.assertRaises(ValueError):
            self.world.attach(self.ring)
        with self.assertRaises(OSError):
            self.ring.attach(9, -1, -1, -1, -1)
        with self.assertRaises(OSError):
            self.ring.attach(9, *reversed(self.world.fds), self.world.loop_wake_fd)
        with self.assertRaises(ValueError):
            Ring(0, self.world.bell_fd, self.world.wake_fd)
        with self.assertRaises(OSError):
            Ring(64, -1, self.world.wake_fd)
        with self.assertRaises(OSError):
            Ring(64, self.world.bell_fd, -1)
        with self.assertRaises(RuntimeError):
            self.ring.__init__(64, self.world.bell_fd, self.world.wake_fd)  # type: ignore[misc]

    def test_a_signal_handler_may_raise(self) -> None:
        class Enough(Exception):
            pass

        def handler(*_: object) -> None:
            raise Enough

        before = signal.signal(signal.SIGALRM, handler)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with self.assertRaises(Enough):
            self.ring.take(-1)


class Processes(RingTest):
    def forked(self, run: Any) -> int:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                run()
                status = 0
            finally:
                os._exit(status)
        return pid

    def ended(self, pid: int) -> int:
        return os.waitpid(pid, 0)[1]

    def test_another_process_answers(self) -> None:
        self.ring.close()

        def pyworker() -> None:
            ring = Ring(65, self.world.bell_fd, self.world.wake_fd)
            self.world.attach(ring)
            while True:
                q = ring.take(-1)
                if q is None or q.path == "/stop":
                    if q:
                        q.respond(200, OK, b"")
                    return
                q.respond(200, OK, q.path.encode() + q.read())

        pid = self.forked(pyworker)
        for i in range(3000):
            self.world.send(path=b"/%d" % i, body=b"+" * (i % 100))
            self.assertEqual(self.world.answer().body, b"/%d" % i + b"+" * (i % 100))
        self.world.send(path=b"/stop")
        self.world.answer()
        self.assertEqual(self.ended(pid), 0)

    def test_a_child_of_the_pyworker_touches_nothing(self) -> None:
        q = self.take(body=b"body")
        started = self.take(flags=STREAMED)
        started.start(200, OK)

        def child() -> None:
            assert q.path == "/"
            assert self.ring.take(-1) is None
            assert q.cancelled
            for call in (lambda: started.write(b"x"), lambda: q.respond(200, OK, b"from the child")):
                try:
                    call()
                    raise AssertionError("it wrote")
                except Disconnected:
                    pass
            q.abort()
            started.abort()
            self.ring.close()

        self.assertEqual(self.ended(self.forked(child)), 0)
        self.assertIsNone(self.world.record())
        q.respond(200, OK, b"from the parent")
        self.assertEqual(self.world.answer().body, b"from the parent")
        started.finish()

    def test_a_killed_pyworker_loses_what_it_held_and_no_more(self) -> None:
        self.ring.close()

        def pyworker() -> None:
            ring = Ring(66, self.world.bell_fd, self.world.wake_fd)
            self.world.attach(ring)
            while True:
                q = ring.take(-1)
                assert q
                if q.path == "/hang":
                    time.sleep(60)
                q.respond(200, OK, b"done")

        pid = self.forked(pyworker)
        self.world.send()
        self.world.answer()
        held, _ = self.world.send(path=b"/hang")
        until = time.monotonic() + 5
        while self.world.state(held) != TAKEN and time.monotonic() < until:
            time.sleep(0.001)
        waiting, _ = self.world.send()
        os.kill(pid, signal.SIGKILL)
        self.ended(pid)
        self.assertEqual((self.world.state(held), self.world.owner_of(held)), (TAKEN, 66))
        self.assertEqual(self.world.state(waiting), loopside.READY)
        loopside.lib().ipc_slot_reap(self.world.lane, held)
        self.assertTrue(loopside.lib().ipc_slot_retract(self.world.lane, waiting))


class Leaks(RingTest):
    def round(self) -> None:
        q = self.take(headers=[(b"Host", b"h"), (b"X-A", b"b"), (b"x-a", b"c")], body=b"hello", params=[(b"id", b"1", 1)])
        q.environ(BASE)
        q.headers, q.params, q.target, q.client
        q.read()
        q.respond(200, OK, b"hello")
        self.world.answer()
        q = self.take(path=b"/" + b"a" * 9000)
        q.start(200, OK)
        del q
        record = self.world.record()
        assert record and self.world.release(record.slot)

    def test_memory_stays(self) -> None:
        for _ in range(300):
            self.round()
        gc.collect()
        before, objects = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, len(gc.get_objects())
        references = sys.getrefcount(OK), sys.getrefcount(BASE), sys.getrefcount(Request), sys.getrefcount(self.ring)
        for _ in range(5000):
            self.round()
        gc.collect()
        self.assertLess(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, 1024)  # kB
        self.assertLess(abs(len(gc.get_objects()) - objects), 50)
        after = sys.getrefcount(OK), sys.getrefcount(BASE), sys.getrefcount(Request), sys.getrefcount(self.ring)
        for one, two in zip(references, after):
            self.assertLess(abs(two - one), 20)

    def test_descriptors_stay(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for i in range(50):
            world = World(loop=i)
            ring = Ring(64, world.bell_fd, world.wake_fd)
            world.attach(ring)
            world.send()
            q = ring.take(0)
            assert q
            ring.close()
            del ring
            q.respond(200, OK, b"")
            world.answer()
            del q
            world.close()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


if __name__ == "__main__":
    unittest.main()
