"""Models: brought into the right folder, refused when they are none, shared between WebUIs."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.core.test_weights import safetensors


def write_model(file: Path, *names: str) -> Path:
    head, size = safetensors(*names)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(head.ljust(size, b"\0"))
    return file


SDXL = ("model.diffusion_model.a", "conditioner.embedders.1.model.b")


@pytest.fixture
def mini(cli: Cli) -> Path:
    return Path(cli("install", "--webui", "mini", "--json").data["dir"])


def test_the_model_of_mini_webui_is_known(cli: Cli, mini: Path) -> None:
    listed = cli("model", "list", "--json").data["models"]
    assert [(it["name"], it["kind"], it["family"]) for it in listed] == [
        ("mini-diffusion-v1.safetensors", "checkpoint", "mini")
    ]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the URL it is served under."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_local_file_goes_where_its_content_belongs(cli: Cli, mini: Path, tmp_path: Path) -> None:
    lora = write_model(tmp_path / "style.safetensors", "lora_unet_a.lora_up.weight")
    added = cli("model", "add", lora, "--json")
    assert added.code == 0, added.out
    assert Path(added.data["path"]) == mini / "models" / "Lora" / "style.safetensors"
    assert lora.exists(), "the user's file stays"
    assert added.data["sha256"] == hashlib.sha256(lora.read_bytes()).hexdigest()


def test_a_url_is_fetched_checked_and_listed(cli: Cli, mini: Path, site: tuple[Path, str]) -> None:
    folder, url = site
    file = write_model(folder / "big model.safetensors", *SDXL)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert cli("model", "add", f"{url}/big%20model.safetensors?download=true", "--sha256", digest).code == 0
    listed = {it["name"]: it for it in cli("model", "list", "--json").data["models"]}
    assert (listed["big model.safetensors"]["kind"], listed["big model.safetensors"]["family"]) == (
        "checkpoint",
        "sdxl",
    )


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "SDL-WEIGHTS-PAGE"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", "SDL-WEIGHTS-LFS"),
        (safetensors("a", "b")[0], "SDL-WEIGHTS-CUT"),
        (b"just text", "SDL-WEIGHTS-UNKNOWN"),
    ],
)
def test_what_is_no_model_is_not_taken(cli: Cli, mini: Path, site: tuple[Path, str], content: bytes, code: str) -> None:
    folder, url = site
    (folder / "m.safetensors").write_bytes(content)
    before = sorted(mini.rglob("*"))
    for source in (f"{url}/m.safetensors", folder / "m.safetensors"):
        ran = cli("model", "add", source, "--json")
        assert ran.code == 1
        assert ran.json["error"]["code"] == code
    assert sorted(mini.rglob("*")) == before


def test_a_model_that_is_there_is_not_overwritten(cli: Cli, mini: Path, tmp_path: Path) -> None:
    first = write_model(tmp_path / "m.safetensors", *SDXL)
    assert cli("model", "add", first).code == 0
    again = cli("model", "add", first, "--json")
    assert again.json["error"]["code"] == "SDL-MODEL-EXISTS"
    assert cli("model", "add", first, "--name", "other.safetensors").code == 0


def test_a_mirror_of_the_hub_is_asked_in_its_place(cli: Cli, mini: Path, site: tuple[Path, str]) -> None:
    folder, url = site
    write_model(folder / "owner" / "repo" / "resolve" / "main" / "m.safetensors", *SDXL)
    (cli.home / "config").mkdir(exist_ok=True)
    (cli.home / "config" / "config.toml").write_text(f'[mirrors]\nmodels = "{url}"\n')
    ran = cli("model", "add", "https://huggingface.co/owner/repo/resolve/main/m.safetensors", "--json")
    assert ran.code == 0, ran.out


def test_a_shared_folder_reaches_the_webui_by_its_flags(cli: Cli, mini: Path, tmp_path: Path) -> None:
    shared = tmp_path / "all my models"
    flags = cli("model", "dir", shared, "--json").data["flags"]
    assert f"--ckpt-dir '{shared}/Stable-diffusion'" in flags
    write_model(tmp_path / "m.safetensors", *SDXL)
    added = cli("model", "add", tmp_path / "m.safetensors", "--json").data
    assert Path(added["path"]).parent == shared / "Stable-diffusion"
    planned = [flag["text"] for flag in cli("plan", "--json").data["flags"]]
    assert any("--ckpt-dir" in text and "all my models" in text for text in planned), planned
    cli("model", "dir", "--own")
    assert cli("model", "dir", "--json").data["dir"] is None


def test_a_source_that_is_not_there_is_a_usage_error(cli: Cli, mini: Path) -> None:
    assert cli("model", "add", "/nowhere/m.safetensors", "--json").json["error"]["code"] == "SDL-MODEL-SOURCE"
