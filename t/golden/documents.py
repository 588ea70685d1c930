"""documents.py - what is written down twice says the same twice: schema and manual beside the key tables, the version in C and in Python,
the commands of heartctl beside its man page.

SPDX-License-Identifier: MIT
"""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

BUILD, SRC = Path(os.environ["HEART_BUILD"]), Path(os.environ["HEART_SRC"])


class Documents(unittest.TestCase):
    def test_schema_and_manual_are_what_the_key_tables_say(self) -> None:
        done = subprocess.run([sys.executable, SRC / "etc/docs.py", BUILD, SRC, "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_schema_is_json(self) -> None:
        schema = json.loads((SRC / "etc/routes.schema.json").read_text())
        self.assertEqual(schema["$schema"], "https://json-schema.org/draft/2020-12/schema")
        self.assertIn("routes", schema["properties"])

    def test_one_version(self) -> None:
        said = subprocess.run([BUILD / "heartd", "-V"], capture_output=True, text=True).stdout
        in_configure = re.search(r"AC_INIT\(\[heart\], \[(.*?)\]", (SRC / "configure.ac").read_text())
        in_package = re.search(r'__version__ = "(.*)"', (SRC / "workers/heart/__init__.py").read_text())
        assert in_configure and in_package
        self.assertIn(in_configure[1], said)
        self.assertEqual(in_configure[1], in_package[1])
        self.assertTrue((SRC / "CHANGES").read_text().partition("\n\n")[2].startswith(in_configure[1]))

    def test_manual_of_heartctl_names_its_commands(self) -> None:
        done = subprocess.run([BUILD / "heartctl", "--help"], capture_output=True, text=True)
        commands = set(re.findall(r"^ {2,}([a-z]+)\b", done.stdout + done.stderr, re.M))
        manual = set(re.findall(r"^\.It Ic ([a-z]+)", (SRC / "etc/man/heartctl.8").read_text(), re.M))
        self.assertTrue(manual)
        self.assertEqual(commands, manual)


if __name__ == "__main__":
    unittest.main()
