"""`rxlapce graph`: pipelines as pictures."""

from pathlib import Path

import click

from rxlapce.cli.screen import json_line
from rxlapce.errors import ConfigError

#: \b keeps click from filling the lines.
EPILOG = """\b
rxlapce graph config.yaml               Mermaid, which GitHub draws in a block ```mermaid
rxlapce graph config.yaml --svg > a.svg
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("pipeline", required=False)
@click.option("--svg", "as_svg", is_flag=True, help="An SVG image instead of Mermaid.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, a pipeline each.")
def graph(file: Path, pipeline: str | None, as_svg: bool, as_json: bool) -> None:
    """Draw the pipelines of FILE, or of them PIPELINE: who answers, what an answer goes through, where it ends.

    Boxes are what is made for each attempt, each model and each request; a broken line is around what is there without
    being named. No key is fetched, and no environment is looked at.
    """
    if as_svg and as_json:
        raise click.UsageError("--svg or --json, not both")
    from rxlapce.config.charts import charts_of  # with YAML's reader

    found = charts_of(file)
    if pipeline is not None:
        if pipeline not in found:
            raise ConfigError(f"{file} has no pipeline {pipeline!r}; it has {', '.join(found)}")
        found = {pipeline: found[pipeline]}
    charts = [one.chart for one in found.values()]
    if as_json:
        click.echo(json_line([one.record() for one in found.values()]))
    elif as_svg:
        from rxlapce.pipeline.svg import svg

        click.echo(svg(charts), nl=False)
    else:
        from rxlapce.pipeline.mermaid import mermaid

        click.echo(mermaid(charts), nl=False)
