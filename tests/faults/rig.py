"""One plant for one scenario: broker, MES, tools, links and the gateway, in a directory that a failure keeps."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker import Broker
from gateway import Gateway
from layout import PROFILES, resolve
from processes import Peer
from proxy import Proxy
from verify import Report, Rules, verify

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "target"


class Failure(Exception):
    """A scenario that cannot go on, in a sentence."""


@dataclass
class Tool:
    """A running tool, the link to it and its slots."""

    peer: Peer
    port: int
    link: Proxy | None
    ledger: Path
    slots: list[str]
    profile: str
    last: dict[str, int] = field(default_factory=dict)


# What the MES relies on of a torque tool.
TIGHTENING = 'delivers = "tightening"\nrequires = ["torque", "torque.min", "angle", "program"]'


class Rig:
    """Builds the plant step by step; `close` takes all of it down, whatever happened."""

    def __init__(self, name: str, seed: int, binary: Path, patience: float, version: str = "5") -> None:
        self.name = name
        self.seed = seed
        self.binary = binary
        self.patience = patience
        self.version = version
        # The same scenario may run beside itself with the other version.
        self.folder = TARGET / "faults" / (f"{name}-{seed}" if version == "5" else f"{name}-{version}-{seed}")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.etc = self.folder / "etc"
        self.devices = self.etc / "device-profiles"
        shutil.copytree(PROFILES / "peer", self.devices / "peer")
        self.state = self.folder / "state"
        self.config = self.etc / "gateway.toml"
        self.received = self.folder / "received.jsonl"
        self.mes_ledger = self.folder / "mes.jsonl"
        self.tools: list[Tool] = []
        self.links: list[Proxy] = []
        self.mes: Peer | None = None
        self.broker: Broker | None = None
        self.broker_link: Proxy | None = None
        self.away: list[tuple[float, float]] = []
        self.unknowable: list[tuple[float, float]] = []
        self.begun = time.monotonic()
        # Whether the gateway may end by itself and be started again, as on a disk error.
        self.exits_allowed = False
        # What did not come true in time; the verdict goes on to say what is missing.
        self.late: str | None = None
        self.gateway = Gateway(binary, self.config, self.folder / "gateway.log")
        self.undo: list[Callable[[], None]] = []

    # -- building

    def add_broker(self, calm: bool = False, users: dict[str, str] | None = None) -> None:
        """mosquitto, and a link to it for the gateway alone: the MES has its own."""
        self.broker = Broker(self.folder / "broker", users)
        if calm:
            self.broker.calm()
        self.broker.start()
        self.broker_link = Proxy(self.broker.port)
        self.links.append(self.broker_link)

    def add_mes(self, username: str = "", password: str = "") -> None:
        """The MES, subscribed before the first event."""
        args = ["--port", str(self.broker.port), "--version", self.version]
        args += ["--received", str(self.received), "--ledger", str(self.mes_ledger)]
        if username:
            args += ["--username", username, "--password", password]
        self.mes = Peer("mes.py", args, self.folder / "mes.log")

    def add_tool(self, profile: str, slots: list[str], *, link: bool = False, mode: str = "copy", **options: Any) -> Tool:
        """A tool that waits for `resume`, and its device files."""
        ledger = self.folder / f"tool-{len(self.tools)}.jsonl"
        args = ["--profile", profile, "--slots", ",".join(slots), "--mode", mode, "--ledger", str(ledger)]
        args += ["--paused", "--seed", f"{self.seed}/{len(self.tools)}"]
        for name, value in options.items():
            args += [f"--{name.replace('_', '-')}", str(value)]
        peer = Peer("torque_tool.py", args, self.folder / f"tool-{len(self.tools)}.log")
        port = peer.hello["port"]
        proxy = Proxy(port) if link else None
        if proxy:
            self.links.append(proxy)
        tool = Tool(peer, proxy.port if proxy else port, proxy, ledger, slots, profile)
        self.tools.append(tool)
        return tool

    def install(self, tool: Tool, **connection: Any) -> None:
        """Writes `<station>.<slot>.toml` for each spindle: a few lines for one, its own registers for many."""
        address = f"127.0.0.1:{tool.port}"
        if len(tool.slots) == 1:
            text = (PROFILES / "installed" / f"{tool.profile.removeprefix('peer/')}.toml").read_text()
            text = text.replace("127.0.0.1:1", address)
            for key, value in connection.items():
                text += f"{key} = {toml(value)}\n"
            (self.devices / f"{tool.slots[0]}.toml").write_text(text)
            return
        for at, slot in enumerate(tool.slots):
            profile = resolve(tool.profile)
            profile.pop("example", None)
            profile["connection"].update(address=address, **connection)
            for point in profile["points"].values():
                table, _, number = point["at"].partition(":")
                point["at"] = f"{table}:{int(number) + 40 * at}"
            (self.devices / f"{slot}.toml").write_text(dump(profile))

    def configure(self, mqtt: str = "", gateway: str = "", outbox: str = "", port: int | None = None, asks: str = TIGHTENING) -> None:
        """Writes gateway.toml for the slots of all tools, and asks the binary to check it and for its contract."""
        port = port or self.broker_link.port
        lines = [
            f'[gateway]\nid = "gw-test"\nstate_dir = "{self.state}"\nprofiles = "device-profiles"\nweb = "off"\n{gateway}',
            '[plant]\nenterprise = "acme"\nsite = "leipzig"\narea = "body"\nline = "line-3"\n',
            f'[mqtt]\nbroker = "mqtt://127.0.0.1:{port}"\nversion = "{self.version}"\n{mqtt}',
        ]
        if outbox:
            lines.append(f"[outbox]\n{outbox}")
        stations: dict[str, list[str]] = {}
        for tool in self.tools:
            for slot in tool.slots:
                station, _, name = slot.partition(".")
                stations.setdefault(station, []).append(name)
        for station, names in stations.items():
            unit_from = '["mes", "device"]' if any("echo" in tool.profile for tool in self.tools) else '["mes"]'
            lines.append(f'[[station]]\nid = "{station}"\nunit_from = {unit_from}\n')
            for name in dict.fromkeys(names):
                lines.append(
                    f'[[station.slot]]\nid = "{name}"\n{asks}\n'
                )
        self.config.write_text("\n".join(lines))
        self.command("check", "--config", str(self.config))
        self.command("contract", "--config", str(self.config), "--out", str(self.folder / "contract"))

    def command(self, *args: str) -> str:
        """A command of the binary that has to succeed."""
        done = subprocess.run([str(self.binary), *args], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Failure(f"`lineside {args[0]}` exited with {done.returncode}:\n{done.stderr or done.stdout}")
        return done.stdout

    # -- running

    def say(self, text: str) -> None:
        """Progress."""
        print(f"  [{time.monotonic() - self.begun:6.1f}s] {self.name}: {text}", flush=True)

    def resume(self, **options: Any) -> None:
        """All tools make results."""
        for tool in self.tools:
            tool.peer.ask("resume", **options)

    def units(self, every: float, stations: list[str] | None = None) -> None:
        """The MES moves units on; 0 stops that."""
        self.mes.ask("units", stations=stations or ["st10"], every=every)

    def tool_stats(self) -> dict[str, int]:
        """The counts of all tools together."""
        total = {"made": 0, "acked": 0, "showing": 0}
        for tool in self.tools:
            if tool.peer.process.poll() is None:
                tool.last = tool.peer.ask("stats")
            for key in total:
                total[key] += tool.last.get(key, 0)
        return total

    def received_results(self) -> int:
        """Distinct tightenings at the MES."""
        return int(self.mes.ask("stats")["types"].get("tightening", 0))

    def wait(self, what: str, condition: Callable[[], bool], limit: float | None = None, every: float = 0.1) -> None:
        """Waits for a condition, watching the gateway all the while. Not to see it in time is a failure."""
        limit = limit or self.patience
        deadline = time.monotonic() + limit
        told = time.monotonic()
        while not condition():
            if time.monotonic() > deadline:
                raise Failure(f"waited {limit:.0f} s in vain until {what}; tools {self.tool_stats()}, MES {self.mes_stats()}")
            if time.monotonic() - told > 10:
                told = time.monotonic()
                self.say(f"waiting until {what}: tools {self.tool_stats()}, MES {self.mes_stats()}")
            self.gateway.watch()
            if len(self.gateway.exits) > 3 and not self.exits_allowed:
                raise Failure(f"the gateway ends by itself ({self.gateway.exits[-1]}); its last words: {self.last_words()}")
            time.sleep(every)

    def last_words(self) -> str:
        """The end of the gateway's log."""
        return " | ".join(self.gateway.log.read_text(errors="replace").splitlines()[-4:])

    def mes_stats(self) -> str:
        """For people."""
        return str(self.mes.ask("stats")["types"]) if self.mes else "none"

    def pass_time(self, seconds: float) -> None:
        """Lets the scenario run on, watching the gateway."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.gateway.watch()
            time.sleep(min(left, 0.05))

    def flow(self, more: int, limit: float | None = None) -> None:
        """Waits until that many more results have been acknowledged: the plant is running."""
        goal = self.tool_stats()["acked"] + more
        self.wait(f"{more} more results are acknowledged", lambda: self.tool_stats()["acked"] >= goal, limit)

    def broker_away(self, seconds: float, kill: bool) -> None:
        """The broker is gone for a while. When it is killed, the gateway's link is cut first and the MES takes
        what the broker still has: what mosquitto loses of its own memory is no fault of the gateway."""
        start = time.time()
        if kill:
            import signal

            self.broker_link.cut(refuse=True)
            self.quiet()
            self.broker.end(signal.SIGKILL)
        else:
            self.broker.end()
        self.say(f"broker {'killed' if kill else 'stopped'} for {seconds:.0f} s")
        self.pass_time(seconds)
        end = time.time()
        self.broker.start()
        self.broker_link.mend()
        self.away.append((start, end))
        self.say("broker back")
        self.wait("the MES is connected again", lambda: self.mes.ask("stats")["connected"])

    def quiet(self) -> None:
        """Waits until the MES has received nothing new for three looks in a row."""
        seen, same = -1, 0
        deadline = time.monotonic() + 30
        while same < 3 and time.monotonic() < deadline:
            now = self.mes.ask("stats")["messages"]
            same = same + 1 if now == seen else 0
            seen = now
            self.gateway.watch()
            time.sleep(0.1)

    def drain(self, limit: float | None = None) -> None:
        """No more results are made; all that were are acknowledged and received. Where that does not come true
        in time, goes on, so that the verdict can name what is missing."""
        for tool in self.tools:
            if tool.peer.process.poll() is None:
                tool.peer.ask("pause")
        try:
            self.wait("every shown result is acknowledged", lambda: self.tool_stats()["showing"] == 0, limit)
            acked = self.tool_stats()["acked"]
            self.wait(f"the MES has all {acked} results", lambda: self.received_results() >= acked, limit)
        except Failure as failure:
            self.say(f"{failure}")
            self.late = str(failure)
        self.quiet()

    # -- the verdict

    def verdict(self, rules: Rules) -> Report:
        """Stops everything and holds the ledgers against each other."""
        stop = self.gateway.stop()
        self.quiet()
        self.mes.ask("stop")
        self.mes.end()
        rules.content_type = self.version == "5"
        rules.away = tuple(self.away)
        rules.unknowable = tuple(self.unknowable)
        (self.folder / "rules.json").write_text(json.dumps(rules.__dict__))
        report = verify(rules, [tool.ledger for tool in self.tools], self.mes_ledger, self.received, self.folder / "contract")
        report.counts["gateway starts"] = self.gateway.starts
        report.counts["gateway kills"] = self.gateway.kills
        report.counts["gateway peak memory KiB"] = self.gateway.peak_kib
        report.counts["gateway wrote KiB"] = self.gateway.written // 1024
        if stop:
            report.fault(stop)
        if self.late:
            report.fault(self.late)
        if self.gateway.exits and not self.exits_allowed:
            report.fault(f"the gateway ended by itself {len(self.gateway.exits)} times, first: {self.gateway.exits[0]}; see gateway.log")
        report.print(f"{self.name}, seed {self.seed}, {time.monotonic() - self.begun:.0f} s")
        return report

    def close(self) -> None:
        """Ends every process and thread of this rig."""
        steps: list[Callable[[], None]] = [self.gateway.kill]
        steps += [tool.peer.end for tool in self.tools]
        if self.mes:
            steps.append(self.mes.end)
        steps += [link.stop for link in self.links]
        if self.broker:
            steps.append(self.broker.remove)
        steps += reversed(self.undo)
        for step in steps:
            try:
                step()
            except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
                print(f"  {self.name}: while cleaning up: {error}", flush=True)


def toml(value: Any) -> str:
    """A TOML value, tables inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(member)}" for key, member in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def dump(profile: dict[str, Any]) -> str:
    """A device profile as TOML."""
    lines = [f"{key} = {toml(value)}" for key, value in profile.items() if not isinstance(value, dict)]
    for section in ("connection", "points"):
        lines.append(f"[{section}]")
        lines += [f"{key} = {toml(value)}" for key, value in profile[section].items()]
    for name, event in profile["events"].items():
        lines.append(f"[events.{name}]")
        lines += [f"{key} = {toml(value)}" for key, value in event.items()]
    return "\n".join(lines) + "\n"
