# SPDX-License-Identifier: MIT
"""loopside.py - the loop's side of the rings for tests of heart._ring: the real ipc/ behind ctypes, over real shared memory.

World makes the segments as the master does, opens them as a loop does, and gives Ring what a pyworker gets. Not a test itself.
"""
from __future__ import annotations

import ctypes as c
import os
import pathlib
import subprocess
import tempfile
import time
from typing import Any, Iterable, List, NamedTuple, Optional, Tuple

SRC = pathlib.Path(os.environ.get("HEART_SRC", pathlib.Path(__file__).resolve().parents[3]))
NO_CHUNK = 0xFFFFFFFF
HEAD, BODY, CONSUMED, WANT_BODY, ABORT = 1, 2, 3, 4, 5
TLS, KEEP_ALIVE, STREAMED, IS_HEAD = 1, 2, 4, 8
FREE, READY, TAKEN, DONE = 0, 1, 2, 3


def build() -> c.CDLL:
    """libipc as a shared object, compiled once per run into a folder of its own."""
    folder = tempfile.mkdtemp(prefix="heart-ipc-")
    path = os.path.join(folder, "libipc.so")
    sources = [str(p) for p in sorted((SRC / "ipc").glob("*.c"))]
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", "-o", path, *sources], check=True)
    lib = c.CDLL(path)
    os.unlink(path)
    os.rmdir(folder)
    return lib


class Span(c.Structure):
    _fields_ = [("ptr", c.c_char_p), ("len", c.c_size_t)]


class Field(c.Structure):
    _fields_ = [("name", Span), ("value", Span), ("id", c.c_uint8)]


class Geometry(c.Structure):
    _fields_ = [(n, c.c_uint32) for n in ("slots", "slot_bytes", "chunks", "chunk_bytes", "answer_bytes")]


class CRequest(c.Structure):
    _fields_ = [
        ("id", c.c_uint64), ("arrived_us", c.c_uint64), ("deadline_us", c.c_uint64), ("generation", c.c_uint64), ("handler", c.c_uint32),
        ("flags", c.c_uint16), ("http_minor", c.c_uint8), ("client_port", c.c_uint16), ("server_port", c.c_uint16), ("content_length", c.c_int64),
        ("method", Span), ("target", Span), ("path", Span), ("query", Span), ("host", Span), ("client", Span), ("server", Span),
        ("root_path", Span), ("user", Span), ("headers", c.POINTER(Field)), ("header_count", c.c_uint16), ("params", c.POINTER(Field)), ("param_count", c.c_uint8),
        ("body", Span),
    ]


class CRecord(c.Structure):
    _fields_ = [("len", c.c_uint32), ("slot", c.c_uint32), ("generation", c.c_uint32), ("kind", c.c_uint16), ("flags", c.c_uint16),
                ("arg", c.c_uint32), ("_reserved", c.c_uint32)]


class CAnswer(c.Structure):
    _fields_ = [("status", c.c_uint16), ("header_count", c.c_uint16), ("content_length", c.c_int64), ("_fields", c.c_void_p), ("_end", c.c_void_p),
                ("body", c.c_void_p), ("body_len", c.c_size_t)]


class Word(c.Structure):
    _fields_ = [("generation", c.c_uint32), ("owner", c.c_uint16), ("state", c.c_uint)]


class Record(NamedTuple):
    kind: int
    end: bool
    slot: int
    generation: int
    arg: int
    payload: bytes


class Answer(NamedTuple):
    status: int
    headers: List[Tuple[bytes, bytes]]
    content_length: int
    body: bytes


_lib: Optional[c.CDLL] = None


def lib() -> c.CDLL:
    global _lib
    if _lib is None:
        _lib = build()
        _lib.ipc_slot_buffer.restype = c.c_void_p
        _lib.ipc_chunk_buffer.restype = c.c_void_p
        _lib.ipc_request_encode.restype = c.c_long
        _lib.ipc_slot_word.restype = Word
        _lib.ipc_bell_mask.restype = c.c_uint64
        for name in ("ipc_slot_release", "ipc_slot_retract", "ipc_answer_field", "ipc_lane_has_ready"):
            getattr(_lib, name).restype = c.c_bool
    return _lib


def check(result: int) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def span(data: bytes) -> Span:
    return Span(data, len(data))


def field(name: bytes, value: bytes, id: Optional[int] = None) -> Field:
    return Field(span(name), span(value), lib().ipc_header_find(name, c.c_size_t(len(name))) if id is None else id)


class World:
    """One loop, one pool of one pyworker."""

    def __init__(self, loop: int = 7, owner: int = 64, slots: int = 16, slot_bytes: int = 8192, chunks: int = 8, chunk_bytes: int = 65536,
                 answer_bytes: int = 262144, bell: int = -1, wake: int = -1) -> None:
        self.loop, self.owner = loop, owner
        geometry = Geometry(slots, slot_bytes, chunks, chunk_bytes, answer_bytes)
        self.geometry = geometry
        words, requests, readonly, answers, bell_fd = (c.c_int() for _ in range(5))
        check(lib().ipc_lane_create(c.byref(geometry), c.c_uint32(loop), c.byref(words), c.byref(requests)))
        check(lib().ipc_answers_create(c.byref(geometry), c.byref(answers)))
        if bell < 0:
            check(lib().ipc_bell_create(c.byref(bell_fd)))
            bell = bell_fd.value
            self.owns_bell = True
            wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) if hasattr(os, "eventfd") else _eventfd()
        else:
            self.owns_bell = False
        self.lane, self.answers, self.bell = c.c_void_p(), c.c_void_p(), c.c_void_p()
        check(lib().ipc_lane_open(words, requests, True, c.byref(self.lane)))
        check(lib().ipc_readonly(requests, c.byref(readonly)))
        check(lib().ipc_answers_open(answers, True, c.byref(self.answers)))
        check(lib().ipc_bell_open(bell, c.byref(self.bell)))
        self.bell_fd, self.wake_fd = bell, wake
        self.loop_wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) if hasattr(os, "eventfd") else _eventfd()
        self.fds = (words.value, readonly.value, answers.value)
        os.close(requests.value)
        self._keep: List[Any] = []

    def attach(self, ring: Any) -> None:
        ring.attach(self.loop, *self.fds, self.loop_wake_fd)

    def close(self) -> None:
        lib().ipc_lane_free(self.lane)
        lib().ipc_answers_free(self.answers)
        lib().ipc_bell_free(self.bell)
        for fd in (*self.fds, self.loop_wake_fd, *((self.bell_fd, self.wake_fd) if self.owns_bell else ())):
            os.close(fd)

    # ---- requests ----
    def send(self, method: bytes = b"GET", path: bytes = b"/", target: Optional[bytes] = None, query: bytes = b"", headers: Iterable[Tuple[bytes, bytes]] = (),
             body: bytes = b"", params: Iterable[Tuple[bytes, bytes, int]] = (), flags: int = KEEP_ALIVE, content_length: Optional[int] = None,
             client: bytes = b"192.0.2.1", server: bytes = b"127.0.0.1", root_path: bytes = b"", minor: int = 1, handler: int = 3, deadline_us: int = 0,
             host: bytes = b"example.com", user: bytes = b"", id: int = 42, ring_bell: bool = True) -> Tuple[int, int]:
        """Publish one request: (slot, generation)."""
        fields = [field(n, v) for n, v in headers]
        values = [field(n, v, kind) for n, v, kind in params]
        if target is None:
            target = path + (b"?" + query if query else b"")
        if content_length is None:
            content_length = len(body) if body else -1
        request = CRequest(id, int(time.monotonic() * 1e6), deadline_us, 9, handler, flags, minor, 50123, 8080, content_length, span(method), span(target),
                           span(path), span(query), span(host), span(client), span(server), span(root_path), span(user), (Field * len(fields))(*fields), len(fields),
                           (Field * len(values))(*values), len(values), span(body))
        slot, generation, chunk = c.c_uint32(), c.c_uint32(), c.c_uint32(NO_CHUNK)
        check(lib().ipc_slot_claim(self.lane, c.byref(slot), c.byref(generation)))
        n = lib().ipc_request_encode(c.byref(request), c.c_void_p(lib().ipc_slot_buffer(self.lane, slot)), c.c_size_t(self.geometry.slot_bytes))
        if n < 0:
            check(lib().ipc_chunk_claim(self.lane, c.byref(chunk)))
            check(lib().ipc_request_encode(c.byref(request), c.c_void_p(lib().ipc_chunk_buffer(self.lane, chunk)), c.c_size_t(self.geometry.chunk_bytes)))
        lib().ipc_slot_publish(self.lane, slot, chunk)
        if ring_bell:
            self.ring_bell()
        return slot.value, generation.value

    def ring_bell(self) -> int:
        place = lib().ipc_bell_pick(self.bell)
        if place >= 0:
            os.write(self.wake_fd, (1).to_bytes(8, "little"))
        return place

    def push(self, slot: int, data: bytes, last: bool = False) -> bool:
        """One piece of a streamed body; False: no credit or no chunk now."""
        chunk = c.c_uint32(NO_CHUNK)
        if data:
            if lib().ipc_chunk_claim(self.lane, c.byref(chunk)) < 0:
                return False
            c.memmove(lib().ipc_chunk_buffer(self.lane, chunk), data, len(data))
        if lib().ipc_body_push(self.lane, slot, chunk, len(data), last) < 0:
            lib().ipc_chunk_unclaim(self.lane, chunk)
            return False
        return True

    def cancel(self, slot: int) -> None:
        lib().ipc_slot_cancel(self.lane, slot)

    def state(self, slot: int) -> int:
        return int(lib().ipc_slot_word(self.lane, slot).state)

    def owner_of(self, slot: int) -> int:
        return int(lib().ipc_slot_word(self.lane, slot).owner)

    def release(self, slot: int) -> bool:
        return bool(lib().ipc_slot_release(self.lane, slot))

    # ---- answers ----
    def fill(self) -> None:
        """Before attach: fill the answers ring to the last byte, as if an earlier pyworker's records had not been read yet."""
        writer, record, wake = c.c_void_p(), CRecord(kind=CONSUMED), c.c_bool()
        check(lib().ipc_answers_open(self.fds[2], False, c.byref(writer)))
        while lib().ipc_answers_put(writer, c.byref(record), None, 0, c.byref(wake)) == 0:
            pass
        lib().ipc_answers_free(writer)

    def pop(self) -> None:
        """Make room for one record without a payload."""
        record, payload = CRecord(), c.c_void_p()
        check(lib().ipc_answers_peek(self.answers, c.byref(record), c.byref(payload)))
        lib().ipc_answers_pop(self.answers)

    def record(self, timeout_s: float = 0) -> Optional[Record]:
        """The next record, its payload copied. A record of body bytes is acknowledged at once; CONSUMED gives chunks back."""
        until = time.monotonic() + timeout_s
        record, payload = CRecord(), c.c_void_p()
        while (r := lib().ipc_answers_peek(self.answers, c.byref(record), c.byref(payload))) == -11:
            if time.monotonic() >= until:
                return None
            time.sleep(0.0002)
        check(r)
        data = c.string_at(payload, record.len)
        lib().ipc_answers_pop(self.answers)
        if record.kind == CONSUMED:
            check(lib().ipc_body_consumed(self.lane, record.slot, record.arg))
        return Record(record.kind, bool(record.flags & 1), record.slot, record.generation, record.arg, data)

    def ack(self, slot: int, n: int) -> None:
        lib().ipc_slot_ack(self.lane, slot, n)

    def decode(self, payload: bytes) -> Answer:
        buffer = c.create_string_buffer(payload, len(payload))
        answer, f = CAnswer(), Field()
        check(lib().ipc_answer_decode(buffer, c.c_size_t(len(payload)), c.byref(answer)))
        headers = []
        while lib().ipc_answer_field(c.byref(answer), c.byref(f)):
            name = c.string_at(c.cast(c.byref(f, 0), c.POINTER(c.c_void_p))[0], f.name.len)
            value = c.string_at(c.cast(c.byref(f, Field.value.offset), c.POINTER(c.c_void_p))[0], f.value.len)
            headers.append((name, value))
        return Answer(answer.status, headers, answer.content_length, c.string_at(answer.body, answer.body_len))

    def answer(self, timeout_s: float = 5) -> Answer:
        """Read records up to END, acknowledging each body; asserts that the slot can be released then."""
        first: Optional[Answer] = None
        body = b""
        while True:
            record = self.record(timeout_s)
            assert record is not None, "no record came"
            assert record.kind != ABORT, "the answer was aborted"
            if record.kind == HEAD:
                first = self.decode(record.payload)
                body += first.body
                self.ack(record.slot, len(first.body))
            elif record.kind == BODY:
                body += record.payload
                self.ack(record.slot, len(record.payload))
            if record.end:
                assert first is not None
                assert self.release(record.slot), "END came before DONE"
                return first._replace(body=body)


def _eventfd() -> int:
    libc = c.CDLL(None, use_errno=True)
    return int(libc.eventfd(0, 0o2000000 | 0o4000))
