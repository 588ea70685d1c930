# SPDX-License-Identifier: MIT
"""request.py - what a handler gets: one request, the same over shared memory and over a WSGI environ.

From: app.py makes one per call.   Below: heart._ring.Request, or EnvironSource, which gives a WSGI environ the same face.
Owner: the handler's call; one thread at a time. Everything costly (query, form, cookies, body) is made when first asked for.
"""
from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Protocol, Tuple, Union, cast
from urllib.parse import quote

from .datastructures import Headers, MultiDict
from .errors import Disconnected, HTTPError
from .forms import MULTIPART, URLENCODED, FormData, FormLimits, UploadedFile, charset_of, parse_pairs, read_form

__all__ = ["EnvironSource", "Request", "Source"]


FORM_LIMITS = FormLimits()


class Source(Protocol):
    """What heart._ring.Request and EnvironSource have in common: see _ring.pyi for each."""

    @property
    def id(self) -> int: ...
    @property
    def method(self) -> str: ...
    @property
    def target(self) -> bytes: ...
    @property
    def path(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def scheme(self) -> str: ...
    @property
    def http_version(self) -> str: ...
    @property
    def client(self) -> Any: ...
    @property
    def root_path(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def headers(self) -> List[Tuple[str, str]]: ...
    @property
    def params(self) -> Dict[str, Any]: ...
    def header(self, name: str) -> Optional[str]: ...
    def read(self, size: int = -1) -> bytes: ...


class Request:
    """One request.

    Errors: body, text, json() and form raise heart.Disconnected (an OSError) when the client broke off, HTTPError 400 when what it sent
    cannot be read as what was asked for; both may simply be let through.   Source: RFC 9110 and 9112.
    """

    __slots__ = ("_begun", "_body", "_cookies", "_data", "_headers", "_query", "_source", "form_limits", "params", "state")

    def __init__(self, source: Source, params: Optional[Dict[str, Any]] = None, form_limits: FormLimits = FORM_LIMITS) -> None:
        self._source = source
        self.form_limits: FormLimits = form_limits
        """For this request; counts where it is set before form or files are asked for, and in `async def` handlers is the App's: there forms are read ahead."""
        self.params: Dict[str, Any] = source.params if params is None else params
        """What the route's placeholders matched, converted: {id:int} is an int, {u:uuid} a uuid.UUID."""
        self.state: Dict[str, Any] = {}
        """Free for hooks to leave something for the handler."""
        self._body: Optional[bytes] = None
        self._begun: Optional[List[bytes]] = None  # what a urlencoded form that was refused had read by then: body has the rest to add
        self._headers: Optional[Headers] = None
        self._query: Optional[MultiDict[str]] = None
        self._data: Union[FormData, HTTPError, None] = None
        self._cookies: Optional[Dict[str, str]] = None

    @property
    def id(self) -> int:
        """Names the request in every log line; 0 under another WSGI server."""
        return self._source.id

    @property
    def method(self) -> str:
        """As sent: "GET"."""
        return self._source.method

    @property
    def target(self) -> bytes:
        """The request target as it was sent, undecoded."""
        return self._source.target

    @property
    def path(self) -> str:
        """Decoded, begins with "/"."""
        return self._source.path

    @property
    def query_string(self) -> str:
        """Behind the "?", undecoded; empty without one."""
        return self._source.query

    @property
    def host(self) -> str:
        """The Host header: name and, when given, port."""
        return self._source.host

    @property
    def scheme(self) -> str:
        """ "http" or "https"."""
        return self._source.scheme

    @property
    def client(self) -> str:
        """The client's address as text; "unix:" for a unix socket."""
        client = self._source.client
        return str(client[0]) if isinstance(client, tuple) else str(client or "")

    @property
    def root_path(self) -> str:
        """Where the app is mounted; empty at the root."""
        return self._source.root_path

    @property
    def user(self) -> str:
        """Who logged in at heart (`basic_auth` of the route); empty: nobody was asked to."""
        return self._source.user

    @property
    def url(self) -> str:
        """The absolute URL, as far as the request tells it."""
        query = self.query_string
        return f"{self.scheme}://{self.host}{quote(self.root_path + self.path, safe='/%:@!$&()*+,;=~' + chr(39))}" + ("?" + query if query else "")

    @property
    def headers(self) -> Headers:
        """Names without regard to case; [name] is the first value."""
        if self._headers is None:
            self._headers = Headers(self._source.headers)
        return self._headers

    @property
    def query(self) -> MultiDict[str]:
        """Parameters of the query, percent-decoded as UTF-8 (what is not UTF-8 becomes U+FFFD)."""
        if self._query is None:
            self._query = parse_pairs(self._source.query)
        return self._query

    @property
    def content_type(self) -> str:
        """The media type alone, lower case: "application/json"; empty without the header."""
        return (self._source.header("content-type") or "").split(";", 1)[0].strip().lower()

    @property
    def cookies(self) -> Dict[str, str]:
        """name -> value; the first one of a name counts (RFC 6265, 5.4 sends the longest path first)."""
        if self._cookies is None:
            cookies: Dict[str, str] = {}
            for value in self.headers.getlist("cookie"):
                for part in value.split(";"):
                    name, equals, content = part.strip().partition("=")
                    if equals and name:
                        cookies.setdefault(name, content.strip('"'))
            self._cookies = cookies
        return self._cookies

    @property
    def body(self) -> bytes:
        """All of the body, at most `limits: body` bytes of it; waits for what has not arrived. Read once, then kept.

        RuntimeError when it was read as a multipart form before (in `async def` handlers a long one is, before they begin).
        """
        if self._body is None:
            if self._data is not None and self._begun is None:
                raise RuntimeError("the body was read as a multipart form and is not kept; ask for body first, in a handler without async")
            self._body = b"".join(self._begun or ()) + self._source.read()
        return self._body

    @property
    def text(self) -> str:
        """The body decoded by the charset of Content-Type, UTF-8 without one. HTTPError 400 when it is not text in it."""
        match = re.search(r'charset="?([\w.:-]+)', self._source.header("content-type") or "", re.IGNORECASE)
        charset = match.group(1) if match else "utf-8"
        codec = charset_of(charset)
        try:
            if codec is not None:
                return self.body.decode(codec)
        except UnicodeDecodeError:
            pass
        raise HTTPError(400, f"the body is not text in {charset}")

    def json(self) -> Any:
        """The body as JSON (RFC 8259), whatever its Content-Type. HTTPError 400 when it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise HTTPError(400, f"the body is not JSON: {error}") from None

    @property
    def form(self) -> MultiDict[str]:
        """The fields of a form, application/x-www-form-urlencoded or multipart/form-data; empty without a body.

        HTTPError 415 for a body of another type, 400 for one that is no form, 413 for more than form_limits allows.
        """
        return self._load_form().fields

    @property
    def files(self) -> MultiDict[UploadedFile]:
        """The files of a multipart/form-data body, by the names of their fields; errors as in form. They are closed when the request ends."""
        return self._load_form().files

    def _load_form(self) -> FormData:
        if self._data is None:
            kind = self.content_type
            if kind == URLENCODED or kind == MULTIPART:
                kept: List[bytes] = []
                pieces: Iterable[bytes] = (self._body,) if self._body is not None else self.chunks() if kind == MULTIPART else self._kept_chunks(kept)
                try:
                    self._data = read_form(kind, self._source.header("content-type") or "", pieces, self.form_limits)
                    if kept:
                        self._body = b"".join(kept)
                except HTTPError as error:
                    self._data = error
                    self._begun = kept if kind == URLENCODED else None
            elif self.body:
                raise HTTPError(415, f"a form must come as {URLENCODED} or {MULTIPART}")
            else:
                self._data = FormData(MultiDict(), MultiDict())
        if isinstance(self._data, HTTPError):
            raise self._data
        return cast(FormData, self._data)

    def _kept_chunks(self, kept: List[bytes]) -> Iterator[bytes]:
        for piece in self.chunks():
            kept.append(piece)
            yield piece

    def read_ahead(self) -> None:
        """For `async def` handlers, on a helper thread: take in what would have to be waited for. A multipart body becomes fields and files, any other one `body`."""
        if self.content_type != MULTIPART:
            self._body = self._source.read()
            return
        try:
            self._load_form()
        except HTTPError:
            pass  # told again to whoever asks for the form

    def close(self) -> None:
        """The request has ended: files that came with it are closed."""
        if isinstance(self._data, FormData):
            self._data.close()

    def chunks(self, size: int = 65536) -> Iterator[bytes]:
        """The body in pieces of at most `size` bytes as they arrive, for what should not be held in memory whole. Instead of `body`, not after it."""
        while True:
            piece = self._source.read(size)
            if not piece:
                return
            yield piece

    def __repr__(self) -> str:
        return f"<Request {self.id} {self.method} {self.path!r}>"


class EnvironSource:
    """A WSGI environ (PEP 3333) with the face of heart._ring.Request, so that an App runs under any WSGI server."""

    __slots__ = ("_environ", "_left", "params")
    id = 0

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ
        self.params: Dict[str, Any] = {}
        length = environ.get("CONTENT_LENGTH") or ""
        # Without a length the stream may only be read to its end where the server says that it has one.
        self._left = int(length) if length.isdigit() else -1 if environ.get("wsgi.input_terminated") else 0

    @property
    def method(self) -> str:
        return cast(str, self._environ["REQUEST_METHOD"])

    @property
    def target(self) -> bytes:
        raw = self._environ.get("RAW_URI") or self._environ.get("REQUEST_URI")
        if raw:
            return cast(str, raw).encode("latin-1", "replace")
        path = quote(self._environ.get("SCRIPT_NAME", "") + self._environ.get("PATH_INFO", ""), encoding="latin-1")
        return (path + ("?" + self.query if self.query else "")).encode("ascii", "replace")

    @property
    def path(self) -> str:
        return cast(str, self._environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace") or "/"

    @property
    def query(self) -> str:
        return cast(str, self._environ.get("QUERY_STRING", ""))

    @property
    def host(self) -> str:
        host = self._environ.get("HTTP_HOST")
        if host:
            return cast(str, host)
        return f"{self._environ.get('SERVER_NAME', '')}:{self._environ.get('SERVER_PORT', '')}"

    @property
    def scheme(self) -> str:
        return cast(str, self._environ.get("wsgi.url_scheme", "http"))

    @property
    def http_version(self) -> str:
        return cast(str, self._environ.get("SERVER_PROTOCOL", "HTTP/1.1")).rpartition("/")[2]

    @property
    def client(self) -> str:
        return cast(str, self._environ.get("REMOTE_ADDR", ""))

    @property
    def user(self) -> str:
        return cast(str, self._environ.get("REMOTE_USER") or "").encode("latin-1", "replace").decode("utf-8", "replace")

    @property
    def root_path(self) -> str:
        return cast(str, self._environ.get("SCRIPT_NAME", "")).encode("latin-1").decode("utf-8", "replace")

    @property
    def headers(self) -> List[Tuple[str, str]]:
        found = [(key[5:].replace("_", "-").lower(), value) for key, value in self._environ.items() if key.startswith("HTTP_")]
        for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if self._environ.get(key):
                found.append((key.replace("_", "-").lower(), self._environ[key]))
        return found

    def header(self, name: str) -> Optional[str]:
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        return cast(Optional[str], self._environ.get(key) or None)

    def read(self, size: int = -1) -> bytes:
        """size: most bytes to return, -1 all. Never reads past Content-Length, which PEP 3333 leaves to the application."""
        stream = self._environ["wsgi.input"]
        if self._left < 0:
            return cast(bytes, stream.read() if size < 0 else stream.read(size))
        pieces: List[bytes] = []
        wanted = self._left if size < 0 else min(size, self._left)
        while wanted > 0:
            piece = stream.read(wanted)
            if not piece:
                raise Disconnected("the client sent less than its Content-Length")
            pieces.append(piece)
            wanted -= len(piece)
            self._left -= len(piece)
        return b"".join(pieces)
