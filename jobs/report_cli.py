"""``nightreel report``: a job's page, written anew from the store; needs no Ray."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it
from typing import Annotated

import typer


def report(
    output: Annotated[
        str,
        typer.Argument(metavar="OUTPUT", help="What --output was: folder, file:// or s3:// URI."),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MANIFEST|KEY=VALUE",
            help="With a manifest: also rows that were not begun yet. store.* settings.",
        ),
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", help="YAML file of settings; may be repeated."),
    ] = None,
) -> None:
    """Write index.html: films, states, figures and failures on one page; starts nothing."""
    from jobs.report.collect import Collector
    from jobs.report.watching import put_page
    from jobs.store_settings import load_store_options
    from storage import keys
    from storage.manifest import Manifest
    from storage.open import open_store

    given = arguments or []
    settings = [text for text in given if text.startswith("store.") and "=" in text]
    manifests = [text for text in given if text not in settings]
    if len(manifests) > 1:
        raise typer.BadParameter(f"expected one manifest, got {', '.join(manifests)}")
    options = load_store_options(files=config or [], overrides=settings)
    store = open_store(output, s3=options)
    manifest = Manifest.open(manifests[0], s3=options) if manifests else None
    put_page(store, Collector(store, manifest))
    typer.echo(f"{store.uri}/{keys.INDEX}")
