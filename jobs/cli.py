"""The command line: ``nightreel COMMAND``.

Exit status: 0 all rendered; 2 wrong usage, configuration or manifest; 3 some rows failed or were
rejected; 4 the cluster or the object store failed, run it again; 130 interrupted.
"""

from __future__ import annotations

import logging
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from jobs import estimate_cli, queue_cli, schedule_cli, status_cli
from jobs.dashboards_cli import dashboards
from jobs.exit_codes import ExitCode, code_of, code_of_summary
from jobs.report_cli import report
from pipeline.errors import NightreelError

if TYPE_CHECKING:
    from jobs.render import Job, JobSummary
    from jobs.settings import JobConfig
    from storage.connection import S3Options

QUEUE_PANEL = "Jobs on a cluster"
NIGHT_PANEL = "Every night"

app = typer.Typer(
    name="nightreel",
    help="Turn a manifest of prompts into finished, minutes-long videos, on any number of GPUs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

ManifestArgument = Annotated[
    str, typer.Argument(metavar="MANIFEST", help="Parquet file or folder (CSV, JSONL too), or URI.")
]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as boundary.mode=consensus."),
]
OutputOption = Annotated[
    str, typer.Option("--output", "-o", help="Folder, file:// or s3:// URI for the results.")
]
PresetOption = Annotated[
    str | None, typer.Option("--preset", help="Named settings; 'nightreel engines' lists them.")
]
ConfigOption = Annotated[
    list[Path] | None, typer.Option("--config", help="YAML file of settings; may be repeated.")
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="Ray cluster to attach to.", envvar="RAY_ADDRESS"),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Refuse the whole manifest if any row is bad.")
]
VideosArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="VIDEO... [store.KEY=VALUE]...",
        help="Video files, folders of them, or s3:// URIs; and how to reach S3.",
    ),
]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw them, as PNG, SVG or PDF.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")]
JoinsOption = Annotated[
    str,
    typer.Option(
        "--joins", metavar="FRAMES", help="First frame after each join, such as 81,162,243."
    ),
]
WindowOption = Annotated[
    int, typer.Option("--window", metavar="FRAMES", help="A join every so many frames.")
]
RhythmOption = Annotated[
    int, typer.Option("--rhythm", metavar="FRAMES", help="Frames per latent frame; 1 for none.")
]

UriArgument = Annotated[
    str, typer.Argument(metavar="OUTPUT", help="What --output was: folder, file:// or s3:// URI.")
]
StoreArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="store.* settings, as render takes them."),
]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"nightreel {version('nightreel')}")
        raise typer.Exit


@app.callback()
def _root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=_show_version,
        ),
    ] = False,
) -> None:
    del show_version  # eager: answered before any command is looked for
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


@app.command()
def render(
    manifest: ManifestArgument,
    output: OutputOption,
    overrides: OverridesArgument = None,
    preset: PresetOption = None,
    config: ConfigOption = None,
    address: AddressOption = None,
    strict: StrictOption = False,
) -> None:
    """Render every row of a manifest that is not rendered yet."""
    settings = _settings(preset, config, overrides, address)
    _finish(_render_job(_job(manifest, output, settings, strict=strict)))


@app.command()
def validate(
    manifest: ManifestArgument,
    overrides: OverridesArgument = None,
    preset: PresetOption = None,
    config: ConfigOption = None,
    strict: StrictOption = False,
) -> None:
    """Check a manifest and the settings, row by row; render nothing."""
    from jobs.validate import validate_manifest

    report = validate_manifest(manifest, _settings(preset, config, overrides, None))
    for rejection in report.rejected:
        typer.echo(str(rejection))
    typer.echo(
        f"{report.num_valid} of {report.num_rows} rows can be rendered, "
        f"{len(report.rejected)} can't"
    )
    if report.rejected:
        raise typer.Exit(ExitCode.USAGE if strict else ExitCode.SOME_FAILED)


@app.command()
def clean(
    output: UriArgument,
    settings: StoreArgument = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, remove nothing.")] = False,
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", help="Age of what is given up: unfinished videos, uploads, old films."
        ),
    ] = "7d",
    superseded: Annotated[
        bool, typer.Option("--superseded", help="Also films that a newer one replaced.")
    ] = False,
    kept: Annotated[
        bool, typer.Option("--kept", help="Also latents and checkpoints that were to stay.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Remove what finished, abandoned and killed renders left; never a current film."""
    from jobs.clean import CleanOptions, age_s, clean_up
    from storage.open import open_store

    options = CleanOptions(older_than_s=age_s(older_than), superseded=superseded, kept=kept)
    store = open_store(output, s3=_store_options(settings, config))
    for line in clean_up(store, options, dry_run=dry_run):
        typer.echo(line)


@app.command()
def engines() -> None:
    """List engines and presets."""
    from jobs.engines import engines_table

    Console().print(engines_table())


@app.command()
def profiles(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Such as wan2.2-t2v-a14b; none: all."),
    ] = None,
) -> None:
    """Tell how much GPU memory each published model takes under each memory profile."""
    from jobs.profiles import profiles_table

    Console().print(profiles_table(models or ()))


@app.command()
def demo(
    output: OutputOption = "out",
    overrides: OverridesArgument = None,
    address: AddressOption = None,
) -> None:
    """Render a small example with the embedded model."""
    import tempfile

    from jobs.demo import write_manifest

    settings = _settings(None, None, overrides, address)
    with tempfile.TemporaryDirectory(prefix="nightreel-demo-") as folder:
        manifest = Path(folder) / "demo.parquet"
        write_manifest(manifest)
        _finish(_render_job(_job(str(manifest), output, settings, strict=True)))


@app.command("inspect")
def inspect_command(
    videos: VideosArgument,
    plot: PlotOption = None,
    as_json: JsonOption = False,
    joins: JoinsOption = "",
    window: WindowOption = 0,
    rhythm: RhythmOption = 4,
) -> None:
    """Measure seams, drift and health of finished videos."""
    import json

    from jobs.inspection import JoinOptions, inspect_videos, join_frames
    from jobs.inspection import as_json as plain
    from jobs.inspection_text import report
    from storage.connection import S3Options

    options = JoinOptions(joins=join_frames(joins), window_frames=window, rhythm_frames=rhythm)
    places = [video for video in videos if not video.startswith("store.")]
    settings = [video for video in videos if video.startswith("store.")]
    s3 = _settings(None, None, settings, None).store if settings else S3Options()
    if plot is not None:
        from jobs.inspection_plot import check_plot

        check_plot(plot)
    inspected = inspect_videos(places, options, s3)
    if as_json:
        typer.echo(json.dumps(plain(inspected), indent=2))
    else:
        Console().print(*report(inspected), sep="\n")
    if plot is not None:
        from jobs.inspection_plot import draw

        draw(inspected, plot)


app.command()(estimate_cli.estimate)
app.command()(report)
status_cli.register(app)
queue_cli.register(app, panel=QUEUE_PANEL)
app.add_typer(schedule_cli.schedule_app, rich_help_panel=NIGHT_PANEL)
app.command(rich_help_panel=NIGHT_PANEL)(schedule_cli.scheduler)
app.command(rich_help_panel=NIGHT_PANEL)(dashboards)


def main() -> None:
    """Entry point of the console script; turns errors into one line and an exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(standalone_mode=True)
    except NightreelError as error:
        typer.echo(f"nightreel: {type(error).__name__}: {error}", err=True)
        sys.exit(code_of(error))


def _interrupt(signum: int, frame: object) -> NoReturn:
    del signum, frame
    raise KeyboardInterrupt


def _settings(
    preset: str | None,
    files: list[Path] | None,
    overrides: list[str] | None,
    address: str | None,
) -> JobConfig:
    from jobs.config import load_config

    given = list(overrides or [])
    if address:
        given.append(f"ray.address={address}")
    return load_config(preset=preset, files=files or [], overrides=given)


def _store_options(settings: list[str] | None, files: list[Path] | None) -> S3Options:
    from jobs.store_settings import load_store_options

    return load_store_options(files=files or [], overrides=settings or [])


def _job(manifest: str, output: str, settings: JobConfig, *, strict: bool) -> Job:
    from jobs.render import Job
    from storage.open import StoreConfig

    store = StoreConfig(uri=output, s3=settings.store)
    return Job(manifest=manifest, store=store, config=settings, strict=strict)


def _render_job(job: Job) -> JobSummary:
    from jobs.display import display
    from jobs.render import render as render_manifest
    from storage import keys

    try:
        with display() as progress:
            summary = render_manifest(job, progress)
    except KeyboardInterrupt:
        typer.echo("nightreel: interrupted; run the same command again to go on", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if summary.rendered or summary.skipped:
        typer.echo(f"{job.store().uri}/{keys.VIDEOS}")
    return summary


def _finish(summary: JobSummary) -> None:
    code = code_of_summary(summary)
    if code:
        raise typer.Exit(code)


if __name__ == "__main__":
    main()
