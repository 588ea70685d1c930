# SPDX-License-Identifier: MIT
"""routing.py - an App's routes matched in Python, for when another WSGI server runs it. Under heart the C router matches (router/README.md).

The order is the C router's: per segment literal > literal with a parameter inside > typed > str > path, regexes (~) last.
Built once when the first request comes, then read by any thread.
"""
from __future__ import annotations

import re
import uuid
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Pattern, Sequence, Tuple

__all__ = ["Found", "Matcher", "PatternError", "check_pattern"]

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


def check_pattern(path: str) -> None:
    """PatternError when `path` is no pattern. The C router looks closer still when it loads the route, and alone at regexes (~)."""
    if not path.startswith("~"):
        _compile(path)


class Matcher:
    """routes: (path, methods) in order of registration."""

    def __init__(self, routes: Sequence[Tuple[str, Sequence[str]]]) -> None:
        compiled = [(_compile(path), index, frozenset(methods)) for index, (path, methods) in enumerate(routes)]
        self._routes = sorted(compiled, key=lambda row: (row[0].order, row[1]))

    def match(self, path: str, method: str) -> Found:
        """Cost: one regex per route at worst; HEAD follows GET."""
        allow: Dict[str, None] = {}
        for pattern, index, methods in self._routes:
            found = pattern.regex.fullmatch(path)
            if found is None:
                continue
            if method in methods or (method == "HEAD" and "GET" in methods):
                params = {name: pattern.converters.get(name, str)(value) for name, value in found.groupdict().items() if value is not None}
                return Found(index, params, ())
            allow.update(dict.fromkeys(sorted(methods)))
        return Found(None, {}, tuple(allow))
