"""``python -m jobs.embedded``; worker processes import this file, so it must stay light."""

if __name__ == "__main__":
    from jobs.embedded.cli import app

    app()
