"""The certificates and kubeconfigs of one cluster, made anew at every `up`."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=365)
CLOCK_SKEW = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Identity:
    """Who a certificate speaks for (Kubernetes: user = common name, groups = organizations) and where it serves."""

    user: str
    groups: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    def subject(self) -> x509.Name:
        groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in self.groups]
        return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, self.user)])

    def alternative_names(self) -> list[x509.GeneralName]:
        addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in self.addresses]
        return [*(x509.DNSName(name) for name in self.dns_names), *addresses]


class Authority:
    """The cluster's certificate authority. Writes `<name>.crt` and `<name>.key` (PEM, keys readable by root only)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = Identity("aada-testbed-ca").subject()
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = self._builder(self._name, self._key.public_key()).add_extension(constraints, critical=True)
        self._write("ca", builder.sign(self._key, hashes.SHA256()), self._key)

    def issue(self, name: str, identity: Identity) -> None:
        """Make a key and a certificate for both client and server use."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        builder = self._builder(identity.subject(), key.public_key()).add_extension(usage, critical=False)
        if alternative_names := identity.alternative_names():
            builder = builder.add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
        self._write(name, builder.sign(self._key, hashes.SHA256()), key)

    def service_account_key(self) -> None:
        """Make the key that signs service account tokens: `sa.key` and `sa.pub`."""
        key = ec.generate_private_key(ec.SECP256R1())
        self._write_key("sa", key)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.folder / "sa.pub").write_bytes(public)

    def kubeconfig(self, name: str, server: str, target: Path) -> None:
        """Write a kubeconfig (JSON is YAML) that carries its certificates inside, mode 0600."""
        encoded = {file: base64.b64encode((self.folder / file).read_bytes()).decode() for file in
                   ("ca.crt", f"{name}.crt", f"{name}.key")}  # fmt: skip
        user = {"client-certificate-data": encoded[f"{name}.crt"], "client-key-data": encoded[f"{name}.key"]}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "aada", "cluster": {"server": server, "certificate-authority-data": encoded["ca.crt"]}}
            ],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "aada", "context": {"cluster": "aada", "user": name}}],
            "current-context": "aada",
        }
        target.touch(mode=0o600)
        target.write_text(json.dumps(content))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + LIFETIME)
        )

    def _write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        (self.folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self._write_key(name, key)

    def _write_key(self, name: str, key: ec.EllipticCurvePrivateKey) -> None:
        path = self.folder / f"{name}.key"
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
