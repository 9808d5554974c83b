"""`flowbridge door`: answers over HTTPS."""

from typing import Annotated

import typer

from worker.cli.options import Config, in_loop, settings_from


def door(
    config: Config = None,
    log_level: Annotated[
        str, typer.Option(envvar="FLOWBRIDGE_LOG_LEVEL", help="debug, info, warning or error.", metavar="LEVEL")
    ] = "info",
) -> None:
    """Answer over HTTP, through the queue, until SIGTERM or Ctrl-C; then drain.

    For callers who can't hold a session of a queue, such as plug-ins of Dataverse. Reads the worker's settings file:
    its bus, and [door].

    \b
    Example:
      flowbridge door --config flowbridge.toml
      curl -H "Authorization: Bearer $TOKEN" --json '{"account": 42}' http://127.0.0.1:8081/v1/flows/credit-check

    Exit status: 0 after a drain, 2 for bad settings, 1 otherwise.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    from worker import doorway, logs
    from worker.cli.failure import CommandFailed

    settings = settings_from(config, needs_flows=False)
    try:
        logs.configure(log_level)
    except ValueError as wrong:
        raise typer.BadParameter(f"{wrong}", param_hint="--log-level") from None
    if not (settings.door.reply_queue or settings.servicebus.reply_queues):
        raise CommandFailed("There is no queue to be answered on: set servicebus.reply_queues, or door.reply_queue.")
    try:
        raise typer.Exit(in_loop(doorway.run(settings)))
    except doorway.NoReplica as nameless:
        raise CommandFailed(str(nameless)) from None
