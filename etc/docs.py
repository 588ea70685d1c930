"""docs.py - writes what is made out of the key tables, or says whether the tree is up to date.

    docs.py BUILD SRC           rewrites etc/routes.schema.json and the keys of etc/man/routes.yaml.5    (make docs)
    docs.py BUILD SRC --check   changes nothing; exit 1 when one of them is not what the tables say      (t/golden/documents.py)
SPDX-License-Identifier: MIT
"""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BEGIN, END = '.\\" keys begin\n', '.\\" keys end\n'


def documents(build: Path, src: Path) -> dict[Path, str]:
    """Every document that the tables decide about, as it should be."""
    def printed(what: str) -> str:
        return subprocess.run([build / "docs", what], check=True, capture_output=True, text=True).stdout

    manual = src / "etc/man/routes.yaml.5"
    before, _, rest = manual.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return {src / "etc/routes.schema.json": printed("schema"), manual: before + BEGIN + printed("manual") + END + after}


def main() -> int:
    build, src = Path(sys.argv[1]), Path(sys.argv[2])
    stale = {path: text for path, text in documents(build, src).items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        if "--check" in sys.argv:
            print(f"{path} is not what the key tables say: run `make docs` and commit it")
        else:
            path.write_text(text)
            print(f"written: {path}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
