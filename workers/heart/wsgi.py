# SPDX-License-Identifier: MIT
"""wsgi.py - runs a WSGI application (PEP 3333) on requests taken from the rings.

From: pyworker.py, whose threads call the function that runner() made with each request they take.
The common case, one block of bytes known whole, goes out in one record: status, headers and body (run, first return).
Otherwise the head is held until the first block that is not empty, each block is handed over before the next is asked for, and close() is
called exactly once. An application that breaks the rules gets an exception, its client a 500 or, once the head is out, a broken-off body.
"""
from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple, Type, Union

from ._ring import Request as RingRequest
from .errors import Disconnected
from .failure import give_up
from .logs import log_exception

__all__ = ["FileWrapper", "base_environ", "runner"]

ExcInfo = Union[Tuple[Type[BaseException], BaseException, TracebackType], Tuple[None, None, None]]
StartResponse = Callable[..., Callable[[bytes], None]]
Application = Callable[[Dict[str, Any], StartResponse], Iterable[bytes]]

_CACHE_MAX = 1024  # entries in each of the two caches below; applications use few distinct names and status lines

_ORDINARY, _FILE, _LENGTH, _HOP = 0, 1, 2, 3  # from _LENGTH on they are not passed on
_FILES = ("x-sendfile", "x-accel-redirect")  # the server sends what they name; Content-Length beside them is that file's, and no byte of it comes from here
_HOP_BY_HOP = frozenset(("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "trailers",
                         "transfer-encoding", "upgrade", "proxy-connection"))
_codes: Dict[str, int] = {}  # "200 OK" -> 200; any thread: a lost race costs one more parse
_kinds: Dict[str, int] = {}  # header name as the application writes it -> one of these


def base_environ(*, root_path: str, threads: int) -> Dict[str, Any]:
    """What every environ of this pyworker begins with; heart._ring.Request.environ(base) copies it and adds the request.

    multiprocess is always true: while a reload is under way, pyworkers of two generations run side by side.
    """
    return {
        "SCRIPT_NAME": root_path,
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "heart",
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": threads > 1,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


class FileWrapper:
    """wsgi.file_wrapper: a file's blocks of `block_bytes`, from where it stands."""

    def __init__(self, filelike: Any, block_bytes: int = 65536) -> None:
        self.filelike = filelike
        self.block_bytes = block_bytes
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        while True:
            block = self.filelike.read(self.block_bytes)
            if not block:
                return
            yield block


def runner(app: Application, base: Dict[str, Any]) -> Callable[[RingRequest], None]:
    """The function that answers one request through `app`. It never raises."""

    def run(raw: RingRequest) -> None:
        answer = _Answer(raw)
        result: Any = None
        try:
            result = app(raw.environ(base), answer.start_response)
            if type(result) is list and len(result) == 1 and answer.code and not raw.started:
                block = result[0]
                if type(block) is bytes and (answer.length == len(block) or answer.length == -1):
                    raw.respond(answer.code, answer.headers, block)
                    return
            answer.send_all(result)
        except Disconnected:
            raw.abort()
        except BaseException as error:  # SystemExit too: an application cannot end the pyworker
            give_up(raw, error)
        finally:
            if type(result) is not list and hasattr(result, "close"):
                _close(raw, result)

    return run


def _close(raw: RingRequest, result: Any) -> None:
    try:
        result.close()
    except Disconnected:
        pass
    except BaseException as error:
        log_exception(raw.id, raw.method, raw.target, error, "in close(), after the answer")


class _Answer:
    """One request's start_response, and what it was told. One thread: the one that calls the application."""

    __slots__ = ("_sent", "code", "headers", "length", "raw")

    def __init__(self, raw: RingRequest) -> None:
        self.raw = raw
        self.code = 0  # 0: start_response was not called yet
        self.headers: List[Tuple[str, str]] = []
        self.length = -1  # the application's own Content-Length; it is not in `headers`
        self._sent = 0  # body bytes

    def start_response(self, status: str, headers: List[Tuple[str, str]], exc_info: Optional[ExcInfo] = None) -> Callable[[bytes], None]:
        """PEP 3333: may be called again, with exc_info, until the head is out; after that the exception is raised in the application."""
        if exc_info is not None:
            try:
                if self.raw.started and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no cycle through the traceback
        elif self.code:
            raise AssertionError("start_response was called twice without exc_info")
        code = _codes.get(status) or _code_of(status)
        if type(headers) is not list:
            raise TypeError(f"start_response wants a list of headers, not {type(headers).__name__}")
        length = -1
        dropped = names_file = False
        for name, value in headers:
            kind = _kinds.get(name)
            if kind is None:
                kind = _kind_of(name)
            if kind is _FILE:
                names_file = True
            elif kind is not _ORDINARY:
                dropped = True
                if kind is _LENGTH:
                    length = _length_of(value)
        if dropped:
            headers = [pair for pair in headers if _kinds.get(pair[0], _kind_of(pair[0])) < _LENGTH]
        self.headers = headers
        self.length = -1 if names_file else length
        self.code = code
        return self.write

    def write(self, block: bytes) -> None:
        """The write callable of PEP 3333; also every yielded block. Returns when the block is on its way; waits for a slow client."""
        if not block:
            return
        raw = self.raw
        if not raw.started:
            if not self.code:
                raise AssertionError("a block was given before start_response was called")
            raw.start(self.code, self.headers, None if self.length < 0 else self.length)
        if type(block) is not bytes:
            raise TypeError(f"a WSGI application gives bytes, not {type(block).__name__}")
        if 0 <= self.length < self._sent + len(block):
            block = block[: self.length - self._sent]  # the surplus would be the next answer to the client
            if not block:
                return
        self._sent += len(block)
        raw.write(block)

    def send_all(self, result: Iterable[bytes]) -> None:
        """Every case but the commonest."""
        raw = self.raw
        if type(result) in (list, tuple) and self.length == -1 and self.code and not raw.started:
            raw.respond(self.code, self.headers, b"".join(result))  # all of it is there already: one record, with its length
            return
        if result is None:
            raise TypeError("the WSGI application returned None, not an iterable of bytes")
        for block in result:
            self.write(block)
            if raw.cancelled:
                raise Disconnected("the client is gone")
        if not raw.started:
            if not self.code:
                raise AssertionError("the WSGI application never called start_response")
            if self.length == -1:
                raw.respond(self.code, self.headers, b"")
                return
            raw.start(self.code, self.headers, self.length)
        if self._sent < self.length and raw.method != "HEAD" and self.code not in (204, 304):
            raise AssertionError(f"Content-Length is {self.length}, but only {self._sent} bytes came")
        raw.finish()


def _code_of(status: str) -> int:
    """ "404 Not Found" -> 404. Informational statuses are the server's own (PEP 3333 leaves them no room)."""
    if type(status) is not str:
        raise TypeError(f"the status is a str such as '200 OK', not {type(status).__name__}")
    if len(status) < 3 or not (status[:3].isascii() and status[:3].isdigit()) or status[3:4] not in ("", " ") or not 200 <= int(status[:3]) <= 599:
        raise ValueError(f"not a status line: {status!r}")
    if any(ord(char) < 32 or ord(char) == 127 for char in status):
        raise ValueError(f"a status line cannot hold control characters: {status!r}")
    if len(_codes) < _CACHE_MAX:
        _codes[status] = int(status[:3])
    return int(status[:3])


def _kind_of(name: str) -> int:
    if type(name) is not str:
        raise TypeError(f"a header's name is a str, not {type(name).__name__}")
    lower = name.lower()
    kind = _LENGTH if lower == "content-length" else _HOP if lower in _HOP_BY_HOP else _FILE if lower in _FILES else _ORDINARY
    if len(_kinds) < _CACHE_MAX:
        _kinds[name] = kind
    return kind


def _length_of(value: str) -> int:
    if type(value) is not str or not (value.isascii() and value.isdigit()):
        raise ValueError(f"Content-Length is not a number: {value!r}")
    return int(value)
