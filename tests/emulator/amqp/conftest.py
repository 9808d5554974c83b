import pytest
from emulator.amqp.script import Pair, Script, greet

from worker.emulator.amqp.connection import Connection
from worker.emulator.amqp.performatives import SaslInit


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def pair() -> Pair:
    """Connected through SASL, with a session; the server takes every link."""
    joined = Pair(
        Connection(is_server=False, now=0.0), Connection(is_server=True, now=0.0, mechanisms=("ANONYMOUS", "PLAIN"))
    )
    joined.client.start(sasl=SaslInit("ANONYMOUS", b"", None))
    joined.settle(answer=greet)
    joined.settle()
    return joined
