"""Open Protocol telegrams from the specification's tables alone, and results whose every value follows from their number.

Shares nothing with the gateway: header, framing and the layouts of 0002, 0061 and 0065 are written down here anew.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

HEADER = 20
# What controllers send for "no limit".
NO_TORQUE_LIMIT = 999_900
NO_ANGLE_LIMIT = 9999
# Key, width, first revision that has it; the number of a parameter is its place. Torque is in hundredths of a N.m.
Layout = tuple[tuple[str, int, int], ...]

START: Layout = (
    ("cell", 4, 1), ("channel", 2, 1), ("controller", 25, 1), ("supplier", 3, 2), ("op_version", 19, 3), ("sw_version", 19, 3),
    ("tool_sw", 19, 3), ("rbu", 24, 4), ("serial", 10, 4), ("system", 3, 5), ("subtype", 3, 5), ("sequences", 1, 6), ("linking", 1, 6),
    ("station", 10, 6), ("station_name", 25, 6), ("client", 1, 6),
)  # fmt: skip
LAST_1: Layout = (
    ("cell", 4, 1), ("channel", 2, 1), ("controller", 25, 1), ("vin", 25, 1), ("job", 2, 1), ("pset", 3, 1), ("batch_size", 4, 1),
    ("batch_counter", 4, 1), ("status", 1, 1), ("torque_status", 1, 1), ("angle_status", 1, 1), ("torque_min", 6, 1), ("torque_max", 6, 1),
    ("torque_target", 6, 1), ("torque", 6, 1), ("angle_min", 5, 1), ("angle_max", 5, 1), ("angle_target", 5, 1), ("angle", 5, 1),
    ("time", 19, 1), ("changed", 19, 1), ("batch_status", 1, 1), ("id", 10, 1),
)  # fmt: skip
LAST: Layout = (
    ("cell", 4, 2), ("channel", 2, 2), ("controller", 25, 2), ("vin", 25, 2), ("job", 4, 2), ("pset", 3, 2), ("strategy", 2, 2),
    ("options", 5, 2), ("batch_size", 4, 2), ("batch_counter", 4, 2), ("status", 1, 2), ("batch_status", 1, 2), ("torque_status", 1, 2),
    ("angle_status", 1, 2), ("rundown_status", 1, 2), ("current_status", 1, 2), ("selftap_status", 1, 2), ("prevail_status", 1, 2),
    ("compensate_status", 1, 2), ("errors", 10, 2), ("torque_min", 6, 2), ("torque_max", 6, 2), ("torque_target", 6, 2), ("torque", 6, 2),
    ("angle_min", 5, 2), ("angle_max", 5, 2), ("angle_target", 5, 2), ("angle", 5, 2), ("rundown_min", 5, 2), ("rundown_max", 5, 2),
    ("rundown", 5, 2), ("current_min", 3, 2), ("current_max", 3, 2), ("current", 3, 2), ("selftap_min", 6, 2), ("selftap_max", 6, 2),
    ("selftap", 6, 2), ("prevail_min", 6, 2), ("prevail_max", 6, 2), ("prevail", 6, 2), ("id", 10, 2), ("job_sequence", 5, 2),
    ("sync", 5, 2), ("tool_serial", 14, 2), ("time", 19, 2), ("changed", 19, 2), ("pset_name", 25, 3), ("torque_unit", 1, 3),
    ("result_type", 2, 3), ("part_2", 25, 4), ("part_3", 25, 4), ("part_4", 25, 4), ("customer_error", 4, 5), ("compensate", 6, 6),
    ("errors_2", 10, 6), ("compensated_angle", 7, 7), ("final_angle", 7, 7),
)  # fmt: skip
# Revision 999 has no numbers before its values.
LIGHT: Layout = (
    ("vin", 25, 1), ("job", 2, 1), ("pset", 3, 1), ("batch_size", 4, 1), ("batch_counter", 4, 1), ("batch_status", 1, 1), ("status", 1, 1),
    ("torque_status", 1, 1), ("angle_status", 1, 1), ("torque", 6, 1), ("angle", 5, 1), ("time", 19, 1), ("changed", 19, 1), ("id", 10, 1),
)  # fmt: skip
OLD_1: Layout = (
    ("id", 10, 1), ("vin", 25, 1), ("pset", 3, 1), ("batch_counter", 4, 1), ("status", 1, 1), ("torque_status", 1, 1), ("angle_status", 1, 1),
    ("torque", 6, 1), ("angle", 5, 1), ("time", 19, 1), ("batch_status", 1, 1),
)  # fmt: skip
OLD: Layout = (
    ("id", 10, 2), ("vin", 25, 2), ("job", 4, 2), ("pset", 3, 2), ("strategy", 2, 2), ("options", 5, 2), ("batch_size", 4, 2),
    ("batch_counter", 4, 2), ("status", 1, 2), ("batch_status", 1, 2), ("torque_status", 1, 2), ("angle_status", 1, 2),
    ("rundown_status", 1, 2), ("current_status", 1, 2), ("selftap_status", 1, 2), ("prevail_status", 1, 2), ("compensate_status", 1, 2),
    ("errors", 10, 2), ("torque", 6, 2), ("angle", 5, 2), ("rundown", 5, 2), ("current", 3, 2), ("selftap", 6, 2), ("prevail", 6, 2),
    ("job_sequence", 5, 2), ("sync", 5, 2), ("tool_serial", 14, 2), ("time", 19, 2), ("torque_unit", 1, 3), ("result_type", 2, 3),
    ("part_2", 25, 4), ("part_3", 25, 4), ("part_4", 25, 4), ("customer_error", 4, 5), ("compensate", 6, 6), ("errors_2", 10, 6),
    ("station", 10, 7), ("station_name", 25, 7),
)  # fmt: skip
# What devices.md gives as total lengths: a slip in a table above would show at once.
LENGTHS = {
    (START, 1): 57, (START, 2): 62, (START, 3): 125, (START, 4): 163, (START, 5): 173, (START, 6): 221,
    (LAST_1, 1): 231, (LAST, 2): 385, (LAST, 3): 419, (LAST, 4): 500, (LAST, 5): 506, (LAST, 6): 526, (LAST, 7): 544,
    (OLD_1, 1): 118, (OLD, 2): 226, (OLD, 3): 233, (OLD, 4): 314, (OLD, 5): 320, (OLD, 6): 340, (OLD, 7): 379,
}  # fmt: skip


@dataclass
class Telegram:
    """One message, its header in numbers: blanks read as what they stand for."""

    mid: int
    revision: int = 1
    data: bytes = b""
    no_ack: bool = False
    station: int = 1
    spindle: int = 1
    sequence: int = 0
    # Its data ends in bytes that are no text: then no NUL follows. And what a sender wants to remember of it.
    binary: bool = False
    note: str = ""

    def encode(self, style: int = 0) -> bytes:
        """As sent. The ways in which controllers write defaults are many: `style` takes one of four."""
        revision = ("001", "   ", "000", "001")[style % 4] if self.revision == 1 else f"{self.revision:03}"
        places = ("    ", "0101", "    ", "01  ")[style % 4] if self.station == self.spindle == 1 else f"{self.station:02}{self.spindle:02}"
        sequence = f"{self.sequence:02}" if self.sequence else ("  ", "00", "00", "  ")[style % 4]
        parts = ("  ", "00", "  ", "00")[style % 4]
        head = f"{HEADER + len(self.data):04}{self.mid:04}{revision}{'1' if self.no_ack else ' '}{places}{sequence}{parts}"
        return head.encode() + self.data + (b"" if self.binary else b"\0")

    @property
    def text(self) -> str:
        """Its data as text."""
        return self.data.decode("utf-8", "replace")


def number(text: bytes, default: int) -> int:
    """A number of the header; blanks and zeros are the default."""
    return int(text) if text.strip() and int(text) else default


def decode(frame: bytes) -> Telegram:
    """A telegram without its NUL; a ValueError where its header is none."""
    return Telegram(
        mid=int(frame[4:8]),
        revision=number(frame[8:11], 1),
        no_ack=frame[11:12] == b"1",
        station=number(frame[12:14], 1),
        spindle=number(frame[14:16], 1),
        sequence=number(frame[16:18], 0),
        data=frame[20:],
    )


def cut(buffer: bytearray) -> bytes | None:
    """Takes the first whole telegram from a stream, by its length; a ValueError where that is none."""
    if len(buffer) < 4:
        return None
    if not bytes(buffer[:4]).isdigit() or int(buffer[:4]) < HEADER:
        raise ValueError(f"{bytes(buffer[:24])!r} does not begin with a length")
    length = int(buffer[:4])
    if len(buffer) <= length:
        return None
    if buffer[length] != 0:
        raise ValueError(f"no NUL behind {bytes(buffer[: length + 1])!r}")
    frame = bytes(buffer[:length])
    del buffer[: length + 1]
    return frame


def fields(layout: Layout, revision: int, values: dict[str, Any], numbered: bool = True) -> bytes:
    """The parameters that a revision has. Numbers are padded with zeros, text with blanks; what is not there is blank."""
    parts = []
    for place, (key, width, since) in enumerate(layout, 1):
        if since > max(revision, layout[0][2]):
            break
        value = values.get(key)
        if value is None:
            text = " " * width
        elif isinstance(value, int):
            text = f"{value:0{width}}"
        else:
            text = str(value).ljust(width)
        if len(text) != width:
            raise ValueError(f"{key} = {value!r} does not fit into {width} characters")
        parts.append(f"{place:02}{text}" if numbered else text)
    return "".join(parts).encode()


def last(revision: int, values: dict[str, Any]) -> bytes:
    """The data of MID 0061."""
    if revision == 999:
        return fields(LIGHT, 1, values, numbered=False)
    return fields(LAST_1 if revision == 1 else LAST, revision, values)


def old(revision: int, values: dict[str, Any]) -> bytes:
    """The data of MID 0065."""
    return fields(OLD_1 if revision == 1 else OLD, revision, values)


def pid(number: int, kind: int, unit: int, value: str) -> str:
    """A variable data field: kind 1 is unsigned, 3 a number with a point, 4 text; unit 1 is N.m, 50 degrees."""
    return f"{number:05}{len(value):03}{kind:02}{unit:03}0000{value}"


def variable(values: dict[str, Any], objects: bool) -> list[tuple[int, bytes]]:
    """MID 1201, and 1202 behind it where objects are asked for: torque and angle are the object's then."""
    whole = [
        pid(10, 4, 0, values["vin"]),
        pid(100, 1, 0, f"{values['batch_size']:04}"),
        pid(101, 1, 0, f"{values['batch_counter']:04}"),
        pid(1000, 1, 0, f"{values['pset']:03}"),
    ]
    of_object = [pid(1402, 1, 0, str(values["torque_status"])), pid(1403, 1, 0, str(values["angle_status"]))]
    for number, key in ((2000, "torque_target"), (2001, "torque"), (2002, "torque_max"), (2003, "torque_min")):
        if values[key] != NO_TORQUE_LIMIT:
            of_object.append(pid(number, 3, 1, f"{values[key] // 100:05}.{values[key] % 100:02}"))
    for number, key in ((2010, "angle_target"), (2011, "angle"), (2012, "angle_max"), (2013, "angle_min")):
        if (key, values[key]) != ("angle_max", NO_ANGLE_LIMIT):
            of_object.append(pid(number, 3, 50, f"{values[key]:05}.0"))
    fields = whole if objects else whole + of_object
    total = 2 if objects else 1
    head = f"{total:03}001{values['id']:010}{values['time']}{values['status']}00001" + f"0001{values['status']}"
    messages = [(1201, f"{head}{len(fields):03}{''.join(fields)}".encode())]
    if objects:
        messages.append((1202, f"{total:03}002{values['id']:010}0001{len(of_object):03}{''.join(of_object)}".encode()))
    return messages


def samples(number: int, kind: int) -> list[int]:
    """Raw samples of a trace of result `number`: torque (2) in hundredths, angle (1) in steps of two degrees."""
    count = 40 + number % 7 * 400
    return [(number * 31 + at * (7 if kind == 2 else 1)) % 12_000 - 300 for at in range(count)]


def trace(number: int, ident: int, at: str, kind: int) -> bytes:
    """The data of MID 0900: text, NUL, samples as signed 16 bits, the low byte first."""
    coefficient = "02213003010000000100" if kind == 2 else "0221400101000" + "00002"
    values = samples(number, kind)
    head = f"{ident:010}{at}000{kind:02}01{1 if kind == 2 else 50:03}001{coefficient}"
    head += f"00100000{len(values) - 1:05}00101202" + f"5{len(values):05}"
    return head.encode() + b"\0" + b"".join(value.to_bytes(2, "little", signed=True) for value in values)


def stamp(at: float) -> str:
    """A time as controllers write it, here in UTC."""
    return time.strftime("%Y-%m-%d:%H:%M:%S", time.gmtime(at))


def derive(number: int, sparse: bool = False) -> dict[str, Any]:
    """Raw values of result `number`. A sparse controller leaves blank what a PF6000 leaves blank."""
    mixed = number * 2_654_435_761 & 0xFFFFFFFF
    angle = mixed >> 7 & 0x3FFF
    values: dict[str, Any] = {
        "cell": 1,
        "channel": None if sparse else 1,
        "controller": "Peer controller",
        "vin": vin(number),
        "job": number % 90,
        "pset": number % 250 + 1,
        "strategy": 3,
        "options": None if sparse else 3,
        "batch_size": 99,
        "batch_counter": number % 99 + 1,
        "status": 0 if number % 7 == 0 else 1,
        "batch_status": 0 if number % 99 else 1,
        "torque_status": (mixed >> 3) % 3,
        "angle_status": (mixed >> 5) % 3,
        "rundown_status": 1,
        "errors": None if sparse else (4 if number % 7 == 0 else 0),
        "torque_min": number % 7000 + 1,
        "torque_max": NO_TORQUE_LIMIT if number % 50 == 0 else number * 13 % 90_000 + 10_000,
        "torque_target": number * 7 % 30_000 + 3,
        "torque": mixed >> 11 & 0xFFFF,
        "angle_min": number % 500,
        "angle_max": NO_ANGLE_LIMIT if number % 50 == 1 else number % 500 + 9000,
        "angle_target": number % 360,
        "angle": angle,
        "rundown_min": 0,
        "rundown_max": 9999,
        "rundown": number % 3000,
        "tool_serial": "      C0761275" if number % 2 else "C0761275",
        "changed": "2026-01-02:03:04:05",
        "pset_name": f"Program {number % 250 + 1}",
        "torque_unit": 1,
        "result_type": 1,
        "compensated_angle": angle * 100,
        "final_angle": angle * 100,
    }
    if not sparse:
        values |= {"current_status": 1, "selftap_status": 1, "prevail_status": 1, "compensate_status": 1, "current_min": 0, "current_max": 150}
        values |= {"current": number % 150, "selftap_min": 0, "selftap_max": 999_900, "selftap": 0, "prevail_min": 0, "prevail_max": 0}
        values |= {"prevail": 0, "job_sequence": number % 65_536, "sync": 0, "compensate": 0, "errors_2": 0}
    return values


def vin(number: int) -> str:
    """The identifier in result `number`: 17 characters of a vehicle."""
    return f"WVWZZZ1JZXW{number:06}"


def expected(number: int, fetched: bool, revision: int = 7) -> dict[str, Any]:
    """What the MES has to receive of it, numbers as exact text; None: absent. MID 0065 has no limits and no targets."""
    raw = derive(number)
    words = ("low", "ok", "high")
    want: dict[str, Any] = {
        "result": "ok" if raw["status"] else "nok",
        "torque.value": hundredths(raw["torque"]),
        "torque.uom": "N.m",
        "torque.result": words[raw["torque_status"]],
        "angle.value": str(raw["angle"]),
        "angle.uom": "deg",
        "angle.result": words[raw["angle_status"]],
        "program.id": str(raw["pset"]),
        "batch.count": str(raw["batch_counter"]),
        "batch.size": str(raw["batch_size"]),
    }
    for name in ("min", "max", "target"):
        want[f"torque.{name}"] = None if fetched else hundredths(raw[f"torque_{name}"])
        want[f"angle.{name}"] = None if fetched else str(raw[f"angle_{name}"])
    if fetched and revision == 1:
        want["batch.size"] = None
    if raw["torque_max"] == NO_TORQUE_LIMIT:
        want["torque.max"] = None
    if raw["angle_max"] == NO_ANGLE_LIMIT:
        want["angle.max"] = None
    return want


def hundredths(value: int) -> str:
    """A value that was sent times 100."""
    return f"{value // 100}.{value % 100:02}"


def check_lengths() -> None:
    """The tables against the lengths that the reference gives."""
    for (layout, revision), length in LENGTHS.items():
        got = HEADER + len(fields(layout, revision, {}))
        if got != length:
            raise RuntimeError(f"a table of revision {revision} makes {got} bytes and should make {length}")
    if (got := HEADER + len(last(999, {}))) != 121:
        raise RuntimeError(f"revision 999 makes {got} bytes and should make 121")


check_lengths()
