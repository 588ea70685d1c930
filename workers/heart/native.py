# SPDX-License-Identifier: MIT
"""native.py - runs the handlers of an App (and `python:` functions) on requests taken from the rings.

From: pyworker.py, whose threads call Native.run with each request they take.   To: heart._ring.Request.respond and its kin.
Threads: run() on every taking thread at once; coroutines on the event loop's one (eventloop.py), which starts when the app has an `async def` handler.
Every request that run() was given is answered, aborted, or on its way on the event loop when it returns.
"""
from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any, Iterable, List, Optional, Sequence, Tuple, cast

from ._ring import Request as RingRequest
from .app import App, Endpoint
from .errors import Disconnected, HTTPError
from .failure import give_up
from .file import File
from .request import Request
from .response import APPLICATION_JSON, TEXT, PlainError, Response, encode_json, make_response

if TYPE_CHECKING:
    from .eventloop import EventLoop

__all__ = ["Native", "encoded", "framing", "send"]

NO_HANDLER = 0xFFFFFFFF  # workers/README.md, "The report": no route of the app matched
ERROR_HANDLER = 0xFFFE0000  # ipc.h, IPC_HANDLER_ERROR: and a status: heart itself failed the request, and the app is asked for the page
_JSON_HEADERS = [("Content-Type", APPLICATION_JSON)]
_TEXT_HEADERS = [("Content-Type", TEXT)]


class Native:
    """What a pyworker of kind `heart` or `python` does with a request. endpoints: by the handler's number."""

    def __init__(self, app: App, endpoints: Sequence[Endpoint]) -> None:
        self._app = app
        self._endpoints = endpoints
        self._plain = not app.has_hooks
        self._starting = threading.Lock()
        self._loop: Optional[EventLoop] = None
        if any(endpoint.is_async for endpoint in endpoints):
            self._event_loop()
        app.run_coroutine = lambda awaitable: self._event_loop().call(awaitable)

    def run(self, raw: RingRequest) -> None:
        """Call the handler of one request and send its answer."""
        request: Optional[Request] = None
        try:
            number = raw.handler
            if number >= ERROR_HANDLER:
                request = Request(raw, None, self._app.form_limits)
                self._answer(raw, request, self._app.handle_error(request, HTTPError(404 if number == NO_HANDLER else number - ERROR_HANDLER)))
                return
            endpoint = self._endpoints[number]
            if endpoint.is_async:
                self._event_loop().submit(self._app, raw, endpoint)
                return
            request = Request(raw, None, self._app.form_limits)
            if not self._plain:
                self._answer(raw, request, self._app.handle(request, endpoint.call))
                return
            try:
                result = endpoint.call(request)
                kind = type(result)
                if kind is dict or kind is list:
                    raw.respond(200, _JSON_HEADERS, encode_json(result))
                    return
                if kind is str:
                    raw.respond(200, _TEXT_HEADERS, result.encode("utf-8"))
                    return
                if inspect.isawaitable(result):
                    result = self._app.run_coroutine(result)
                response = make_response(result)
            except Disconnected:
                raise
            except Exception as error:
                if raw.started:
                    raise
                response = self._app.handle_error(request, error)
            self._answer(raw, request, response)
        except Disconnected:
            raw.abort()
        except BaseException as error:  # SystemExit too: a handler cannot end the pyworker
            give_up(raw, error)
        finally:
            if request is not None and request._data is not None:
                request.close()

    def _answer(self, raw: RingRequest, request: Request, response: Response) -> None:
        """Send; an answer that turns out to be none before its head is out (a bad header, a stream that fails at once) is the app's error still."""
        try:
            send(raw, response)
        except Disconnected:
            raise
        except Exception as error:
            if raw.started:
                raise
            send(raw, self._app.handle_error(request, error))

    def _event_loop(self) -> EventLoop:
        if self._loop is None:
            with self._starting:
                if self._loop is None:
                    from .eventloop import EventLoop  # asyncio costs a third of a pyworker's start; most apps need none of it

                    self._loop = EventLoop()
        return self._loop

    def close(self, timeout_s: Optional[float]) -> None:
        """Wait until the coroutines that run have ended. timeout_s: seconds until they are cancelled, None: never."""
        if self._loop is not None:
            self._loop.close(timeout_s)


def encoded(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):
        return piece.encode("utf-8")
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a stream yields str or bytes, not {type(piece).__name__}")


def framing(response: Response) -> Tuple[List[Tuple[str, str]], Optional[int]]:
    """Headers without Content-Length, and the length that it gave. A File is its name, in a header that only the server sees."""
    if isinstance(response, File):
        return [*(pair for pair in response.headers.raw if pair[0].lower() != "content-length"), ("X-Sendfile", response.sendfile)], None
    length = response.headers.get("content-length")
    if length is None:
        return response.headers.raw, None
    return [pair for pair in response.headers.raw if pair[0].lower() != "content-length"], int(length)


def send(raw: RingRequest, response: Response) -> None:
    """On a taking thread: waits for the client's pace where it must."""
    if type(response) is PlainError:
        raw.abort(response.status)
        return
    if isinstance(response.body, bytes):
        raw.respond(response.status, framing(response)[0], response.body)
        return
    if hasattr(response.body, "__aiter__"):
        raise TypeError("an async stream needs an `async def` handler")
    pieces = cast(Iterable[Any], response.body)
    try:
        for piece in pieces if raw.method != "HEAD" else ():
            data = encoded(piece)
            if not raw.started:
                raw.start(response.status, *framing(response))
            if data:
                raw.write(data)
        if not raw.started:
            raw.start(response.status, *framing(response))
        raw.finish()
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
