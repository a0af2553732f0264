"""mosquitto, started by hand on a free port of loopback, with a configuration and a database of its own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from processes import die_with_parent


# Below the ports that the system hands out by itself: while a server is down nobody else is given its port.
PORTS = range(20_000, 32_768)


def free_port() -> int:
    """A port that was free a moment ago; for servers that cannot choose one themselves, and come back under the same one."""
    numbers = random.SystemRandom()
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", numbers.choice(PORTS)))
            except OSError:
                continue
            return int(probe.getsockname()[1])


class Broker:
    """One mosquitto that can be stopped, killed and started again on the same port, with the same sessions."""

    def __init__(self, folder: Path, users: dict[str, str] | None = None, limits: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        # Saved at every change: on a real disk that is some milliseconds each, so memory where there is some.
        memory = Path("/dev/shm")
        self.database = Path(tempfile.mkdtemp(prefix="lineside-broker-", dir=memory if memory.is_dir() else folder))
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {self.database}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            # The defaults drop what is queued for an offline MES after 1000 messages.
            "max_queued_messages 0",
            "max_queued_bytes 0",
            "max_inflight_messages 0",
            "log_dest file " + str(folder / "mosquitto.log"),
            "log_type error",
            "log_type warning",
            "log_type notice",
        ]
        if users:
            passwords = folder / "passwords"
            passwords.touch(0o600)
            for user, password in users.items():
                subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, password], check=True)
            passwords.chmod(0o644)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        else:
            lines.append("allow_anonymous true")
        if os.geteuid() == 0:
            lines.append("user root")
        lines += limits.splitlines()
        self.config = folder / "mosquitto.conf"
        self.config.write_text("\n".join(lines) + "\n")

    def calm(self) -> None:
        """Saves once a second instead of at every change: for loads at which that costs the machine. Before `start`."""
        text = self.config.read_text()
        self.config.write_text(text.replace("autosave_on_changes true", "autosave_on_changes false"))

    def start(self) -> None:
        """Starts it and waits until it accepts connections."""
        self.process = subprocess.Popen(
            ["mosquitto", "-c", str(self.config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"mosquitto ended at once; see {self.folder.name}/mosquitto.log") from None
                time.sleep(0.02)
        raise RuntimeError("mosquitto accepts no connection within 20 s")

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it: SIGTERM saves its sessions, SIGKILL does not."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(60)
        self.process = None

    def remove(self) -> None:
        """Ends it for good and removes its database."""
        self.end(signal.SIGKILL)
        shutil.rmtree(self.database, ignore_errors=True)
