#!/usr/bin/env python3
"""Interop with mosquitto and pymodbus beyond the fault scenarios: log-in, last will, status, types and word orders, tools."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "peers"), str(HERE.parent / "faults")]

import json  # noqa: E402

import ledger  # noqa: E402
import second  # noqa: E402
from layout import PROFILES  # noqa: E402
from processes import Peer, die_with_parent  # noqa: E402
from rig import TARGET, Failure, Rig, Tool, dump  # noqa: E402
from values import EXPECTED, POINTS  # noqa: E402
from verify import Rules  # noqa: E402

USER, PASSWORD = "gw-test", "screwdriver 42"


def messages(rig: Rig, end: str) -> list[dict[str, Any]]:
    """The payloads that the MES received on topics that end so; {} for an empty one."""
    return [json.loads(line["p"] or "{}") for line in ledger.read(rig.received) if line["topic"].endswith(end)]


def has(rig: Rig, end: str, condition: Callable[[dict[str, Any]], bool]) -> Callable[[], bool]:
    """Whether the newest message on such a topic fulfils a condition."""
    return lambda: bool(found := messages(rig, end)) and condition(found[-1])


def session(rig: Rig) -> int:
    """A refused log-in keeps results; then statuses, an unreadable unit message, and the last will."""
    rig.add_broker(users={USER: PASSWORD, "mes": "mes"})
    rig.add_mes("mes", "mes")
    tool = rig.add_tool("peer/torque-a", ["st10.spindle-1"], rate=20)
    rig.install(tool)
    secret = rig.etc / "mqtt.password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    rig.configure(mqtt=f'username = "{USER}"\npassword_file = "mqtt.password"')
    rig.gateway.start()
    rig.resume()
    rig.flow(20, 30)
    if rig.received_results():
        raise Failure("events arrived though the password was wrong")
    rig.say("wrong password: results are kept")
    problem = rig.gateway.stop()
    if problem:
        raise Failure(problem)
    secret.write_text(PASSWORD + "\n")
    rig.gateway.start()
    rig.flow(20)
    rig.wait("what was kept arrives", lambda: rig.received_results() >= 40)
    rig.wait("the gateway says online", has(rig, "lineside/gw-test/status", lambda s: s.get("state") == "online"))
    rig.wait("the slot says online", has(rig, "spindle-1/status", lambda s: s.get("state") == "online"))
    if messages(rig, "lineside/gw-test/status")[-1]["session"] != messages(rig, "spindle-1/status")[-1]["session"]:
        raise Failure("slot and gateway name different sessions in their status")
    rig.mes.ask("unit", station="st10", id="WVWZZZ1JZXW900001")
    rig.pass_time(1)
    rig.mes.ask("publish", topic="acme/leipzig/body/line-3/st10/unit", payload="{not json")
    rig.pass_time(1)
    rig.flow(10)
    alive = messages(rig, "spindle-1/tightening")[-1]["data"]["unit"].get("id")
    if alive != "WVWZZZ1JZXW900001":
        raise Failure(f"a unit message that is no JSON changed the unit to {alive}")
    rig.gateway.kill()
    rig.wait("the last will says offline", has(rig, "lineside/gw-test/status", lambda s: s.get("state") == "offline"), 30)
    rig.gateway.start()
    rig.flow(10)
    rig.drain()
    return rig.verdict(Rules(everything=True, check_units=False)).fault_count


def values(rig: Rig, _chance: random.Random | None = None) -> int:
    """Every type in every word order, read from pymodbus, arrives exact."""
    rig.add_broker()
    rig.add_mes()
    server = Peer("values.py", [], rig.folder / "values.log")
    rig.undo.append(server.end)
    rig.tools.append(Tool(server, server.hello["port"], None, rig.folder / "none", ["st10.types"], "values"))
    rig.tools[0].last = {"made": 0, "acked": 0, "showing": 0}
    profile = {
        "profile": 1,
        "vendor": "Peer",
        "model": "types",
        "maturity": "document",
        "connection": {"protocol": "modbus-tcp", "address": f"127.0.0.1:{server.hello['port']}", "server_id": 3},
        "points": POINTS,
        "events": {"readings": {"when": {"every": "500ms"}, "values": "*"}},
    }
    (rig.devices / "st10.types.toml").write_text(dump(profile))
    rig.configure(asks='delivers = "readings"')
    rig.gateway.start()
    rig.wait("readings arrive", lambda: bool(messages(rig, "types/readings")), 30)
    got = messages(rig, "types/readings")[-1]["data"]["values"]
    wrong = [f"{name} is {got.get(name)!r} and should be {want!r}" for name, want in EXPECTED.items() if got.get(name) != want]
    for text in wrong[:10]:
        print(f"     ! {text}", flush=True)
    print(f"     {len(EXPECTED)} values of every type and word order, {len(wrong)} wrong", flush=True)
    return len(wrong)


def same(name: str, said: str) -> bool:
    """Whether a point means what it should, as text."""
    want = EXPECTED[name]
    return said == (str(want).lower() if isinstance(want, bool) else str(want))


def tools(rig: Rig) -> int:
    """probe and record read pymodbus through the gateway and directly; pymodbus reads what simulate serves, also by RTU."""
    from pymodbus.client import ModbusSerialClient, ModbusTcpClient

    rig.add_broker()
    rig.add_mes()
    server = Peer("values.py", [], rig.folder / "values.log")
    rig.undo.append(server.end)
    address = f"127.0.0.1:{server.hello['port']}"
    rig.tools.append(Tool(server, server.hello["port"], None, rig.folder / "none", ["st10.types"], "values"))
    rig.tools[0].last = {"made": 0, "acked": 0, "showing": 0}
    events = {"readings": {"when": {"every": "500ms"}, "values": "*"}}
    profile = {"profile": 1, "vendor": "Peer", "model": "types", "maturity": "document", "points": POINTS, "events": events}
    profile["connection"] = {"protocol": "modbus-tcp", "address": address, "server_id": 3}
    installed = rig.devices / "st10.types.toml"
    installed.write_text(dump(profile))
    rig.configure(asks='delivers = "readings"')
    rig.gateway.start()
    rig.wait("readings arrive", lambda: bool(messages(rig, "types/readings")), 30)
    wrong = 0
    for way, more in (("gateway", []), ("link", ["--direct"])):
        where = ["st10.types", "--config", str(rig.config), *more]
        look = json.loads(rig.command("probe", *where, "--once", "--json"))
        bad = [point["point"] for point in look["points"] if not same(point["point"], point["means"])]
        file = rig.folder / f"{way}.jsonl"
        rig.command("record", *where, "--out", str(file), "--for", "3s")
        made = json.loads(rig.command("replay", str(file), str(installed), "--json"))
        readings = [event["event"]["values"] for event in made["events"]]
        off = [values for values in readings if any(values.get(name) != want for name, want in EXPECTED.items())]
        if look["through"] != way or len(readings) < 3:
            raise Failure(f"probed through {look['through']} for {way}, {len(readings)} readings in 3 s: {made['notes']}")
        rig.say(f"through the {way}: {len(look['points'])} points probed, {len(bad)} wrong; {len(readings)} readings replayed, {len(off)} wrong")
        wrong += len(bad) + len(off)
    return wrong + simulated(rig, ModbusTcpClient, ModbusSerialClient)


def simulated(rig: Rig, tcp: Any, serial: Any) -> int:
    """pymodbus as master of a virtual device: reads a result and acknowledges it, by TCP and on a pty pair."""
    port, end = rig.folder / "tty-master", rig.folder / "tty-device"
    socat = subprocess.Popen(["socat", f"pty,raw,echo=0,link={port}", f"pty,raw,echo=0,link={end}"], preexec_fn=die_with_parent)
    rig.undo.append(socat.terminate)
    rig.wait("socat makes a pty pair", lambda: port.exists() and end.exists(), 10)
    line = rig.folder / "rtu.toml"
    text = (PROFILES.parents[2] / "device-profiles" / "handshake" / "level.toml").read_text()
    line.write_text(text.replace('"modbus-tcp"', '"modbus-rtu"\nbaud = 115200\nframing = "8N1"\nserver_id = 7'))
    plain = rig.folder / "tcp.toml"
    plain.write_text(text)
    for profile, listen, server in ((plain, "127.0.0.1:0", 1), (line, str(end), 7)):
        args = [str(rig.binary), "simulate", str(profile), "--listen", listen, "--every", "200ms"]
        device = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        rig.undo.append(device.kill)
        at = device.stdout.readline().split("listening on ")[1].split()[0]
        if listen == str(end):
            client = serial(str(port), baudrate=115200, timeout=1)
        else:
            client = tcp("127.0.0.1", port=int(at.rpartition(":")[2]))
        if not client.connect():
            raise Failure(f"pymodbus does not reach the virtual device at {at}")
        numbers: list[int] = []
        while len(numbers) < 5:
            rig.wait("the device shows a result", lambda: client.read_holding_registers(0, count=1, device_id=server).registers == [1], 10)
            numbers += client.read_holding_registers(1, count=1, device_id=server).registers
            client.write_register(32, 1, device_id=server)
            rig.wait("the device takes it back", lambda: client.read_holding_registers(0, count=1, device_id=server).registers == [0], 10)
            client.write_register(32, 0, device_id=server)
        client.close()
        said = device.communicate("quit\n", timeout=10)[0]
        if numbers != list(range(numbers[0], numbers[0] + 5)) or said.count("acknowledged after") < 5:
            raise Failure(f"results {numbers} by pymodbus, and the device says:\n{said}")
        rig.say(f"pymodbus took results {numbers[0]} to {numbers[-1]} from a virtual device at {at}")
    return 0


def telegrams(rig: Rig) -> int:
    """Other implementations of Open Protocol, in both roles: each against our own controller, the gateway and its simulator."""
    return second.run(rig)


def main() -> None:
    """Runs all, for both versions of MQTT where that matters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--binary", type=Path, default=TARGET / "release" / "lineside")
    parser.add_argument("--only", default="", help="these cases, with commas")
    args = parser.parse_args()
    # An ordinary exit, so that everything is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
    failed = []
    cases = [("session", session, "5"), ("session", session, "3.1.1"), ("values", values, "5"), ("tools", tools, "5"), ("telegrams", telegrams, "5")]
    for name, case, version in cases:
        if args.only and name not in args.only.split(","):
            continue
        print(f"== interop {name} (MQTT {version})", flush=True)
        rig = Rig(f"interop-{name}-{version}", args.seed, args.binary.resolve(), 60, version)
        begun = time.monotonic()
        try:
            faults = case(rig)
        except (Failure, RuntimeError, OSError, KeyError) as failure:
            print(f"     ! {failure!r}" if isinstance(failure, KeyError) else f"     ! {failure}", flush=True)
            faults = 1
        finally:
            rig.close()
        print(f"== interop {name}: {'held' if not faults else 'FAILED'}, {time.monotonic() - begun:.0f} s", flush=True)
        if faults:
            failed.append(name)
            print(f"     everything is kept in target/{rig.folder.relative_to(TARGET)}", flush=True)
        else:
            shutil.rmtree(rig.folder, ignore_errors=True)
    sys.exit(f"interop: failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
