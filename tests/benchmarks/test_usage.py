"""Every benchmark says what it does when asked, and begins nothing that was not asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.usage import command_line, positive, positive_int

ROOT = Path(__file__).parents[2] / "benchmarks"
NAMES = sorted(path.parent.name for path in ROOT.glob("*/__main__.py"))
# Any word is a folder to it.
TAKES_ANY_WORD = {"modes"}


def ended_with(name: str, *words: str) -> object:
    with pytest.raises(SystemExit) as ended:
        import_module(f"benchmarks.{name}.__main__").main(words)
    return ended.value.code


@pytest.mark.parametrize("name", NAMES)
def test_help_is_the_docstring(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended_with(name, "--help") == 0
    said = capsys.readouterr().out
    first_line = str(import_module(f"benchmarks.{name}.__main__").__doc__).splitlines()[0]
    assert first_line.startswith(f"``python -m benchmarks.{name}")
    assert first_line in said
    assert said.startswith(f"usage: python -m benchmarks.{name} [-h]")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("word", ["--nonsense", "nonsense"])
def test_nonsense_is_refused(name: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word] if name not in TAKES_ANY_WORD else ["a-folder", word]
    assert ended_with(name, *words) == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "word", "says"),
    [
        ("actors", "gang.actor=2", "gang.actor"),
        ("efficiency", "0.3", "argument SECONDS: got 0.3, expected one of [0.2, 1.0, 5.0]"),
        ("exchange", "-1", "got '-1', expected a number above 0"),
        ("fleet", "0", "argument VIDEOS: got '0', expected a whole number above 0"),
    ],
)
def test_values_are_looked_at(
    name: str, word: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended_with(name, word) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("word", ["0", "nan", "inf", "-2", "x", "1e400"])
def test_a_number_is_above_zero(word: str) -> None:
    parser = command_line("benchmarks.x", None)
    parser.add_argument("--size", type=positive)
    parser.add_argument("--count", type=positive_int)
    for option in ("--size", "--count"):
        with pytest.raises(SystemExit):
            parser.parse_args([f"{option}={word}"])
    assert vars(parser.parse_args(["--size=0.5", "--count=12"])) == {"size": 0.5, "count": 12}
