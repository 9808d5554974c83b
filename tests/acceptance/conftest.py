import os
from collections.abc import AsyncIterator

import pytest
from support.house import House, open_house


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """Everything but a worker; the SDK's own variable leads managed identity to the stand-in."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "FLOWBRIDGE_"))]:
        monkeypatch.delenv(name)
    async with open_house() as house:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", house.identity.url)
        yield house
