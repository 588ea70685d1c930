# SPDX-License-Identifier: MIT
"""b_process.py - what a pyworker's process is like: its limits, its group, what it inherits."""
from __future__ import annotations

import re
import resource
from pathlib import Path
from typing import Dict

import harness
from harness import Case, Served, until

APP = '''
import os, resource
from heart import App

app = App()

@app.get("/")
def process(request):
    return {"files": resource.getrlimit(resource.RLIMIT_NOFILE)[0], "group": os.getpgid(0) == os.getpid(), "cwd": os.getcwd(),
            "fds": sorted(os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}"))}
'''


class Process(Served):
    CONFIG = """
apps: {app: {heart: "app:app", processes: 1}}
"""
    FILES = {"app.py": APP}

    @classmethod
    def setUpClass(cls) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))  # heartd raises its own to the hard limit
        try:
            super().setUpClass()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def test_it_has_the_limit_that_heartd_was_started_with(self) -> None:
        answer = self.get("/").json()
        self.assertEqual(answer["files"], 1000)

    def test_it_leads_its_own_group_in_the_apps_folder(self) -> None:
        answer = self.get("/").json()
        self.assertEqual((answer["group"], answer["cwd"]), (True, str(self.server.dir)))

    def test_it_inherits_nothing_of_the_master(self) -> None:
        """The control socket, the eventfds of itself and of each loop, the pipes of stdout and stderr: no listener, no other client, no memory of others."""
        until("the memory of every loop is mapped and its descriptors are closed", lambda: not any("memfd" in kind for kind in self.get("/").json()["fds"]))
        kinds = self.get("/").json()["fds"]
        self.assertLessEqual(kinds.count("socket"), 1, kinds)


class Confined(Case):
    def facts(self, pid: int) -> Dict[str, str]:
        return dict(re.findall(r"^(Seccomp|NoNewPrivs):\s*(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))

    def test_workers_are_confined_and_apps_are_not(self) -> None:
        config = "apps: {app: {heart: 'app:app', processes: 1}}\nroutes: [{path: /fixed, respond: {body: x}}]\n"
        server = self.serve(config, {"app.py": APP})
        for worker in server.workers():
            self.assertEqual(self.facts(worker), {"Seccomp": "2", "NoNewPrivs": "1"})
        self.assertEqual(self.facts(server.pyworkers("app")[0])["Seccomp"], "0", "an app may start programs")
        old = server.workers()
        server.configure(config + "workers: {processes: 2, seccomp: false}\n")
        server.reload()
        until("workers that are not confined have taken over", lambda: len(server.workers()) == 2 and not set(old) & set(server.workers()))
        for worker in server.workers():
            self.assertEqual(self.facts(worker)["Seccomp"], "0")
        self.assertEqual(server.get("/fixed").status, 200)


if __name__ == "__main__":
    harness.main()
