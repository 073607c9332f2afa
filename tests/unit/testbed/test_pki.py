"""The certificates of a cluster."""

import base64
import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from tests.testbed.pki import Authority, Identity


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    authority = Authority(tmp_path / "pki")
    authority.issue("server", Identity("server", ("system:masters",), ("localhost",), ("127.0.0.1",)))
    authority.kubeconfig("server", "https://127.0.0.1:1234", tmp_path / "kubeconfig")
    return tmp_path


def certificate(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "pki" / f"{name}.crt").read_bytes())


def test_a_certificate_is_signed_by_the_authority_and_says_who_it_is(folder: Path) -> None:
    issued = certificate(folder, "server")
    issued.verify_directly_issued_by(certificate(folder, "ca"))
    assert issued.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "server"
    assert issued.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:masters"


def test_a_certificate_serves_127_0_0_1(folder: Path) -> None:
    names = certificate(folder, "server").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]


def test_two_clusters_do_not_trust_each_other(folder: Path, tmp_path: Path) -> None:
    Authority(tmp_path / "other")
    other = x509.load_pem_x509_certificate((tmp_path / "other" / "ca.crt").read_bytes())
    with pytest.raises((InvalidSignature, ValueError)):
        certificate(folder, "server").verify_directly_issued_by(other)


def test_keys_are_for_their_owner_only(folder: Path) -> None:
    private = [*(folder / "pki").glob("*.key"), folder / "kubeconfig"]
    assert len(private) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


def test_a_kubeconfig_carries_all_it_needs(folder: Path) -> None:
    content = json.loads((folder / "kubeconfig").read_text())
    assert content["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1234"
    ca = base64.b64decode(content["clusters"][0]["cluster"]["certificate-authority-data"])
    assert ca == (folder / "pki" / "ca.crt").read_bytes()
