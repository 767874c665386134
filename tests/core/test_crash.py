"""Causes named from real log ends, and whether trying again could help."""

from __future__ import annotations

import pytest

from sdlauncher.core.crash import Ending, find_cause, name_status

BUSY = "OSError: Cannot find empty port in range: 7860-7860. You can specify a different port by setting ..."
FLAG = "launch.py: error: unrecognized arguments: --nosuch-flag"
NO_GPU = "RuntimeError: Torch is not able to use GPU; add --skip-torch-cuda-test to COMMANDLINE_ARGS variable"
OOM = "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 8.00 GiB total capacity)"
SHELL = 'webui.sh: line 296: 20173 {what}                  "${{python_cmd}}" -u "${{LAUNCH_SCRIPT}}" "$@"'


@pytest.mark.parametrize(
    ("ending", "lines", "kind", "signal", "signature", "permanent"),
    [
        (
            Ending(code=0),
            [BUSY, "Applying attention optimization: InvokeAI... done."],
            "port-taken",
            None,
            "port_busy",
            True,
        ),
        (Ending(code=0), [FLAG], "bad-flag", None, "unrecognized", True),
        (
            Ending(code=0),
            ["usage: ...", "launch.py: error: argument --port: invalid int value: 'abc'"],
            "bad-flag",
            None,
            "bad_value",
            True,
        ),
        (Ending(code=0), ["Traceback", NO_GPU], "no-gpu", None, "torch_no_gpu", True),
        (
            Ending(code=1),
            ["\x1b[1m\x1b[31mERROR: This script must not be launched as root, aborting...\x1b[0m"],
            "refused",
            None,
            "root",
            True,
        ),
        (Ending(code=0, ready=True), [OOM], "cuda-oom", None, "oom", False),
        (Ending(code=0, ready=True), [SHELL.format(what="Killed")], "killed", "SIGKILL", None, False),
        (
            Ending(code=0, ready=True, oom_kills=1),
            [SHELL.format(what="Killed")],
            "oom-killer",
            "SIGKILL",
            "oom_killer",
            False,
        ),
        (
            Ending(code=0, ready=True),
            [SHELL.format(what="Segmentation fault      (core dumped)")],
            "crashed",
            "SIGSEGV",
            None,
            False,
        ),
        (Ending(code=0, ready=True), [SHELL.format(what="Terminated")], "killed", "SIGTERM", None, False),
        (Ending(signal="SIGBUS"), [], "crashed", "SIGBUS", None, False),
        (Ending(signal="SIGKILL"), [], "killed", "SIGKILL", None, False),
        (Ending(signal="SIGHUP"), [], "killed", "SIGHUP", None, False),
        (
            Ending(code=0, ready=True),
            ["OSError: [Errno 28] No space left on device"],
            "disk-full",
            None,
            "no_space",
            True,
        ),
        (Ending(code=0, ready=True, disk_free=1 << 20), ["..."], "disk-full", None, "no_space", False),
        (
            Ending(code=0),
            ["RuntimeError: Couldn't install clip.", "ModuleNotFoundError: No module named 'pkg_resources'"],
            "install",
            None,
            "clip_pkg_resources",
            True,
        ),
        (Ending(code=0), ["RuntimeError: Couldn't install clip."], "install", None, "pip_step_failed", False),
        (Ending(code=7), ["all well"], "exited", None, None, False),
        (Ending(code=0), [], "exited", None, None, False),
    ],
)
def test_cause(
    ending: Ending, lines: list[str], kind: str, signal: str | None, signature: str | None, permanent: bool
) -> None:
    cause = find_cause(ending, lines)
    assert (cause.kind, cause.signal, cause.signature, cause.permanent) == (kind, signal, signature, permanent)


def test_the_evidence_is_the_line_that_decided() -> None:
    assert find_cause(Ending(code=0), ["one", FLAG, "three"]).evidence == FLAG
    assert find_cause(Ending(code=7), []).evidence == "exit code 7"
    assert find_cause(Ending(code=0), ["a", "ValueError: what a pity", "b"]).evidence == "ValueError: what a pity"


def test_an_evidence_tells_no_password() -> None:
    line = "Launching Web UI with arguments: --api-auth u:s3cret --auth=u:s3cret --gradio-auth-path /a/b --listen"
    told = find_cause(Ending(code=0), [line]).evidence
    assert told == "Launching Web UI with arguments: --api-auth *** --auth=*** --gradio-auth-path /a/b --listen"


def test_what_bash_says_behind_an_unfinished_progress_bar_is_read() -> None:
    said = SHELL.format(what="Killed")
    cause = find_cause(Ending(code=0, ready=True), ["  1%|          | 1/150 [00:01<04:25,  1.78s/it]" + said])
    assert (cause.signal, cause.evidence) == ("SIGKILL", " ".join(said.split()))


def test_what_git_says_of_a_checkout_without_tags_is_no_cause() -> None:
    lines = ["Launching launch.py...", "fatal: No names found, cannot describe anything.", "Stopping server..."]
    assert find_cause(Ending(code=0, ready=True), lines).evidence == "Stopping server..."


@pytest.mark.parametrize(
    "lines",
    [
        [OOM, "Stopping server...", "Closing server running on port: 7860"],
        [" 10%|█         | 4/40 [00:01<00:16,  2.21it/s]Stopping server...", "", "Total progress:  12%|█▎  | 5/40"],
        ["12:03:05-734 INFO     Server shutdown request received"],
    ],
)
def test_a_stop_through_the_api_is_what_it_is(lines: list[str]) -> None:
    assert find_cause(Ending(code=0, ready=True), lines).kind == "stopped-by-api"
    assert find_cause(Ending(code=1, ready=True), lines).kind != "stopped-by-api"
    assert find_cause(Ending(signal="SIGSEGV", ready=True), lines).kind == "crashed"


def test_a_trouble_of_long_ago_is_no_cause_of_an_exit_today() -> None:
    old = [OOM, *(f"line {number}" for number in range(100))]
    assert find_cause(Ending(code=0, ready=True), old).kind == "exited"
    assert find_cause(Ending(code=0, ready=False), old).kind == "cuda-oom"


@pytest.mark.parametrize(
    ("code", "name"),
    [(0xC0000005, "ACCESS_VIOLATION"), (-1073741819, "ACCESS_VIOLATION"), (0xC000013A, "CONTROL_C_EXIT"), (1, None)],
)
def test_windows_names_its_exceptions_by_exit_status(code: int, name: str | None) -> None:
    assert name_status(code) == name


def test_ctrl_c_on_windows_is_somebody_and_no_crash() -> None:
    assert find_cause(Ending(signal="CONTROL_C_EXIT"), []).kind == "killed"
    assert find_cause(Ending(signal="ACCESS_VIOLATION"), []).kind == "crashed"
