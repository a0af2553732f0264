"""Serial ports that vanish and return under the same name: pty pairs by socat."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from processes import Peer, die_with_parent
from rig import Failure, Rig


class Port:
    """One end is the gateway's, the other the device's."""

    def __init__(self, rig: Rig, name: str, peer: Peer) -> None:
        self.peer = peer
        self.near: Path = rig.folder / f"tty-{name}"
        self.far: Path = rig.folder / f"tty-{name}-device"
        self.socat: subprocess.Popen[bytes] | None = None
        rig.undo.append(self.unplug)
        self.plug()

    def plug(self) -> None:
        """Made, or made again; the device takes up its end."""
        if self.socat is not None:
            return
        pair = [f"pty,raw,echo=0,link={self.near}", f"pty,raw,echo=0,link={self.far}"]
        self.socat = subprocess.Popen(["socat", *pair], stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        deadline = time.monotonic() + 10
        while not (self.near.exists() and self.far.exists()):
            if time.monotonic() > deadline:
                raise Failure("socat made no pty pair within 10 s")
            time.sleep(0.02)
        self.peer.ask("open", port=str(self.far))

    def unplug(self) -> None:
        """The adapter is pulled: the port is gone, and its name."""
        if self.socat is not None:
            self.socat.kill()
            self.socat.wait(10)
            self.socat = None
        for path in (self.near, self.far):
            path.unlink(missing_ok=True)


class SerialLink(Port):
    """The same as a link that can be cut as a TCP link can."""

    def cut(self, refuse: bool = False) -> None:
        """The port goes; and comes back at once, or at `mend`."""
        self.unplug()
        if not refuse:
            self.plug()

    def black_hole(self) -> None:
        """Nothing comes through any more."""
        self.peer.ask("hold", on=True)

    def mend(self) -> None:
        """As new."""
        self.peer.ask("hold", on=False)
        self.plug()
