"""`flowbridge emulator`: the embedded broker alone."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.cli.failure import CommandFailed
from worker.cli.options import in_loop, until_stopped

if TYPE_CHECKING:
    import ssl

    from worker.emulator.broker import QueueProperties, Topology

DUPLICATE_WINDOW_S: Final = 600.0
DEFAULT_QUEUES: Final = ("flow-requests", "flow-replies:session")


def emulator(  # noqa: PLR0917 - typer's signature
    port: Annotated[int, typer.Option(metavar="P", min=0, max=65_535, help="0 takes any free one.")] = 5672,
    host: Annotated[str, typer.Option(metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    queue: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:session]",
            help="A queue; with :session it requires sessions and detects duplicates. May be repeated. "
            f"[default: {', '.join(DEFAULT_QUEUES)}]",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Queues, topics, subscriptions and rules in TOML.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Speak TLS with this certificate, and its chain, in PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key, in PEM.")] = None,
) -> None:
    """Run the embedded Service Bus broker until SIGTERM or Ctrl-C; the first line on stdout is its connection string.

    It keeps everything in memory and checks no key: for development and tests, not for production. AMQP, AMQP in web
    sockets and HTTP (POST /QUEUE/messages sends) come on the same port. With --tls-cert and --tls-key all speak TLS;
    clients find a private authority's certificate where the environment variable SSL_CERT_FILE says.

    \b
    Examples:
      flowbridge emulator
      flowbridge emulator --port 0 --queue orders --queue order-replies:session
      flowbridge emulator --config entities.toml
      flowbridge emulator --tls-cert server.pem --tls-key server.key

    \b
    A file of entities (all keys but the names have defaults):
      [[queues]]
      name = "flow-requests"
      lock_s = 60
      max_delivery_count = 10
      default_ttl_s = 3600
      dead_letters_on_expiry = true
      requires_session = false
      duplicate_window_s = 600
      [[topics]]
      name = "flow-events"
      [[topics.subscriptions]]
      name = "worker"
      rules = [{ name = "emea", sql = "region = 'emea'" },
               { name = "credit", correlation = { subject = "credit", properties = { tier = "gold" } } }]
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    tls = _tls(tls_cert, tls_key)
    in_loop(_serve(_topology(queue or [], config), host=host, port=port, tls=tls))


def _tls(certificate: Path | None, key: Path | None) -> "ssl.SSLContext | None":
    from worker.cli.emulator_tls import server_context

    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise typer.BadParameter("expected both --tls-cert and --tls-key, got one", param_hint="--tls-cert")
    return server_context(certificate, key)


def _topology(names: list[str], config: Path | None) -> "Topology":
    from worker.cli.emulator_file import read_topology
    from worker.emulator.broker import Topology

    from_file = read_topology(config) if config is not None else Topology()
    if not names and config is None:
        names = list(DEFAULT_QUEUES)
    return Topology(queues=(*from_file.queues, *map(_queue, names)), topics=from_file.topics)


def _queue(text: str) -> "QueueProperties":
    from worker.emulator.broker import QueueProperties

    name, separator, kind = text.partition(":")
    if not name or (separator and kind != "session"):
        raise typer.BadParameter(f"expected NAME or NAME:session, got {text!r}", param_hint="--queue")
    is_reply_queue = kind == "session"
    return QueueProperties(
        name=name,
        requires_session=is_reply_queue,
        dead_letters_on_expiry=not is_reply_queue,
        duplicate_window_s=DUPLICATE_WINDOW_S if is_reply_queue else None,
    )


async def _serve(topology: "Topology", *, host: str, port: int, tls: "ssl.SSLContext | None") -> None:
    from worker.emulator.broker import InvalidTopologyError
    from worker.emulator.server import EmbeddedBroker

    try:
        broker = EmbeddedBroker(topology, host=host, port=port, tls=tls, keeps_history=False)
    except InvalidTopologyError as wrong:
        raise CommandFailed(f"The entities can't be made: {wrong}.") from None
    async with contextlib.AsyncExitStack() as running:
        try:
            await running.enter_async_context(broker)
        except OSError as failed:
            why = failed.strerror or failed
            raise CommandFailed(f"Can't listen on {host}:{port}: {why}. Choose another --port; 0 is any.") from None
        stopped = running.enter_context(until_stopped())
        typer.echo(broker.connection_string)
        names = [queue.name + (" (sessions)" if queue.requires_session else "") for queue in topology.queues]
        names += [f"{topic.name}/{each.name}" for topic in topology.topics for each in topic.subscriptions]
        typer.echo(f"Listening on {host}:{broker.port}, not for production: {', '.join(names)}", err=True)
        await stopped.wait()
