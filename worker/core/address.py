"""Return Address: where an answer may go."""

from urllib.parse import unquote, urlsplit

from worker.core.delivery import Delivery
from worker.core.outcome import Reason, Rejected
from worker.core.request import Destination, OneWay, ReturnAddress

MAX_SESSION_ID_CHARS = 128  # Service Bus's own limit
_SHOWN_CHARS = 200
_URL_SCHEMES = frozenset({"sb", "amqp", "amqps"})


def resolve(delivery: Delivery, *, reply_queues: tuple[str, ...], namespace_host: str) -> Destination | Rejected:
    """The first of `reply_queues` is the default; `namespace_host` is the worker's own, without a port."""
    if delivery.is_one_way:
        return OneWay()
    queue = _allowed_queue(delivery.reply_to, reply_queues, namespace_host)
    if queue is None:
        allowed = ", ".join(reply_queues) or "none: this worker gives no answers"
        return Rejected(
            reason=Reason.RETURN_ADDRESS_NOT_ALLOWED,
            detail=f"reply_to is {_shown(delivery.reply_to)}, which is not an allowed reply queue ({allowed}). "
            "Send to an allowed one, or add it to reply_queues.",
        )
    session_id = delivery.reply_to_session_id or delivery.session_id
    if session_id is None:
        return Rejected(
            reason=Reason.RETURN_ADDRESS_INVALID,
            detail=f"reply_to names the queue {queue!r}, but there is no session to answer into. "
            "Set reply_to_session_id (or session_id) to the session that the caller receives from.",
        )
    if len(session_id) > MAX_SESSION_ID_CHARS:
        return Rejected(
            reason=Reason.RETURN_ADDRESS_INVALID,
            detail=f"the reply session has {len(session_id)} characters; Service Bus allows {MAX_SESSION_ID_CHARS}.",
        )
    return ReturnAddress(queue=queue, session_id=session_id)


def _allowed_queue(reply_to: str | None, reply_queues: tuple[str, ...], namespace_host: str) -> str | None:
    if reply_to is None:
        return reply_queues[0] if reply_queues else None
    name = _queue_name(reply_to, namespace_host)
    return next((queue for queue in reply_queues if name is not None and queue.casefold() == name.casefold()), None)


def _queue_name(reply_to: str, namespace_host: str) -> str | None:
    """The queue that a name or a URL on the own namespace means; None for an address elsewhere."""
    if "://" not in reply_to:
        return reply_to.strip("/")
    try:
        url = urlsplit(reply_to)
        host = url.hostname
    except ValueError:  # such as an unclosed [ of an IPv6 host
        return None
    if url.scheme not in _URL_SCHEMES or host is None or host.casefold() != namespace_host.casefold():
        return None
    return unquote(url.path).strip("/")


def _shown(reply_to: str | None) -> str:
    """Quoted and cut, without the query: it is a stranger's text."""
    if reply_to is None:
        return "absent"
    return repr(reply_to.split("?", 1)[0][:_SHOWN_CHARS])
