"""Commands of the queue: submit, dispatch, list, watch, logs, cancel, pause, resume."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.exit_codes import ExitCode
from jobs.status_cli import QUEUE_HELP, has_job, open_queue, parted

if TYPE_CHECKING:
    from jobs.ray_jobs import DriverEnvironment
    from jobs.submission import Submitted
    from storage.job_log import JobState
    from storage.job_queue import JobQueue

QueueOption = Annotated[str, typer.Option("--queue", envvar="NIGHTREEL_QUEUE", help=QUEUE_HELP)]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A job's id.")]
StoreArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="store.* settings: how to reach the queue on S3."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
DashboardOption = Annotated[
    str | None,
    typer.Option("--address", help="Ray's dashboard, such as http://head:8265."),
]
MaxRunningOption = Annotated[
    int, typer.Option("--max-running", min=1, help="Jobs that run at the same time.")
]
PythonOption = Annotated[
    str, typer.Option("--python", help="Interpreter on the cluster; as a rule it is found.")
]
ShipCodeOption = Annotated[
    bool,
    typer.Option("--ship-code", help="Send this release along; the cluster has another, or none."),
]
MetricsPortOption = Annotated[
    int, typer.Option("--metrics-port", help="Let Prometheus read here, on loopback; 0: nobody.")
]
RuntimeEnvOption = Annotated[
    str | None,
    typer.Option("--runtime-env", help="YAML file: more of Ray's runtime environment (pip, ...)."),
]


def submit(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST", help="As for render.")],
    output: Annotated[str, typer.Option("--output", "-o", help="As for render.")],
    queue: QueueOption,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, as for render.")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="As for render.")] = None,
    config: Annotated[list[Path] | None, typer.Option("--config", help="As for render.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="As for render.")] = False,
    address: DashboardOption = None,
    owner: Annotated[
        str | None, typer.Option("--owner", help="Whose job it is; you, if not given.")
    ] = None,
    priority: Annotated[int, typer.Option("--priority", help="Higher ones go first.")] = 0,
    not_before: Annotated[
        str | None, typer.Option("--not-before", metavar="HH:MM", help="Start of its window.")
    ] = None,
    not_after: Annotated[
        str | None, typer.Option("--not-after", metavar="HH:MM", help="End of its window.")
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="Of its window.")] = "UTC",
    max_gpu_hours: Annotated[
        float | None,
        typer.Option("--max-gpu-hours", min=0, help="Not admitted if estimated above it."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended.")] = False,
    max_running: MaxRunningOption = 1,
    python: PythonOption = "",
    ship_code: ShipCodeOption = False,
    runtime_env: RuntimeEnvOption = None,
    metrics_port: MetricsPortOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Put a job in the queue; the same job again is the one that is there already."""
    from jobs import submission
    from jobs.dispatcher_start import is_dispatched

    job_config, settings = submission.settings_of(preset, config or [], overrides or [])
    request = submission.request_of(
        manifest,
        output,
        settings,
        owner=owner,
        strict=strict,
        priority=priority,
        window=submission.window_of(not_before, not_after, timezone),
        max_gpu_hours=max_gpu_hours,
    )
    num_rows = submission.check(request, job_config)
    of_store = [text for text in settings if text.startswith("store.")]
    jobs = open_queue(queue, of_store)
    submitted = submission.submit(jobs, request)
    _say_submitted(submitted, num_rows, as_json=as_json)
    if address is not None and not is_dispatched(jobs):
        environment = _environment(python, runtime_env, ship_code=ship_code)
        arguments = ["--max-running", str(max_running), "--metrics-port", str(metrics_port)]
        _start_dispatcher(jobs, address, environment, [*arguments, *of_store])
    if wait:
        _wait(jobs, request.id)


def dispatch(
    queue: QueueOption,
    settings: StoreArgument = None,
    address: Annotated[
        str,
        typer.Option("--address", help="Ray's dashboard, or 'auto' on the cluster itself."),
    ] = "auto",
    max_running: MaxRunningOption = 1,
    python: PythonOption = "",
    ship_code: ShipCodeOption = False,
    runtime_env: RuntimeEnvOption = None,
    cancel_timeout: Annotated[
        float, typer.Option("--cancel-timeout", metavar="SECONDS", help="Then it is made to.")
    ] = 30.0,
    pause_timeout: Annotated[
        float, typer.Option("--pause-timeout", metavar="SECONDS", help="Then it is stopped.")
    ] = 1800.0,
    gpus: Annotated[
        int, typer.Option("--gpus", min=1, help="That a job gets; for --max-gpu-hours.")
    ] = 1,
    metrics_port: MetricsPortOption = 0,
) -> None:
    """Admit queued jobs to a Ray cluster until interrupted; a second one stands by."""
    from jobs.admission import AdmissionRules
    from jobs.caps import EstimatedHours
    from jobs.dispatcher import Dispatcher, DispatchOptions, nobody
    from jobs.queue_gauges import show_queue
    from jobs.queue_metrics import served_metrics
    from jobs.ray_jobs import RayJobs
    from storage.open import StoreConfig

    jobs = open_queue(queue, settings)
    options = DispatchOptions(
        queue_arguments=("--queue", StoreConfig(uri=queue).uri, *(settings or [])),
        rules=AdmissionRules(max_running=max_running),
        cancel_timeout_s=cancel_timeout,
        pause_timeout_s=pause_timeout,
    )
    ray_jobs = RayJobs(address, _environment(python, runtime_env, ship_code=ship_code))
    try:
        with served_metrics(metrics_port) as metrics:
            show = nobody if metrics is None else partial(show_queue, metrics)
            Dispatcher(jobs, ray_jobs, options, EstimatedHours(gpus), show).run()
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def list_jobs(
    queue: QueueOption, settings: StoreArgument = None, as_json: JsonOption = False
) -> None:
    """List the jobs in the queue."""
    from rich.console import Console

    from jobs.caps import EstimatedHours
    from jobs.queue_view import VIEW_FORMAT, table, views

    jobs = open_queue(queue, settings)
    shown = views(jobs, jobs.jobs(), EstimatedHours(1, quiet=True))
    if as_json:
        content = {"format": VIEW_FORMAT, "queue": jobs.store.uri}
        typer.echo(json.dumps(content | {"jobs": [each.as_json() for each in shown]}, indent=2))
    elif shown:
        Console().print(table(shown))
    else:
        typer.echo("no jobs")


def watch(
    queue: QueueOption,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB|KEY=VALUE", help="One job only. store.* settings."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Watch jobs until all have ended; with JOB, its exit status is that of the job."""
    from rich.console import Console

    from jobs.queue_watch import watch as watch_queue

    names, settings = parted(arguments)
    if len(names) > 1:
        raise typer.BadParameter(f"expected one job, got {', '.join(names)}")
    jobs = open_queue(queue, settings)
    try:
        code = watch_queue(jobs, names[0] if names else None, Console(), as_json=as_json)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if names and code:
        raise typer.Exit(code)


def logs(
    job: JobArgument,
    queue: QueueOption,
    settings: StoreArgument = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until it has ended.")] = False,
) -> None:
    """Print what a job's drivers said; it is kept in the queue, whatever becomes of Ray."""
    from jobs.queue_watch import follow_logs

    try:
        follow_logs(open_queue(queue, settings), job, _say_on, follow=follow)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def cancel(
    name: Annotated[str, typer.Argument(metavar="JOB|VIDEO", help="A job, or a video of one.")],
    queue: QueueOption,
    settings: StoreArgument = None,
    job: Annotated[str | None, typer.Option("--job", help="NAME is a video of this job.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="For whoever wonders.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Cancel a job, started or not, or leave one of its videos out."""
    from jobs import control
    from jobs.person import this_person_here

    jobs, by = open_queue(queue, settings), this_person_here()
    if job is None and has_job(jobs, name):
        state = control.cancel(jobs, name, by=by, reason=reason)
        _say_state(name, state, as_json=as_json)
        return
    found = control.job_with_video(jobs, name, job)
    control.cancel_video(jobs, found, name, by=by)
    if as_json:
        typer.echo(json.dumps({"id": found.request.id, "video": name, "cancelled": True}))
    else:
        typer.echo(f"video {name} of job {found.request.id}: cancelled")


def pause(
    job: JobArgument,
    queue: QueueOption,
    settings: StoreArgument = None,
    reason: Annotated[str, typer.Option("--reason", help="For whoever wonders.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Let a job's running steps end, keep a snapshot and free its GPUs, until resume."""
    from jobs import control
    from jobs.person import this_person_here

    state = control.pause(open_queue(queue, settings), job, by=this_person_here(), reason=reason)
    _say_state(job, state, as_json=as_json)


def resume(
    job: JobArgument,
    queue: QueueOption,
    settings: StoreArgument = None,
    as_json: JsonOption = False,
) -> None:
    """Let a paused job go on from its snapshot."""
    from jobs import control
    from jobs.person import this_person_here

    state = control.resume(open_queue(queue, settings), job, by=this_person_here())
    _say_state(job, state, as_json=as_json)


def register(app: typer.Typer, *, panel: str) -> None:
    """Add these commands to the program."""
    app.command(rich_help_panel=panel)(submit)
    app.command(rich_help_panel=panel)(dispatch)
    app.command("list", rich_help_panel=panel)(list_jobs)
    for command in (watch, logs, cancel, pause, resume):
        app.command(rich_help_panel=panel)(command)


def _environment(python: str, runtime_env: str | None, *, ship_code: bool) -> DriverEnvironment:
    from jobs.ray_jobs import DriverEnvironment, runtime_env_of

    return DriverEnvironment(
        python=python, ships_code=ship_code, runtime_env=runtime_env_of(runtime_env)
    )


def _start_dispatcher(
    jobs: JobQueue, address: str, environment: DriverEnvironment, more: list[str]
) -> None:
    from jobs.dispatcher_start import start_dispatcher
    from jobs.ray_jobs import RayJobs

    arguments = ["--queue", jobs.store.uri, *more]
    arguments += ["--python", environment.python] if environment.python else []
    arguments += ["--ship-code"] if environment.ships_code else []
    if environment.runtime_env:
        arguments += ["--runtime-env", json.dumps(dict(environment.runtime_env))]
    name = start_dispatcher(jobs, RayJobs(address, environment), arguments)
    typer.echo(f"dispatcher {name} is on the cluster", err=True)


def _wait(jobs: JobQueue, job_id: str) -> None:
    from jobs.queue_watch import wait

    try:
        shown = wait(jobs, job_id)
    except KeyboardInterrupt:
        typer.echo("nightreel: interrupted; the job goes on", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    typer.echo(f"job {job_id}: {shown.job.state} {shown.reason}".rstrip(), err=True)
    if shown.exit_code:
        raise typer.Exit(shown.exit_code)


def _say_submitted(submitted: Submitted, num_rows: int, *, as_json: bool) -> None:
    request = submitted.request
    told: dict[str, Any] = {
        "id": request.id,
        "outcome": submitted.outcome,
        "state": submitted.state,
        "num_rows": num_rows,
    }
    if as_json:
        typer.echo(json.dumps(told))
        return
    typer.echo(request.id)
    said = {
        "queued": f"{num_rows} rows, queued",
        "requeued": "it had ended without success; queued again",
        "known": f"the same job is there already, {submitted.state}; nothing was changed",
    }
    typer.echo(f"job {request.id}: {said[submitted.outcome]}", err=True)


def _say_state(job_id: str, state: JobState, *, as_json: bool) -> None:
    told = json.dumps({"id": job_id, "state": state})
    typer.echo(told if as_json else f"job {job_id}: {state}")


def _say_on(text: str) -> None:
    typer.echo(text, nl=False)
