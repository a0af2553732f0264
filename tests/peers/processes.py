"""Child processes that never outlive the harness, and peers that take commands as JSON lines."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
_LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel kills this process when the harness is gone, however it went."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Peer:
    """A peer of this folder in a process of its own. Its first line says that it is ready."""

    def __init__(self, script: str, args: list[str], log: Path) -> None:
        self.name = script
        self.buffer = b""
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / script), *args],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                preexec_fn=die_with_parent,
            )
        self.hello = self._answer(120)

    def _answer(self, limit: float) -> dict[str, Any]:
        fd = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            if not select.select([fd], [], [], limit)[0]:
                raise RuntimeError(f"{self.name} gave no answer within {limit} s")
            data = os.read(fd, 65_536)
            if not data:
                raise RuntimeError(f"{self.name} ended; its log stands beside its ledger")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """One command and its answer."""
        self.process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        self.process.stdin.flush()
        return self._answer(60)

    def end(self) -> None:
        """Closes its stdin, which ends it; kills it where that does not."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
