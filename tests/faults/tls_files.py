"""Certificates made on the fly by openssl: authorities, and what they sign, with any dates and names."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path


def openssl(*args: str, folder: Path) -> None:
    """Runs it, and fails with its words."""
    done = subprocess.run(["openssl", *args], cwd=folder, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"openssl {args[0]} failed: {done.stderr.strip()}")


def stamp(days: float) -> str:
    """A moment so many days from now, as `openssl ca` wants it."""
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


def make_key(path: Path, kind: str = "ec") -> Path:
    """A private key: `ec` as SEC1 with its parameters, `rsa` as PKCS1, `ed25519` as PKCS8."""
    match kind:
        case "rsa":
            openssl("genrsa", "-traditional", "-out", path.name, "2048", folder=path.parent)
        case "ed25519":
            openssl("genpkey", "-algorithm", "ed25519", "-out", path.name, folder=path.parent)
        case _:
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", path.name, folder=path.parent)
    path.chmod(0o600)
    return path


class Authority:
    """One that signs. `pem` is its certificate."""

    def __init__(self, folder: Path, name: str, parent: Authority | None = None) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.name = name
        self.made = 0
        self.parent = parent
        (folder / "index.txt").touch()
        self.key = make_key(folder / "ca.key")
        signed = (parent or self).sign(self.key, name, ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign,cRLSign"], own=parent is None)
        self.pem = folder / "ca.pem"
        self.pem.write_text(signed)

    def sign(self, key: Path, name: str, extensions: list[str], days: tuple[float, float] = (-1, 90), own: bool = False) -> str:
        """A certificate for this key, valid from and up to so many days from now, as PEM."""
        self.made += 1
        stem = f"made-{self.made}"
        config = self.folder / f"{stem}.cnf"
        config.write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
            "unique_subject=no\nx509_extensions=e\nemail_in_dn=no\n[p]\ncommonName=supplied\n"
            f"[req]\ndistinguished_name=n\nprompt=no\n[n]\nCN={name}\n[e]\n" + "\n".join(extensions) + "\n"
        )
        request, signed = f"{stem}.csr", f"{stem}.pem"
        openssl("req", "-new", "-config", config.name, "-key", str(key), "-out", request, folder=self.folder)
        by = ["-selfsign", "-keyfile", str(key)] if own else ["-keyfile", "ca.key", "-cert", "ca.pem"]
        dates = ["-startdate", stamp(days[0]), "-enddate", stamp(days[1])]
        openssl("ca", "-batch", "-notext", "-config", config.name, *by, "-in", request, *dates, "-out", signed, folder=self.folder)
        return (self.folder / signed).read_text()

    def chain(self) -> str:
        """What stands between a certificate of this authority and the root."""
        return self.pem.read_text() + self.parent.chain() if self.parent else ""


SERVER = ["basicConstraints=CA:FALSE", "extendedKeyUsage=serverAuth"]
CLIENT = ["basicConstraints=CA:FALSE", "extendedKeyUsage=clientAuth"]


def put(path: Path, text: str, mode: int = 0o600) -> None:
    """Puts a file there whole, as who renews certificates should."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(mode)
    new.replace(path)
