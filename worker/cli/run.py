"""`flowbridge run`: the worker."""

from typing import Annotated

import typer

from worker.cli.options import Config, in_loop, settings_from


def run(
    config: Config = None,
    log_level: Annotated[
        str, typer.Option(envvar="FLOWBRIDGE_LOG_LEVEL", help="debug, info, warning or error.", metavar="LEVEL")
    ] = "info",
) -> None:
    """Answer requests until SIGTERM or Ctrl-C, then drain.

    \b
    Example:
      flowbridge run --config flowbridge.toml

    Exit status: 0 after a clean drain, 2 for bad settings, 1 otherwise.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    from worker import logs

    settings = settings_from(config)
    try:
        logs.configure(log_level)
    except ValueError as wrong:
        raise typer.BadParameter(f"{wrong}", param_hint="--log-level") from None
    if settings.worker.processes > 1:
        from worker.supervisor import supervise

        raise typer.Exit(in_loop(supervise.run(settings, log_level=log_level)))
    from worker import app

    raise typer.Exit(in_loop(app.run(settings)))
