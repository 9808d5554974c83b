"""Links, credit, windows and settlement, as transcripts."""

import pytest
from emulator.amqp.script import Pair, Script

from worker.emulator.amqp.errors import LocalProtocolError
from worker.emulator.amqp.events import (
    CreditChanged,
    DeliveryReceived,
    DeliveryTooLarge,
    DetachAnswered,
    DispositionReceived,
    LinkAttached,
    LinkDetached,
    SessionEnded,
    WindowOpened,
)
from worker.emulator.amqp.performatives import (
    RECEIVER,
    SENDER,
    Accepted,
    Attach,
    Detach,
    Disposition,
    End,
    Error,
    Flow,
    Modified,
    Rejected,
    Source,
    Target,
    Transfer,
)


def flow(
    handle: int,
    *,
    credit: int | None,
    delivery_count: int = 0,
    window: int = 100,
    next_incoming_id: int = 0,
    drain: bool = False,
    echo: bool = False,
) -> Flow:
    return Flow(next_incoming_id, window, 0, 100, handle, delivery_count, credit, drain=drain, echo=echo)


class TestLinks:
    def test_what_the_peer_attached_is_answered_from_the_other_role(self, script: Script) -> None:
        script.opened()
        (attached,) = script.hears(Attach("mine", 7, RECEIVER, source=Source("queue"), target=Target("here")))
        assert attached == LinkAttached(attached.link)
        script.session.accept(attached.link, source=Source("queue"), target=Target("here"), max_message_bytes=9)
        (said,) = script.says()
        assert (said.name, said.role, said.source.address) == ("mine", SENDER, "queue")
        assert said.initial_delivery_count == 0
        assert said.max_message_size == 9

    def test_a_refused_link_is_attached_without_terminus_and_detached_at_once(self, script: Script) -> None:
        script.opened()
        (attached,) = script.hears(Attach("mine", 7, RECEIVER, source=Source("nowhere")))
        script.session.refuse(attached.link, Error("amqp:not-found", "no such thing"))
        said_attach, said_detach = script.says()
        assert said_attach.source is None
        assert said_attach.target is None
        assert said_detach == Detach(said_attach.handle, closed=True, error=Error("amqp:not-found", "no such thing"))

    def test_an_error_is_a_list_of_three_also_when_nothing_is_in_them(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=RECEIVER)
        script.session.detach(link, Error("amqp:not-found"))
        assert script.says_bytes().endswith(bytes.fromhex("00 53 1d c0 13 03 a3 0e") + b"amqp:not-found" + b"\x40\x40")

    def test_a_detach_is_answered(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=RECEIVER, handle=3)
        assert script.hears(Detach(3, closed=True)) == [LinkDetached(link, None, ())]
        assert script.says() == [Detach(link.handle, closed=True)]

    def test_a_detach_before_the_answer_to_the_attach_is_answered_too(self, script: Script) -> None:
        script.opened()
        (attached,) = script.hears(Attach("mine", 7, RECEIVER, source=Source("queue")))
        assert script.hears(Detach(7, closed=True)) == [LinkDetached(attached.link, None, ())]
        assert [type(said) for said in script.says()] == [Attach, Detach]

    def test_after_its_detach_a_handle_is_free(self, script: Script) -> None:
        script.opened()
        script.attached(role=RECEIVER, handle=3)
        script.hears(Detach(3, closed=True))
        assert script.attached(role=SENDER, handle=3).lifecycle.is_open

    def test_what_comes_between_both_detaches_is_ignored(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=SENDER, credit=5)
        script.session.detach(link, Error("amqp:link:detach-forced"))
        assert script.hears(Transfer(0, 0, b"t"), flow(0, credit=None)) == []
        assert script.hears(Detach(0, closed=True)) == [DetachAnswered(link)]

    def test_a_handle_in_use_ends_the_session(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=RECEIVER, handle=3)
        (ended,) = script.hears(Attach("other", 3, RECEIVER))
        assert ended.error.condition == "amqp:session:handle-in-use"
        assert [detached.link for detached in ended.detached] == [link]
        assert script.says() == [End(ended.error)]

    def test_an_unattached_handle_ends_the_session_but_not_the_connection(self, script: Script) -> None:
        script.opened()
        (ended,) = script.hears(Transfer(9, 0, b"t"))
        assert ended.error.condition == "amqp:session:unattached-handle"
        assert script.hears(Transfer(9, 1, b"t"), End()) == []
        assert not script.engine.is_over

    def test_acting_on_a_detached_link_is_this_ends_own_error(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=RECEIVER)
        script.hears(flow(0, credit=5))
        script.session.detach(link)
        with pytest.raises(LocalProtocolError, match="open link"):
            script.session.send(link, b"", tag=b"t")
        with pytest.raises(LocalProtocolError, match="cannot be closed here"):
            script.session.detach(link)


class TestSending:
    def test_a_transfer_goes_out_within_credit(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=RECEIVER)
        assert script.hears(flow(0, credit=1)) == [CreditChanged(link)]
        script.session.send(link, b"payload", tag=b"tag")
        ((said, payload),) = script.says_with_payload()
        assert said == Transfer(link.handle, 0, b"tag", 0, settled=False)
        assert payload == b"payload"
        assert link.credit == 0
        with pytest.raises(LocalProtocolError, match="no credit"):
            script.session.send(link, b"", tag=b"t2")

    def test_credit_counts_from_what_the_receiver_has_seen(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=RECEIVER)
        script.hears(flow(0, credit=3))
        script.session.send(link, b"", tag=b"1")
        script.hears(flow(0, credit=3, delivery_count=0))
        assert link.credit == 2

    def test_a_large_delivery_goes_out_in_frames_the_peer_takes(self, script: Script) -> None:
        script.opened(max_frame_size=512)
        link = script.attached(role=RECEIVER)
        script.hears(flow(0, credit=1))
        body = bytes(range(256)) * 8
        script.session.send(link, body, tag=b"tag")
        raw = script.says_bytes()
        script.reading.feed(raw)
        frames = []
        while (frame := script.reading.take_frame()) is not None:
            frames.append(frame)
        assert all(len(frame.body) + 8 <= 512 for frame in frames)
        script.engine._outbox.put_bytes(raw)
        said = script.says_with_payload()
        assert [transfer.more for transfer, _ in said] == [True] * (len(said) - 1) + [False]
        assert {transfer.delivery_id for transfer, _ in said} == {0}
        assert b"".join(payload for _, payload in said) == body

    def test_past_the_peers_window_transfers_wait_for_room(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=RECEIVER)
        script.hears(flow(0, credit=10, window=2))
        for tag in (b"1", b"2", b"3"):
            script.session.send(link, b"", tag=tag)
        assert [said.delivery_tag for said in script.says()] == [b"1", b"2"]
        assert not script.session.has_room
        events = script.hears(flow(0, credit=7, delivery_count=3, next_incoming_id=2, window=5))
        assert events == [WindowOpened(0), CreditChanged(link)]
        assert [said.delivery_tag for said in script.says()] == [b"3"]

    def test_a_detach_names_the_deliveries_that_never_went_out(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=RECEIVER)
        script.hears(flow(0, credit=10, window=1))
        script.session.send(link, b"", tag=b"gone")
        script.session.send(link, b"", tag=b"kept")
        (detached,) = script.hears(Detach(0, closed=True))
        assert detached.unsent == (b"kept",)

    def test_a_session_that_ends_names_them_link_by_link(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=RECEIVER)
        script.hears(flow(0, credit=10, window=0))
        script.session.send(link, b"", tag=b"kept")
        assert script.hears(End()) == [SessionEnded(0, None, (LinkDetached(link, None, (b"kept",)),))]

    def test_a_drain_is_answered_with_the_credit_spent(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=RECEIVER)
        script.hears(flow(0, credit=10, drain=True))
        assert link.is_draining
        script.session.send(link, b"", tag=b"last")
        script.session.end_drain(link)
        _, said = script.says()
        assert (said.delivery_count, said.link_credit, said.drain) == (10, 0, True)
        assert not link.is_draining

    def test_an_echo_is_answered_with_the_links_state(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=RECEIVER)
        script.hears(flow(0, credit=10, echo=True))
        (said,) = script.says()
        assert (said.handle, said.link_credit) == (link.handle, 10)

    @pytest.mark.parametrize("window", [2, 0xFFFFFFFF])
    def test_dispositions_of_a_range_name_each_delivery_that_is_known(self, script: Script, window: int) -> None:
        script.opened()
        link = script.attached(role=RECEIVER)
        script.hears(flow(0, credit=10))
        ids = [script.session.send(link, b"", tag=tag) for tag in (b"1", b"2", b"3")]
        settled = script.hears(Disposition(RECEIVER, ids[0], (ids[0] + window - 1) & 0xFFFFFFFF, True, Accepted()))
        known = [
            DispositionReceived(link, id_, tag, Accepted(), True)
            for id_, tag in zip(ids, (b"1", b"2", b"3"), strict=True)
        ]
        assert settled == known[:2] if window == 2 else settled == known
        assert script.hears(Disposition(RECEIVER, ids[0], ids[0], True, Accepted())) == []

    def test_an_unsettled_disposition_is_settled_by_the_sender(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=RECEIVER)
        script.hears(flow(0, credit=1))
        delivery_id = script.session.send(link, b"", tag=b"1")
        script.says()
        outcome = Modified(delivery_failed=True)
        (heard,) = script.hears(Disposition(RECEIVER, delivery_id, None, settled=False, state=outcome))
        assert (heard.state, heard.is_settled) == (outcome, False)
        script.session.dispose(link, delivery_id, outcome)
        assert script.says() == [Disposition(SENDER, delivery_id, delivery_id, settled=True, state=outcome)]
        script.session.dispose(link, delivery_id, outcome)
        assert script.says() == []


class TestReceiving:
    def test_a_delivery_is_heard_and_settled(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=SENDER, credit=2)
        heard = script.hears(Transfer(0, 5, b"t", 0), payload=b"body")
        assert heard == [DeliveryReceived(link, 5, b"t", 0, False, b"body")]
        script.session.dispose(link, 5, Rejected(Error("amqp:not-allowed", "no")))
        (said,) = script.says()
        assert said == Disposition(RECEIVER, 5, 5, settled=True, state=Rejected(Error("amqp:not-allowed", "no")))

    def test_a_delivery_in_several_transfers_is_heard_once_whole(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=SENDER, credit=2)
        assert script.hears(Transfer(0, 5, b"t", 3, more=True), payload=b"one ") == []
        assert script.hears(Transfer(0, more=True), payload=b"two ") == []
        assert script.hears(Transfer(0, settled=True), payload=b"three") == [
            DeliveryReceived(link, 5, b"t", 3, True, b"one two three")
        ]
        assert link.credit == 1

    def test_deliveries_of_two_links_may_interleave(self, script: Script) -> None:
        script.opened()
        one, two = script.attached(role=SENDER, credit=2), script.attached(role=SENDER, handle=1, credit=2)
        script.hears(Transfer(0, 0, b"a", more=True), payload=b"1")
        assert script.hears(Transfer(1, 1, b"b"), payload=b"2")[0].link is two
        assert script.hears(Transfer(0), payload=b"3")[0] == DeliveryReceived(one, 0, b"a", 0, False, b"13")

    def test_an_aborted_delivery_is_forgotten(self, script: Script) -> None:
        script.opened()
        script.attached(role=SENDER, credit=2)
        script.hears(Transfer(0, 0, b"a", more=True), payload=b"1")
        assert script.hears(Transfer(0, aborted=True)) == []
        assert script.hears(Transfer(0, 1, b"b"), payload=b"2")[0].payload == b"2"

    def test_above_the_limit_only_the_size_is_kept(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=SENDER, credit=2, limit=10)
        script.hears(Transfer(0, 0, b"a", more=True), payload=b"12345678")
        assert script.hears(Transfer(0), payload=b"90123") == [DeliveryTooLarge(link, 0, False, 13)]
        assert script.hears(Transfer(0, 1, b"b"), payload=b"1234567890")[0].payload == b"1234567890"

    def test_without_credit_the_link_is_detached(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=SENDER, credit=1)
        (_, detached) = script.hears(Transfer(0, 0, b"a"), Transfer(0, 1, b"b"))
        assert detached.link is link
        assert detached.error.condition == "amqp:link:transfer-limit-exceeded"
        assert script.says() == [Detach(link.handle, True, detached.error)]

    @pytest.mark.parametrize(
        "transfer", [Transfer(0), Transfer(0, 1), Transfer(0, delivery_tag=b"t"), Transfer(0, 1, b"t" * 33)]
    )
    def test_a_first_transfer_must_say_which_delivery_it_is(self, script: Script, transfer: Transfer) -> None:
        script.opened()
        script.attached(role=SENDER, credit=1)
        (detached,) = script.hears(transfer)
        assert detached.error.condition == "amqp:invalid-field"

    def test_a_transfer_to_the_sending_end_detaches_the_link(self, script: Script) -> None:
        script.opened()
        script.attached(role=RECEIVER)
        (detached,) = script.hears(Transfer(0, 0, b"t"))
        assert detached.error.condition == "amqp:not-allowed"

    def test_the_window_is_opened_again_at_half(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=SENDER, credit=5000)
        for number in range(2499):
            script.hears(Transfer(0, number, b"t", settled=True))
        assert script.says() == []
        script.hears(Transfer(0, 2499, b"t", settled=True))
        (said,) = script.says()
        assert (said.incoming_window, said.next_incoming_id, said.handle) == (5000, 2500, None)
        assert link.credit == 2500

    def test_a_drained_sender_takes_its_credit_back(self, script: Script) -> None:
        script.opened()
        link = script.attached(role=SENDER, credit=5)
        script.session.grant_credit(link, 5, drain=True)
        script.hears(flow(0, credit=0, delivery_count=5))
        assert link.credit == 0


def test_two_engines_exchange_a_delivery_in_both_directions(pair: Pair) -> None:
    session = pair.client.session(0)
    sender = session.attach("out", role=SENDER, source=Source("x"), target=Target("queue"))
    receiver = session.attach("in", role=RECEIVER, source=Source("queue"), target=Target("x"))
    pair.settle()
    there = pair.server.session(0)
    incoming, outgoing = (event.link for event in pair.heard_by_server if isinstance(event, LinkAttached))
    for link in (incoming, outgoing):
        there.accept(link, source=Source("x"), target=Target("queue"))
    there.grant_credit(incoming, 10)
    pair.settle()
    session.grant_credit(receiver, 10)
    pair.settle()
    body = b"x" * 200_000
    session.send(sender, body, tag=b"1")
    there.send(outgoing, body, tag=b"2")
    pair.settle()
    assert [event.payload for event in pair.heard_by_server if isinstance(event, DeliveryReceived)] == [body]
    assert [event.payload for event in pair.heard_by_client if isinstance(event, DeliveryReceived)] == [body]
