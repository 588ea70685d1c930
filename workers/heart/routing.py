# SPDX-License-Identifier: MIT
"""routing.py - an App's routes matched in Python, for when another WSGI server runs it. Under heart the C router matches (router/README.md).

The order is the C router's: selectors first, then per segment literal > literal with a parameter inside > typed > str > path, regexes (~) last;
of two that differ in nothing else the one with more conditions. Built once when the first request comes, then read by any thread.
"""
from __future__ import annotations

import ipaddress
import re
import uuid
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Pattern, Sequence, Tuple, Union
from urllib.parse import parse_qsl

__all__ = ["Asked", "Found", "Matcher", "PatternError", "check_pattern", "check_when", "split_selector"]

When = Dict[str, Any]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_TYPES: Dict[str, Tuple[str, Callable[[str], Any]]] = {
    "int": (r"-?[0-9]{1,18}", int),
    "float": (r"-?[0-9]{1,32}(?:\.[0-9]{1,32})?", float),
    "bool": (r"(?:true|false)", lambda text: text == "true"),
    "uuid": (r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", uuid.UUID),
    "re": ("", str),
    "slug": (r"[A-Za-z0-9_-]+", str),
    "str": (r"[^/]+", str),
    "path": (r".*", str),
}
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::([a-z]+)(\(.*\))?)?\}", re.DOTALL)
_RANKS = {name: rank for rank, name in enumerate(_TYPES)}  # among parameters of one segment, the C router's order
_LITERAL, _MIXED, _TYPED, _STR, _PATH = range(5)


class PatternError(ValueError):
    """A route's path that cannot be a pattern; says what is wrong with it."""


class _Compiled(NamedTuple):
    regex: Pattern[str]
    converters: Dict[str, Callable[[str], Any]]
    order: Tuple[Any, ...]


class Found(NamedTuple):
    """route: index of the winner, None without one; params: converted; allow: methods of every route that the path matches."""

    route: Optional[int]
    params: Dict[str, Any]
    allow: Tuple[str, ...]


def _pieces(path: str) -> List[str]:
    """Cut at "/" outside of braces."""
    pieces, depth, start = [], 0, 1
    for at, char in enumerate(path):
        depth += (char == "{") - (char == "}")
        if char == "/" and depth == 0 and at > 0:
            pieces.append(path[start:at])
            start = at + 1
    if depth != 0:
        raise PatternError(f"{path!r}: a brace is not closed")
    pieces.append(path[start:])
    return pieces


def _parameters(piece: str) -> List[Tuple[int, int]]:
    """Where the {...} of a segment stand; braces inside re(...) are counted."""
    spans, depth, start = [], 0, 0
    for at, char in enumerate(piece):
        if char == "{":
            if depth == 0:
                start = at
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                spans.append((start, at + 1))
    return spans


def _compile(path: str) -> _Compiled:
    if path.startswith("~"):
        try:
            return _Compiled(re.compile(re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", path[1:])), {}, (1,))  # PCRE2 names a group so
        except re.error as error:
            raise PatternError(f"{path!r}: {error}") from None
    if not path.startswith("/"):
        raise PatternError(f"{path!r}: a path begins with '/' (or '~' for a regex)")
    regex = ""
    order: List[Tuple[int, int, int]] = []
    converters: Dict[str, Callable[[str], Any]] = {}
    pieces = _pieces(path)
    for number, piece in enumerate(pieces):
        regex += "/"
        rank, literal, end, kind = _LITERAL, 0, 0, "int"
        for start, stop in _parameters(piece):
            match = _PARAMETER.fullmatch(piece, start, stop)
            if match is None:
                raise PatternError(f"{path!r}: {piece[start:stop]} is no parameter; write {{name}} or {{name:type}}")
            name, kind, argument = match.group(1), match.group(2) or "str", match.group(3)
            if name in converters:
                raise PatternError(f"{path!r}: the parameter {name!r} stands twice")
            if start == end and start > 0:
                raise PatternError(f"{path!r}: two parameters need a literal between them")
            if kind == "path" and (number != len(pieces) - 1 or stop != len(piece)):
                raise PatternError(f"{path!r}: {{{name}:path}} can only be last")
            if kind == "re" and argument:
                expression, convert = f"(?:{argument[1:-1]})", _TYPES["str"][1]
            elif kind in _TYPES and kind != "re" and not argument:
                expression, convert = _TYPES[kind][0], _TYPES[kind][1]
            else:
                raise PatternError(f"{path!r}: unknown type {kind!r}; there are {', '.join(_TYPES)}")
            regex += re.escape(piece[end:start]) + f"(?P<{name}>{expression})"
            literal += start - end
            converters[name] = convert
            rank = _MIXED if piece != piece[start:stop] else {"str": _STR, "path": _PATH}.get(kind, _TYPED)
            end = stop
        regex += re.escape(piece[end:])
        order.append((rank, -(literal + len(piece) - end) if rank == _MIXED else 0, _RANKS[kind]))
    try:
        return _Compiled(re.compile(regex, re.DOTALL), converters, (0, *order))
    except re.error as error:
        raise PatternError(f"{path!r}: {error}") from None


# ---- selectors: "ip:port::host:/path" ------------------------------------------------------------------------------------------------


class _Selector(NamedTuple):
    address: Optional[Address]
    port: int  # 0: any
    host: str  # "": any; of *.x: ".x"

    @property
    def order(self) -> Tuple[Any, ...]:
        """Most specific first: address > port > exact host > longest *.x > any."""
        wild = self.host.startswith(".")
        return (self.address is None, self.port == 0, 2 if not self.host else int(wild), -len(self.host) if wild else 0)

    def takes(self, asked: "Asked") -> bool:
        if self.address is not None and self.address != asked.address:
            return False
        if self.port and self.port != asked.port:
            return False
        return not self.host or (asked.host.endswith(self.host) and len(asked.host) > len(self.host) if self.host.startswith(".") else asked.host == self.host)


_SELECTOR = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?::(.*)", re.DOTALL)


def split_selector(path: str) -> Tuple[str, str]:
    """ "127.0.0.1::/debug" -> ("127.0.0.1::", "/debug"), ":::example.com:/info" -> (":::example.com", "/info"), "/x" -> ("", "/x")."""
    found = re.search("[/~]", path)
    if found is None or found.start() == 0:
        return "", path
    selector = path[: found.start()]
    if selector.endswith(":") and not selector.endswith("::"):
        selector = selector[:-1]
    return (selector, path[found.start() :]) if "::" in selector else ("", path)


def _selector(text: str) -> _Selector:
    if not text:
        return _Selector(None, 0, "")
    found = _SELECTOR.fullmatch(text)
    if found is None:
        raise PatternError(f"{text!r} is no selector; write ip:port::host, each part optional")
    address, port, host = found.group(1), int(found.group(2) or 0), found.group(3).lower()
    if port > 65535 or (found.group(2) and not port):
        raise PatternError(f"{text!r}: a port is a number from 1 to 65535")
    if host.startswith("*."):
        host = host[1:]
    if "*" in host or host.endswith("."):
        raise PatternError(f"{text!r}: a host is a name, or *.name")
    try:
        return _Selector(_address(address.strip("[]")) if address else None, port, host)
    except ValueError:
        raise PatternError(f"{text!r}: {address!r} is no IP address; a host goes behind '::'") from None


def _address(text: str) -> Address:
    """IPv4 in IPv6 is IPv4."""
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


# ---- conditions: when={...} -----------------------------------------------------------------------------------------------------------

_FACTS = ("headers", "query", "cookies")


def check_when(when: Optional[Mapping[str, Any]]) -> When:
    """Conditions as routes.yaml has them under `when`, every value a str or a list of str. PatternError for what makes no sense."""
    checked: When = {}
    for key, value in (when or {}).items():
        if key == "scheme" and value in ("http", "https"):
            checked[key] = value
        elif key == "source" and value:
            checked[key] = [value] if isinstance(value, str) else [str(network) for network in value]
            for network in checked[key]:
                try:
                    ipaddress.ip_network(network)
                except ValueError as error:
                    raise PatternError(f"when: source: {error}") from None
        elif key in _FACTS and isinstance(value, Mapping) and value:
            checked[key] = {str(name).lower() if key == "headers" else str(name): str(text) for name, text in value.items()}
        else:
            raise PatternError(f"when: {key!r}: {value!r} is none of scheme ('http' or 'https'), source (networks), {', '.join(_FACTS)} (maps of names and values)")
    if when is not None and not checked:
        raise PatternError("when: no condition in it")
    return checked


class Asked:
    """What selectors and conditions are asked of: a WSGI environ, looked at when a route wants to know."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    @property
    def address(self) -> Optional[Address]:
        try:
            return _address(self._environ.get("SERVER_NAME", "").strip("[]"))
        except ValueError:
            return None

    @property
    def port(self) -> int:
        port = str(self._environ.get("SERVER_PORT", ""))
        return int(port) if port.isdigit() else 0

    @property
    def host(self) -> str:
        host: str = self._environ.get("HTTP_HOST", "").lower()
        return re.sub(r":[0-9]*$", "", host).rstrip(".")

    def fulfils(self, when: When) -> bool:
        """All of the conditions hold."""
        if when.get("scheme", self._environ.get("wsgi.url_scheme")) != self._environ.get("wsgi.url_scheme"):
            return False
        if "source" in when and not self._comes_from(when["source"]):
            return False
        return all(self._has(kind, name, text) for kind in _FACTS for name, text in when.get(kind, {}).items())

    def _comes_from(self, networks: Sequence[str]) -> bool:
        try:
            client = _address(self._environ.get("REMOTE_ADDR", ""))
        except ValueError:
            return False
        return any(client in ipaddress.ip_network(network) for network in networks)

    def _has(self, kind: str, name: str, text: str) -> bool:
        found = getattr(self, f"_{kind}")(name)
        return found is not None and text in ("*", found)

    def _headers(self, name: str) -> Optional[str]:
        key = name.upper().replace("-", "_")
        found: Optional[str] = self._environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}")
        return found

    def _query(self, name: str) -> Optional[str]:
        pairs = parse_qsl(self._environ.get("QUERY_STRING", ""), keep_blank_values=True)
        return next((value for key, value in pairs if key == name), None)

    def _cookies(self, name: str) -> Optional[str]:
        for pair in self._environ.get("HTTP_COOKIE", "").split(";"):
            key, equals, value = pair.partition("=")
            if equals and key.strip() == name:
                value = value.strip()
                return str(value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value)
        return None


# ---- all routes ------------------------------------------------------------------------------------------------------------------------


def check_pattern(path: str) -> None:
    """PatternError when `path` is no pattern. The C router looks closer still when it loads the route, and alone at regexes (~)."""
    selector, pattern = split_selector(path)
    _selector(selector)
    if not pattern.startswith("~"):
        _compile(pattern)


class _Row(NamedTuple):
    selector: _Selector
    pattern: _Compiled
    when: When
    number: int
    methods: FrozenSet[str]

    @property
    def order(self) -> Tuple[Any, ...]:
        conditions = sum(len(value) if key in _FACTS else 1 for key, value in self.when.items())
        return (self.selector.order, self.pattern.order, -conditions, self.number)


class Matcher:
    """routes: (path, methods) or (path, methods, when) in order of registration."""

    def __init__(self, routes: Sequence[Tuple[Any, ...]]) -> None:
        rows = []
        for index, (path, methods, *when) in enumerate(routes):
            selector, pattern = split_selector(path)
            rows.append(_Row(_selector(selector), _compile(pattern), when[0] if when else {}, index, frozenset(methods)))
        self._rows = sorted(rows, key=lambda row: row.order)

    def match(self, path: str, method: str, asked: Optional[Asked] = None) -> Found:
        """Cost: one regex per route at worst; HEAD follows GET. asked: None means a request without anything but path and method."""
        allow: Dict[str, None] = {}
        asked = asked or Asked({})
        for row in self._rows:
            found = row.pattern.regex.fullmatch(path)
            if found is None or not row.selector.takes(asked) or (row.when and not asked.fulfils(row.when)):
                continue
            if method in row.methods or (method == "HEAD" and "GET" in row.methods):
                params = {name: row.pattern.converters.get(name, str)(value) for name, value in found.groupdict().items() if value is not None}
                return Found(row.number, params, ())
            allow.update(dict.fromkeys(sorted(row.methods)))
        return Found(None, {}, tuple(allow))
