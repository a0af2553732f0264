"""TLS and passwords against mosquitto: each wrong thing is named in a sentence, and renewal under load loses nothing."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from broker import Broker, free_port
from proxy import Proxy
from rig import Failure, Rig
from tls_files import CLIENT, SERVER, Authority, make_key, put
from verify import Rules

if TYPE_CHECKING:
    from scenarios import Options

USER = "gw-test"
HOST = "subjectAltName=IP:127.0.0.1,DNS:localhost"
# Keys of [mqtt] that name a file, and how it is called.
GOOD = {
    "username": USER,
    "password_file": "mqtt.password",
    "ca_file": "tls/ca.pem",
    "cert_file": "tls/gw.pem",
    "key_file": "tls/gw.key",
}


class Site:
    """The authorities of a plant, its broker with TLS, and the gateway's files."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.root = Authority(rig.folder / "authority", "Plant Root")
        self.issuing = Authority(rig.folder / "issuing", "Plant Issuing", self.root)
        self.other = Authority(rig.folder / "other", "Somebody Else")
        self.server = rig.folder / "server"
        self.server.mkdir()
        self.tls = rig.etc / "tls"
        self.tls.mkdir()
        self.secret = rig.etc / "mqtt.password"
        self.password = "screwdriver 42"
        self.passwords = rig.folder / "broker" / "passwords"
        self.port = free_port()
        self.trusted = [self.root]
        self.issued = 0
        self.serve()
        self.trust()
        self.install()
        put(self.secret, self.password + "\n")
        limits = f"listener {self.port} 127.0.0.1\ncafile {self.server}/clients.pem\ncertfile {self.server}/server.pem\n"
        limits += f"keyfile {self.server}/server.key\nrequire_certificate true\n"
        rig.broker = Broker(rig.folder / "broker", {USER: self.password, "mes": "mes"}, limits)
        rig.broker.start()
        # Only for what is written into gateway.toml at first.
        rig.broker_link = Proxy(rig.broker.port)
        rig.links.append(rig.broker_link)

    def serve(self, by: Authority | None = None, extensions: list[str] | None = None, days: tuple[float, float] = (-1, 90)) -> None:
        """Another certificate for the broker, which has it after a restart."""
        by = by or self.issuing
        key = make_key(self.server / "made.key")
        pem = by.sign(key, "broker of line 3", extensions or [*SERVER, HOST], days) + by.chain()
        put(self.server / "server.key", key.read_text())
        put(self.server / "server.pem", pem)
        put(self.server / "clients.pem", "".join(authority.pem.read_text() for authority in self.trusted))

    def trust(self) -> None:
        """Whom the gateway trusts."""
        put(self.tls / "ca.pem", "".join(authority.pem.read_text() for authority in self.trusted))

    def client(self, by: Authority | None = None, days: tuple[float, float] = (-1, 90), kind: str = "ec") -> tuple[str, str]:
        """A certificate with its chain and its key for the gateway."""
        by = by or self.issuing
        key = make_key(self.rig.folder / "made.key", kind)
        self.issued += 1
        return by.sign(key, f"gw-test {self.issued}", CLIENT, days) + by.chain(), key.read_text()

    def install(self, by: Authority | None = None, days: tuple[float, float] = (-1, 90), kind: str = "ec") -> None:
        """Gives the gateway another certificate."""
        pem, key = self.client(by, days, kind)
        put(self.tls / "gw.pem", pem)
        put(self.tls / "gw.key", key)

    def restart(self) -> None:
        """The broker takes up its new files."""
        self.rig.broker.end()
        self.rig.broker.start()

    def reload(self) -> None:
        """The same without ending it."""
        self.rig.broker.process.send_signal(signal.SIGHUP)

    def set_password(self, password: str) -> None:
        """Another password at the broker, once it is reloaded."""
        self.password = password
        subprocess.run(["mosquitto_passwd", "-b", str(self.passwords), USER, password], check=True)
        self.passwords.chmod(0o644)

    def configure(self, scheme: str = "mqtts", port: int | None = None, **files: str | None) -> None:
        """gateway.toml with these keys of [mqtt]; `None` leaves one out."""
        keys = {**GOOD, **files}
        rig = self.rig
        broker = f'broker = "{scheme}://127.0.0.1:{port or self.port}"\n'
        lines = "".join(f'{key} = "{value}"\n' for key, value in keys.items() if value is not None)
        text = rig.config.read_text()
        begin, end = text.index("broker = "), text.index("[[station]]")
        rig.config.write_text(f'{text[:begin]}{broker}version = "{rig.version}"\n{lines}\n{text[end:]}')

    def log(self) -> str:
        """What the gateway has said since its last start."""
        return self.rig.gateway.log.read_text(errors="replace").rpartition("---- start")[2]

    def until_said(self, *words: str, limit: float = 20) -> str:
        """Waits for one line of the log with all these words, and returns it."""
        found: list[str] = []

        def said() -> bool:
            found[:] = [line for line in self.log().splitlines() if all(word in line for word in words)]
            return bool(found)

        try:
            self.rig.wait(f"the gateway says {words}", said, limit)
        except Failure:
            raise Failure(f"the gateway never said {words}, but: {self.log()[-1500:]}") from None
        return found[0]

    def check(self) -> tuple[int, str]:
        """`lineside check` of the configuration."""
        done = subprocess.run([str(self.rig.binary), "check", "--config", str(self.rig.config)], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr


@dataclass
class Wrong:
    """One wrong thing, and the words of the sentence that names it."""

    name: str
    make: Callable[[Site], None]
    said: tuple[str, ...]
    # What `check` says, where that can be seen in the files: exit code, then key words.
    checked: tuple[int, ...] = ()
    check_said: tuple[str, ...] = ()
    # The broker has to be started anew before and after.
    broker: bool = False
    # What comes after the handshake is a race: tried several times.
    times: int = 1
    connects: bool = False
    keys: dict[str, str | None] = field(default_factory=dict)


def write(name: str, text: str, mode: int = 0o600) -> Callable[[Site], None]:
    """Another content of one of the gateway's files."""
    return lambda site: put(site.rig.etc / name, text, mode)


def authority_itself(site: Site) -> None:
    """The broker shows the root itself, as who follows the shortest recipe has it."""
    site.trust()
    put(site.server / "server.pem", site.root.pem.read_text())
    put(site.server / "server.key", site.root.key.read_text())


def encrypt(site: Site) -> None:
    """The key with a passphrase."""
    key = site.tls / "gw.key"
    done = subprocess.run(["openssl", "pkcs8", "-topk8", "-in", str(key), "-passout", "pass:x"], capture_output=True, text=True, check=True)
    put(key, done.stdout)


WRONG = [
    Wrong("the broker's certificate has expired", lambda s: s.serve(days=(-9, -2)), ("broker's certificate", "has expired on", "clock"), broker=True),
    Wrong("the broker's certificate is not yet valid", lambda s: s.serve(days=(3, 9)), ("broker's certificate", "not valid yet", "clock", "may be wrong"), broker=True),
    Wrong("an unknown authority signed it", lambda s: s.serve(s.other), ("signed by `Somebody Else`", "ca.pem` does not hold"), broker=True),
    Wrong(
        "it is for another name",
        lambda s: s.serve(extensions=[*SERVER, "subjectAltName=DNS:mes.acme.example,IP:192.0.2.7"]),
        ("is for `mes.acme.example`, `192.0.2.7`, not for `127.0.0.1`",),
        broker=True,
    ),
    Wrong("it names no host", lambda s: s.serve(extensions=SERVER), ("names no host", "subjectAltName = IP:127.0.0.1"), broker=True),
    Wrong("it is not made for servers", lambda s: s.serve(extensions=[*CLIENT, HOST]), ("not made for servers",), broker=True),
    Wrong("the broker shows an authority's own certificate", authority_itself, ("certificate of an authority", "CA:TRUE"), broker=True),
    Wrong("no certificate of ours", lambda s: None, ("wants a certificate of ours", "cert_file and key_file"), times=4, keys={"cert_file": None, "key_file": None}),
    Wrong("ours has expired", lambda s: s.install(days=(-9, -2)), ("our certificate", "gw.pem", "has expired"), (2,), ("has expired on", "cert_file"), times=4),
    Wrong("ours is signed by somebody else", lambda s: s.install(s.other), ("does not accept our certificate", "gw.pem", "Somebody Else"), times=4),
    Wrong("ours is not valid yet", lambda s: s.install(days=(3, 9)), ("gw.pem", "not valid before", "clock"), (2,), ("not valid before",)),
    Wrong("key and certificate do not belong together", lambda s: put(s.tls / "gw.key", s.client()[1]), ("gw.pem` does not belong to the key", "gw.key"), (2,), ("does not belong",)),
    Wrong("the key is encrypted", encrypt, ("gw.key` is encrypted with a passphrase", "openssl pkey"), (2,), ("encrypted",)),
    Wrong("the key is empty", write("tls/gw.key", ""), ("gw.key` is empty",), (2,), ("is empty",)),
    Wrong("the certificate is no PEM", write("tls/gw.pem", "0\x82\x01\n"), ("gw.pem` holds no certificate in PEM",), (2,), ("in PEM",)),
    Wrong("the certificate is cut off", lambda s: put(s.tls / "gw.pem", s.client()[0][:300]), ("gw.pem`", "write it anew"), (2,), ("write it anew",)),
    Wrong("the authority's file is a key", lambda s: put(s.tls / "ca.pem", s.client()[1]), ("ca.pem` holds a private key and no certificate",), (2,), ("private key",)),
    Wrong("the authority's file is somebody else's", lambda s: put(s.tls / "ca.pem", s.other.pem.read_text()), ("signed by `Plant Issuing`", "ca.pem` does not hold")),
    Wrong("no authority's file at all", lambda s: None, ("Plant Issuing", "this machine does not trust", "ca_file"), keys={"ca_file": None}),
    Wrong("wrong password", write("mqtt.password", "wrong\n"), ("refuses user `gw-test`", "password is wrong", "mqtt.password"), (0,)),
    Wrong("the password's file is empty", write("mqtt.password", "\n"), ("mqtt.password` is empty",), (2,), ("is empty",)),
    Wrong("no user name", lambda s: None, ("without a user name",), keys={"username": None, "password_file": None}),
    Wrong("everybody may read the password", lambda s: s.secret.chmod(0o644), ("mqtt.password` can be read by everybody", "chmod"), (0,), ("can be read by everybody",), connects=True),
    Wrong("everybody may read the key", lambda s: (s.tls / "gw.key").chmod(0o644), ("gw.key` can be read by everybody", "chmod"), (0,), ("can be read",), connects=True),
    Wrong("ours expires soon", lambda s: s.install(days=(-1, 9.5)), ("gw.pem`", "expires in 9 days", "renew it"), (0,), ("expires in 9 days",), connects=True),
    Wrong("the broker's expires soon", lambda s: s.serve(days=(-1, 9.5)), ("broker's certificate", "expires on"), broker=True, connects=True),
]


def refused(site: Site) -> None:
    """Each wrong thing by itself, and the sentence that names it."""
    rig = site.rig
    for wrong in WRONG:
        wrong.make(site)
        site.configure(**wrong.keys)
        if wrong.checked:
            code, said = site.check()
            missing = [word for word in wrong.check_said if word not in said]
            place = "gateway.toml:" in said if wrong.check_said else True
            if code != wrong.checked[0] or missing or not place:
                raise Failure(f"{wrong.name}: check exits with {code} and says:\n{said}")
        if wrong.broker:
            site.restart()
        for _ in range(wrong.times):
            rig.gateway.start()
            line = site.until_said(*wrong.said)
            if wrong.connects:
                site.until_said("broker: connected")
            elif "broker: connected" in site.log():
                raise Failure(f"{wrong.name}: it connected all the same")
            problem = rig.gateway.stop()
            if problem:
                raise Failure(problem)
        sentence = line.partition("WARN")[2].strip()
        rig.say(f"{wrong.name}: {sentence[:230]}")
        site.trust()
        site.install()
        put(site.secret, site.password + "\n")
        if wrong.broker:
            site.serve()
            site.restart()
    for name, scheme, port, words in [
        ("plain MQTT to the port of TLS", "mqtt", site.port, ("WARN broker:", "mqtts://")),
        ("TLS to the plain port", "mqtts", rig.broker.port, ("WARN broker:", "does not speak TLS", "mqtt://")),
    ]:
        site.configure(scheme, port)
        rig.gateway.start()
        rig.say(f"{name}: {site.until_said(*words).partition('WARN')[2].strip()[:230]}")
        rig.gateway.stop()
    site.configure()


def renewed(site: Site, chance: random.Random, rounds: int) -> None:
    """Everything is renewed under load, in every order, whole and by halves."""
    rig = site.rig

    def connections() -> int:
        return site.log().count("broker: connected")

    def anew(what: str, renew: Callable[[], None]) -> None:
        before = connections()
        renew()
        rig.wait(f"the gateway connects anew: {what}", lambda: connections() > before, 40)
        rig.flow(10)

    def certificate() -> None:
        anew("certificate", lambda: site.install(kind=chance.choice(["ec", "rsa", "ed25519"])))

    def by_halves() -> None:
        pem, key = site.client()
        before, said = connections(), site.log().count("former files stay in use")
        put(site.tls / "gw.pem", pem)
        rig.wait("the half is told", lambda: site.log().count("former files stay in use") > said, 20)
        rig.flow(10)
        if connections() != before:
            raise Failure("the gateway connected anew with half of a pair")
        anew("the other half", lambda: put(site.tls / "gw.key", key))

    def broken() -> None:
        key, before, said = (site.tls / "gw.key").read_text(), connections(), site.log().count("gw.key` holds a damaged")
        (site.tls / "gw.key").write_text(key[: len(key) // 2])
        rig.wait("the damaged key is told", lambda: site.log().count("gw.key` holds a damaged") > said, 20)
        rig.flow(10)
        put(site.tls / "gw.key", key)
        rig.pass_time(2.5)
        if connections() != before:
            raise Failure("the gateway connected anew though the file is as it was")

    def server() -> None:
        def renew() -> None:
            site.serve()
            site.restart()

        anew("the broker's certificate", renew)

    def password() -> None:
        def renew() -> None:
            site.set_password(f"hammer {chance.random()}")
            first = chance.random() < 0.5
            if first:
                site.reload()
            put(site.secret, site.password + "\n")
            if not first:
                # Refused until the broker knows it too; that is told, and the next try goes through.
                site.until_said("refuses user `gw-test`", "password is wrong")
                site.reload()

        anew("password", renew)

    def gone() -> None:
        said = site.log().count("mqtt.password` is not there")
        site.secret.unlink()
        rig.wait("the missing password is told", lambda: site.log().count("mqtt.password` is not there") > said, 20)
        # With the file gone, a connection is made anew with what was in it.
        anew("the broker restarted while a file is missing", site.restart)
        put(site.secret, site.password + "\n")

    def authority() -> None:
        new = Authority(rig.folder / f"authority-{site.issued}", f"Plant Root {site.issued}")
        site.trusted = [site.trusted[-1], new]
        # Too early: the broker still has a certificate of the old one, and the connection stays.
        before, said = connections(), site.log().count("does not hold the authority")
        put(site.tls / "ca.pem", new.pem.read_text())
        rig.wait("that is told", lambda: site.log().count("does not hold the authority") > said, 20)
        rig.flow(10)
        if connections() != before:
            raise Failure("the gateway gave up a connection for a ca_file that does not fit")
        anew("both authorities", site.trust)
        site.issuing = new

        def renew() -> None:
            site.serve()
            site.restart()

        anew("the broker's certificate of the new authority", renew)
        anew("ours of the new authority", lambda: site.install(new))

    actions = [certificate, by_halves, broken, server, password, password, gone, authority]
    for _ in range(rounds):
        chance.shuffle(actions)
        for action in actions:
            rig.say(f"renewed: {action.__name__}")
            action()
    rig.say(f"{connections()} connections")


def tls(rig: Rig, chance: random.Random, options: Options) -> int:
    """Client certificates and a password: refused with a sentence for each wrong thing, renewed under load without loss."""
    site = Site(rig)
    rig.add_mes("mes", "mes")
    tool = rig.add_tool("peer/torque-a", ["st10.spindle-1"], rate=20, first_counter=65_500)
    rig.install(tool)
    rig.configure()
    refused(site)
    # Nothing was made so far; what comes now has to arrive.
    rig.gateway.start()
    site.until_said("broker: connected")
    rig.units(1.0)
    rig.resume()
    rig.flow(10, 30)
    rig.say("results flow")
    renewed(site, chance, 4 if options.long else 1)
    rig.flow(20)
    rig.drain()
    rig.units(0)
    return rig.verdict(Rules(everything=True)).fault_count
