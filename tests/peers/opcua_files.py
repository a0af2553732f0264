"""Certificates for OPC UA, made anew for each run: of servers good and bad, of users, and of an authority that signs them."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BITS = 2048


@dataclass
class Pair:
    """A certificate and its key, as files. `uri` is the application's name that stands in it."""

    name: str
    uri: str
    cert: Path
    der: Path
    key: Path
    key_der: Path

    @property
    def thumbprint(self) -> str:
        """SHA-256 of the certificate, as a profile has it."""
        return hashlib.sha256(self.der.read_bytes()).hexdigest()

    @property
    def trust(self) -> str:
        """The line of `[connection]` that pins it."""
        return f'trust = "sha256:{self.thumbprint}"'


class Certificates:
    """All of one folder. What was made before is taken as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _files(self, name: str) -> list[Path]:
        return [self.folder / f"{name}{end}" for end in (".pem", ".der", ".key.pem", ".key.der")]

    def make(
        self,
        name: str,
        uri: str,
        *,
        hosts: tuple[str, ...] = ("localhost", "127.0.0.1"),
        days: tuple[float, float] = (-1, 90),
        signer: Pair | None = None,
        authority: bool = False,
        user: bool = False,
        bits: int = BITS,
    ) -> Pair:
        """A certificate valid from and up to so many days from now; self-signed where nobody signs it."""
        pem, der, key_pem, key_der = self._files(name)
        pair = Pair(name, uri, pem, der, key_pem, key_der)
        if all(path.exists() for path in self._files(name)):
            return pair
        key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Peer")])
        issuer, issuer_key = subject, key
        if signer:
            issuer = x509.load_pem_x509_certificate(signer.cert.read_bytes()).subject
            issuer_key = serialization.load_pem_private_key(signer.key.read_bytes(), None)
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"), False
        ) | {"encipher_only": False, "decipher_only": False}
        if authority:
            usage |= {"key_cert_sign": True, "crl_sign": True}
        else:
            # OPC 10000-6, table 45: what an application's certificate has to allow. A self-signed one signs itself.
            usage |= {"digital_signature": True, "content_commitment": True, "key_encipherment": True, "data_encipherment": True}
            usage["key_cert_sign"] = signer is None
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        if not authority and not user:
            names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
            for host in hosts:
                try:
                    names.append(x509.IPAddress(ipaddress.ip_address(host)))
                except ValueError:
                    names.append(x509.DNSName(host))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
        cert = builder.sign(issuer_key, hashes.SHA256())
        pem.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        der.write_bytes(cert.public_bytes(serialization.Encoding.DER))
        plain = serialization.NoEncryption()
        key_pem.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        key_der.write_bytes(key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, plain))
        for path in (key_pem, key_der):
            path.chmod(0o600)
        return pair

    def authority(self, name: str = "authority") -> Pair:
        """One that signs."""
        return self.make(name, f"urn:lineside:peer:{name}", authority=True)

    def user(self, name: str) -> Pair:
        """A person, or a gateway as one."""
        return self.make(name, f"urn:lineside:peer:{name}", user=True)

    def server(self, uri: str, kind: str = "self") -> Pair:
        """A server's: `self` signed, `renewed` (another one), by an authority (`ca`), `expired`, `future`, of another `host` (also signed: `ca-host`)."""
        stem = f"server-{kind}"
        match kind:
            case "ca":
                return self.make(stem, uri, signer=self.authority())
            case "expired":
                return self.make(stem, uri, days=(-400, -30))
            case "future":
                return self.make(stem, uri, days=(30, 400))
            case "host":
                return self.make(stem, uri, hosts=("plc-7.example", "192.0.2.7"))
            case "ca-host":
                return self.make(stem, uri, hosts=("plc-7.example", "192.0.2.7"), signer=self.authority())
            case "uri":
                # The application says another name of itself than its certificate.
                return self.make(stem, f"{uri}:other")
            case "self" | "renewed":
                return self.make(stem, uri)
            case _:
                raise ValueError(f"there is no kind {kind!r} of server certificate")
