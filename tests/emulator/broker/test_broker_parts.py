"""The pieces that keep the broker fast and its memory bounded."""

from hypothesis import given
from hypothesis import strategies as st

from worker.emulator.broker import Broker, Delivered, Message, QueueProperties, ReceiveMode, Topology
from worker.emulator.broker.duplicates import DuplicateWindow
from worker.emulator.broker.heap import IndexedHeap

T = 1_000_000.0


@given(st.lists(st.tuples(st.sampled_from(["add", "discard", "pop", "first"]), st.integers(0, 20)), max_size=200))
def test_an_indexed_heap_is_a_set_that_knows_its_smallest_item(steps: list[tuple[str, int]]) -> None:
    heap: IndexedHeap[int] = IndexedHeap()
    model: set[int] = set()
    for step, item in steps:
        if step == "add":
            heap.add(item)
            model.add(item)
        elif step == "discard":
            heap.discard(item)
            model.discard(item)
        elif step == "pop" and model:
            assert heap.pop() == min(model)
            model.remove(min(model))
        assert heap.first() == min(model, default=None)
        assert set(heap) == model
        assert len(heap) == len(model)


def test_discarded_items_do_not_pile_up_in_the_heap() -> None:
    heap: IndexedHeap[int] = IndexedHeap()
    heap.add(-1)
    for item in range(10_000):
        heap.add(item)
        heap.discard(item)
    assert len(heap._heap) < 100


def test_the_duplicate_window_forgets_what_has_left_it() -> None:
    window = DuplicateWindow(60)
    for second in range(10_000):
        assert window.original_of(f"id{second}", T + second) is None
        window.remember(f"id{second}", second, T + second)
    assert len(window) == 60


def test_a_hundred_thousand_messages_flow_through_without_a_trace() -> None:
    queue = QueueProperties(name="orders", default_ttl_s=600, duplicate_window_s=None, lock_s=60)
    broker = Broker(Topology(queues=(queue,)), lock_token_salt=1)
    for number in range(100):
        broker.send("orders", [Message(payload=b"", message_id=f"{number}-{i}") for i in range(1000)], T)
    consumer = broker.open_consumer("orders", mode=ReceiveMode.RECEIVE_AND_DELETE, session=None, now=T)
    broker.set_credit(consumer, 100_000, T)
    numbers = [effect.message.sequence_number for effect in broker.take_effects() if isinstance(effect, Delivered)]
    assert numbers == list(range(1, 100_001))
    broker.advance(T + 600)
    assert broker.next_deadline() is None
    mailbox = broker._entities.at("orders").mailbox
    assert mailbox is not None
    assert len(mailbox._expiring._heap) < 100
