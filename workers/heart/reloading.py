# SPDX-License-Identifier: MIT
"""reloading.py - is the code on disk still the code that runs? And: never run stale bytecode.

From: pyworker.py, in the main thread: install() before the app is imported, Snapshot() when it is ready, changed() when the master asks.
Every doubt counts as a change: a needless restart costs a second, a missed one costs the user's trust.
"""
from __future__ import annotations

import os
import sys
import sysconfig
import time
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader, SourcelessFileLoader
from importlib.util import cache_from_source
from typing import Any, Dict, List, Mapping, Optional, Tuple

__all__ = ["Snapshot", "install"]

STARTED_NS: int = time.time_ns()
# A file's mtime comes from the kernel's tick (up to 10 ms old), so what was written just after the start may bear a time just before it.
TICK_NS = 20_000_000

Identity = Tuple[int, int, int]  # mtime in ns, size in bytes, inode


class FreshLoader(SourceFileLoader):
    """Bytecode is trusted only when it was written in a later second than its source.

    A .pyc names its source by mtime in whole seconds and size, so one written in the same second may belong to an earlier text of equal length.
    """

    def path_stats(self, path: Any) -> Mapping[str, Any]:
        stats = super().path_stats(path)
        try:
            if int(os.stat(cache_from_source(os.fspath(path))).st_mtime) <= int(stats["mtime"]):
                raise OSError("the bytecode may be older than its source")  # importlib then compiles the source
        except NotImplementedError:
            pass
        return stats


def install() -> None:
    """From now on modules come from FreshLoader, and no bytecode is written (it could be of a text that changed while it was compiled)."""
    sys.dont_write_bytecode = True
    loaders = ((ExtensionFileLoader, EXTENSION_SUFFIXES), (FreshLoader, SOURCE_SUFFIXES), (SourcelessFileLoader, BYTECODE_SUFFIXES))
    sys.path_hooks.insert(0, FileFinder.path_hook(*loaders))
    sys.path_importer_cache.clear()


def _identity(path: str) -> Optional[Identity]:
    """What tells one text of a file from another; None when it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _module_files() -> List[str]:
    """The files of all imported modules that are not part of Python itself."""
    own = tuple(sysconfig.get_paths()[key] + os.sep for key in ("stdlib", "platstdlib"))
    installed = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)
    files: Dict[str, None] = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and (not path.startswith(own) or any(part in path for part in installed)):
            files[os.path.abspath(path)] = None
    return list(files)


class Snapshot:
    """The identity of every module's file at the time of making. One thread."""

    def __init__(self) -> None:
        self._known: Dict[str, Optional[Identity]] = {path: _trusted(path) for path in _module_files()}

    def changed(self, at_most: int = 5) -> Tuple[bool, List[str]]:
        """Whether any module's file differs from what was imported, and the first `at_most` that do."""
        for path in _module_files():
            if path not in self._known:  # imported by a handler
                self._known[path] = _trusted(path)
        found: List[str] = []
        for path, known in self._known.items():
            if known is None or _identity(path) != known:
                found.append(path)
                if len(found) == at_most:
                    break
        return bool(found), found


def _trusted(path: str) -> Optional[Identity]:
    """The file's identity when it surely is what was imported: not written since this process began."""
    identity = _identity(path)
    return identity if identity is not None and identity[0] < STARTED_NS - TICK_NS else None
