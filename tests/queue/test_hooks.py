"""Commands of the operator's, as real processes."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import pytest

from jobs.hooks import HookOptions, call, run_hook
from jobs.veto import Veto
from pipeline.engines import gaussian
from pipeline.engines.gaussian import GaussianOptions
from pipeline.errors import RequestError
from pipeline.request import PromptEvent, VideoDefaults, VideoSpec, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.request import VideoRequest

CHECK = """
import json, sys
row = json.load(sys.stdin)
prompts = [event["prompt"] for event in row["prompts"]]
if "crash" in prompts:
    sys.exit(7)
if any("weapon" in prompt for prompt in prompts):
    print(f"no weapons, {row['id']}\\nand more")
    sys.exit(1)
"""


def script(folder: Path, text: str) -> str:
    path = folder / "hook script.py"
    path.write_text(text)
    return f'{sys.executable} "{path}"'


def ask(*prompts: str) -> VideoRequest:
    events = tuple(PromptEvent(float(n), prompt) for n, prompt in enumerate(prompts[1:], 1))
    spec = VideoSpec(id="clip", prompt=prompts[0], events=events)
    return resolve(spec, VideoDefaults(), gaussian.spec(GaussianOptions()))


def test_a_veto_allows_refuses_with_its_reason_and_fails_closed(tmp_path: Path) -> None:
    veto = Veto.of(HookOptions(veto=script(tmp_path, CHECK)))
    assert veto is not None
    veto.check(ask("a red ball"))
    with pytest.raises(RequestError, match=r"refused by hooks\.veto: no weapons, clip$"):
        veto.check(ask("a red ball", "a weapon"))
    with pytest.raises(RequestError, match=r"gave no answer: .*: exit status 7"):
        veto.check(ask("crash"))
    with pytest.raises(RequestError, match="No such file"):
        Veto(("/nowhere/veto",), 5.0).check(ask("a red ball"))
    assert Veto.of(HookOptions()) is None


def test_a_hook_that_hangs_is_ended_with_all_that_it_started() -> None:
    began_s = time.monotonic()
    answer = call(["sh", "-c", "sleep 300 & sleep 300"], {}, 0.5)
    assert answer.exit_code is None
    assert "no answer in 0.5 s" in answer.trouble
    assert time.monotonic() - began_s < 60


def test_a_hook_is_told_the_facts_and_its_failure_is_no_matter(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "told.json"
    text = (
        "import json, os, sys; facts = json.load(sys.stdin);"
        f"json.dump([facts, os.environ['NIGHTREEL_JOB']], open({str(out)!r}, 'w')); sys.exit(9)"
    )
    options = HookOptions(on_finished=script(tmp_path, text))
    run_hook(options, "finished", {"job": "a", "failed_videos": {"x": "y"}})
    facts, job = json.loads(out.read_text())
    assert job == "a"
    assert facts == {"event": "finished", "job": "a", "failed_videos": {"x": "y"}}
    assert "hooks.on_finished: " in caplog.text
    assert "exit status 9" in caplog.text
    run_hook(options, "failed", {"job": "a"})
