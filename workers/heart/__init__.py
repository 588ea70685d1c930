# SPDX-License-Identifier: MIT
"""heart - write handlers for the heart web server. Start with workers/README.md; every public name is here."""
from __future__ import annotations

from .app import App
from .datastructures import Headers, MultiDict
from .errors import Disconnected, HTTPError, abort
from .file import File
from .forms import FormLimits, UploadedFile
from .logs import log
from .request import Request
from .response import JSON, Redirect, Response

__all__ = ["JSON", "App", "Disconnected", "File", "FormLimits", "HTTPError", "Headers", "MultiDict", "Redirect", "Request", "Response", "UploadedFile", "abort", "log", "__version__"]
__version__ = "0.1.0"
