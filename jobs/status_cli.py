"""``status`` and ``retry``: of an output URI, or of a job in the queue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.exit_codes import ExitCode

if TYPE_CHECKING:
    from storage.job_queue import JobQueue

QUEUE_HELP = "The queue: folder, file:// or s3:// URI."
OutputOrJobArgument = Annotated[
    str,
    typer.Argument(metavar="OUTPUT|JOB", help="What --output was; with --queue, a job's id too."),
]
MaybeQueueOption = Annotated[
    str | None, typer.Option("--queue", envvar="NIGHTREEL_QUEUE", help=QUEUE_HELP)
]
ConfigOption = Annotated[
    list[Path] | None, typer.Option("--config", help="YAML file of settings; may be repeated.")
]


def status(
    output: OutputOrJobArgument,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MANIFEST|KEY=VALUE",
            help="With a manifest: its rows only, those not begun yet included. store.* settings.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigOption = None,
    queue: MaybeQueueOption = None,
) -> None:
    """Show which videos are rendered, being rendered, pending or failed; starts nothing."""
    from rich.console import Console

    from jobs.status import read_status
    from jobs.status_text import status_json, status_table, totals_text
    from jobs.store_settings import load_store_options
    from storage.manifest import Manifest
    from storage.open import open_store

    manifests, settings = parted(arguments)
    if show_job(queue, output, settings, as_json=as_json):
        return
    if len(manifests) > 1:
        raise typer.BadParameter(f"expected one manifest, got {', '.join(manifests)}")
    options = load_store_options(files=config or [], overrides=settings)
    rows = Manifest.open(manifests[0], s3=options) if manifests else None
    found = read_status(open_store(output, s3=options), rows)
    if as_json:
        typer.echo(status_json(found))
    else:
        if found.videos:
            Console().print(status_table(found))
        typer.echo(totals_text(found))
    if not found.is_clean:
        raise typer.Exit(ExitCode.SOME_FAILED)


def retry(
    output: OutputOrJobArgument,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID|KEY=VALUE",
            help="Which videos; without any, all that failed. store.* settings.",
        ),
    ] = None,
    config: ConfigOption = None,
    queue: MaybeQueueOption = None,
) -> None:
    """Let failed videos be tried anew: by the next render, or by the queued job."""
    from jobs.progress_text import printable
    from jobs.retry import requeue
    from jobs.store_settings import load_store_options
    from storage.open import open_store

    ids, settings = parted(arguments)
    if retry_job(queue, output, ids, settings):
        return
    requeued = requeue(
        open_store(output, s3=load_store_options(files=config or [], overrides=settings)), ids
    )
    for record in requeued:
        typer.echo(f"{record.id}: requeued; failed with {printable(f'{record.error}')}")
    typer.echo(f"{len(requeued)} requeued; 'nightreel render' tries them again")


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(status)
    app.command()(retry)


def show_job(queue: str | None, name: str, settings: list[str], *, as_json: bool) -> bool:
    """``nightreel status`` of a queued job; false if the queue has none of that name."""
    jobs = None if queue is None else open_queue(queue, settings)
    if jobs is None or not has_job(jobs, name):
        return False
    from rich.console import Console

    from jobs.queue_view import table, view
    from jobs.status import read_status
    from jobs.status_text import status_json, status_table, totals_text
    from jobs.store_settings import store_options_of
    from storage.manifest import Manifest
    from storage.open import open_store

    shown = view(jobs, jobs.job(name))
    request = shown.job.request
    s3 = store_options_of(request.settings)
    found = read_status(open_store(request.output, s3=s3), Manifest.open(request.manifest, s3=s3))
    if as_json:
        typer.echo(json.dumps(json.loads(status_json(found)) | {"job": shown.as_json()}, indent=2))
    else:
        Console().print(table([shown]), "", status_table(found))
        typer.echo(totals_text(found))
    if not found.is_clean:
        raise typer.Exit(ExitCode.SOME_FAILED)
    return True


def retry_job(queue: str | None, name: str, ids: list[str], settings: list[str]) -> bool:
    """``nightreel retry`` of a queued job; false if the queue has none of that name."""
    jobs = None if queue is None else open_queue(queue, settings)
    if jobs is None or not has_job(jobs, name):
        return False
    from jobs.cancelled_videos import CancelledVideos
    from jobs.control import try_again
    from jobs.person import this_person_here
    from jobs.retry import requeue
    from jobs.store_settings import store_options_of
    from storage.open import open_store

    request = jobs.job(name).request
    s3 = store_options_of(request.settings)
    requeued = requeue(open_store(request.output, s3=s3), ids)
    cancelled = CancelledVideos(jobs.store, name)
    for video_id in ids or cancelled.ids():
        cancelled.remove(video_id)
    state = try_again(jobs, name, by=this_person_here())
    typer.echo(f"{len(requeued)} videos requeued; job {name}: {state}")
    return True


def open_queue(uri: str, settings: list[str] | None) -> JobQueue:
    """The queue at a URI; sends no request."""
    from jobs.store_settings import load_store_options
    from storage.job_queue import JobQueue
    from storage.open import open_store

    return JobQueue(open_store(uri, s3=load_store_options(overrides=settings or [])))


def has_job(jobs: JobQueue, name: str) -> bool:
    """Whether the queue knows a job of that id."""
    from storage.job_queue import NoSuchJobError

    try:
        jobs.job(name)
    except NoSuchJobError:
        return False
    return True


def parted(arguments: list[str] | None) -> tuple[list[str], list[str]]:
    """Names, and settings: neither an id nor a manifest begins with ``store.`` and has a ``=``."""
    given = arguments or []
    settings = [text for text in given if text.startswith("store.") and "=" in text]
    return [text for text in given if text not in settings], settings
