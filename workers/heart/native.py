# SPDX-License-Identifier: MIT
"""native.py - runs the handlers of an App (and `python:` functions) on requests taken from the rings.

From: pyworker.py, whose threads call Native.run with each request they take.   To: heart._ring.Request.respond and its kin.
Threads: run() on every taking thread at once; coroutines on one event-loop thread, started when the app has an `async def` handler.
Every request that run() was given is answered, aborted, or on its way on the event loop when it returns.
"""
from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any, Awaitable, Iterable, List, Optional, Sequence, Set, Tuple, cast

from ._ring import Request as RingRequest
from .app import App, Endpoint
from .errors import Disconnected, HTTPError
from .logs import log_exception
from .request import Request
from .response import APPLICATION_JSON, TEXT, Response, encode_json, make_response

__all__ = ["Native"]

NO_HANDLER = 0xFFFFFFFF  # workers/README.md, "The report": no route of the app matched
ASYNC_IN_FLIGHT = 256  # coroutines at once; past it this pyworker takes no more, so that idle ones get them
INLINE_BYTES = 65536  # what the event loop hands over itself; more may have to wait for the client, on a helper thread

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
        try:
            number = raw.handler
            if number == NO_HANDLER:
                request = Request(raw)
                self._answer(raw, request, self._app.handle_error(request, HTTPError(404)))
                return
            endpoint = self._endpoints[number]
            if endpoint.is_async:
                self._event_loop().submit(raw, self._run_async(raw, endpoint))
                return
            request = Request(raw)
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
            _give_up(raw, error)

    def _answer(self, raw: RingRequest, request: Request, response: Response) -> None:
        """Send; an answer that turns out to be none before its head is out (a bad header, a stream that fails at once) is the app's error still."""
        try:
            _send(raw, response)
        except Disconnected:
            raise
        except Exception as error:
            if raw.started:
                raise
            _send(raw, self._app.handle_error(request, error))

    async def _run_async(self, raw: RingRequest, endpoint: Endpoint) -> None:
        loop = asyncio.get_running_loop()
        try:
            request = Request(raw)
            if raw.streamed:  # a slow upload must not hold the event loop
                request._body = await loop.run_in_executor(None, raw.read)
            await _send_async(raw, await self._app.handle_async(request, endpoint.call))
        except Disconnected:
            raw.abort()
        except BaseException as error:
            _give_up(raw, error)
            if isinstance(error, asyncio.CancelledError):
                raise

    def _event_loop(self) -> EventLoop:
        if self._loop is None:
            with self._starting:
                if self._loop is None:
                    self._loop = EventLoop()
        return self._loop

    def close(self, timeout_s: Optional[float]) -> None:
        """Wait until the coroutines that run have ended. timeout_s: seconds until they are cancelled, None: never."""
        if self._loop is not None:
            self._loop.close(timeout_s)


class EventLoop:
    """One asyncio loop on a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._changed = threading.Condition()
        self._running = 0  # guarded by _changed
        self._tasks: Set[asyncio.Task[None]] = set()  # the loop's thread only; a task that nothing refers to may vanish
        self._thread = threading.Thread(target=self._main, name="heart-async", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def submit(self, raw: RingRequest, coroutine: Any) -> None:
        """Start a coroutine; waits while ASYNC_IN_FLIGHT are running, so that this thread does not take what it cannot begin."""
        with self._changed:
            while self._running >= ASYNC_IN_FLIGHT:
                self._changed.wait()
            self._running += 1
        self._loop.call_soon_threadsafe(self._start, coroutine)

    def _start(self, coroutine: Any) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def call(self, awaitable: Awaitable[Any]) -> Any:
        """Run an awaitable to its end from another thread and give back what it gives."""

        async def wait() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result()

    def close(self, timeout_s: Optional[float]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0, timeout_s)
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(5)

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._loop.call_soon(self._loop.stop)


def _give_up(raw: RingRequest, error: BaseException) -> None:
    """Something that the app's own error handling did not take: a 500 while that is still possible, else a broken-off answer."""
    log_exception(raw.id, raw.method, raw.target, error, "breaking the answer off" if raw.started else "answering 500")
    try:
        if not raw.started:
            raw.respond(500, _TEXT_HEADERS, b"500 Internal Server Error\n")
        elif not raw.finished:
            raw.abort()
    except Disconnected:
        raw.abort()


def _piece(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):
        return piece.encode("utf-8")
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a stream yields str or bytes, not {type(piece).__name__}")


def _framing(response: Response) -> Tuple[List[Tuple[str, str]], Optional[int]]:
    """Headers without Content-Length, and the length that it gave."""
    length = response.headers.get("content-length")
    if length is None:
        return response.headers.raw, None
    return [pair for pair in response.headers.raw if pair[0].lower() != "content-length"], int(length)


def _send(raw: RingRequest, response: Response) -> None:
    """On a taking thread: waits for the client's pace where it must."""
    if isinstance(response.body, bytes):
        raw.respond(response.status, _framing(response)[0], response.body)
        return
    if hasattr(response.body, "__aiter__"):
        raise TypeError("an async stream needs an `async def` handler")
    pieces = cast(Iterable[Any], response.body)
    try:
        for piece in pieces if raw.method != "HEAD" else ():
            data = _piece(piece)
            if not raw.started:
                raw.start(response.status, *_framing(response))
            if data:
                raw.write(data)
        if not raw.started:
            raw.start(response.status, *_framing(response))
        raw.finish()
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


async def _send_async(raw: RingRequest, response: Response) -> None:
    """On the event loop: whatever might have to wait for the client does so on a helper thread."""
    body = response.body
    wait = asyncio.get_running_loop().run_in_executor
    if isinstance(body, bytes):
        if len(body) <= INLINE_BYTES:
            raw.respond(response.status, _framing(response)[0], body)
        else:
            await wait(None, raw.respond, response.status, _framing(response)[0], body)
        return
    if not hasattr(body, "__aiter__"):
        await wait(None, _send, raw, response)
        return
    try:
        if raw.method != "HEAD":
            async for piece in cast(Any, body):
                data = _piece(piece)
                if not raw.started:
                    raw.start(response.status, *_framing(response))
                if data:
                    await wait(None, raw.write, data)
        if not raw.started:
            raw.start(response.status, *_framing(response))
        raw.finish()
    finally:
        close = getattr(body, "aclose", None)
        if close is not None:
            await close()
