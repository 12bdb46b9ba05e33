"""Commands of schedules: ``nightreel schedule ...`` and ``nightreel scheduler``."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs.exit_codes import ExitCode
from jobs.queue_cli import MetricsPortOption  # noqa: TC001 - typer reads it

if TYPE_CHECKING:
    from datetime import datetime, time

    from jobs.schedule_orders import ScheduleOrders
    from storage.job_queue import JobQueue
    from storage.schedule import ScheduleState
    from storage.schedule_runs import ScheduledRun

schedule_app = typer.Typer(
    name="schedule",
    help="What is submitted every night: add, list, next, suspend, resume, remove, run-now, "
    "history.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
QueueOption = Annotated[
    str,
    typer.Option("--queue", envvar="NIGHTREEL_QUEUE", help="Folder, file:// or s3:// URI."),
]
StoreArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="store.* settings: how to reach the queue on S3."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]


@schedule_app.command()
def add(
    name: NameArgument,
    cron: Annotated[
        str, typer.Option("--cron", metavar="FIELDS", help="When, such as '0 1 * * *'.")
    ],
    manifest: Annotated[
        str,
        typer.Option("--manifest", help="As for render; {date} and others are filled in."),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="As for render; {date} and others too.")
    ],
    queue: QueueOption,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, as for render.")
    ] = None,
    timezone: Annotated[
        str, typer.Option("--timezone", help="Whose wall clock: an IANA name.")
    ] = "UTC",
    not_after: Annotated[
        str | None,
        typer.Option("--not-after", metavar="HH:MM", help="Then what runs goes on next night."),
    ] = None,
    concurrency: Annotated[
        Literal["Allow", "Forbid", "Replace"],
        typer.Option("--concurrency", help="What if an earlier run has not ended."),
    ] = "Allow",
    starting_deadline: Annotated[
        str | None,
        typer.Option("--starting-deadline", metavar="TIME", help="Skip what is later, such as 2h."),
    ] = None,
    catch_up: Annotated[
        Literal["none", "latest", "all"],
        typer.Option("--catch-up", help="Which runs that no scheduler saw in time are submitted."),
    ] = "latest",
    owner: Annotated[
        str | None, typer.Option("--owner", help="Whose jobs they are; yours, if not given.")
    ] = None,
    priority: Annotated[int, typer.Option("--priority", help="Higher ones go first.")] = 0,
    max_gpu_hours: Annotated[
        float | None,
        typer.Option("--max-gpu-hours", min=0, help="Not admitted if estimated above it."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="As for render.")] = False,
    preset: Annotated[str | None, typer.Option("--preset", help="As for render.")] = None,
    config: Annotated[list[Path] | None, typer.Option("--config", help="As for render.")] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Change the schedule of this name, if there is one.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add a schedule."""
    import getpass

    from jobs.clean import age_s
    from jobs.config import load_config
    from jobs.flat_settings import flat_settings
    from jobs.schedule_view import next_time, schedule_values
    from storage.schedule import Schedule

    given = load_config(preset=preset, files=config or [], overrides=overrides or [])
    settings = flat_settings(given)
    orders = _orders(queue, [text for text in settings if text.startswith("store.")])
    schedule = Schedule(
        name=name,
        cron=" ".join(cron.split()),
        timezone=timezone,
        manifest=manifest,
        output=output,
        settings=settings,
        strict=strict,
        owner=owner or getpass.getuser(),
        priority=priority,
        max_gpu_hours=max_gpu_hours,
        not_after=_time(not_after),
        concurrency=concurrency,
        starting_deadline_s=None if starting_deadline is None else age_s(starting_deadline),
        catch_up=catch_up,
        since=orders.now.isoformat(timespec="seconds"),
        written_at=orders.now.isoformat(timespec="milliseconds"),
        written_by=orders.by,
    )
    added = orders.add(schedule, update=update)
    if as_json:
        typer.echo(json.dumps(schedule_values(added, orders.now), indent=2))
    else:
        typer.echo(f"{name}: next {next_time(added, orders.now) or added.state}")


@schedule_app.command("list")
def list_command(
    queue: QueueOption, settings: StoreArgument = None, as_json: JsonOption = False
) -> None:
    """List schedules, and when each is due next."""
    from rich.console import Console

    from jobs.schedule_view import schedule_values, schedules_table
    from storage.schedules import Schedules

    schedules, now = list(Schedules(_queue(queue, settings).store).all()), _now()
    if as_json:
        values = [schedule_values(schedule, now) for schedule in schedules]
        typer.echo(json.dumps(values, indent=2))
    elif schedules:
        Console().print(schedules_table(schedules, now))
    else:
        typer.echo("no schedules")


@schedule_app.command("next")
def next_command(
    name: NameArgument,
    queue: QueueOption,
    settings: StoreArgument = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Show when a schedule is due next, and what it would submit."""
    from rich.console import Console

    from jobs.schedule_view import next_requests, next_table, request_values
    from storage.schedules import Schedules

    schedule = Schedules(_queue(queue, settings).store).latest(name)
    requests = next_requests(schedule, _now(), count)
    if as_json:
        typer.echo(json.dumps([request_values(request) for request in requests], indent=2))
        return
    Console().print(next_table(requests))
    if schedule.state == "suspended":
        typer.echo("suspended: none of them is submitted until 'nightreel schedule resume'")


@schedule_app.command()
def suspend(
    name: NameArgument,
    queue: QueueOption,
    settings: StoreArgument = None,
    as_json: JsonOption = False,
) -> None:
    """Skip a schedule's runs until it is resumed."""
    _set_state(name, queue, settings, "suspended", as_json=as_json)


@schedule_app.command()
def resume(
    name: NameArgument,
    queue: QueueOption,
    settings: StoreArgument = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a suspended schedule; what it skipped is not caught up."""
    _set_state(name, queue, settings, "active", as_json=as_json)


@schedule_app.command()
def remove(
    name: NameArgument,
    queue: QueueOption,
    settings: StoreArgument = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a schedule; its jobs stay, and so does its history."""
    _set_state(name, queue, settings, "removed", as_json=as_json)


@schedule_app.command("run-now")
def run_now(
    name: NameArgument,
    queue: QueueOption,
    settings: StoreArgument = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="As if due then, by the schedule's wall clock: 2026-11-20T01:00.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a run at once, beside those that are due; prints the job's id.

    With --at it makes up for one that was skipped.
    """
    from jobs.schedule_view import request_values
    from storage.schedules import Schedules

    orders = _orders(queue, settings)
    schedule = Schedules(orders.queue.store).latest(name)
    run = orders.run_now(name, _moment(at, schedule.timezone) if at else None)
    assert run.request is not None
    if as_json:
        typer.echo(json.dumps(request_values(run.request), indent=2))
    else:
        typer.echo(run.request.id)


@schedule_app.command()
def history(
    name: NameArgument,
    queue: QueueOption,
    settings: StoreArgument = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show what became of a schedule's runs, those that were skipped included."""
    from rich.console import Console

    from jobs.schedule_view import history_table, past_runs, past_values
    from storage.schedules import NoSuchScheduleError, Schedules

    jobs = _queue(queue, settings)
    revisions = Schedules(jobs.store).revisions(name)
    if not revisions:
        raise NoSuchScheduleError(f"{jobs.store.uri}: no schedule {name!r}")
    past = past_runs(jobs, name, count)
    if as_json:
        typer.echo(json.dumps([past_values(each) for each in past], indent=2))
    elif past:
        Console().print(history_table(revisions[-1], past))
    else:
        typer.echo("nothing was due yet")


def scheduler(
    queue: QueueOption,
    settings: StoreArgument = None,
    once: Annotated[
        bool, typer.Option("--once", help="Submit what is due now, then exit.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON for each run.")] = False,
    metrics_port: MetricsPortOption = 0,
) -> None:
    """Submit what schedules say is due, until stopped; any number may share a queue."""
    import time

    from jobs.queue_metrics import served_metrics
    from jobs.schedule_view import PastRun, past_values
    from jobs.scheduler import Scheduler
    from jobs.scheduler_loop import has_manifest, keep, silent

    def report(run: ScheduledRun) -> None:
        if as_json:
            typer.echo(json.dumps(past_values(PastRun(run, None, is_replaced=False))))
        elif run.request is not None:
            typer.echo(f"{run.request.id}: submitted, {run.request.manifest}")
        else:
            typer.echo(f"{run.time}: skipped: {run.reason}: {run.message}")

    orders = _orders(queue, settings)
    orders.queue.store.check()
    worker = Scheduler(orders.queue, clock=_now, by=orders.by, has_manifest=has_manifest)
    if once:
        for run in worker.tick():
            report(run)
        if worker.problems:
            raise typer.Exit(ExitCode.TRY_AGAIN)
        return
    try:
        with served_metrics(metrics_port) as metrics:
            show = metrics.schedules if metrics else silent
            keep(worker, clock=_now, sleep=time.sleep, report=report, show=show)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _set_state(
    name: str, queue: str, settings: list[str] | None, state: ScheduleState, *, as_json: bool
) -> None:
    from jobs.schedule_view import next_time, schedule_values

    orders = _orders(queue, settings)
    schedule = orders.set_state(name, state)
    if as_json:
        typer.echo(json.dumps(schedule_values(schedule, orders.now), indent=2))
    elif state == "active":
        typer.echo(f"{name}: next {next_time(schedule, orders.now)}")
    else:
        typer.echo(f"{name}: {state}")


def _queue(uri: str, settings: list[str] | None) -> JobQueue:
    from jobs.store_settings import load_store_options
    from storage.job_queue import JobQueue
    from storage.open import open_store

    return JobQueue(open_store(uri, s3=load_store_options(overrides=settings or [])))


def _orders(uri: str, settings: list[str] | None) -> ScheduleOrders:
    from jobs.schedule_orders import ScheduleOrders
    from storage.holder import this_process

    return ScheduleOrders(_queue(uri, settings), str(this_process()), _now())


def _now() -> datetime:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def _time(text: str | None) -> time | None:
    from datetime import datetime

    from pipeline.errors import ConfigError

    if text is None:
        return None
    try:
        return datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - a wall clock's
    except ValueError as error:
        raise ConfigError(f"--not-after {text!r}: expected HH:MM, such as 07:00") from error


def _moment(text: str, timezone: str) -> datetime:
    from datetime import datetime

    from jobs.wall_clock import instant_of, zone_of
    from pipeline.errors import ConfigError

    try:
        local = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--at {text!r}: expected a time such as 2026-11-20T01:00") from error
    return local if local.tzinfo else instant_of(local, zone_of(timezone))
