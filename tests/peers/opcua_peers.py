"""The OPC UA servers as processes: asyncua, node-opcua, open62541, all of them driven by JSON lines."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from opcua_files import Certificates, Pair
from processes import HERE, Peer, die_with_parent

MODULES = HERE.parents[1] / "target" / "peers" / "opcua" / "node_modules"
JOINING_URI = "urn:lineside:peer:joining"
PLC_URI = "urn:lineside:peer:plc"


class NodePeer(Peer):
    """node-opcua: a joining system, and a PLC's variables."""

    def __init__(self, pki: Certificates, ledger: Path, log: Path, *, cert: str = "self", **more: Any) -> None:
        self.name = "opcua_joining/server.mjs"
        self.buffer = b""
        pair: Pair = pki.server(JOINING_URI, cert) if cert != "self" else pki.make("joining-self", JOINING_URI)
        self.pair = pair
        options = {
            "modules": str(MODULES),
            "ledger": str(ledger),
            "pki": str(pki.folder),
            "cert": str(pair.cert),
            "key": str(pair.key),
            "uri": JOINING_URI,
            **more,
        }
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                ["node", str(HERE / "opcua_joining" / "server.mjs"), json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                preexec_fn=die_with_parent,
            )
        self.hello = self._answer(120)
