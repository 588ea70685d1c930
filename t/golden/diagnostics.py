"""diagnostics.py - what `heartctl check` says about every t/golden/*.yaml, byte for byte what stands in the .expected beside it.

    HEART_BUILD=... HEART_SRC=... python3 t/golden/diagnostics.py            compares
    HEART_BUILD=... HEART_SRC=... python3 t/golden/diagnostics.py --write    writes the .expected files anew: read the diff before you commit it
The first line of an .expected is the exit status. This folder's own path is written GOLDEN in them.
SPDX-License-Identifier: MIT
"""
from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path

BUILD, HERE = Path(os.environ["HEART_BUILD"]), Path(os.environ["HEART_SRC"]).absolute() / "t/golden"


def said_about(source: Path) -> str:
    """Exit status and output of heartctl check, run beside the file so that findings name it as given."""
    done = subprocess.run([BUILD.absolute() / "heartctl", "check", source.name], cwd=HERE, capture_output=True, timeout=60)
    text = (done.stdout + done.stderr).decode("utf-8", "backslashreplace")
    return f"exit {done.returncode}\n" + text.replace(str(HERE), "GOLDEN")


class Diagnostics(unittest.TestCase):
    maxDiff = None


def add_case(source: Path) -> None:
    def case(self: Diagnostics) -> None:
        expected = source.with_suffix(".expected")
        self.assertTrue(expected.exists(), f"{expected.name} is missing: write it with --write, and read it")
        said = said_about(source)
        if "built without libcrypt" in said:
            self.skipTest("about hashes that this heartctl cannot check")
        self.assertEqual(said, expected.read_text(), f"heartctl check t/golden/{source.name}")

    setattr(Diagnostics, f"test_{source.stem}", case)


def write() -> None:
    for source in sorted(HERE.glob("*.yaml")):
        source.with_suffix(".expected").write_text(said_about(source))


for found in sorted(HERE.glob("*.yaml")):
    add_case(found)

if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        unittest.main()
