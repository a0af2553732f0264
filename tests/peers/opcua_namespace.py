"""The namespace of the peers' data, as `o6` wants one: a module that declares it."""

import o6
from opcua_blocks import DATA

o6.ns.namespace("peer", uri=DATA, version="1.0")
