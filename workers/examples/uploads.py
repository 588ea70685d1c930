# SPDX-License-Identifier: MIT
"""uploads.py - a form with files, and what became of it. In routes.yaml: python: "uploads:form" and "uploads:receive"."""
from __future__ import annotations

import hashlib
from typing import Any, Dict

from heart import Request, Response, UploadedFile

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="/style.css">
<title>Upload</title>
<h1>Upload</h1>
<form method="post" enctype="multipart/form-data">
<p><label>A note <input name="note"></label>
<p><label>Files <input type="file" name="files" multiple></label>
<p><button>Send</button>
</form>
"""


def form() -> Response:
    return Response(PAGE, headers={"Content-Type": "text/html; charset=utf-8"})


def describe(upload: UploadedFile) -> Dict[str, Any]:
    """Piece by piece, so that a large file is never in memory whole. To keep it: upload.save(folder / upload.safe_name)."""
    digest = hashlib.sha256()
    for piece in upload:
        digest.update(piece)
    return {"filename": upload.filename, "type": upload.content_type, "bytes": upload.size, "sha256": digest.hexdigest()}


def receive(request: Request) -> Dict[str, Any]:
    """multipart/form-data was parsed in C; long files lie on disk, in files without a name, until the request ends."""
    return {"note": request.form.get("note", ""), "files": [describe(upload) for upload in request.files.getlist("files")]}
