"""The gateway under test: started, killed, supervised and measured as a process, seen only from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from processes import die_with_parent

TICKS = os.sysconf("SC_CLK_TCK")


class Gateway:
    """`lineside run` with one configuration. What its processes used is added up over all of them."""

    def __init__(self, binary: Path, config: Path, log: Path) -> None:
        self.binary = binary
        self.config = config
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.wanted = False
        self.started = 0.0
        self.starts = 0
        self.kills = 0
        self.exits: list[str] = []
        self.peak_kib = 0
        self._written = 0
        self._cpu = 0.0
        self._now_written = 0
        self._now_cpu = 0.0

    def start(self) -> None:
        """Starts it; does not wait for anything."""
        self.wanted = True
        self.starts += 1
        self.started = time.monotonic()
        with open(self.log, "ab") as log:
            log.write(f"---- start {self.starts}\n".encode())
            log.flush()
            self.process = subprocess.Popen(
                [str(self.binary), "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def watch(self) -> None:
        """Measures it, and starts it again where it ended by itself, as systemd would after a second."""
        if self.process is None:
            if self.wanted and time.monotonic() - self.started > 1.0:
                self.start()
            return
        self.measure()
        code = self.process.poll()
        if code is not None and self.wanted:
            self._collect()
            self.exits.append(f"exit {code} after {time.monotonic() - self.started:.1f} s")
            self.process = None

    def measure(self) -> None:
        """Reads what the running process used so far."""
        if self.process is None or self.process.poll() is not None:
            return
        folder = Path(f"/proc/{self.process.pid}")
        try:
            for line in (folder / "status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.peak_kib = max(self.peak_kib, int(line.split()[1]))
            for line in (folder / "io").read_text().splitlines():
                if line.startswith("write_bytes:"):
                    self._now_written = int(line.split()[1])
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            self._now_cpu = (int(fields[11]) + int(fields[12])) / TICKS
        except (OSError, IndexError):
            pass  # it ended between two looks

    def _collect(self) -> None:
        self._written += self._now_written
        self._cpu += self._now_cpu
        self._now_written = 0
        self._now_cpu = 0.0

    @property
    def written(self) -> int:
        """Bytes that all its processes had written to storage."""
        return self._written + self._now_written

    @property
    def cpu(self) -> float:
        """Seconds of processor that all its processes used."""
        return self._cpu + self._now_cpu

    def rss_kib(self) -> int:
        """Resident memory now."""
        if self.process is None:
            return 0
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def kill(self) -> None:
        """kill -9."""
        self.wanted = False
        if self.process is not None:
            self.measure()
            self.process.kill()
            self.process.wait()
            self._collect()
            self.process = None
            self.kills += 1

    def stop(self) -> str | None:
        """SIGTERM: it has to exit 0 within 2 s (a busy test machine is granted 3 more). Says what was wrong."""
        self.wanted = False
        if self.process is None:
            return "the gateway was not running at the end"
        self.measure()
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.process = None
            return "the gateway had not stopped 5 s after SIGTERM"
        finally:
            self._collect()
        self.process = None
        if code != 0:
            return f"the gateway exited with {code} on SIGTERM, {time.monotonic() - begun:.1f} s after it"
        return None
