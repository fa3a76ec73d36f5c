"""Let coverage choose what property tests are given: `python -m tests.fuzz [SECONDS [PART-OF-A-NAME…]] [-OPTION…]`.

The tests of TARGETS are about what comes from containers and from front ends. Hypothesis makes inputs blindly; atheris
(libFuzzer) keeps those that reached new code and varies them. A fault is shown with its input, which Hypothesis keeps:
the next `pytest` of that test begins with it. Options are libFuzzer's: with `-seed=1` the inputs are the same each
time, and none of an earlier time are among them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

SECONDS = 60
TARGETS = (
    "test_protocol:test_garbage_is_refused_or_waits_for_more",
    "test_frames:test_whatever_comes_is_refused_or_has_its_shape_and_can_be_sent_on",
    "test_hostile_cells:test_whatever_a_cell_sends_it_ends_and_the_next_one_runs",
    "test_hostile_cells:test_a_container_of_widgets_that_sends_what_is_no_message_is_ended",
    "test_hostile_zygote:test_whatever_it_says_its_cells_have_an_end_that_can_be_told",
    "test_requests:test_what_is_a_message_is_answered_and_can_be_given_to_a_cell",
    "test_requests:test_frames_are_a_message_or_refused",
    "test_lab_hostile:test_what_a_browser_sends_is_taken_or_refused_in_a_sentence",
    "test_lab_hostile:test_texts_are_cut_and_can_be_sent",
)


def main() -> int:
    """Give each target its time, in a process of its own: libFuzzer leaves with the process."""
    options = [word for word in sys.argv[1:] if word.startswith("-")]
    seconds, *names = [word for word in sys.argv[1:] if word not in options] or [str(SECONDS)]
    chosen = [target for target in TARGETS if not names or any(name in target for name in names)]
    if not chosen:
        click.echo(f"no target has {' or '.join(names)} in its name; there are: {', '.join(TARGETS)}", err=True)
        return 2
    if importlib.util.find_spec("atheris") is None:
        click.echo("skipped: atheris has no wheel for this Python or machine")
        return 0
    failed = [target for target in chosen if not held(target, seconds, options)]
    for target in failed:
        click.echo(f"FAILED {target}")
    click.echo(f"{len(chosen) - len(failed)} of {len(chosen)} targets held, {seconds} s each")
    return 1 if failed else 0


def held(target: str, seconds: str, options: list[str]) -> bool:
    """Fuzz one target; say how much it was given, or all that libFuzzer has said."""
    command = [sys.executable, "-m", "tests.fuzz", "--target", target, seconds, *options]
    joined: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, check=False, text=True, errors="replace", **joined)
    given, new = (
        re.search(rf"stat::{name}: *(\d+)", done.stdout) for name in ("number_of_executed_units", "new_units_added")
    )
    if done.returncode or not given or not new:
        click.echo(f"{target}: exit {done.returncode}\n{done.stdout}")
        return False
    click.echo(f"{target}: {int(given[1]):,} inputs, {new[1]} of them reached something new")
    return True


def fuzz(target: str, seconds: str, *options: str) -> None:
    """Run one target; does not return. What has reached new code is kept in build/fuzz for the next time."""
    import atheris

    module, _, name = target.partition(":")
    with atheris.instrument_imports(
        include=["cellstack_guest", "cellstack_kernel", "cellstack_lab", "cellstack_runtime"]
    ):
        test = getattr(importlib.import_module(f"tests.unit.{module}"), name)
    folder = Path("build/fuzz") / name
    folder.mkdir(parents=True, exist_ok=True)
    usual = [
        f"-max_total_time={seconds}",
        "-max_len=8192",
        f"-artifact_prefix={folder.parent}{os.sep}",
        "-verbosity=0",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *usual, *options, *([] if options else [str(folder)])], test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--target"]:
        fuzz(*sys.argv[2:])
    else:
        sys.exit(main())
