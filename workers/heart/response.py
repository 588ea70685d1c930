# SPDX-License-Identifier: MIT
"""response.py - what a handler gives back, and what it becomes: a status, headers, and bytes or a stream of pieces.

From: handlers.   To: app.py sends it through heart._ring or a WSGI start_response.   Owned by one call; one thread at a time.
Conversions (make_response): dict, list -> JSON; str -> text/plain; bytes -> application/octet-stream; None -> 204; (body, status) and
(body, status, headers); any other iterable, async too -> a stream of str or bytes.
"""
from __future__ import annotations

import html
import json
from datetime import datetime, timezone
from typing import Any, AsyncIterable, Iterable, Mapping, Optional, Tuple, Union
from urllib.parse import quote

from .datastructures import Headers
from .errors import reason

__all__ = ["JSON", "Redirect", "Response", "encode_json", "error_page", "make_response"]

TEXT = "text/plain; charset=utf-8"
OCTETS = "application/octet-stream"
APPLICATION_JSON = "application/json"

Body = Union[bytes, bytearray, memoryview, str, None, Iterable[Any], AsyncIterable[Any]]
HeaderArgument = Union[Mapping[str, str], Iterable[Tuple[str, str]], None]

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encode_json(data: Any) -> bytes:
    """Compact JSON in UTF-8. TypeError for what JSON cannot say; lone surrogates are escaped, as UTF-8 has no place for them."""
    text = _encoder.encode(data)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(data, separators=(",", ":")).encode("ascii")


class Response:
    """An answer.

    body: bytes; str, sent as UTF-8; or an iterable (or async iterable) of either, sent piece by piece as they come.
    status: 200 to 599, else ValueError.   content_type: default text/plain for text and streams, application/octet-stream for bytes;
    "" sends none. headers: a mapping or pairs.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, body: Body = b"", status: int = 200, headers: HeaderArgument = None, content_type: Optional[str] = None) -> None:
        if not 200 <= status <= 599:
            raise ValueError(f"a response's status is 200 to 599, not {status}")
        self.status: int = status
        self.headers: Headers = Headers(headers or ())
        default = TEXT
        self.body: Union[bytes, Iterable[Any], AsyncIterable[Any]]
        if body is None:
            self.body = b""
            default = ""
        elif isinstance(body, str):
            self.body = body.encode("utf-8")
        elif isinstance(body, (bytes, bytearray, memoryview)):
            self.body = bytes(body)
            default = OCTETS if self.body else ""
        elif hasattr(body, "__iter__") or hasattr(body, "__aiter__"):
            self.body = body
        else:
            raise TypeError(f"a response's body is bytes, str or an iterable of them, not {type(body).__name__}")
        if content_type is None:
            if default and "content-type" not in self.headers:
                self.headers.add("Content-Type", default)
        elif content_type:
            self.headers["Content-Type"] = content_type

    @property
    def streamed(self) -> bool:
        """Whether the body comes in pieces."""
        return not isinstance(self.body, bytes)

    def set_cookie(self, name: str, value: str = "", *, max_age: Optional[int] = None, expires: Optional[datetime] = None, path: str = "/",
                   domain: Optional[str] = None, secure: bool = False, httponly: bool = True, samesite: Optional[str] = "Lax") -> None:
        """Add a Set-Cookie header (RFC 6265). max_age: seconds; 0 deletes the cookie. expires: aware, or taken as UTC.

        ValueError for a name that is no token, and for control characters anywhere: some Pythons would quote them, others refuse them.
        """
        from email.utils import format_datetime  # here, because both take long to import
        from http.cookies import CookieError, SimpleCookie

        for text in (value, path, domain or ""):
            if any(char < " " or char == "\x7f" for char in text):
                raise ValueError(f"a control character in cookie {name!r}")
        cookie: SimpleCookie[str] = SimpleCookie()
        try:
            cookie[name] = value
        except CookieError as error:
            raise ValueError(str(error)) from None
        morsel = cookie[name]
        morsel["path"] = path
        if max_age is not None:
            morsel["max-age"] = str(int(max_age))
        if expires is not None:
            aware = expires if expires.tzinfo is not None else expires.replace(tzinfo=timezone.utc)
            morsel["expires"] = format_datetime(aware.astimezone(timezone.utc), usegmt=True)
        if domain:
            morsel["domain"] = domain
        if secure:
            morsel["secure"] = True
        if httponly:
            morsel["httponly"] = True
        if samesite:
            morsel["samesite"] = samesite
        self.headers.add("Set-Cookie", morsel.OutputString())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status}>"


class JSON(Response):
    """`data` as application/json: compact, UTF-8. TypeError when JSON has no form for it."""

    __slots__ = ()

    def __init__(self, data: Any, status: int = 200, headers: HeaderArgument = None) -> None:
        super().__init__(encode_json(data), status, headers, content_type=APPLICATION_JSON)


class Redirect(Response):
    """Send the client to `location` (absolute or relative; characters that a URL cannot hold are percent-encoded).

    status: 303 see other, as after a form (the default); 307, 308 keep method and body; 301, 302 as the old web knew them. Else ValueError.
    """

    __slots__ = ()

    def __init__(self, location: str, status: int = 303, headers: HeaderArgument = None) -> None:
        if status not in (301, 302, 303, 307, 308):
            raise ValueError(f"a redirect's status is 301, 302, 303, 307 or 308, not {status}")
        super().__init__(b"", status, headers)
        self.headers["Location"] = quote(location, safe="/%:?#[]@!$&()*+,;=~'-._")


def make_response(value: Any) -> Response:
    """What a handler returned, as a Response (the table on top). TypeError for what has no conversion."""
    if isinstance(value, Response):
        return value
    if isinstance(value, (dict, list)):
        return JSON(value)
    if value is None:
        return Response(None, 204)
    if isinstance(value, tuple):
        return _from_tuple(value)
    if isinstance(value, (str, bytes, bytearray, memoryview)) or hasattr(value, "__iter__") or hasattr(value, "__aiter__"):
        return Response(value)
    raise TypeError(f"a handler returns dict, list, str, bytes, None, (body, status), an iterable or a Response, not {type(value).__name__}")


def _from_tuple(value: Tuple[Any, ...]) -> Response:
    if len(value) not in (2, 3) or not isinstance(value[1], int):
        raise TypeError("a handler's tuple is (body, status) or (body, status, headers)")
    response = make_response(value[0])
    if not 200 <= value[1] <= 599:
        raise ValueError(f"a response's status is 200 to 599, not {value[1]}")
    response.status = value[1]
    if len(value) == 3:
        for name, content in Headers(value[2]).raw:
            response.headers[name] = content
    return response


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{status} {reason}</title>
<style>:root{{color-scheme:light dark}}body{{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem}}h1{{font-size:1.4rem}}b{{opacity:.5}}</style>
<h1><b>{status}</b> {reason}</h1><p>{detail}</p>
"""


class PlainError(Response):
    """An error of which nothing is to be said but its status: under heart the server makes its page, the one that routes.yaml has for it if there is one."""

    __slots__ = ()


def error_page(status: int, detail: Optional[str] = None, accept: str = "", headers: HeaderArgument = None) -> Response:
    """The plain answer of an error: HTML, JSON or text, whichever the Accept header names first; text when it names none of them."""
    response = _error_page(status, detail, accept, headers)
    if detail is None and not headers:
        return PlainError(response.body, status, response.headers.raw)
    return response


def _error_page(status: int, detail: Optional[str], accept: str, headers: HeaderArgument) -> Response:
    wanted = accept.lower()
    found = sorted((wanted.find(kind), kind) for kind in ("text/html", "application/json") if kind in wanted)
    if not found:
        return Response(f"{status} {reason(status)}" + (f": {detail}" if detail else "") + "\n", status, headers)
    if found[0][1] == "application/json":
        return JSON({"status": status, "error": reason(status), **({"detail": detail} if detail else {})}, status, headers)
    page = _PAGE.format(status=status, reason=html.escape(reason(status)), detail=html.escape(detail or ""))
    return Response(page, status, headers, content_type="text/html; charset=utf-8")
