"""`flowbridge dead-letters`, with its commands."""

from typing import Any

import typer
from typer.core import TyperCommand

from worker.cli.dead_letters import listing, purging, replaying, showing


class _PlainUsage(TyperCommand):
    """Typer's braces around what is required look like a choice."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command("list", short_help="What lies there, by reason and flow.")(listing.list_letters)
app.command("show", cls=_PlainUsage, short_help="One of them, with all that it holds.")(showing.show)
app.command("replay", short_help="Send them again, then complete them.")(replaying.replay)
app.command("purge", short_help="Throw them away.")(purging.purge)


@app.callback(invoke_without_command=True)
def _dead_letters(context: typer.Context) -> None:
    """Look at dead-lettered requests, send them again, or throw them away.

    \b
    Examples:
      flowbridge dead-letters list --config flowbridge.toml
      flowbridge dead-letters show 4711
      flowbridge dead-letters replay --reason FlowUnavailable --dry-run
      flowbridge dead-letters replay --reason FlowUnavailable --rate 20
      flowbridge dead-letters purge --reason Expired --yes

    Exit status: 0 done, 1 something failed, 2 wrong options or settings, 130 interrupted.
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
