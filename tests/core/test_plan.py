"""Plans: the advice for real GPUs, every threshold from both sides, and what must hold for any machine at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdlauncher import messages
from sdlauncher.catalog import NAMES, load_webui
from sdlauncher.catalog.flags import load_grammar, load_notes
from sdlauncher.catalog.planning import load_tables
from sdlauncher.core.flags import ACCEPTED, check_words
from sdlauncher.core.hardware import GIB, MIB, Driver, Gpu, Hardware, Host, MigInstance
from sdlauncher.core.launch import LaunchPlan
from sdlauncher.core.plan import make_plan
from sdlauncher.core.rules import read_capability
from sdlauncher.core.settings import Settings
from sdlauncher.core.wishes import Yours
from sdlauncher.errors import SdLauncherError

TABLE: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "gpus.json").read_text())["gpus"]
SUPPORTED = [row for row in TABLE if row["expect"]["supported"]]
MEMORY_FLAGS = ("--lowvram", "--medvram", "--medvram-sdxl")

# Which compute capabilities the wheels of a channel have kernels for; cu128 lost Volta on the way.
KERNELS = {
    "cu118": ((5, 0), (9, 0)), "cu121": ((5, 0), (9, 0)), "cu126": ((5, 0), (9, 0)), "cu128": ((7, 5), (12, 9)),
    "cu130": ((7, 5), (99, 0)), "cu132": ((7, 5), (99, 0)),
}  # fmt: skip
# The oldest driver on which a channel's CUDA runs at all, by NVIDIA's release notes.
DRIVERS = {
    "cu118": ("450.80.02", "452.39"), "cu121": ("525.60.13", "527.41"), "cu126": ("525.60.13", "527.41"),
    "cu128": ("525.60.13", "527.41"), "cu130": ("580", "580"), "cu132": ("580", "580"),
}  # fmt: skip


def plan(hardware: Hardware, wishes: Settings | None = None, **more: Any) -> LaunchPlan:
    wishes = wishes or Settings()
    name = wishes.webui_name
    return make_plan(hardware, wishes, load_webui(name), load_tables(name), **more)


def gpu(name: str = "GPU", capability: str = "8.9", mib: float | None = 24564, **more: Any) -> Gpu:
    memory = None if mib is None else math.ceil(mib * MIB)
    return Gpu(more.pop("index", 0), more.pop("uuid", "GPU-0"), name, read_capability(capability), memory, **more)


def machine(*gpus: Gpu, system: str = "linux", driver: str | None = None, architecture: str = "x86_64") -> Hardware:
    return Hardware(Host(system, architecture), Driver(driver) if driver else None, gpus)


def texts(made: LaunchPlan) -> list[str]:
    return [flag.text for flag in made.flags]


def of_table(row: Mapping[str, Any], **more: Any) -> Hardware:
    return machine(gpu(row["name"], row["compute_capability"], row["vram_mib"]), **more)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['name']}-{row['vram_mib']}")
def test_the_advice_for_a_real_gpu(row: Mapping[str, Any]) -> None:
    expected = row["expect"]
    made = plan(of_table(row))
    if not expected["supported"]:
        assert made.device == "unsupported"
        assert {"SDL-GPU-JETSON", "SDL-GPU-TOO-OLD"} & {warning.code for warning in made.warnings}
        assert "--use-cpu all" in texts(made)
        return
    assert made.device == "cuda"
    assert made.torch.channel == expected["torch"]
    assert made.torch.channel not in expected["never_torch_channels"]
    assert expected["torch_min"] in (None, made.torch.version)
    flags = texts(made)
    assert [flag for flag in flags if flag in ("--xformers", "--opt-sdp-attention")] == [expected["attention"]]
    assert [flag for flag in flags if flag in ("--upcast-sampling", "--no-half-vae")] == expected["precision"]
    for model in ("sd15", "sdxl", "auto"):
        flags = texts(plan(of_table(row), Settings(model=model)))
        assert [flag for flag in flags if flag in MEMORY_FLAGS] == expected[f"vram_{model}"]


@pytest.mark.parametrize("row", SUPPORTED, ids=lambda row: f"{row['name']}-{row['vram_mib']}")
@pytest.mark.parametrize("system", ["linux", "windows"])
def test_the_driver_that_a_gpu_needs_is_enough_and_one_before_it_is_not(row: Mapping[str, Any], system: str) -> None:
    least = row["expect"]["min_driver"][system]
    assert plan(of_table(row, driver=least, system=system)).torch.channel == row["expect"]["torch"]
    head, _, last = least.rpartition(".")
    older = f"{head}.{int(last) - 1}"
    assert plan(of_table(row, driver=older, system=system)).torch.channel != row["expect"]["torch"]


@pytest.mark.parametrize(
    ("driver", "system", "device", "channel"),
    [
        ("525.60.13", "linux", "cuda", "cu121"),
        ("525.60.12", "linux", "cuda", "cu118"),
        ("450.80.02", "linux", "cuda", "cu118"),
        ("450.80.01", "linux", "unsupported", "cpu"),
        ("528.33", "windows", "cuda", "cu121"),
        ("528.32", "windows", "cuda", "cu118"),
        ("452.39", "windows", "cuda", "cu118"),
        ("452.38", "windows", "unsupported", "cpu"),
    ],
)
def test_an_old_driver_gets_the_torch_that_it_can_run_or_is_told_what_is_needed(
    driver: str, system: str, device: str, channel: str
) -> None:
    made = plan(machine(gpu(capability="8.6"), driver=driver, system=system))
    assert (made.device, made.torch.channel) == (device, channel)
    said = [warning for warning in made.warnings if warning.code == "SDL-DRIVER-TOO-OLD"]
    assert bool(said) == (device == "unsupported")
    if said:
        assert said[0].facts["least"] == ("450.80.02" if system == "linux" else "452.39")


def test_blackwell_with_an_old_driver_is_told_the_driver_that_it_needs() -> None:
    made = plan(machine(gpu("NVIDIA GeForce RTX 5090", "12.0", 32607), driver="565.57.01"))
    assert made.device == "unsupported"
    assert made.gpu is not None
    assert [warning.facts["least"] for warning in made.warnings if warning.code == "SDL-DRIVER-TOO-OLD"] == ["570.26"]


@pytest.mark.parametrize(
    ("capability", "attention"),
    [
        ("5.9", "--opt-sdp-attention"),
        ("6.0", "--xformers"),
        ("9.0", "--xformers"),
        ("9.1", "--opt-sdp-attention"),
        ("10.0", "--opt-sdp-attention"),
    ],
)
def test_xformers_only_where_the_webui_does_not_refuse_it_silently(capability: str, attention: str) -> None:
    hardware = machine(gpu(capability=capability))
    made = plan(hardware)
    if made.device == "cuda":
        assert attention in texts(made)
    asked = plan(hardware, Settings(xformers=True))
    refused = "SDL-XFORMERS-REFUSED" in {warning.code for warning in asked.warnings}
    if asked.device == "cuda":
        assert refused == (attention != "--xformers")
        assert attention in texts(asked)
    assert "--xformers" not in texts(plan(hardware, Settings(xformers=False)))


@pytest.mark.parametrize(
    ("name", "capability", "broken"),
    [
        ("NVIDIA GeForce GTX 1650", "7.5", True),
        ("GeForce GTX 1660 SUPER", "7.5", True),
        ("NVIDIA T600 Laptop GPU", "7.5", True),
        ("NVIDIA T550 Laptop GPU", "7.5", True),
        ("Quadro T1200", "7.5", True),
        ("NVIDIA GeForce MX450", "7.5", True),
        ("NVIDIA CMP 30HX", "7.5", True),
        ("Tesla T4", "7.5", False),
        ("NVIDIA T10", "7.5", False),
        ("NVIDIA GeForce RTX 2060", "7.5", False),
        ("Quadro RTX 4000", "7.5", False),
        ("Quadro T1000", "8.6", False),
    ],
)
def test_precision_flags_for_turing_without_tensor_cores_alone(name: str, capability: str, broken: bool) -> None:
    assert ("--upcast-sampling" in texts(plan(machine(gpu(name, capability, 4096))))) == broken


TIERS = [(3.5, 2, 4), (5.3, 4, 6), (7.3, 6, 8), (9.4, 8, 10), (11.3, 10, 12), (14.5, 12, 16), (20.5, 16, 24)]
SAVING = {
    "sd15": {2: "--lowvram", 4: "--medvram"},
    "sdxl": {2: "--lowvram", 4: "--lowvram", 6: "--medvram", 8: "--medvram-sdxl", 10: "--medvram-sdxl"},
    "auto": {2: "--lowvram", 4: "--medvram", 6: "--medvram", 8: "--medvram-sdxl", 10: "--medvram-sdxl"},
}


@pytest.mark.parametrize("model", ["sd15", "sdxl", "auto"])
@pytest.mark.parametrize(("start", "below", "above"), TIERS)
def test_memory_flags_change_exactly_at_the_thresholds(model: str, start: float, below: int, above: int) -> None:
    for mib, tier in ((start * 1024 - 1, below), (start * 1024, above)):
        saving = [flag for flag in texts(plan(machine(gpu(mib=mib)), Settings(model=model))) if flag in MEMORY_FLAGS]
        expected = SAVING[model].get(tier)
        assert saving == ([expected] if expected else [])


def test_full_precision_needs_twice_the_memory_so_it_counts_as_one_tier_less() -> None:
    eight = machine(gpu(mib=8192))
    assert "--medvram-sdxl" in texts(plan(eight))
    assert "--medvram" in texts(plan(eight, Settings(flags=("--no-half",))))


def test_without_a_gpu_the_cpu_is_made_to_work() -> None:
    made = plan(machine())
    assert made.device == "cpu"
    assert made.gpu is None
    assert texts(made)[:4] == ["--api", "--use-cpu all", "--no-half", "--skip-torch-cuda-test"]
    assert made.torch.channel == "cpu"
    asked = plan(machine(), Settings(xformers=True))
    assert "--xformers" not in texts(asked)
    assert "SDL-XFORMERS-CPU" in {warning.code for warning in asked.warnings}


def test_flags_come_in_the_order_in_which_they_are_explained() -> None:
    made = plan(machine(gpu("NVIDIA GeForce GTX 1660", "7.5", 6144)), Settings(port=7900, flags=("--theme dark",)))
    assert texts(made) == [
        "--api", "--xformers", "--upcast-sampling", "--no-half-vae", "--medvram", "--port 7900",
        "--no-download-sd-model", "--theme dark",
    ]  # fmt: skip


BIG = gpu("NVIDIA GeForce RTX 4090", "8.9", 24564, index=1, uuid="GPU-big")
SMALL = gpu("NVIDIA GeForce GTX 1660", "7.5", 6144, index=0, uuid="GPU-small")
EXTENSIONS = ("--enable-insecure-extension-access",)
KEPLER = gpu("Tesla K80", "3.7", 99999, index=2, uuid="GPU-old")


def environment_of(made: LaunchPlan) -> dict[str, str]:
    return {variable.name: variable.value for variable in made.env}


def test_of_several_gpus_the_largest_that_works_is_chosen_by_uuid() -> None:
    made = plan(machine(SMALL, BIG, KEPLER))
    assert made.gpu == BIG
    assert environment_of(made)["CUDA_VISIBLE_DEVICES"] == "GPU-big"
    assert "--device-id" not in " ".join(texts(made))
    assert "SDL-GPU-TOO-OLD" in {warning.code for warning in made.warnings}


def test_a_single_gpu_is_not_masked_so_that_the_script_outlives_a_new_card() -> None:
    assert "CUDA_VISIBLE_DEVICES" not in environment_of(plan(machine(BIG)))


@pytest.mark.parametrize("word", ["0", "GPU-small", "gpu-small", "1660"])
def test_a_gpu_is_named_by_number_uuid_or_name(word: str) -> None:
    made = plan(machine(SMALL, BIG), Settings(gpu=word))
    assert made.gpu == SMALL
    assert environment_of(made)["CUDA_VISIBLE_DEVICES"] == "GPU-small"


def test_a_gpu_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(SdLauncherError) as caught:
        plan(machine(SMALL), Settings(gpu="3"))
    assert caught.value.code == "SDL-GPU-ABSENT"
    assert "1660" in str(caught.value)


def test_a_mig_instance_counts_and_not_its_card() -> None:
    slices = (MigInstance("MIG-a", "A100 MIG 1g.5gb", 4864 * MIB, None), MigInstance("MIG-b", "A100 MIG 3g.20gb", 20096 * MIB, None))  # fmt: skip  # noqa: E501
    card = gpu("NVIDIA A100-SXM4-40GB", "8.0", 40960, mig_instances=slices)
    made = plan(machine(card))
    assert made.gpu is not None
    assert (made.gpu.uuid, made.gpu.memory_total) == ("MIG-b", 20096 * MIB)
    assert environment_of(made)["CUDA_VISIBLE_DEVICES"] == "MIG-b"
    small = plan(machine(card), Settings(gpu="MIG-a"))
    assert "--medvram" in texts(small)


def test_the_users_flags_take_the_place_of_ours() -> None:
    made = plan(machine(gpu(mib=8192)), Settings(flags=("--opt-sub-quad-attention", "--lowvram", "--nowebui")))
    flags = texts(made)
    assert not {"--xformers", "--opt-sdp-attention", "--medvram-sdxl", "--api"} & set(flags)
    assert made.port == 7861
    assert flags[-3:] == ["--opt-sub-quad-attention", "--lowvram", "--nowebui"]
    assert "--server-name 127.0.0.1" in flags


@pytest.mark.parametrize(
    ("flags", "listen", "bind"),
    [
        (("--nowebui",), False, "127.0.0.1"),
        (("--nowebui",), True, "0.0.0.0"),
        (("--nowebui", "--server-name 192.0.2.7"), False, "192.0.2.7"),
    ],
)
def test_without_its_ui_it_serves_no_more_than_its_own_machine_unless_asked(
    flags: tuple[str, ...], listen: bool, bind: str
) -> None:
    made = plan(machine(gpu(mib=8192)), Settings(flags=flags, listen=listen))
    assert made.bind == bind
    assert ("--server-name 127.0.0.1" in texts(made)) == (bind == "127.0.0.1")


def test_unset_flags_stay_out_and_an_api_that_is_unset_is_warned_of() -> None:
    made = plan(machine(gpu(mib=8192)), Settings(without=("api", "--medvram-sdxl")))
    assert not {"--api", "--medvram-sdxl"} & set(texts(made))
    assert "SDL-WITHOUT-API" in {warning.code for warning in made.warnings}


@pytest.mark.parametrize(
    ("hardware", "wishes", "code"),
    [
        (machine(), Settings(flags=("--precision half",)), "SDL-FLAGS-CONTRADICT"),
        (machine(BIG), Settings(flags=("--precision half", "--no-half-vae")), "SDL-FLAGS-CONTRADICT"),
        (machine(SMALL, BIG), Settings(gpu="1", flags=("--device-id 1",)), "SDL-FLAG-DEVICE-MASKED"),
        (machine(SMALL), Settings(flags=("--theme 'dark",)), "SDL-ARGS-QUOTES"),
        (machine(SMALL), Settings(flags=("--api-auth u:p",)), "SDL-SECRET-IN-SETTINGS"),
        (machine(SMALL), Settings(listen=True, flags=EXTENSIONS), "SDL-EXTENSIONS-EXPOSED"),
        (machine(SMALL), Settings(flags=("--share", *EXTENSIONS)), "SDL-EXTENSIONS-EXPOSED"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(hardware: Hardware, wishes: Settings, code: str) -> None:
    with pytest.raises(SdLauncherError) as caught:
        plan(hardware, wishes, credentials="/c")
    assert caught.value.code == code


def test_a_secret_never_shows_in_the_refusal_of_it() -> None:
    with pytest.raises(SdLauncherError) as caught:
        plan(machine(SMALL), Settings(flags=("--api-auth user:hunter2",)))
    assert "hunter2" not in str(caught.value) + caught.value.describe().hint


def test_a_device_number_chooses_the_gpu_and_is_kept_when_nothing_else_masks() -> None:
    made = plan(machine(SMALL, BIG), Settings(flags=("--device-id 0",)))
    assert made.gpu == SMALL


@pytest.mark.parametrize("webui", NAMES)
def test_listening_brings_a_password_and_says_what_stays_open(webui: str) -> None:
    made = plan(machine(SMALL), Settings(webui=webui, listen=True), credentials="/home/me/credentials")
    assert made.bind == "0.0.0.0"
    assert "--listen" in texts(made)
    assert made.credentials == "/home/me/credentials"
    assert any(text.endswith(" /home/me/credentials") for text in texts(made))
    assert made.secret_argument == ("" if webui == "sdnext" else "--api-auth")
    assert "SDL-STILL-OPEN" in {warning.code for warning in made.warnings}


def test_listening_without_a_password_takes_the_word_insecure() -> None:
    made = plan(machine(SMALL), Settings(listen=True, insecure=True), credentials="/c")
    assert made.credentials == ""
    assert "SDL-OPEN-TO-ALL" in {warning.code for warning in made.warnings}
    allowed = ("--enable-insecure-extension-access",)
    assert allowed[0] in texts(plan(machine(SMALL), Settings(listen=True, insecure=True, flags=allowed)))


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--share",), "SDL-PUBLIC-TUNNEL"),
        (("--ngrok token",), "SDL-PUBLIC-TUNNEL"),
        (("--allow-code",), "SDL-ALLOW-CODE"),
        (("--disable-safe-unpickle",), "SDL-UNSAFE-UNPICKLE"),
        (("--cors-allow-origins '*'",), "SDL-CORS-ANYONE"),
        (("--cors-allow-origins=http://a,*",), "SDL-CORS-ANYONE"),
        (("--tls-keyfile k",), "SDL-TLS-HALF"),
        (("--listen", "--api-server-stop"), "SDL-SERVER-STOP-OPEN"),
    ],
)
def test_dangerous_flags_are_warned_of(flags: tuple[str, ...], code: str) -> None:
    assert code in {warning.code for warning in plan(machine(SMALL), Settings(flags=flags), credentials="/c").warnings}
    assert code not in {warning.code for warning in plan(machine(SMALL)).warnings}


def test_the_users_own_lines_come_first_and_are_respected() -> None:
    yours = Yours("webui-user.sh", ("--medvram", "--port", "7999"), {"CUDA_VISIBLE_DEVICES": "0"})
    made = plan(machine(SMALL, BIG), yours=yours)
    assert texts(made)[:2] == ["--medvram", "--port 7999"]
    assert made.port == 7999
    assert made.gpu == SMALL
    assert [flag.text for flag in made.written].count("--port 7999") == 0
    spoken = plan(machine(SMALL), Settings(port=7900), yours=yours)
    assert texts(spoken).index("--port 7900") > texts(spoken).index("--port 7999"), "argparse takes the last one"


def test_a_flag_of_the_users_own_lines_is_not_unset_behind_their_back() -> None:
    with pytest.raises(SdLauncherError) as caught:
        plan(machine(SMALL), Settings(without=("medvram",)), yours=Yours("webui-user.sh", ("--medvram",)))
    assert caught.value.code == "SDL-UNSET-YOURS"


def test_a_proxy_in_the_environment_keeps_the_loopback_free_and_loses_no_entry() -> None:
    made = plan(machine(SMALL), environment={"https_proxy": "http://proxy:3128", "no_proxy": "intra.net"})
    assert environment_of(made)["NO_PROXY"] == "intra.net,localhost,127.0.0.1,::1"
    assert "NO_PROXY" not in environment_of(plan(machine(SMALL), environment={}))


def test_a_known_break_whose_cure_is_switched_off_stays_as_it_is() -> None:
    assert "STABLE_DIFFUSION_REPO" in environment_of(plan(machine(SMALL)))
    off = Settings(advisories_off=("sd-repository-gone",))
    assert "STABLE_DIFFUSION_REPO" not in environment_of(plan(machine(SMALL), off))


capabilities = st.tuples(st.integers(1, 15), st.integers(0, 9))
memories = st.one_of(st.none(), st.integers(256 * MIB, 300 * GIB))
releases = ["340.108", "450.80.02", "470.256.02", "525.60.13", "535.1", "550.54.14", "566.36", "570.26", "570.65",
            "580.65.06", "581.2", "620.1"]  # fmt: skip
drivers = st.one_of(st.none(), st.sampled_from(releases))
names = st.sampled_from(["NVIDIA GeForce GTX 1650", "Tesla T4", "NVIDIA GeForce RTX 4090", "Something new", ""])
gpus = st.builds(
    lambda index, name, capability, memory: Gpu(index, f"GPU-{index}", name, capability, memory),
    st.integers(0, 7), names, capabilities, memories,
)  # fmt: skip
machines = st.builds(
    lambda system, architecture, driver, found: Hardware(
        Host(system, architecture), Driver(driver) if driver else None, tuple(found)
    ),
    st.sampled_from(["linux", "windows"]),
    st.sampled_from(["x86_64", "aarch64"]),
    drivers,
    st.lists(gpus, max_size=4),
)
wishes = st.builds(
    lambda webui, model, xformers, listen, insecure, flags: Settings(
        webui=webui, model=model, xformers=xformers, listen=listen, insecure=insecure, flags=tuple(flags)
    ),
    st.sampled_from(NAMES),
    st.sampled_from(["auto", "sd15", "sdxl"]),
    st.sampled_from([None, True, False]),
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from(["--lowvram", "--xformers", "--no-half", "--precision half", "--share", "--theme dark",
                              "--use-cpu all", "--device-id 1", "--opt-sdp-attention", "--medvram"]), max_size=3),
)  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(machines, wishes)
def test_any_machine_gets_a_sound_plan_or_a_refusal_by_name(hardware: Hardware, asked: Settings) -> None:
    try:
        made = plan(hardware, asked, credentials="/c")
    except SdLauncherError as refusal:
        assert messages.lookup(refusal.code).exit_code == 2
        return
    groups = load_tables(asked.webui_name).groups
    ours = [flag for flag in made.flags if not flag.is_users]
    for members in (groups["attention"], groups["memory"], groups["device"]):
        assert len([flag for flag in ours if flag.name in members]) <= 1
        assert not (any(flag.name in members for flag in ours) and any(
            flag.name in members for flag in made.flags if flag.is_users))  # fmt: skip
    words = made.arguments
    half = "half" in words and "--precision" in words
    assert not (half and {"--no-half", "--no-half-vae"} & set(words))
    if "--xformers" in words or "--use-xformers" in words:
        assert made.gpu is not None
        assert made.device == "cuda"
        assert (6, 0) <= made.gpu.compute_capability <= (9, 0)
        assert hardware.host.architecture == "x86_64"
    if made.bind == "0.0.0.0" and not asked.insecure:
        assert made.credentials
    answers = check_words(
        [word for flag in ours for word in flag.argv], load_grammar(made.webui), load_notes(made.webui), {}
    )
    assert [answer for answer in answers if answer.status != ACCEPTED] == [], "we write what the fork reads"
    for reason in [flag.reason for flag in (*made.flags, *made.dropped)] + [item.reason for item in made.env]:
        for language in messages.LANGUAGES:
            assert messages.describe(reason.code, reason.facts, language).sentence


@settings(max_examples=200, deadline=None)
@given(machines, st.sampled_from([name for name in NAMES if name != "mini"]))
def test_no_torch_is_chosen_that_lacks_the_kernels_or_the_driver(hardware: Hardware, webui: str) -> None:
    made = plan(hardware, Settings(webui=webui))
    assert (made.torch.channel == "cpu") == (made.device != "cuda")
    if made.device != "cuda":
        return
    assert made.gpu is not None
    least, most = KERNELS[made.torch.channel]
    assert least <= made.gpu.compute_capability <= most or made.gpu.compute_capability[0] > 12
    if hardware.driver is not None:
        on_windows = hardware.host.system == "windows"
        assert hardware.driver.release >= Driver(DRIVERS[made.torch.channel][on_windows]).release
        if made.gpu.compute_capability >= (10, 0):
            assert hardware.driver.release >= (570, 26)


RANK = {"--always-no-vram": 3, "--lowvram": 3, "--always-low-vram": 2, "--medvram": 2, "--always-offload-from-vram": 1,
        "--medvram-sdxl": 1}  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(gpus, st.integers(256 * MIB, 100 * GIB), st.integers(0, 100 * GIB), wishes)
def test_less_memory_never_means_less_saving(card: Gpu, memory: int, more: int, asked: Settings) -> None:
    def saving(total: int) -> int:
        bare = Settings(webui=asked.webui, model=asked.model)
        one = Gpu(0, "GPU-0", card.name, card.compute_capability, total)
        return max((RANK.get(flag.name, 0) for flag in plan(machine(one), bare).flags), default=0)

    assert saving(memory) >= saving(memory + more)
