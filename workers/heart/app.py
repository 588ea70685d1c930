# SPDX-License-Identifier: MIT
"""app.py - App: handlers registered by decorators, and what happens around a call of one.

From: the user's module fills it.   To: pyworker.py reports its routes and native.py runs its handlers; as a WSGI callable it does both itself.
Registered at import, by one thread; constant from the first request on, then used by any thread.
"""
from __future__ import annotations

import inspect
import sys
import threading
from dataclasses import dataclass, field
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union, cast

from .cors import Cors, merge_vary
from .datastructures import Headers
from .errors import Disconnected, HTTPError, reason
from .file import File, file_answer
from .logs import log_exception
from .forms import FormLimits
from .request import FORM_LIMITS, EnvironSource, Request
from .response import Response, error_page, make_response
from .routing import Asked, Matcher, check_pattern, check_when

__all__ = ["App", "Endpoint", "Route", "endpoint_of"]

Handler = TypeVar("Handler", bound=Callable[..., Any])
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


@dataclass(frozen=True)
class Endpoint:
    """A handler, ready to be called with one Request whatever arguments it was written with."""

    call: Callable[[Request], Any]
    is_async: bool
    name: str
    file: str
    line: int


@dataclass(frozen=True)
class Route:
    """One decorated route. Its index in App.routes is the number of its handler."""

    path: str
    methods: Tuple[str, ...]
    endpoint: Endpoint
    when: Dict[str, Any] = field(default_factory=dict)
    file: str = ""  # of the decorator
    line: int = 0


def _caller() -> Tuple[str, int]:
    """File and line of the decorator: the nearest frame that is not of this file."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _required(function: Callable[..., Any]) -> int:
    """How many positional arguments a call may be given, at most 2 being of interest."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # builtins without a signature
        return 1
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 2
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def endpoint_of(function: Callable[..., Any], name: Optional[str] = None) -> Endpoint:
    """Look at a handler once, so that nothing is looked up per request. TypeError when it is not callable."""
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    plain: Any = inspect.unwrap(function)
    while hasattr(plain, "func"):  # functools.partial
        plain = plain.func
    if not hasattr(plain, "__code__"):
        plain = getattr(plain, "__call__", plain)
    code = getattr(plain, "__code__", None)
    call: Callable[[Request], Any] = function
    if _required(function) == 0:
        call = lambda request: function()  # noqa: E731
    return Endpoint(call=call, is_async=inspect.iscoroutinefunction(plain), name=name or str(getattr(function, "__name__", type(function).__name__)),
                    file=code.co_filename if code else "", line=code.co_firstlineno if code else 0)


def _error_call(function: Callable[..., Any]) -> Callable[[Request, Exception], Any]:
    """An error handler, callable with (request, error) whatever part of that it takes."""
    count = _required(function)
    if count == 0:
        return lambda request, error: function()
    if count == 1:
        return lambda request, error: function(request)
    return function


class App:
    """A set of handlers.

        app = App()

        @app.get("/users/{user_id:int}")
        def show(request):
            return {"id": request.params["user_id"]}

    Handlers take the Request, or nothing. `async def` ones run on one event loop per pyworker, others on its threads.
    Source of the path patterns: router/README.md.
    """

    def __init__(self, name: str = "app", *, form_limits: FormLimits = FORM_LIMITS) -> None:
        self.name: str = name
        self.form_limits: FormLimits = form_limits
        """How large a form may be that a handler of this app asks for."""
        self.routes: List[Route] = []
        self.run_coroutine: Callable[[Awaitable[Any]], Any] = _run_alone  # pyworker.py puts its event loop here
        self._errors: Dict[Union[int, Type[BaseException]], Callable[[Request, Exception], Any]] = {}
        self._before: List[Callable[[Request], Any]] = []
        self._after: List[Callable[[Request, Response], Optional[Response]]] = []
        self._matcher: Optional[Matcher] = None
        self._cors: Optional[Cors] = None
        self._cors_said = False
        self._tell_cors: Optional[Callable[[Optional[Dict[str, Any]]], None]] = None  # heart, once it has the report
        self._cors_lock = threading.Lock()

    # ---- registration ----------------------------------------------------------------------------------------------------------

    def route(self, path: str, *, methods: Sequence[str] = ("GET",), name: Optional[str] = None,
              when: Optional[Mapping[str, Any]] = None) -> Callable[[Handler], Handler]:
        """Bind a handler to a path.

        path: a pattern, with a selector before it if wanted: "127.0.0.1::/debug", ":::example.com:/info", "[::1]:8000::/v1/{slug:str}".
        methods: as in the request line; GET brings HEAD along. name: for logs and `heartctl routes`; default: the function's.
        when: more that must hold, as under `when:` in routes.yaml: {"headers": {"x-api": "2"}, "source": ["10.0.0.0/8"]}.
        Raises: ValueError for a path that is no pattern, conditions or methods that are none, TypeError for what cannot be called.
        """
        check_pattern(path)
        conditions = check_when(when)
        file, line = _caller()
        if isinstance(methods, str):
            methods = (methods,)
        wanted = tuple(dict.fromkeys(method.upper() for method in methods))
        unknown = [method for method in wanted if method not in METHODS]
        if unknown or not wanted:
            raise ValueError(f"methods are some of {', '.join(METHODS)}, not {', '.join(unknown) or 'none at all'}")

        def register(function: Handler) -> Handler:
            self.routes.append(Route(path, wanted, endpoint_of(function, name), conditions, file, line))
            self._matcher = None
            return function

        return register

    def get(self, path: str, *, name: Optional[str] = None, when: Optional[Mapping[str, Any]] = None) -> Callable[[Handler], Handler]:
        """route(path, methods=["GET"])"""
        return self.route(path, methods=("GET",), name=name, when=when)

    def post(self, path: str, *, name: Optional[str] = None, when: Optional[Mapping[str, Any]] = None) -> Callable[[Handler], Handler]:
        """route(path, methods=["POST"])"""
        return self.route(path, methods=("POST",), name=name, when=when)

    def put(self, path: str, *, name: Optional[str] = None, when: Optional[Mapping[str, Any]] = None) -> Callable[[Handler], Handler]:
        """route(path, methods=["PUT"])"""
        return self.route(path, methods=("PUT",), name=name, when=when)

    def delete(self, path: str, *, name: Optional[str] = None, when: Optional[Mapping[str, Any]] = None) -> Callable[[Handler], Handler]:
        """route(path, methods=["DELETE"])"""
        return self.route(path, methods=("DELETE",), name=name, when=when)

    def patch(self, path: str, *, name: Optional[str] = None, when: Optional[Mapping[str, Any]] = None) -> Callable[[Handler], Handler]:
        """route(path, methods=["PATCH"])"""
        return self.route(path, methods=("PATCH",), name=name, when=when)

    def options(self, path: str, *, name: Optional[str] = None, when: Optional[Mapping[str, Any]] = None) -> Callable[[Handler], Handler]:
        """route(path, methods=["OPTIONS"])"""
        return self.route(path, methods=("OPTIONS",), name=name, when=when)

    def head(self, path: str, *, name: Optional[str] = None, when: Optional[Mapping[str, Any]] = None) -> Callable[[Handler], Handler]:
        """route(path, methods=["HEAD"])"""
        return self.route(path, methods=("HEAD",), name=name, when=when)

    def error(self, what: Union[int, Type[BaseException]]) -> Callable[[Handler], Handler]:
        """Let the function answer for a status (400 to 599) or an exception class (and its subclasses; the nearest class wins).

        It is called with as many of (request, error) as it takes. 404 also covers paths of this app that no route matches.
        An exception whose class has a handler is not logged; that is the handler's to do.
        """
        if isinstance(what, int):
            if not 400 <= what <= 599:
                raise ValueError(f"an error's status is 400 to 599, not {what}")
        elif not (isinstance(what, type) and issubclass(what, BaseException)):
            raise TypeError("app.error takes a status or an exception class")

        def register(function: Handler) -> Handler:
            self._errors[what] = _error_call(function)
            return function

        return register

    def cors(self, origins: Union[str, Iterable[str], None], *, methods: Union[str, Iterable[str], None] = None, headers: Union[str, Iterable[str], None] = None,
             expose: Union[str, Iterable[str], None] = None, credentials: bool = False, max_age: Optional[int] = None, private_network: bool = False) -> None:
        """Say which pages of other origins may read this app's answers; None: none (any more). May be called at any time, from any thread.

        origins: "https://example.com", "https://*.example.com", "http://localhost:*", or "*"; one or several. methods: default: all that the path takes.
        headers: of requests, beside the simple ones; "*" for any. expose: of answers. credentials: cookies may come along. max_age: seconds, at most 86400.
        Under heart this counts for all workers within moments, in place of `cors` in routes.yaml. What is said at import holds for as long as the code; what
        is said later, until somebody says something else or the next reload. ValueError for what no browser would take.
        """
        policy = None if origins is None else Cors(origins, methods, headers, expose, credentials, max_age, private_network)
        with self._cors_lock:
            self._cors, self._cors_said = policy, True
            if self._tell_cors is not None:
                self._tell_cors(None if policy is None else policy.said())

    def report_cors(self, report: Callable[[Dict[str, Any]], None], tell: Callable[[Optional[Dict[str, Any]]], None]) -> None:
        """For pyworker.py: report({} or {"cors": what was said}) now, tell(...) whatever is said afterwards; nothing falls between the two."""
        with self._cors_lock:
            report({"cors": None if self._cors is None else self._cors.said()} if self._cors_said else {})
            self._tell_cors = tell

    def before(self, function: Handler) -> Handler:
        """Call function(request) before every handler; what it returns, unless None, is the answer."""
        if inspect.iscoroutinefunction(function):
            raise TypeError("a before hook is an ordinary function")
        self._before.append(function)
        return function

    def after(self, function: Handler) -> Handler:
        """Call function(request, response) after every handler; it may change the response or return another."""
        if inspect.iscoroutinefunction(function):
            raise TypeError("an after hook is an ordinary function")
        self._after.append(function)
        return function

    @property
    def has_hooks(self) -> bool:
        """Whether anything runs around the handlers."""
        return bool(self._before or self._after)

    @property
    def error_statuses(self) -> List[int]:
        """The statuses that have an error handler, in order."""
        return sorted(what for what in self._errors if isinstance(what, int))

    # ---- a call ----------------------------------------------------------------------------------------------------------------

    def handle(self, request: Request, call: Callable[[Request], Any]) -> Response:
        """Call a handler with the hooks and error handlers around it. Never raises but Disconnected (nobody waits for an answer)."""
        try:
            result = self._ask_before(request)
            if result is None:
                result = call(request)
                if inspect.isawaitable(result):
                    result = self.run_coroutine(result)
            return self._ask_after(request, make_response(result))
        except Disconnected:
            raise
        except Exception as error:
            return self.handle_error(request, error)

    async def handle_async(self, request: Request, call: Callable[[Request], Any]) -> Response:
        """handle() for an `async def` handler, on the event loop."""
        try:
            result = self._ask_before(request)
            if result is None:
                result = await call(request)
            return self._ask_after(request, make_response(result))
        except Disconnected:
            raise
        except Exception as error:
            answer = self._error_answer(request, error)
            try:
                return make_response(await answer if inspect.isawaitable(answer) else answer)
            except Exception as second:
                return self._last_resort(request, second)

    def handle_error(self, request: Request, error: Exception) -> Response:
        """The answer to an exception: its handler's, or the plain page; what nobody foresaw is logged and a 500."""
        try:
            answer = self._error_answer(request, error)
            return make_response(self.run_coroutine(answer) if inspect.isawaitable(answer) else answer)
        except Exception as second:
            return self._last_resort(request, second)

    def _ask_before(self, request: Request) -> Any:
        for hook in self._before:
            result = hook(request)
            if result is not None:
                return result
        return None

    def _ask_after(self, request: Request, response: Response) -> Response:
        for hook in self._after:
            other = hook(request, response)
            if other is not None:
                response = make_response(other)
        return response

    def _error_answer(self, request: Request, error: Exception) -> Any:
        status = error.status if isinstance(error, HTTPError) else 500
        candidates: List[Any] = [*type(error).__mro__, status]
        for what in candidates:
            if what in self._errors:
                if what == 500 and not isinstance(error, HTTPError):
                    log_exception(request.id, request.method, request.target, error)
                return _with_status(self._errors[what](request, error), status)
        if isinstance(error, HTTPError):
            return error_page(status, error.detail, request.headers.get("accept", ""), error.headers)
        log_exception(request.id, request.method, request.target, error)
        return error_page(500, None, request.headers.get("accept", ""))

    def _last_resort(self, request: Request, error: Exception) -> Response:
        log_exception(request.id, request.method, request.target, error, "in an error handler; answering 500")
        return error_page(500, None, request.headers.get("accept", ""))

    # ---- under another WSGI server (PEP 3333) --------------------------------------------------------------------------------------

    def __call__(self, environ: Dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Match and answer one request: the same app, without heart's C router in front of it."""
        source = EnvironSource(environ)
        if self._matcher is None:
            self._matcher = Matcher([(route.path, route.methods, route.when) for route in self.routes])
        preflight = self._preflight(environ, source, self._matcher)
        found = self._matcher.match(source.path, source.method, Asked(environ))
        request = Request(source, found.params, self.form_limits)
        if preflight is not None:
            return _answer_wsgi(request, preflight, start_response)
        try:
            if found.route is not None:
                response = self.handle(request, self.routes[found.route].endpoint.call)
            else:
                response = self._unmatched(request, found.allow)
        except Disconnected:
            response = error_page(400, "the body broke off")
        self._add_cors(environ, response)
        return _answer_wsgi(request, response, start_response)

    def _preflight(self, environ: Mapping[str, Any], source: EnvironSource, matcher: Matcher) -> Optional[Response]:
        """The answer to a CORS preflight for a route of this app, None: it is none."""
        policy = self._cors
        origin, method = environ.get("HTTP_ORIGIN"), environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
        if policy is None or source.method != "OPTIONS" or origin is None or not method:
            return None
        found = matcher.match(source.path, method, Asked(environ))
        if found.route is None and (found.allow or 404 not in self._errors):  # with a page for it, 404 is an answer that the app gives
            return None
        return Response(None, 204, policy.preflight(origin, method, environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS"),
                                                    environ.get("HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK") == "true"))

    def _add_cors(self, environ: Mapping[str, Any], response: Response) -> None:
        """What C does under heart (server/cors.c): the policy's fields in place of the handler's own, and Vary."""
        policy = self._cors
        if policy is None:
            return
        fields, varies = policy.fields(environ.get("HTTP_ORIGIN"))
        kept = [(name, value) for name, value in response.headers.raw if not name.lower().startswith("access-control-") and name.lower() != "vary"]
        vary = merge_vary([value for name, value in response.headers.raw if name.lower() == "vary"] + (["Origin"] if varies else []))
        response.headers = Headers(kept + fields + ([("Vary", vary)] if vary else []))

    def _unmatched(self, request: Request, allow: Tuple[str, ...]) -> Response:
        if not allow:
            return self.handle_error(request, HTTPError(404))
        methods = sorted({*allow, "OPTIONS", *(("HEAD",) if "GET" in allow else ())}, key=METHODS.index)
        headers = {"Allow": ", ".join(methods)}
        if request.method == "OPTIONS":
            return Response(None, 204, headers)
        return error_page(405, None, request.headers.get("accept", ""), headers)


def _with_status(answer: Any, status: int) -> Any:
    """An error handler's bare value carries the error's status; a Response or a tuple says its own."""
    if inspect.isawaitable(answer):

        async def wait() -> Any:
            return _with_status(await answer, status)

        return wait()
    if isinstance(answer, (Response, tuple)):
        return answer
    response = make_response(answer)
    response.status = status
    return response


def _run_alone(awaitable: Awaitable[Any]) -> Any:
    """Run a coroutine to its end on an event loop of its own."""
    import asyncio  # as in native.py: only who needs it pays for it

    async def wait() -> Any:
        return await awaitable

    return asyncio.run(wait())


def _answer_wsgi(request: Request, response: Response, start_response: Callable[..., Any]) -> Iterable[bytes]:
    if isinstance(response, File):
        response = _open_file(request, response)
    body = response.body
    headers = list(response.headers.raw)
    if isinstance(body, bytes) and response.status not in (204, 304) and "content-length" not in response.headers:
        headers.append(("Content-Length", str(len(body))))
    start_response(f"{response.status} {reason(response.status)}", headers)
    if request.method == "HEAD" or response.status in (204, 304):
        close = getattr(body, "close", None)
        if close is not None:
            close()
        request.close()
        return []
    if isinstance(body, bytes):
        request.close()
        return [body]
    return _Ending(request, _drive(cast(Any, body).__aiter__()) if hasattr(body, "__aiter__") else _encoded(cast(Iterable[Any], body)))


def _open_file(request: Request, file: File) -> Response:
    try:
        return file_answer(request.method, request.headers, file)
    except HTTPError as error:
        return error_page(error.status, error.detail, request.headers.get("accept", ""))


class _Ending:
    """The pieces of an answer; the request ends with their close(), which a WSGI server calls in every case."""

    def __init__(self, request: Request, pieces: Iterator[bytes]) -> None:
        self._request = request
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._request.close()


def _encoded(pieces: Iterable[Any]) -> Iterator[bytes]:
    """str pieces as UTF-8; closes the source with itself."""
    try:
        for piece in pieces:
            yield piece.encode("utf-8") if isinstance(piece, str) else bytes(piece)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def _drive(pieces: AsyncIterator[Any]) -> Iterator[bytes]:
    """An async iterator as an ordinary one, on an event loop of its own."""
    import asyncio

    loop = asyncio.new_event_loop()

    end = object()

    async def following() -> Any:
        try:
            return await pieces.__anext__()
        except StopAsyncIteration:
            return end

    try:
        while True:
            piece = loop.run_until_complete(following())
            if piece is end:
                return
            yield piece.encode("utf-8") if isinstance(piece, str) else bytes(piece)
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            loop.run_until_complete(close())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
