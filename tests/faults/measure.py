#!/usr/bin/env python3
"""Measures the gateway at 10 devices x 1000 registers x 100 ms, as `latest` and as `stored` readings; prints a table."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "peers")]

import ledger  # noqa: E402
from processes import Peer  # noqa: E402
from rig import TARGET, Failure, Rig, Tool, dump  # noqa: E402

REGISTERS = 1000


async def serve_devices(count: int) -> None:
    """Devices whose registers all change every 100 ms; the first four say when, in microseconds."""
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    blocks, ports = [], []
    for _ in range(count):
        words = SimData(0, count=REGISTERS + 1, values=0, datatype=DataType.REGISTERS)
        server = ModbusTcpServer(SimDevice(1, simdata=[words]), address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        ports.append(server.transport.sockets[0].getsockname()[1])
        blocks.append(server.context.devices[1].block["x"][2])
    print(json.dumps({"ports": ports}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    ended = asyncio.create_task(reader.read())
    step = 0
    while not ended.done():
        step += 1
        for at, block in enumerate(blocks):
            now = int(time.time() * 1e6)
            block[:4] = [now >> 48 & 0xFFFF, now >> 32 & 0xFFFF, now >> 16 & 0xFFFF, now & 0xFFFF]
            block[4:REGISTERS] = [(step + number + at) & 0xFFFF for number in range(4, REGISTERS)]
        await asyncio.sleep(0.1)


def readings(binary: Path, keep: str, devices: int, seconds: float) -> str:
    """One line of the table."""
    rig = Rig(f"measure-{keep}", 1, binary, 60)
    try:
        rig.add_broker(calm=True)
        rig.add_mes()
        server = Peer("../faults/measure.py", ["--serve", str(devices)], rig.folder / "devices.log")
        rig.undo.append(server.end)
        points = {"stamp": {"at": "holding:0", "type": "u64"}}
        points |= {f"p{number}": {"at": f"holding:{number}", "type": "u16"} for number in range(4, REGISTERS)}
        for at, port in enumerate(server.hello["ports"]):
            rig.tools.append(Tool(server, port, None, rig.folder / "none", [f"st10.d{at}"], "measure"))
            event = {"when": {"every": "100ms"}, "values": "*", "keep": keep}
            profile = {"profile": 1, "vendor": "Peer", "model": "bench", "maturity": "document"}
            profile["connection"] = {"protocol": "modbus-tcp", "address": f"127.0.0.1:{port}", "poll": "100ms"}
            profile |= {"points": points, "events": {"readings": event}}
            (rig.devices / f"st10.d{at}.toml").write_text(dump(profile))
        write_config(rig)
        rig.tools.clear()
        rig.gateway.start()
        rig.wait("readings arrive", lambda: rig.mes.ask("stats")["messages"] > 100, 60)
        rig.pass_time(2)
        rig.gateway.measure()
        cpu, written, begun = rig.gateway.cpu, rig.gateway.written, time.time()
        rig.pass_time(seconds)
        rig.gateway.measure()
        took = time.time() - begun
        delays, count = [], 0
        for line in ledger.read(rig.received):
            if line["topic"].endswith("/readings") and begun <= line["t"] <= begun + took:
                count += 1
                delays.append(line["t"] - int(json.loads(line["p"])["data"]["values"]["stamp"]) / 1e6)
        if not count:
            raise Failure("no readings arrived while measuring")
        delays.sort()
        return (
            f"{devices} x {REGISTERS} x 100 ms, {keep:<7} {count / took:>8.0f}/s {(rig.gateway.cpu - cpu) / took * 100:>7.1f} % "
            f"{rig.gateway.peak_kib / 1024:>8.1f} MiB {delays[len(delays) // 2] * 1e3:>7.0f} ms {delays[int(len(delays) * 0.99)] * 1e3:>7.0f} ms "
            f"{(rig.gateway.written - written) / count:>10.0f} B"
        )
    finally:
        rig.close()
        if rig.received.exists():
            rig.received.unlink()  # gigabytes of readings


def write_config(rig: Rig) -> None:
    """gateway.toml for slots that deliver readings."""
    text = [f'[gateway]\nid = "gw-test"\nstate_dir = "{rig.state}"\nprofiles = "device-profiles"\nweb = "off"']
    text.append('[plant]\nenterprise = "acme"\nsite = "leipzig"\narea = "body"\nline = "line-3"')
    text.append(f'[mqtt]\nbroker = "mqtt://127.0.0.1:{rig.broker.port}"\nversion = "5"\n[[station]]\nid = "st10"')
    text += [f'[[station.slot]]\nid = "{tool.slots[0].split(".")[1]}"\ndelivers = "readings"' for tool in rig.tools]
    rig.config.write_text("\n".join(text) + "\n")
    rig.command("check", "--config", str(rig.config))


def main() -> None:
    """Both ways of keeping readings. What an outage costs, `harness.py outage` prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=TARGET / "release" / "lineside")
    parser.add_argument("--devices", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    # An ordinary exit, so that everything is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
    if args.serve:
        asyncio.run(serve_devices(args.serve))
        return
    lines = []
    for keep in ("latest", "stored"):
        print(f"measuring {keep} for {args.seconds:.0f} s", flush=True)
        try:
            lines.append(readings(args.binary.resolve(), keep, args.devices, args.seconds))
        except (Failure, RuntimeError, KeyError) as failure:
            sys.exit(f"measure: {failure}")
    print(f"{'':<28} {'events':>9} {'CPU':>9} {'peak':>12} {'p50':>10} {'p99':>10} {'written':>10} an event")
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
