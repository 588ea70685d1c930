# SPDX-License-Identifier: MIT
"""datastructures.py - mappings with several values to a name: query, form, files, headers.

Owned by one request or response; one thread at a time.
"""
from __future__ import annotations

from typing import Any, Dict, Generic, Iterable, Iterator, List, Mapping, Tuple, TypeVar, Union

__all__ = ["Headers", "MultiDict"]

Pairs = Iterable[Tuple[str, str]]
Value = TypeVar("Value")


class MultiDict(Mapping[str, Value], Generic[Value]):
    """Read-only: [name] is the first value, getlist(name) all of them in order. Iterates over distinct names."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[Tuple[str, Value]] = ()) -> None:
        values: Dict[str, List[Value]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        self._values = values

    def __getitem__(self, name: str) -> Value:
        return self._values[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def getlist(self, name: str) -> List[Value]:
        """Every value of this name, in order; an empty list when there is none."""
        return list(self._values.get(name, ()))

    def pairs(self) -> List[Tuple[str, Value]]:
        """(name, value) for every value, grouped by name."""
        return [(name, value) for name, values in self._values.items() for value in values]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pairs()!r})"


class Headers:
    """A list of (name, value) in order; names compare without regard to case, as sent they keep theirs.

    [name] gives the first value (KeyError without one), assignment replaces all of them, add() appends. Values are latin-1 text
    (RFC 9110, 5.5); what may not stand in a header (CR, LF, NUL) is refused with ValueError when the answer is sent.
    """

    __slots__ = ("raw",)

    def __init__(self, pairs: Union[Pairs, Mapping[str, str]] = ()) -> None:
        self.raw: List[Tuple[str, str]] = list(pairs.items() if isinstance(pairs, Mapping) else pairs)

    def __getitem__(self, name: str) -> str:
        wanted = name.lower()
        for have, value in self.raw:
            if have.lower() == wanted:
                return value
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The first value of this name, or default."""
        try:
            return self[name]
        except KeyError:
            return default

    def getlist(self, name: str) -> List[str]:
        """Every value of this name, in order."""
        wanted = name.lower()
        return [value for have, value in self.raw if have.lower() == wanted]

    def add(self, name: str, value: str) -> None:
        """Append one more header of this name (Set-Cookie may be repeated)."""
        self.raw.append((name, value))

    def setdefault(self, name: str, value: str) -> str:
        """Add the header unless there is one of this name. Returns the value that counts."""
        have = self.get(name)
        if have is None:
            self.raw.append((name, value))
            return value
        return str(have)

    def __setitem__(self, name: str, value: str) -> None:
        del self[name]
        self.raw.append((name, value))

    def __delitem__(self, name: str) -> None:
        """Remove every header of this name; none is fine."""
        wanted = name.lower()
        self.raw = [pair for pair in self.raw if pair[0].lower() != wanted]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        """Distinct names in lower case, in order."""
        return iter(dict.fromkeys(name.lower() for name, _ in self.raw))

    def __len__(self) -> int:
        return len(self.raw)

    def items(self) -> List[Tuple[str, str]]:
        """(name, value) of every header."""
        return list(self.raw)

    def __repr__(self) -> str:
        return f"Headers({self.raw!r})"
