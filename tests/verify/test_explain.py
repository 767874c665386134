"""The command explain: files, standard input, the instance's own log, and what is no log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import Cli

LOGS = Path(__file__).parents[1] / "data" / "logs"
# Runs a command and then prints the most memory it held, in kB: rusage would count what the parent held, too.
PEAK = """
import re, sys
from pathlib import Path
from sdlauncher.cli.main import run
run(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
OOM = "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB"


def test_a_file_is_explained_for_people_and_for_scripts(cli: Cli) -> None:
    ran = cli("explain", LOGS / "corrupt_st.log", "--json")
    first = ran.data["findings"][0]
    assert ran.code == 0
    assert (first["id"], first["line"], first["severity"]) == ("safetensors_header", 19, "error")
    assert set(first) >= {"id", "line", "text", "cause", "remedy", "severity"}
    text = cli("explain", LOGS / "corrupt_st.log", env={"SDLAUNCHER_LANG": "zh"}).out
    assert "safetensors_header" in text and "重新下载" in text
    assert "no known fault" in cli("explain", LOGS / "webuish_1.log").out


def test_standard_input_and_wide_characters_are_read(cli: Cli, tmp_path: Path) -> None:
    wide = tmp_path / "powershell.log"
    wide.write_bytes(f"Launching Web UI with arguments:\r\n{OOM}\r\n".encode("utf-16"))
    assert [it["id"] for it in cli("explain", wide, "--json").data["findings"]] == ["oom"]
    done = subprocess.run(
        [sys.executable, "-m", "sdlauncher", "explain", "-"],
        env=dict(cli.env), input=OOM.encode(), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert b"[oom]" in done.stdout


def test_what_is_no_log_is_said(cli: Cli, tmp_path: Path) -> None:
    for path, code in ((tmp_path / "absent.log", "SDL-LOG-READ"), (tmp_path, "SDL-LOG-READ")):
        ran = cli("explain", path, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (1, code)
    assert cli("explain", "--json").json["error"]["code"] == "SDL-LOG-NONE"
    binary = tmp_path / "binary"
    binary.write_bytes(bytes(range(256)) * 1000)
    assert cli("explain", binary, "--json").data["findings"] == []


def test_a_large_log_is_read_in_bounded_memory(cli: Cli, tmp_path: Path) -> None:
    large = tmp_path / "large.log"
    block = "".join(f"{n % 100}%|##| {n}/400 [00:01<00:13, {n / 7:.2f}it/s]\n" for n in range(20_000)).encode()
    with large.open("wb") as file:
        for _ in range(40_000_000 // len(block) + 1):
            file.write(block)
        file.write(OOM.encode())
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "explain", large, "--json"],
        env=dict(cli.env), capture_output=True, timeout=110, check=False,
    )  # fmt: skip
    found, peak = done.stdout.decode().strip().splitlines()
    assert '"id": "oom"' in found
    assert int(peak) < 80 * 1024
