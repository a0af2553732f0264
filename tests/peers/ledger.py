"""Ledgers: what a peer did, one JSON object a line, written before anybody else can see it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any


class Ledger:
    """Appends lines and hands each to the kernel at once: a killed peer keeps what it wrote."""

    def __init__(self, path: str | Path) -> None:
        self._file = open(path, "ab", buffering=0)

    def write(self, **entry: Any) -> None:
        """One line; `t` is added where it is not given."""
        entry.setdefault("t", time.time())
        self._file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")


def read(path: str | Path, exact: bool = False) -> Iterator[dict[str, Any]]:
    """Every whole line of a ledger; `exact` reads numbers as decimals. A missing file is empty."""
    if not Path(path).exists():
        return
    parse = {"parse_float": Decimal} if exact else {}
    with open(path, "rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line, **parse)
