import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.flows import Caller

from worker.emulator.standins import FlowStandIn, IdentityStandIn
from worker.flow.token import Credential, IdentitySpec


@pytest.fixture
async def identity(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[IdentityStandIn]:
    async with IdentityStandIn() as identity:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", identity.url)
        for name in ("IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AZURE_FEDERATED_TOKEN_FILE"):
            monkeypatch.delenv(name, raising=False)
        yield identity


@pytest.fixture
async def flow() -> AsyncIterator[FlowStandIn]:
    async with FlowStandIn() as flow:
        yield flow


@pytest.fixture
async def caller(identity: IdentityStandIn) -> AsyncIterator[Caller]:
    async with Credential(IdentitySpec()) as tokens:
        caller = Caller(tokens=tokens)
        yield caller
        for client in caller.clients:
            await client.__aexit__(None, None, None)


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A server's context for 127.0.0.1 that nobody has reason to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
