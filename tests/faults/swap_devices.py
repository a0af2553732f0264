"""Four devices that fill one slot in turn, each by another protocol, all of them with the same tightenings by number."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import inch_tool
import ledger
from opcua_files import Certificates
from opcua_peers import NodePeer
from ports import Port
from processes import Peer
from rig import ROOT, Rig
from torque_kinds import ECHO, profile

# Made before the gateway ever saw the device: none of its business, where the device tells what it tells only once.
BEFORE = 6
WRENCH = """profile = 1
vendor = "Peer Wrenches"
model = "PW-3"
maturity = "document"
[connection]
protocol = "serial"
address = "{address}"
baud = 115200
[frame]
start = "\\u0002"
end = "\\r\\n"
checksum = "xor"
checksum_at = "before_end"
pattern = '^(?<seq>\\d+),(?<torque>[^,]+),(?<torque_min>[^,]+),(?<torque_max>[^,]+),(?<torque_target>[^,]+),(?<uom>[^,]+),(?<torque_is>LO|OK|HI),(?<angle>[^,]+),(?<angle_min>[^,]+),(?<angle_max>[^,]+),(?<angle_target>[^,]+),(?<angle_is>LO|OK|HI),(?<judge>OK|NG),(?<pset>\\d+),(?<count>\\d+),(?<size>\\d+),(?<vin>[^,]+),(?<stamp>[^,]+),$'
reply = "\\u0006"
[points]
seq = {{ type = "u32" }}
torque = {{ type = "decimal", uom = "N.m", uom_from = "uom" }}
torque_min = {{ type = "decimal", uom = "N.m", uom_from = "uom" }}
torque_max = {{ type = "decimal", uom = "N.m", uom_from = "uom", invalid = ["------"] }}
torque_target = {{ type = "decimal", uom = "N.m", uom_from = "uom" }}
torque_is = {{ map = {{ LO = "low", OK = "ok", HI = "high" }} }}
angle = {{ type = "i32", uom = "deg" }}
angle_min = {{ type = "i32", uom = "deg" }}
angle_max = {{ type = "i32", uom = "deg", invalid = ["------"] }}
angle_target = {{ type = "i32", uom = "deg" }}
angle_is = {{ map = {{ LO = "low", OK = "ok", HI = "high" }} }}
judge = {{ map = {{ OK = "ok", NG = "nok" }} }}
pset = {{ type = "u16" }}
count = {{ type = "u16" }}
size = {{ type = "u16" }}
[events.tightening]
when = "frame"
id = ["seq"]
counter = "seq"
time = {{ point = "stamp", format = "%Y-%m-%d:%H:%M:%S", zone = "utc" }}
result = "judge"
torque = {{ value = "torque", min = "torque_min", max = "torque_max", target = "torque_target", result = "torque_is" }}
angle = {{ value = "angle", min = "angle_min", max = "angle_max", target = "angle_target", result = "angle_is" }}
program = "pset"
batch = {{ count = "count", size = "size" }}
unit = "vin"
"""
JOINING = """profile = 1
extends = "joining/opc-40450"
remove = ["events.part", "events.curve", "events.tightening.tool", "events.tightening.controller", "events.tightening.errors", "events.tightening.job", "events.tightening.joint"]
[connection]
address = "opc.tcp://127.0.0.1:{port}/joining"
security = "None"
publishing = "50ms"
timeout = "2s"
"""


class Device:
    """One device: its process, its file, what it made and what it was told to be safe."""

    # What its events say of it; whether it is acknowledged; the first number that may come.
    vendor = ""
    model = ""
    acknowledged = True
    first = 1
    # An edit of its file that keeps the device, and makes another link.
    edit = ("", "")

    def __init__(self, rig: Rig, name: str) -> None:
        self.rig = rig
        self.name = name
        self.ledger = rig.folder / f"{name}.jsonl"
        self.log = rig.folder / f"{name}.log"
        self.peer: Peer
        self.text = ""

    def begin(self, rate: float) -> None:
        """It makes results from now on."""
        self.peer.ask("resume", rate=rate, limit=0)

    def pause(self) -> None:
        """No more."""
        self.peer.ask("pause")

    def stats(self) -> dict[str, Any]:
        """Made, acked, showing."""
        return self.peer.ask("stats")

    def sees(self) -> bool:
        """Whether the gateway is there, for the device."""
        return True

    def gone(self) -> bool:
        """Whether the gateway has let go of it."""
        return True

    def made(self) -> dict[int, float]:
        """Numbers of its results and when each was made."""
        return {line["n"]: line["t"] for line in ledger.read(self.ledger) if line["e"] == "made"}

    def acked(self) -> set[int]:
        """Numbers that it was told to be safe."""
        return {line["n"] for line in ledger.read(self.ledger) if line["e"] == "acked"}

    def fetched(self) -> set[int]:
        """Numbers that it was asked for; who asks acknowledges nothing."""
        return {line["n"] for line in ledger.read(self.ledger) if line["e"] == "fetched"}

    def number(self, data: dict[str, Any]) -> int:
        """Of a result."""
        return int(data["result_id"])


class Inches(Device):
    """Modbus: words swapped, torque in pound-force inches, a counter that is echoed."""

    vendor, model = inch_tool.VENDOR, inch_tool.MODEL
    edit = ('poll = "20ms"', 'poll = "25ms"')

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig, "modbus")
        self.peer = Peer("inch_tool.py", ["--ledger", str(self.ledger)], self.log)
        self.text = inch_tool.profile(f"127.0.0.1:{self.peer.hello['port']}")

    def gone(self) -> bool:
        return self.stats()["clients"] == 0


class Controller(Device):
    """Open Protocol: results acknowledged one by one, with a memory of them."""

    vendor, model = "Peer", "controller"
    first = BEFORE + 1
    edit = ('recover = "by-id"', 'recover = "by-id"\ntimeout = "4s"')

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig, "controller")
        self.peer = Peer("controller.py", ["--ledger", str(self.ledger), "--paused", "--ids", "exact"], self.log)
        self.peer.ask("make", count=BEFORE)
        self.text = profile(self.model, f"127.0.0.1:{self.peer.hello['port']}") + ECHO

    def sees(self) -> bool:
        return self.stats()["subscribed"] > 0

    def gone(self) -> bool:
        return self.stats()["clients"] == 0


class Wrench(Device):
    """Lines on a serial port, each again until a byte comes back."""

    vendor, model = "Peer Wrenches", "PW-3"
    edit = ("baud = 115200", "baud = 57600")

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig, "wrench")
        self.peer = Peer("wrench.py", ["--ledger", str(self.ledger), "--format", "full"], self.log)
        self.port = Port(rig, "wrench", self.peer)
        self.text = WRENCH.format(address=self.port.near)

    def gone(self) -> bool:
        near = self.port.near.resolve()
        process = self.rig.gateway.process
        links = Path(f"/proc/{process.pid}/fd").iterdir() if process else []
        return all(target(link) != near for link in links)


class Joining(Device):
    """Results as events of OPC UA, in structures, not acknowledged."""

    vendor, model = "OPC Foundation", "Joining system (OPC 40450-1)"
    acknowledged = False
    first = BEFORE + 1
    edit = ('publishing = "50ms"', 'publishing = "100ms"')

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig, "joining")
        shutil.copytree(ROOT / "device-profiles" / "joining", rig.devices / "joining")
        self.peer = NodePeer(Certificates(rig.folder / "pki"), self.ledger, self.log, port=0)
        self.peer.ask("raise", count=BEFORE)
        self.text = JOINING.format(port=self.peer.hello["port"])

    def stats(self) -> dict[str, Any]:
        stats = self.peer.ask("stats")
        return {"made": stats["results"], "acked": stats["results"], "showing": 0, "subscriptions": stats["subscriptions"], "open": stats["open"]}

    def sees(self) -> bool:
        return self.stats()["subscriptions"] > 0

    def gone(self) -> bool:
        return self.stats()["open"] == 0

    def made(self) -> dict[int, float]:
        return {line["n"]: line["t"] for line in ledger.read(self.ledger) if line["e"] == "raised"}

    def acked(self) -> set[int]:
        return set()

    def number(self, data: dict[str, Any]) -> int:
        return int(data["result_id"].removeprefix("R-"))


def target(link: Path) -> Path | None:
    """Where a file descriptor of /proc leads; None where it was closed meanwhile."""
    try:
        return link.resolve()
    except OSError:
        return None
