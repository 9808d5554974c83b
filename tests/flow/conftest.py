import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.flows import Caller

from worker.emulator.standins import FlowStandIn, IdentityStandIn
from worker.flow.token import Credential, IdentitySpec

from .certificates import ThrowAwayAuthority


@pytest.fixture(autouse=True)
def no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the developer's own environment says."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "IMDS_", "MSI_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
async def identity(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[IdentityStandIn]:
    async with IdentityStandIn() as identity:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", identity.url)
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
def authority(tmp_path: Path) -> ThrowAwayAuthority:
    return ThrowAwayAuthority(tmp_path)


@pytest.fixture
def self_signed(authority: ThrowAwayAuthority) -> ssl.SSLContext:
    """A server's context for 127.0.0.1 that nobody has reason to trust."""
    return authority.server_context("127.0.0.1")
