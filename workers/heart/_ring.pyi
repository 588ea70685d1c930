# SPDX-License-Identifier: MIT
"""The C extension under the package: a pyworker's end of the shared memory (ipc/README.md). Private; handlers use heart.Request.

Threads: a Ring may be used by any number of threads. A Request belongs to one thread at a time; it may be handed on. Every wait lets go of
the GIL. After fork() the child's Ring gives None and its Requests do nothing.
"""
import uuid
from collections.abc import Sequence
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

Buffer = Union[bytes, bytearray, memoryview]

class Disconnected(OSError):
    """The client, or the loop that spoke with it, is gone. Only abort() makes sense then."""

class FormError(ValueError):
    """args: (status, sentence). A form that is none, or larger than it may be."""

class Form:
    """The body of one form. One thread at a time; feed() lets go of the GIL for long pieces."""

    def __init__(self, content_type: Optional[str], fields: int, files: int, memory: int, field: int, name: int, spill: int, folder: str) -> None:
        """content_type: the header of a multipart/form-data body, None: application/x-www-form-urlencoded. memory, field, name, spill: bytes. Raises: FormError."""
    def feed(self, data: Buffer, /) -> None:
        """The next bytes of the body. Raises: FormError, OSError (a file cannot be written); then the Form has ended."""
    def finish(self) -> List[Any]:
        """urlencoded: (name, value) pairs, bytes. multipart: (name, filename or None, type or None, headers, content, size) with content as bytes or as the
        descriptor of an unlinked file, which is the caller's now. Raises: FormError."""
    def close(self) -> None:
        """Forget what has come; files are closed. May be called more than once."""

def parse_query(text: bytes, fields: int, /) -> List[Tuple[str, str]]:
    """The pairs of an urlencoded text, decoded as UTF-8 with U+FFFD for what is none. Raises: ValueError for more than `fields`."""

class Ring:
    """One per process. `owner`: ipc_owner, 1..65535. The bell is mapped, its descriptor may be closed; `wake_fd` must stay open."""

    def __init__(self, owner: int, bell_fd: int, wake_fd: int) -> None: ...
    def attach(self, loop: int, words_fd: int, requests_fd: int, answers_fd: int, loop_wake_fd: int) -> None:
        """Map the rings of one more loop; wakes a sleeping take(). The descriptors stay the caller's and may be closed.

        Raises: OSError; ValueError when that loop is attached already or the Ring is closed.
        """
    def detach(self, loop: int) -> None:
        """Forget a loop that is gone. Its open Requests are `cancelled`; the memory goes with the last of them. Raises: ValueError."""
    def take(self, timeout_ms: int, /) -> Optional[Request]:
        """The next request, or None: the time is over (0 polls, -1 waits for ever), or the Ring is closed.

        Requests whose client left or whose deadline passed never come out.
        """
    def close(self) -> None:
        """take() returns None from now on, at once, in every thread. Open Requests can still be answered."""
    @property
    def closed(self) -> bool: ...

class Request:
    """A taken request and its answer; also its own wsgi.input. Dropped unfinished, it aborts itself.

    What describes the request stays readable after the answer; the body does not.
    """

    @property
    def id(self) -> int: ...
    @property
    def method(self) -> str: ...
    @property
    def target(self) -> bytes:
        """As sent."""
    @property
    def path(self) -> str:
        """Decoded but for reserved characters and "%", dot segments removed: what routes were matched on."""
    @property
    def query(self) -> str:
        """Behind the "?", as sent; latin-1."""
    @property
    def host(self) -> str: ...
    @property
    def http_version(self) -> str:
        """ "1.1" or "1.0"."""
    @property
    def scheme(self) -> str: ...
    @property
    def client(self) -> Tuple[str, int]:
        """("", 0) for a unix socket."""
    @property
    def server(self) -> Tuple[str, int]: ...
    @property
    def root_path(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def handler(self) -> int:
        """4294967295: no route of the app matched."""
    @property
    def deadline(self) -> Optional[float]:
        """Seconds on the clock of time.monotonic()."""
    @property
    def generation(self) -> int: ...
    @property
    def content_length(self) -> Optional[int]: ...
    @property
    def streamed(self) -> bool:
        """The body comes in pieces while the handler runs."""
    @property
    def params(self) -> Dict[str, Union[str, int, float, bool, uuid.UUID]]:
        """Made anew at each look; percent-escapes decoded to the end."""
    @property
    def headers(self) -> List[Tuple[str, str]]:
        """Made anew at each look; names in lower case, values latin-1, in the order they came."""
    def header(self, name: str, /) -> Optional[str]:
        """The first value; the name in any case."""
    @property
    def body(self) -> bytes:
        """The whole inline body, whatever was read of it; b"" when it is streamed, or the answer is over."""
    def read(self, n: Optional[int] = -1, /) -> bytes:
        """n bytes, fewer only at the end. Waits for the client. Raises: Disconnected when it broke off or the deadline passed."""
    def readline(self, n: Optional[int] = -1, /) -> bytes: ...
    def readlines(self, hint: Optional[int] = -1, /) -> List[bytes]: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    @property
    def cancelled(self) -> bool:
        """Nobody waits for the answer any more."""
    def environ(self, base: Dict[str, Any], /) -> Dict[str, Any]:
        """A fresh WSGI environ: a copy of `base` and the request's keys. `base` must not be changed after its first use (another dict may be given)."""
    def respond(self, status: int, headers: Sequence[Tuple[str, str]], body: Buffer, /) -> None:
        """The whole answer at once: one record when it fits.

        status: 200..999. Raises: ValueError and TypeError for what cannot be sent, with nothing sent yet; Disconnected; RuntimeError when started.
        """
    def start(self, status: int, headers: Sequence[Tuple[str, str]], content_length: Optional[int] = None) -> None:
        """The head; it goes out with the first write() or with finish(). content_length: bytes; None lets the loop frame the body."""
    def write(self, data: Buffer, /) -> None:
        """A piece of the body. Waits while the client is more than 256 kB behind. Raises: Disconnected, RuntimeError."""
    def finish(self) -> None: ...
    def abort(self, status: int = 500, /) -> None:
        """Break off: the client sees no clean end; before start() the server answers in its own words, with this status. May be called twice.

        Raises: ValueError for a status that is not 400 to 599; nothing else.
        """
    @property
    def started(self) -> bool: ...
    @property
    def finished(self) -> bool: ...
