# SPDX-License-Identifier: MIT
"""eventloop.py - one asyncio loop on a thread of its own, for `async def` handlers and async streams.

From: native.py, whose taking threads submit requests and go on.   To: heart._ring.Request.respond and its kin.
What might wait for a client (a large answer, a streamed body) does so on a helper thread, never on the loop.
"""
from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Awaitable, Callable, Optional, Set, cast

from ._ring import Request as RingRequest
from .app import App, Endpoint
from .errors import Disconnected
from .failure import give_up
from .native import encoded, framing, send
from .request import Request
from .response import PlainError, Response

__all__ = ["EventLoop"]

ASYNC_IN_FLIGHT = 256  # coroutines at once; past it this pyworker takes no more, so that idle ones get them
INLINE_BYTES = 65536  # what the loop hands over itself


class EventLoop:
    """One asyncio loop on a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        # One for each coroutine that may wait for its client, so that slow clients take nothing from others; asyncio's own are few, and the app's. Made as they are needed.
        self._helpers = ThreadPoolExecutor(ASYNC_IN_FLIGHT, "heart-wait")
        self._changed = threading.Condition()
        self._running = 0  # guarded by _changed
        self._tasks: Set[asyncio.Task[None]] = set()  # the loop's thread only; a task that nothing refers to may vanish
        self._thread = threading.Thread(target=self._main, name="heart-async", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def submit(self, app: App, raw: RingRequest, endpoint: Endpoint) -> None:
        """Start a handler; waits while ASYNC_IN_FLIGHT are running, so that the calling thread does not take what it cannot begin."""
        with self._changed:
            while self._running >= ASYNC_IN_FLIGHT:
                self._changed.wait()
            self._running += 1
        self._loop.call_soon_threadsafe(self._start, app, raw, endpoint)

    def _start(self, app: App, raw: RingRequest, endpoint: Endpoint) -> None:
        task = self._loop.create_task(self._run(app, raw, endpoint))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _run(self, app: App, raw: RingRequest, endpoint: Endpoint) -> None:
        try:
            request = Request(raw, None, app.form_limits)
            try:
                if raw.streamed:  # a slow upload must not hold the event loop
                    await self._wait(request.read_ahead)
                await self._send(raw, await app.handle_async(request, endpoint.call))
            finally:
                request.close()
        except Disconnected:
            raw.abort()
        except BaseException as error:
            give_up(raw, error)
            if isinstance(error, asyncio.CancelledError):
                raise

    async def _send(self, raw: RingRequest, response: Response) -> None:
        """On the event loop: whatever might have to wait for the client does so on a helper thread."""
        body = response.body
        if type(response) is PlainError:
            raw.abort(response.status)
            return
        if isinstance(body, bytes):
            if len(body) <= INLINE_BYTES:
                raw.respond(response.status, framing(response)[0], body)
            else:
                await self._wait(raw.respond, response.status, framing(response)[0], body)
            return
        if not hasattr(body, "__aiter__"):
            await self._wait(send, raw, response)
            return
        try:
            if raw.method != "HEAD":
                async for piece in cast(Any, body):
                    data = encoded(piece)
                    if not raw.started:
                        raw.start(response.status, *framing(response))
                    if data:
                        await self._wait(raw.write, data)
            if not raw.started:
                raw.start(response.status, *framing(response))
            raw.finish()
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()

    def _wait(self, function: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        return self._loop.run_in_executor(self._helpers, function, *arguments)

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
