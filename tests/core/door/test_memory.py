from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from worker.core.door.asker import Asker
from worker.core.door.ids import RequestId
from worker.core.door.memory import Entry, Memory, MemorySpec, Unknown
from worker.core.outcome import Outcome
from worker.core.typed_reply import TypedReply

SPEC: Final = MemorySpec(timeout_s=100, remember_s=600, max_bytes=20_000)
ASKER: Final = Asker(tenant_id="t", object_id="one")
SECRET: Final = b"of the doors"
FINAL: Final = {Outcome.ANSWERED, Outcome.REFUSED, Outcome.REJECTED, Outcome.INDETERMINATE}
BEGAN: Final = 1_000_000.0


def reply_to(
    request_id: str, *, key_id: str | None = None, outcome: Outcome = Outcome.ANSWERED, size: int = 2
) -> TypedReply:
    return TypedReply(
        outcome=outcome,
        request_id=request_id,
        correlation_id=key_id,
        http_status=200,
        attempts=1,
        elapsed_ms=1,
        run_id=None,
        reason=None,
        retry_after_s=None,
        content_type=None,
        body=request_id.encode()[:size].ljust(size),
        properties={},
    )


def issued(number: int, now: float) -> RequestId:
    return RequestId.issue(ASKER, secret=SECRET, replica="door-0", issued=int(now), draw=number.to_bytes(16, "big"))


class Asked(RuleBasedStateMachine):
    """Ids of keys, which are their askers' own, and the process before this one, whose answers come, too."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory(SPEC)
        self.now = BEGAN
        self.ids: list[tuple[RequestId, str | None]] = []
        self.replies: dict[str, TypedReply] = {}  # the first to each id
        self.first: dict[str, str] = {}  # the id whose answer a key stands for
        self.dropped: set[str] = set()

    def _issue(self, key: str | None) -> RequestId:
        request_id = issued(len(self.ids), self.now)
        self.ids.append((request_id, key))
        return request_id

    @rule(key=st.sampled_from([None, "a", "b"]))
    def ask(self, key: str | None) -> None:
        request_id = self._issue(key)
        entry = self.memory.ask(str(request_id), key_id=key, now=self.now)
        assert self.memory.look_up(request_id, now=self.now) in (entry, self._final(key))

    @rule(key=st.sampled_from([None, "a", "b"]))
    def was_asked_before_the_restart(self, key: str | None) -> None:
        request_id = self._issue(key)
        assert self.memory.look_up(request_id, now=self.now) is Unknown.NEVER

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), outcome=st.sampled_from(Outcome), size=st.sampled_from([2, 3_000, 30_000]))
    def answered(self, data: st.DataObject, outcome: Outcome, size: int) -> None:
        request_id, key = data.draw(st.sampled_from(self.ids))
        reply = reply_to(str(request_id), key_id=key, outcome=outcome, size=size)
        entry = self.memory.answered(reply, now=self.now)
        assert (entry is None) == (str(request_id) in self.dropped)
        if entry is not None:
            first = self.replies.setdefault(str(request_id), reply)
            assert entry.answer == first
            if key is not None and first.outcome in FINAL:
                self.first.setdefault(key, str(request_id))
        self._note(self.memory.trim(waited_for={str(request_id)}))
        assert self._fits(but=str(request_id))
        assert entry is None or self.memory.look_up(request_id, now=self.now) is not Unknown.FORGOTTEN

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def told(self, data: st.DataObject) -> None:
        request_id, _ = data.draw(st.sampled_from(self.ids))
        found = self.memory.look_up(request_id, now=self.now)
        if isinstance(found, Entry) and found.answer is not None:
            found.is_told = True
            assert self.memory.look_up(request_id, now=self.now) is found

    @rule(passed_s=st.sampled_from([1.0, 99.0, 601.0]))
    def time_passes(self, passed_s: float) -> None:
        self.now += passed_s
        self._note([*self.memory.forget(self.now), *self.memory.trim(waited_for=())])
        assert self._fits()

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def repeated(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from("ab"))
        found = self.memory.repeated(key)
        final = self._final(key)
        if final is not None:
            assert found is final
        elif found is not None:
            assert found.answer is None
            assert found.key_id == key

    @invariant()
    def an_answer_is_of_the_id_or_of_its_key(self) -> None:
        for request_id, key in self.ids:
            found = self.memory.look_up(request_id, now=self.now)
            if isinstance(found, Entry) and found.answer is not None:
                assert found.request_id == str(request_id) or (found.key_id == key and key is not None)
                assert found.answer == self.replies[found.request_id]

    @invariant()
    def what_was_forgotten_is_said_to_be(self) -> None:
        for request_id, _ in self.ids:
            if str(request_id) in self.dropped:
                assert self.memory.look_up(request_id, now=self.now) is Unknown.FORGOTTEN

    @invariant()
    def its_size_is_that_of_its_entries(self) -> None:
        assert self.memory.size_bytes == sum(entry.size_bytes for entry in self._entries())
        assert len(self.memory) == len(self._entries())

    def _final(self, key: str | None) -> Entry | None:
        name = None if key is None else self.first.get(key)
        return next((entry for entry in self._entries() if entry.request_id == name), None)

    def _entries(self) -> list[Entry]:
        return list(self.memory._entries.values())

    def _fits(self, but: str | None = None) -> bool:
        """Or holds nothing that may go."""
        may_go = [entry for entry in self._entries() if entry.answer is not None and entry.request_id != but]
        return self.memory.size_bytes <= SPEC.max_bytes or not may_go

    def _note(self, forgotten: list[Entry]) -> None:
        """What a key stood for is gone: the next in the order of their answers does."""
        for entry in forgotten:
            self.dropped.add(entry.request_id)
        gone = [key for key, name in self.first.items() if name in self.dropped]
        for key in gone:
            del self.first[key]
            left = [each for each in self._entries() if each.key_id == key and each.is_final]
            if left:
                self.first[key] = min(left, key=lambda each: each.place).request_id


Asked.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAsked = Asked.TestCase


def test_a_key_whose_time_is_over_is_not_sent_again_because_its_flow_may_have_run() -> None:
    memory = Memory(SPEC)
    request_id = issued(1, BEGAN)
    entry = memory.ask(str(request_id), key_id="key-a", now=BEGAN)
    memory.forget(BEGAN + SPEC.timeout_s + 1)
    assert memory.repeated("key-a") is entry


def test_what_was_told_goes_before_what_nobody_fetched_yet() -> None:
    memory = Memory(SPEC)
    fetched, waiting = issued(2, BEGAN), issued(1, BEGAN)
    for request_id in (waiting, fetched):
        entry = memory.answered(reply_to(str(request_id), size=9_000), now=BEGAN)
        assert entry is not None
        entry.is_told = request_id == fetched
    assert [each.request_id for each in memory.trim(waited_for=())] == [str(fetched)]


def test_who_repeated_a_key_before_the_first_answer_came_gets_that_one() -> None:
    """The process that sent the first was killed, and this one knew nothing of it."""
    memory = Memory(SPEC)
    key = "key-a"
    first, second = issued(1, BEGAN), issued(2, BEGAN)
    memory.ask(str(second), key_id=key, now=BEGAN)
    answer = reply_to(str(first), key_id=key)
    memory.answered(answer, now=BEGAN)
    memory.answered(reply_to(str(second), key_id=key), now=BEGAN + 1)
    for request_id in (first, second):
        found = memory.look_up(request_id, now=BEGAN + 2)
        assert isinstance(found, Entry)
        assert found.answer == answer


def test_an_answer_that_another_try_may_change_is_told_under_its_id_alone() -> None:
    memory = Memory(SPEC)
    key = "key-a"
    request_id = issued(1, BEGAN)
    memory.ask(str(request_id), key_id=key, now=BEGAN)
    entry = memory.answered(reply_to(str(request_id), key_id=key, outcome=Outcome.UNAVAILABLE), now=BEGAN)
    assert memory.repeated(key) is None
    assert memory.look_up(request_id, now=BEGAN) is entry


def test_a_request_that_was_never_sent_leaves_nothing_behind() -> None:
    memory = Memory(SPEC)
    request_id = issued(1, BEGAN)
    memory.ask(str(request_id), key_id="key-a", now=BEGAN)
    memory.withdraw(str(request_id))
    assert (len(memory), memory.size_bytes) == (0, 0)
    assert memory.repeated("key-a") is None
    assert memory.look_up(request_id, now=BEGAN) is Unknown.NEVER


def test_it_is_full_of_what_waits_but_never_of_answers() -> None:
    memory = Memory(SPEC)
    for number in range(20):
        memory.ask(str(issued(number, BEGAN)), key_id=None, now=BEGAN)
    assert memory.is_full
    for number in range(20):
        memory.answered(reply_to(str(issued(number, BEGAN))), now=BEGAN)
    assert not memory.is_full
