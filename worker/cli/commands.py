"""The commands together, and every failure's one sentence and exit status."""

import os
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer

from worker.cli import check, child, demo, door, emulator, explain, request, route, run
from worker.cli.bench import command as bench
from worker.cli.dead_letters import command as dead_letters
from worker.cli.failure import BAD_SETTINGS, tell
from worker.cli.process import INTERRUPTED

# Typer brings a click of its own, whose names aren't public; this is the parent of all that is wrong with arguments.
_UsageError: Final[type[Any]] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="flowbridge",
    help="Synchronous answers from Power Automate flows over Azure Service Bus.",
    epilog="Example: flowbridge demo",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("demo", short_help="The whole bridge on this machine, nothing to set up.")(demo.demo)
app.command("run", short_help="The worker.")(run.run)
app.command("door", short_help="The answers over HTTPS, for who can't hold a queue session.")(door.door)
app.command("request", short_help="Send one request and wait for its answer.")(request.request)
app.command("route", short_help="Where would a message go, and why? Sends nothing.")(route.route)
app.add_typer(dead_letters.app, name="dead-letters", short_help="Requests that were given up: look, replay, purge.")
app.command("explain", short_help="What became of a request, and why? From the log.")(explain.explain)
app.command("check", short_help="Would the worker work here?")(check.check)
app.command("process", hidden=True)(child.process)
app.command("emulator", short_help="The embedded Service Bus broker alone.")(emulator.emulator)
app.command("bench", short_help="The worker beside other ways to do its job.")(bench.bench)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"flowbridge {version('flowbridge')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _flowbridge(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def invoke(arguments: Sequence[str]) -> int:
    """The exit status. `FLOWBRIDGE_DEBUG=1` lets failures end in a traceback."""
    try:
        status = app(args=arguments, prog_name="flowbridge", standalone_mode=False)
    except _UsageError as wrong:
        command = "flowbridge" if wrong.ctx is None else wrong.ctx.command_path
        typer.echo(f"flowbridge: {wrong.format_message().rstrip('.')}. See '{command} --help'.", err=True)
        return BAD_SETTINGS
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("FLOWBRIDGE_DEBUG"):
            raise
        return tell(error)
    return status if isinstance(status, int) else 0
