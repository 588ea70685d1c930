# SPDX-License-Identifier: MIT
"""forms.py - the body of a form as fields and files.

From: request.py, when a handler first asks for form or files.   Below: heart._ring.Form, which reads multipart/form-data and urlencoded bodies in C, piece by piece.
One thread at a time. Memory: FormLimits; a long file lies on disk, in a file without a name that goes with the request.
Without the extension (the package copied, but not built, under another WSGI server) urlencoded forms and queries still work, by urllib; multipart is a RuntimeError.
"""
from __future__ import annotations

import codecs
import io
import os
import re
from dataclasses import dataclass
from encodings.aliases import aliases
from typing import Any, BinaryIO, Iterable, Iterator, List, Optional, Tuple, Union
from urllib.parse import parse_qsl

from .datastructures import Headers, MultiDict
from .errors import HTTPError
from .logs import log

try:
    from ._ring import Form, FormError, parse_query
except ImportError:
    Form = None  # type: ignore[assignment,misc]

__all__ = ["FormLimits", "UploadedFile", "charset_of", "parse_pairs", "read_form"]

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
QUERY_FIELDS_MAX = 10000
PIECE_BYTES = 65536
FILENAME_MAX = 200  # characters of a safe_name

# What _charset_ and a field's own charset may name: the encodings of browsers (Encoding Standard, 4.2) as Python calls them. Not every codec of Python is one for texts
# from strangers.
_CHARSETS = frozenset("utf-8 ascii iso8859-1 cp1252 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-10 iso8859-13 iso8859-14 iso8859-15 iso8859-16 "
                      "cp866 cp874 cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 koi8-r koi8-u mac-roman mac-cyrillic gbk gb2312 gb18030 big5 big5hkscs euc_jp "
                      "iso2022_jp shift_jis euc_kr utf-16 utf-16-le utf-16-be".split())
_LABELS = frozenset(aliases) | frozenset(re.sub("[-.]", "_", name) for name in _CHARSETS)


@dataclass(frozen=True)
class FormLimits:
    """How large a form may be: for an App (`App(form_limits=...)`) or one request (`request.form_limits = ...`, before form or files are asked for).

    More fields or files than these is 400, longer ones 413. `limits: body` bounds the whole of it before that; what lies on disk has no other bound.
    """

    fields: int = 1000
    """Fields of a form, files not counted."""
    files: int = 100
    """Files of a form; each that lies on disk is a descriptor."""
    field_bytes: int = 512 * 1024
    """The value of one field of a multipart form."""
    memory_bytes: int = 2 * 1024 * 1024
    """Everything that is held in memory: names, values, headers of parts, and up to half of it files that are short; past that they go to disk too."""
    name_bytes: int = 1024
    """A field's name, or a file's, in a multipart form."""
    file_memory_bytes: int = 65536
    """A file longer than this lies on disk."""
    folder: Optional[str] = None
    """Where; None: tempfile.gettempdir(), so TMPDIR or /tmp."""


class UploadedFile:
    """One file of a form. Its content goes when the request ends: save() it, or read it before that."""

    __slots__ = ("_data", "_file", "content_type", "filename", "headers", "name", "size")

    def __init__(self, name: str, filename: str, content_type: str, headers: Headers, content: Union[bytes, int], size: int) -> None:
        self.name: str = name
        """Of the field."""
        self.filename: str = filename
        """As the client calls it. Any text at all: never a path to open; see safe_name."""
        self.content_type: str = content_type
        """As the client says, with parameters; empty: it said nothing. Nobody has looked whether it is true."""
        self.headers: Headers = headers
        """Of the part."""
        self.size: int = size
        """Bytes."""
        self._data: bytes = content if isinstance(content, bytes) else b""
        self._file: Optional[BinaryIO] = None if isinstance(content, bytes) else open(content, "rb")

    @property
    def file(self) -> BinaryIO:
        """The content as a file object for reading, seekable: of a file on disk, which has a fileno(), or of memory."""
        if self._file is None:
            self._file = io.BytesIO(self._data)
        return self._file

    @property
    def on_disk(self) -> bool:
        """Whether the content lies in a file of its own."""
        return self._file is not None and not isinstance(self._file, io.BytesIO)

    @property
    def safe_name(self) -> str:
        """filename made fit to be the name of a file: its last component, letters, digits, "." "-" "_" and nothing else, not hidden, not empty. Two uploads may have the same."""
        import unicodedata  # here and in read_form: who has no uploads need not load it

        last = re.split(r"[/\\]", unicodedata.normalize("NFC", self.filename))[-1]
        safe = re.sub(r"[^\w.-]+", "_", last).lstrip(".-").rstrip(".")
        if len(safe) > FILENAME_MAX or len(safe.encode("utf-8", "replace")) > FILENAME_MAX:
            stem, dot, extension = safe.rpartition(".")
            extension = dot + extension if dot and len(extension) <= 10 else ""
            safe = (stem if extension else safe).encode("utf-8", "replace")[: FILENAME_MAX - 40].decode("utf-8", "ignore") + extension
        return safe or "file"

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the content, at most `size`; -1: all that is left."""
        return self.file.read(size)

    def __iter__(self) -> Iterator[bytes]:
        """The content from where it stands, in pieces of at most 64 kB."""
        while True:
            piece = self.file.read(PIECE_BYTES)
            if not piece:
                return
            yield piece

    def save(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Write the whole content to `path`, which is made or overwritten. Raises OSError."""
        with open(path, "wb") as out:
            if not self.on_disk:
                out.write(self._data)
                return
            at = 0
            while at < self.size:
                sent = os.sendfile(out.fileno(), self.file.fileno(), at, self.size - at)
                if sent == 0:
                    raise OSError(f"{self.filename!r} became shorter")
                at += sent

    def close(self) -> None:
        """Done by itself when the request ends."""
        if self._file is not None:
            self._file.close()

    def __repr__(self) -> str:
        return f"<UploadedFile {self.name!r} {self.filename!r} {self.size} bytes>"


class FormData:
    """What a body was read into."""

    __slots__ = ("fields", "files")

    def __init__(self, fields: MultiDict[str], files: MultiDict[UploadedFile]) -> None:
        self.fields = fields
        self.files = files

    def close(self) -> None:
        for _, upload in self.files.pairs():
            upload.close()


def parse_pairs(text: str, most: int = QUERY_FIELDS_MAX) -> MultiDict[str]:
    """The pairs of a query (latin-1 text), percent-decoded as UTF-8; what is not UTF-8 becomes U+FFFD. HTTPError 400 for more than `most`."""
    try:
        if Form is None:
            return MultiDict(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=most))
        return MultiDict(parse_query(text.encode("latin-1", "replace"), most))
    except ValueError:
        raise HTTPError(400, "too many fields") from None


def read_form(kind: str, content_type: str, pieces: Iterable[bytes], limits: FormLimits) -> FormData:
    """Read a body, in order of its arrival. kind: URLENCODED or MULTIPART.

    Raises: HTTPError 400, 413 for what is no form or too large, 503 when a file cannot be kept; what `pieces` raises.
    """
    if Form is None:
        return _without_extension(kind, pieces, limits)
    folder = limits.folder
    if folder is None:
        import tempfile

        folder = tempfile.gettempdir()
    try:
        form = Form(None if kind == URLENCODED else content_type, limits.fields, limits.files, limits.memory_bytes, limits.field_bytes, limits.name_bytes,
                    limits.file_memory_bytes, folder)
    except FormError as error:
        raise _refused(error) from None
    try:
        for piece in pieces:
            try:
                form.feed(piece)
            except OSError as error:  # the disk's; Disconnected comes out of `pieces`
                log.error("an upload cannot be kept: %s; answering 503", error)
                raise HTTPError(503, "there is no room for the upload now", {"Retry-After": "10"}) from None
        entries = form.finish()
    except FormError as error:
        raise _refused(error) from None
    finally:
        form.close()
    return _from_pairs(entries) if kind == URLENCODED else _from_parts(entries)


def _refused(error: Any) -> HTTPError:
    status, sentence = error.args
    return HTTPError(status, sentence)


def _without_extension(kind: str, pieces: Iterable[bytes], limits: FormLimits) -> FormData:
    if kind == MULTIPART:
        raise RuntimeError("multipart/form-data needs heart's C extension, heart._ring, which is not built here")
    body = b""
    for piece in pieces:
        body += piece
        if len(body) > limits.memory_bytes:
            raise HTTPError(413, "the fields of the form are too long together")
    return FormData(parse_pairs(body.decode("latin-1"), limits.fields), MultiDict())


def charset_of(label: str) -> Optional[str]:
    """Python's name of an encoding that a client named; None where it is none that browsers know. Labels that Python does not know itself never reach codecs.lookup:
    it would look for a module of that name, and keep the name for ever when there is none."""
    plain = re.sub(r"[-_. ]+", "_", label.strip().lower())
    if plain not in _LABELS:
        return None
    name = codecs.lookup(plain).name
    return name if name in _CHARSETS else None


def _charset(label: bytes, default: str) -> str:
    return charset_of(label.decode("latin-1").strip().strip('"')) or default


def _form_charset(fields: Iterable[Tuple[bytes, bytes]]) -> str:
    """RFC 7578, 4.6 and the HTML standard: a field named _charset_ says which encoding the others are in; UTF-8 without one."""
    for name, value in fields:
        if name == b"_charset_":
            return _charset(value, "utf-8")
    return "utf-8"


def _from_pairs(pairs: List[Tuple[bytes, bytes]]) -> FormData:
    charset = _form_charset(pairs)
    return FormData(MultiDict([(name.decode(charset, "replace"), value.decode(charset, "replace")) for name, value in pairs]), MultiDict())


_PART_CHARSET = re.compile(rb";[ \t]*charset=\"?([\w.:-]+)", re.IGNORECASE)


def _from_parts(parts: List[Tuple[bytes, Optional[bytes], Optional[bytes], List[Tuple[bytes, bytes]], Union[bytes, int], int]]) -> FormData:
    charset = _form_charset((name, content) for name, filename, _, _, content, _ in parts if filename is None and isinstance(content, bytes))
    fields: List[Tuple[str, str]] = []
    files: List[Tuple[str, UploadedFile]] = []
    left = list(reversed(parts))
    try:
        while left:
            name, filename, content_type, headers, content, size = left[-1]
            key = name.decode(charset, "replace")
            if filename is None:
                own = _PART_CHARSET.search(content_type or b"")  # RFC 7578, 4.5
                assert isinstance(content, bytes)
                fields.append((key, content.decode(_charset(own.group(1), charset) if own else charset, "replace")))
            elif filename or size:  # a file input where nobody chose a file comes as an empty one without a name
                pairs = [(line.decode("latin-1"), value.decode("utf-8", "replace")) for line, value in headers]
                upload = UploadedFile(key, filename.decode(charset, "replace"), (content_type or b"").decode("latin-1"), Headers(pairs), content, size)
                files.append((key, upload))
            left.pop()
    except BaseException:  # without memory: descriptors that no object has taken yet
        for *_, content, _ in left:
            if isinstance(content, int):
                os.close(content)
        raise
    return FormData(MultiDict(fields), MultiDict(files))
