# SPDX-License-Identifier: MIT
"""cors.py - which pages of other origins may read answers: what app.cors() says, and the same rules in Python.

From: app.py.   To: pyworker.py hands the words to heart, whose C answers (server/cors.c); under another WSGI server App does it with this.
Source of the rules: the Fetch standard, "CORS protocol". Constant once made; any thread.
"""
from __future__ import annotations

import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

__all__ = ["Cors", "merge_vary"]

Names = Union[str, Iterable[str], None]
Fields = List[Tuple[str, str]]

_ORIGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(\[[0-9A-Za-z:.]*\]|[A-Za-z0-9._-]+)(?::([0-9]+))?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_USUAL_PORTS = {"http": 80, "https": 443}
_SIMPLE_METHODS = ("GET", "HEAD", "POST")
ORIGIN_MAX = 300  # bytes, as server/cors_priv.h
TEXT_MAX = 32768  # bytes of all names together: what is said must fit a message to the master
MAX_AGE = 86400  # seconds
BROWSERS_AGE = 5  # seconds: what browsers take when nothing is said


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int  # 0: the scheme's own


class _Pattern(NamedTuple):
    origin: _Origin  # host of *.x: ".x"
    wild: bool
    any_port: bool


def _parse(text: str) -> Optional[_Origin]:
    found = _ORIGIN.fullmatch(text) if len(text) <= ORIGIN_MAX else None
    if found is None:
        return None
    scheme, host, port = found.group(1).lower(), found.group(2).lower(), 0
    if found.group(3) is not None:
        port = int(found.group(3))
        if not 0 < port <= 65535:
            return None
    return _Origin(scheme, host, 0 if port == _USUAL_PORTS.get(scheme) else port)


def _pattern(text: str) -> _Pattern:
    any_port = text.endswith(":*")
    plain = text[:-2] if any_port else text
    wild = "://*." in plain
    origin = _parse(plain.replace("://*.", "://.", 1))
    if origin is None or (wild and len(origin.host) < 3):
        raise ValueError(f"cors: {text!r} is no origin; write scheme://host or scheme://host:port, as https://example.com or https://*.example.com")
    return _Pattern(origin, wild, any_port)


def _names(what: str, names: Names) -> Tuple[str, ...]:
    listed = (names,) if isinstance(names, str) else tuple(names or ())
    for name in listed:
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ValueError(f"cors: {what}: {name!r} is no name")
    return listed


def _split(listed: str) -> List[str]:
    return [name.strip(" \t") for name in listed.split(",") if name.strip(" \t")]


class Cors:
    """One policy. ValueError for what no browser would take."""

    def __init__(self, origins: Names, methods: Names = None, headers: Names = None, expose: Names = None, credentials: bool = False,
                 max_age: Optional[int] = None, private_network: bool = False) -> None:
        self.origins: Tuple[str, ...] = (origins,) if isinstance(origins, str) else tuple(origins or ())
        self.methods = _names("methods", methods)
        self.headers = _names("headers", headers)
        self.expose = _names("expose", expose)
        self.credentials = bool(credentials)
        self.max_age = BROWSERS_AGE if max_age is None else int(max_age)
        self.private_network = bool(private_network)
        if not 0 <= self.max_age <= MAX_AGE:
            raise ValueError(f"cors: max_age is 0 to {MAX_AGE} seconds, not {max_age}")
        if len(self.origins) > 1000 or sum(map(len, self.origins + self.methods + self.headers + self.expose)) > TEXT_MAX:
            raise ValueError(f"cors: more than 1000 origins, or more than {TEXT_MAX} bytes of names")
        self._any = "*" in self.origins
        if self._any and self.credentials:
            raise ValueError('cors: "*" cannot go with credentials; name the origins that may send them')
        self._null = "null" in self.origins
        self._patterns: List[_Pattern] = []
        self._exact: Dict[_Origin, None] = {}
        for text in self.origins:
            if text in ("*", "null"):
                continue
            pattern = _pattern(text)
            if pattern.wild or pattern.any_port:
                self._patterns.append(pattern)
            else:
                self._exact[pattern.origin] = None

    def said(self) -> Dict[str, Any]:
        """As heart is told it (workers/README.md, "The report")."""
        return {"origins": list(self.origins), "methods": list(self.methods), "headers": list(self.headers), "expose": list(self.expose),
                "credentials": self.credentials, "max_age": self.max_age, "private_network": self.private_network}

    def allows(self, origin: Optional[str]) -> bool:
        """Whether pages of this origin may read the answers."""
        if origin is None:
            return False
        if self._any:
            return True
        if origin == "null":
            return self._null
        asked = _parse(origin)
        return asked is not None and (asked in self._exact or any(_fits(pattern, asked) for pattern in self._patterns))

    def fields(self, origin: Optional[str]) -> Tuple[Fields, bool]:
        """The header fields of an ordinary answer, and whether it depends on Origin."""
        fields: Fields = []
        if self._any or self.allows(origin):
            fields += self._allowing(origin)
            if self.expose:
                fields.append(("Access-Control-Expose-Headers", ", ".join(self.expose)))
        return fields, not self._any

    def preflight(self, origin: str, method: str, headers: Optional[str], private_network: bool) -> Fields:
        """The header fields of the answer to a preflight. method, headers: Access-Control-Request-*."""
        fields: Fields = []
        if self.allows(origin):
            methods = () if "*" in self.methods else self.methods
            any_header = "*" in self.headers
            asked = _split(headers or "")
            fields += self._allowing(origin)
            fields.append(("Access-Control-Allow-Methods", ", ".join(methods) if methods else method))
            allowed = [name for name in asked if _TOKEN.fullmatch(name)] if any_header else self.headers
            if allowed:
                fields.append(("Access-Control-Allow-Headers", ", ".join(allowed)))
            if self.private_network and private_network:
                fields.append(("Access-Control-Allow-Private-Network", "true"))
            known = {name.lower() for name in self.headers}
            fine = (not methods or method in methods or method in _SIMPLE_METHODS) and (any_header or all(name.lower() in known for name in asked))
            if fine and self.max_age != BROWSERS_AGE:
                fields.append(("Access-Control-Max-Age", str(self.max_age)))
        fields.append(("Vary", ("" if self._any else "Origin, ") + "Access-Control-Request-Method, Access-Control-Request-Headers"))
        return fields

    def _allowing(self, origin: Optional[str]) -> Fields:
        fields = [("Access-Control-Allow-Origin", "*" if self._any else origin or "")]
        if self.credentials:
            fields.append(("Access-Control-Allow-Credentials", "true"))
        return fields


def _fits(pattern: _Pattern, asked: _Origin) -> bool:
    if pattern.origin.scheme != asked.scheme or not (pattern.any_port or pattern.origin.port == asked.port):
        return False
    if not pattern.wild:
        return pattern.origin.host == asked.host
    return len(asked.host) > len(pattern.origin.host) and not asked.host.startswith(".") and asked.host.endswith(pattern.origin.host)


def merge_vary(values: Sequence[str]) -> str:
    """Every name of several Vary fields once, in their order; nothing beside what "*" covers."""
    merged: Dict[str, str] = {}
    for value in values:
        before = dict(merged)
        for name in _split(value):
            if "*" not in before and name.lower() not in before:
                merged.setdefault(name.lower(), name)
    return ", ".join(merged.values())
