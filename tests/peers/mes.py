#!/usr/bin/env python3
"""A small MES: keeps every message that it receives, and says which unit is where, as a real one would.

Its session is persistent. It prints {"connected": true} after the first subscription, and answers commands on stdin:
  {"do": "stats"}                                     messages and distinct event ids so far, by event type
  {"do": "units", "stations": ["st10"], "every": 1}   a new unit enters each station every so many seconds; 0 stops that
  {"do": "unit", "station": "st10", "id": "…"}        one unit enters now; an empty id: the unit left
  {"do": "publish", "topic": "…", "payload": "…", "retain": false}
  {"do": "stop"}
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as mqtt
from ledger import Ledger
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


class Mes:
    """One MQTT client, its ledger of received messages, and the units at the stations."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.base = args.base
        self.received = Ledger(args.received)
        self.ledger = Ledger(args.ledger)
        self.lock = threading.Lock()
        self.units: dict[str, tuple[str, float]] = {}
        self.entered = 0
        self.every = 0.0
        self.stations: list[str] = []
        self.ids: set[str] = set()
        self.by_type: Counter[str] = Counter()
        self.messages = 0
        self.connections = 0
        self.subscribed = threading.Event()
        self.stopping = threading.Event()
        five = args.version == "5"
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id="mes",
            protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
            clean_session=None if five else False,
        )
        if args.username:
            self.client.username_pw_set(args.username, args.password)
        self.client.reconnect_delay_set(0.1, 0.5)
        self.client.max_inflight_messages_set(1000)
        self.client.on_connect = self.on_connect
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self.on_message
        self.client.on_disconnect = lambda *_: self.ledger.write(e="disconnected")

    def start(self) -> None:
        """Connects and waits for the subscription."""
        if self.args.version == "5":
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 86_400
            properties.ReceiveMaximum = 65_535
            self.client.connect("127.0.0.1", self.args.port, keepalive=10, clean_start=False, properties=properties)
        else:
            self.client.connect("127.0.0.1", self.args.port, keepalive=10)
        self.client.loop_start()
        if not self.subscribed.wait(20):
            raise SystemExit("mes: no subscription within 20 s")

    def on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        """Subscribes, and says again where every unit is: what was said while the broker was away is lost."""
        self.ledger.write(e="connected", reason=str(reason))
        if reason != 0:
            return
        client.subscribe([(f"{self.base}/+/+/+", 1), ("+/+/lineside/+/status", 1)])
        with self.lock:
            self.connections += 1
            for station, (unit, entered) in self.units.items():
                self.say(station, unit, entered)

    def on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        """Keeps the message before the client library acknowledges it."""
        text = message.payload.decode("utf-8", "replace")
        kind = getattr(message.properties, "ContentType", None)
        self.received.write(topic=message.topic, p=text, retain=message.retain, qos=message.qos, content_type=kind)
        self.messages += 1
        kind = message.topic.rsplit("/", 1)[-1]
        if kind != "status":
            try:
                event = json.loads(text)
                if event["id"] not in self.ids:
                    self.ids.add(event["id"])
                    self.by_type[kind] += 1
            except (ValueError, KeyError, TypeError):
                self.by_type["unreadable"] += 1

    def say(self, station: str, unit: str, entered: float) -> None:
        """Publishes which unit is at a station, where the broker is there to hear it."""
        if not self.client.is_connected():
            return
        iso = datetime.fromtimestamp(entered, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        payload = json.dumps({"id": unit, "entered": iso, "order": f"WO-{unit[-6:]}"}) if unit else ""
        # The line comes first: an event can name the unit as soon as it is sent.
        self.ledger.write(e="published", station=station, id=unit, entered=entered)
        self.client.publish(f"{self.base}/{station}/unit", payload, qos=1, retain=True)

    def enter(self, station: str, unit: str | None = None) -> None:
        """A unit enters a station; an empty one: it left."""
        with self.lock:
            if unit is None:
                self.entered += 1
                unit = f"WVWZZZ1JZXW{self.entered:06d}"
            now = round(time.time(), 3)
            self.units[station] = (unit, now)
            self.ledger.write(e="entered", station=station, id=unit, entered=now)
            self.say(station, unit, now)

    def conveyor(self) -> None:
        """Moves units on."""
        due = time.monotonic()
        while not self.stopping.wait(max(due - time.monotonic(), 0.01)):
            if not self.every:
                due = time.monotonic()
                continue
            if time.monotonic() >= due:
                due += self.every
                for station in self.stations:
                    self.enter(station)

    def command(self, line: str) -> dict[str, Any]:
        """One command of the harness."""
        order = json.loads(line)
        match order["do"]:
            case "stats":
                pass
            case "units":
                self.stations = order.get("stations", self.stations)
                self.every = float(order["every"])
            case "unit":
                self.enter(order["station"], order["id"])
            case "publish":
                self.client.publish(order["topic"], order["payload"], qos=1, retain=order.get("retain", False))
            case "stop":
                self.stopping.set()
            case unknown:
                raise ValueError(f"the MES knows no command {unknown!r}")
        return {
            "messages": self.messages,
            "ids": len(self.ids),
            "types": dict(self.by_type),
            "connected": self.client.is_connected(),
            "connections": self.connections,
        }


def main() -> None:
    """Reads the arguments, connects, and obeys until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--version", choices=["5", "3.1.1"], default="5")
    parser.add_argument("--base", default="acme/leipzig/body/line-3")
    parser.add_argument("--received", required=True, help="every message, one JSON object a line")
    parser.add_argument("--ledger", required=True, help="units and connections")
    parser.add_argument("--username", default="")
    parser.add_argument("--password", default="")
    mes = Mes(parser.parse_args())
    mes.start()
    print(json.dumps({"connected": True}), flush=True)
    threading.Thread(target=mes.conveyor, daemon=True).start()
    for line in sys.stdin:
        print(json.dumps(mes.command(line)), flush=True)
        if mes.stopping.is_set():
            break
    mes.stopping.set()
    mes.client.disconnect()
    mes.client.loop_stop()


if __name__ == "__main__":
    main()
