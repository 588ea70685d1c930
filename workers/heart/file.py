# SPDX-License-Identifier: MIT
"""file.py - File: a handler's answer that is a file on disk, with ranges and conditions.

From: handlers.   To: under heart, native.py hands the name to the server, which sends the file by itself (server/handover.c): the pyworker reads none of it. Under another
WSGI server, app.py asks file_answer, which does the same in Python.   Owned by one call; one thread at a time.
Source of the rules: RFC 9110, 13.2.2 (which condition counts), 14 (ranges); RFC 6266 and 8187 (the name to save it by). What the server's tables say
(t/unit/server/test_ranges.c and test_conditional.c) holds here too.
"""
from __future__ import annotations

import os
import stat
from datetime import timedelta
from typing import IO, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union
from urllib.parse import quote, quote_from_bytes

from .datastructures import Headers
from .errors import HTTPError
from .response import HeaderArgument, Response

__all__ = ["File", "file_answer", "parse_ranges"]

RANGES_MAX = 16
PIECE_BYTES = 65536

Seconds = Union[int, float, timedelta, None]
Fields = Union[Headers, Mapping[str, str]]


class File(Response):
    """A file on disk as the answer: `return File("site/movie.mp4")`.

    path: relative to the folder that the app runs in, or absolute. heart sends what lies in one of the folders of `apps.NAME.files` (default: the app's own folder) and can be
    read by its workers; anything else, names with ".." or below a folder that begins with a dot among it, is answered 404. Nothing is opened before the answer is sent.
    content_type: default by the name's end.   filename: the browser saves it under this name; with inline=True it may show it instead.
    cache: seconds (or a timedelta) for which clients may keep it without asking.   headers: more of them; ETag and Last-Modified are the file's own.
    status: 200 answers ranges and conditions (206, 304, 412, 416); with another, such as 404 for a page about it, the file is sent whole; with 204, 205 and 304 nothing is.
    """

    __slots__ = ("path",)

    def __init__(self, path: Union[str, "os.PathLike[str]"], *, content_type: Optional[str] = None, filename: Optional[str] = None, inline: bool = False, cache: Seconds = None,
                 status: int = 200, headers: HeaderArgument = None) -> None:
        super().__init__(None, status, headers, content_type)
        self.path: str = os.fspath(path)
        if not isinstance(self.path, str):
            raise TypeError(f"a file's path is a str or a Path, not {type(path).__name__}")
        if not self.path or "\0" in self.path:
            raise ValueError(f"not a file's path: {self.path!r}")
        if filename is not None or inline:
            self.headers["Content-Disposition"] = disposition(filename, inline)
        if cache is not None:
            seconds = cache.total_seconds() if isinstance(cache, timedelta) else cache
            self.headers["Cache-Control"] = f"max-age={max(0, int(seconds))}"

    @property
    def sendfile(self) -> str:
        """The path as X-Sendfile has it: percent-encoded, whatever its bytes are."""
        return quote_from_bytes(os.fsencode(self.path), safe="/-._~")


def disposition(filename: Optional[str], inline: bool) -> str:
    """Content-Disposition (RFC 6266): the name for every browser, and as it is (RFC 8187) for those that know how."""
    kind = "inline" if inline else "attachment"
    if filename is None:
        return kind
    name = "".join(char for char in os.path.basename(filename.replace("\\", "/")) if char >= " " and char != "\x7f")
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in name)
    if plain == name:
        return f'{kind}; filename="{plain}"'
    encoded = quote(name.encode("utf-8", "replace"), safe="!#$&+-.^_`|~")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


# ---- under another WSGI server -------------------------------------------------------------------------------------------------------------


class Validators(NamedTuple):
    etag: str
    modified: int  # seconds since the epoch
    now: int


def file_answer(method: str, headers: Fields, file: File) -> Response:
    """The file as an ordinary Response: its body is an iterator that closes what it reads. Raises HTTPError(404) for what is no file."""
    if file.status in (204, 205, 304):  # as server/answer.c has it
        return Response(None, file.status, file.headers.raw)
    parts = file.path.split("/")
    if ".." in parts:
        raise HTTPError(404)
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        raise HTTPError(404) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise HTTPError(404)
        opened = open(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise
    try:
        response = _answer(method, headers, file, opened, status)
    except BaseException:
        opened.close()
        raise
    if isinstance(response.body, bytes):
        opened.close()
    return response


def _answer(method: str, headers: Fields, file: File, opened: IO[bytes], status: os.stat_result) -> Response:
    import time
    from email.utils import formatdate  # here, as in response.py

    size, modified, now = status.st_size, int(status.st_mtime), int(time.time())
    valid = Validators(f'"{status.st_mtime_ns:x}-{size:x}-{status.st_ino:x}"', modified, now)
    out = Headers(file.headers.raw)
    out["ETag"] = valid.etag
    out["Last-Modified"] = formatdate(min(modified, now), usegmt=True)
    wanted: Optional[List[Tuple[int, int]]] = None
    if file.status == 200 and method in ("GET", "HEAD"):
        verdict = check_conditions(headers, valid)
        if verdict == 304:
            return Response(None, 304, out.raw)
        if verdict == 412:
            return Response("412 Precondition Failed\n", 412)
        if method == "GET" and "range" in headers and if_range_holds(headers, valid):
            wanted = parse_ranges(headers["range"], size)
            if wanted is not None and not wanted:
                return Response("416 Range Not Satisfiable\n", 416, {"Content-Range": f"bytes */{size}"})
    out["Accept-Ranges"] = "bytes"
    if "content-type" not in out:
        out["Content-Type"] = type_of(file.path)
    if wanted is None:
        return _sized(_pieces(opened, [(0, size, b"")], b""), size, file.status, out)
    if len(wanted) == 1:
        first, length = wanted[0]
        out["Content-Range"] = f"bytes {first}-{first + length - 1}/{size}"
        return _sized(_pieces(opened, [(first, length, b"")], b""), length, 206, out)
    return _several(opened, wanted, size, out)


def _several(opened: IO[bytes], wanted: List[Tuple[int, int]], size: int, out: Headers) -> Response:
    """multipart/byteranges (RFC 9110, 14.6)."""
    boundary = "heart-" + os.urandom(8).hex()
    kind = out["Content-Type"]
    runs: List[Tuple[int, int, bytes]] = []
    length = 0
    for first, count in wanted:
        head = f"{'--' if not runs else chr(13) + chr(10) + '--'}{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes {first}-{first + count - 1}/{size}\r\n\r\n".encode("latin-1")
        runs.append((first, count, head))
        length += len(head) + count
    tail = f"\r\n--{boundary}--\r\n".encode("ascii")
    out["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    return _sized(_pieces(opened, runs, tail), length + len(tail), 206, out)


def _sized(body: Iterator[bytes], length: int, status: int, out: Headers) -> Response:
    out["Content-Length"] = str(length)
    return Response(body, status, out.raw, content_type="" if "content-type" not in out else None)


class _pieces:
    """Runs of a file, each behind its head. The file is closed at the end, by close(), or with the object: a server may never begin to iterate."""

    def __init__(self, opened: IO[bytes], runs: List[Tuple[int, int, bytes]], tail: bytes) -> None:
        self._opened = opened
        self._pieces = self._read(runs, tail)

    def _read(self, runs: List[Tuple[int, int, bytes]], tail: bytes) -> Iterator[bytes]:
        for first, left, head in runs:
            if head:
                yield head
            self._opened.seek(first)
            while left > 0:
                piece = self._opened.read(min(left, PIECE_BYTES))
                if not piece:
                    raise OSError("the file became shorter while it was sent")  # the server must not end the answer well
                left -= len(piece)
                yield piece
        if tail:
            yield tail
        self._opened.close()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self._opened.close()


def type_of(path: str) -> str:
    """By the name's end; text comes with its charset."""
    import mimetypes

    kind = mimetypes.guess_type(path, strict=False)
    if kind[0] is None or kind[1] is not None:
        return {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz", "br": "application/x-brotli"}.get(kind[1] or "", "application/octet-stream")
    return kind[0] + "; charset=utf-8" if kind[0].startswith("text/") else kind[0]


def _date(text: str) -> Optional[int]:
    from email.utils import parsedate_to_datetime

    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _tags(text: str) -> Iterator[Tuple[str, bool]]:
    """The entity-tags of a list, each with whether it is weak; ends where the list makes no sense."""
    at = 0
    while True:
        while at < len(text) and text[at] in " \t,":
            at += 1
        weak = text.startswith("W/", at)
        at += 2 if weak else 0
        if not text.startswith('"', at):
            return
        end = text.find('"', at + 1)
        if end < 0:
            return
        yield text[at:end + 1], weak
        at = end + 1


def _listed(text: str, etag: str, strong: bool) -> bool:
    return text.strip() == "*" or any(tag == etag and not (strong and weak) for tag, weak in _tags(text))


def check_conditions(headers: Fields, valid: Validators) -> int:
    """RFC 9110, 13.2.2, steps 1 to 4, for GET and HEAD: 0 go on, 304 or 412."""
    if "if-match" in headers:
        if not _listed(headers["if-match"], valid.etag, strong=True):
            return 412
    elif "if-unmodified-since" in headers:
        when = _date(headers["if-unmodified-since"])
        if when is not None and valid.modified > when:
            return 412
    if "if-none-match" in headers:
        if _listed(headers["if-none-match"], valid.etag, strong=False):
            return 304
    elif "if-modified-since" in headers:
        when = _date(headers["if-modified-since"])
        if when is not None and valid.modified <= when:
            return 304
    return 0


def if_range_holds(headers: Fields, valid: Validators) -> bool:
    """RFC 9110, 13.1.5; a date only once its second is over (8.8.2.2)."""
    field = headers.get("if-range")
    if field is None:
        return True
    if field.startswith(('"', "W")):
        return field == valid.etag
    return _date(field) == valid.modified < valid.now


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(digits: str) -> int:
    """Past every file's size one is as good as another; Python refuses to read thousands of digits."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < 20 else 1 << 64


def parse_ranges(value: str, size: int) -> Optional[List[Tuple[int, int]]]:
    """(offset, length) of each part; an empty list: 416; None: the field is to be ignored (RFC 9110, 14.2)."""
    if value[:6].lower() != "bytes=":
        return None
    found: List[Tuple[int, int]] = []
    asked = 0
    whole = False
    for member in value[6:].split(","):
        spec = member.strip(" \t")
        if not spec:
            continue
        asked += 1
        first_text, dash, last_text = spec.partition("-")
        if not dash or (first_text and not _digits(first_text)) or (last_text and not _digits(last_text)) or not (first_text or last_text):
            return None
        if not first_text:
            suffix = _number(last_text)
            if suffix == 0:
                continue
            if size == 0:
                whole = True
                continue
            first, last = max(0, size - suffix), size - 1
        else:
            first, last = _number(first_text), _number(last_text) if last_text else size - 1
            if last_text and last < first:
                return None
            if first >= size:
                continue
            last = min(last, size - 1)
        whole = whole or any(first < have + length and have <= last for have, length in found)
        found.append((first, last + 1 - first))
    if asked == 0 or asked > RANGES_MAX or whole:
        return None
    return found
