"""What the MES wrote down since the last look, while a scenario runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Follower:
    """Reads on in the record of everything received; half a line is left for the next look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0

    def entries(self) -> Iterator[tuple[list[str], dict[str, Any]]]:
        """The parts of the topic, and the entry."""
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            file.seek(self.at)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.at += len(line)
                entry = json.loads(line)
                yield entry["topic"].split("/"), entry
