"""`flowbridge dead-letters`, with its commands."""

import typer

from worker.cli.dead_letters import listing, purging, replaying, showing

app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command("list", short_help="What lies there, by reason and flow.")(listing.list_letters)
app.command("show", short_help="One of them, with all that it holds.")(showing.show)
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
    """  # noqa: D301 - click keeps the lines of a paragraph after \b
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
