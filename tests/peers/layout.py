"""Register maps of the peers' tools, read from their device profiles.

The profile is the tool's manual: addresses, types, word order, codes and units of measure are taken
from it, and are encoded here without any code of the gateway.
"""

from __future__ import annotations

import copy
import struct
import tomllib
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path
from typing import Any

PROFILES = Path(__file__).resolve().parent / "profiles"

# One unit of measure in newton metres, exact by definition.
NEWTON_METRES = {"N.m": Decimal(1), "lbf.in": Decimal("4.4482216152605") * Decimal("0.0254")}
REGISTERS = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "f32": 2, "u64": 4, "f64": 4}
FORMATS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f", "u64": ">Q", "f64": ">d"}


def resolve(name: str, folder: Path = PROFILES) -> dict[str, Any]:
    """The profile `name` (`peer/torque-a`) with what it extends merged in and `remove` taken away."""
    profile = tomllib.loads((folder / f"{name}.toml").read_text())
    if "extends" in profile:
        profile = merge(resolve(profile["extends"], folder), profile)
    for path in profile.pop("remove", []):
        *parents, key = path.split(".")
        table = profile
        for parent in parents:
            table = table[parent]
        del table[key]
    return profile


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Sections merge, the value of a key in them is replaced whole."""
    merged = copy.deepcopy(base)
    for key, value in over.items():
        if key in ("connection", "frame", "points"):
            merged.setdefault(key, {}).update(value)
        elif key == "events":
            for name, event in value.items():
                merged.setdefault("events", {}).setdefault(name, {}).update(event)
        else:
            merged[key] = value
    return merged


@dataclass(frozen=True)
class Point:
    """Where one value stands and how it is encoded."""

    table: str
    address: int
    kind: str
    order: str
    scale: Decimal
    uom: str | None
    length: int
    codes: dict[str, int]

    @property
    def registers(self) -> int:
        """How many registers it takes."""
        return (self.length + 1) // 2 if self.kind == "string" else REGISTERS.get(self.kind, 1)

    def encode(self, value: Any) -> list[int]:
        """The registers of a raw value."""
        if self.kind == "string":
            data = str(value).encode().ljust(self.registers * 2, b"\0")
        else:
            data = struct.pack(FORMATS[self.kind], value)
        words = [data[at : at + 2] for at in range(0, len(data), 2)]
        if self.order in ("cdab", "dcba") and self.kind != "string":
            words.reverse()
        if self.order in ("badc", "dcba"):
            words = [word[::-1] for word in words]
        return [int.from_bytes(word, "big") for word in words]

    def contract(self, raw: Any) -> Decimal:
        """What the MES has to receive for this raw number: decimal-exact, converted to N.m with 7 digits."""
        exact = shortest_f32(raw) if self.kind == "f32" else Decimal(raw)
        exact *= self.scale
        factor = NEWTON_METRES.get(self.uom or "", Decimal(1))
        return exact if factor == 1 else Context(7, ROUND_HALF_EVEN).multiply(exact, factor)


def points(profile: dict[str, Any]) -> dict[str, Point]:
    """The points of a resolved profile."""
    default = profile.get("connection", {}).get("word_order", "abcd")
    made = {}
    for name, at in profile["points"].items():
        table, _, address = at["at"].partition(":")
        made[name] = Point(
            table=table,
            address=int(address),
            kind=at.get("type", "u16"),
            order=at.get("word_order", default),
            scale=Decimal(str(at.get("scale", 1))),
            uom=at.get("uom"),
            length=int(at.get("length", 0)),
            codes={word: int(code) for code, word in at.get("map", {}).items()},
        )
    return made


def shift(point: Point, by: int) -> Point:
    """The same point of the next spindle."""
    return Point(**{**point.__dict__, "address": point.address + by})


def as_f32(value: float) -> float:
    """The nearest value that a single holds."""
    return float(struct.unpack(">f", struct.pack(">f", value))[0])


def shortest_f32(value: float) -> Decimal:
    """The shortest decimal that names this single and no other."""
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if as_f32(float(text)) == value:
            return Decimal(text)
    raise ValueError(f"{value!r} is no single")
