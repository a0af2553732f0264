"""Device files for the OPC UA peers: how each is reached, and what their nodes and events mean."""

from __future__ import annotations

from pathlib import Path

DATA = "nsu=http://peer.example/plc/"
POLICIES = (
    "None", "Basic256Sha256/Sign", "Basic256Sha256/SignAndEncrypt", "Aes128Sha256RsaOaep/Sign", "Aes128Sha256RsaOaep/SignAndEncrypt",
    "Aes256Sha256RsaPss/Sign", "Aes256Sha256RsaPss/SignAndEncrypt",
)  # fmt: skip
HEAD = """profile = 1
vendor = "Peer"
model = "{model}"
maturity = "document"
[connection]
protocol = "opcua"
address = "{address}"
{connection}
"""
BLOCK = """[points]
torque       = {{ node = "{data};s={block}.torque", uom = "N.m" }}
torque_min   = {{ node = "{data};s={block}.torque_min", scale = 0.01, uom = "N.m" }}
angle        = {{ node = "{data};s={block}.angle", uom = "deg" }}
judgement    = {{ node = "{data};s={block}.judgement", map = {{ 1 = "ok", 2 = "nok" }} }}
program      = {{ node = "{data};s={block}.program" }}
vin          = {{ node = "{data};s={block}.vin" }}
stamp        = {{ node = "{data};s={block}.stamp" }}
motor_temp   = {{ node = "{data};s={block}.motor_temp", uom = "Cel" }}
result_count = {{ node = "{data};s={block}.result_count" }}
{points}
[events.tightening]
when    = {when}
id      = ["stamp", "result_count"]
counter = {{ point = "result_count", first = 1, last = 4294967295 }}
time    = {{ point = "stamp", format = "unix" }}
ack     = {ack}
result  = "judgement"
torque  = {{ point = "torque", min = "torque_min" }}
angle   = "angle"
program = "program"
unit    = "vin"
extra   = ["motor_temp"]
"""
HANDSHAKES = {
    "counter": ('{ changes = "result_count" }', '{ write = "ack", copy = "result_count" }', 'ack = { node = "%s;s=Counter.ack", type = "u32" }'),
    "level": (
        '{ rises = "ready" }',
        '{ write = "ack", value = true, then = false, timeout = "5s" }',
        'ready = { node = "%s;s=Level.ready", type = "bool" }\nack = { node = "%s;s=Level.ack", type = "bool" }',
    ),
}
SIMPLE = f"""[points]
number    = {{ field = "Number" }}
torque    = {{ field = "Torque", uom = "N.m" }}
angle     = {{ field = "Angle", uom = "deg" }}
judgement = {{ field = "Judgement", map = {{ 1 = "ok", 2 = "nok" }} }}
vin       = {{ field = "Vin" }}
life      = {{ node = "{DATA};s=Machine.life" }}
good      = {{ node = "{DATA};s=Odd.good" }}
[events.tightening]
when   = {{ event = "{DATA};s=PeerSimpleEventType" }}
id     = ["number"]
result = "judgement"
torque = "torque"
angle  = "angle"
unit   = "vin"
[events.readings]
when   = {{ changes = "life", at_most = "200ms" }}
values = ["life", "good"]
"""
STRUCTURED = f"""[points]
number    = {{ field = "Number" }}
ident     = {{ field = "Result/Id" }}
judgement = {{ field = "Result/Judgement", map = {{ 1 = "ok", 2 = "nok" }} }}
program   = {{ field = "Result/Program" }}
note      = {{ field = "Result/Note" }}
torque    = {{ field = "Result/Values[Quantity=2]/Value", uom = "N.m" }}
torque_max = {{ field = "Result/Values[Quantity=2]/High|HighLimit", uom = "N.m" }}
angle     = {{ field = ["Result/Values[Name=Angle]/Value", "Result/Values[Quantity=3]/Value"], uom = "deg" }}
[events.tightening]
when    = {{ event = "{DATA};s=PeerResultEventType" }}
id      = ["ident"]
result  = "judgement"
torque  = {{ point = "torque", max = "torque_max" }}
angle   = "angle"
program = "program"
extra   = ["note"]
"""
# The result block as a catalog would have it, `{count}` variables beside it.
ITEMS_EVENT = """[events.readings]
when   = { changes = "*" }
values = "*"
"""


def head(model: str, address: str, *connection: str) -> str:
    """How it is reached: more lines of `[connection]` as they are."""
    return HEAD.format(model=model, address=address, connection="\n".join(connection))


def block(kind: str) -> str:
    """A result block with this handshake."""
    when, ack, points = HANDSHAKES[kind]
    return BLOCK.format(data=DATA, block=kind.capitalize(), when=when, ack=ack, points=points.replace("%s", DATA))


def items(count: int) -> str:
    """So many variables, and an event of all that change."""
    points = "\n".join(f'v{at:05} = {{ node = "{DATA};s=Items.v{at:05}" }}' for at in range(count))
    return f"[points]\n{points}\n{ITEMS_EVENT}"


def user(folder: Path, slot: str, name: str, password: str) -> tuple[str, str]:
    """The lines of a user, the password in a file beside the device file."""
    secret = folder / f"{slot}.password"
    secret.write_text(password + "\n")
    secret.chmod(0o600)
    return f'username = "{name}"', f'password_file = "{secret.name}"'


def certificate(cert: Path, key: Path) -> tuple[str, str]:
    """The lines of a user with a certificate."""
    return f'cert_file = "{cert}"', f'key_file = "{key}"'
