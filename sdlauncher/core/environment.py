"""Which environment variables a WebUI should start with, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sdlauncher.core.device import Device
from sdlauncher.core.dialect import Tables
from sdlauncher.core.hardware import Gpu, Host
from sdlauncher.core.launch import YOURS_IN_FILE, YOURS_IN_SETTINGS, EnvVar, Reason
from sdlauncher.core.rules import Situation, choose_tier
from sdlauncher.core.settings import Settings
from sdlauncher.core.wishes import Yours, group_words, name_of

# Where a setting comes from that nobody made: the environment in the checkout has a Python of its own.
OWN_ENVIRONMENT: Final = "the checkout's own environment"
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_XFORMERS: Final = ("--xformers", "--use-xformers")


def choose_environment(
    host: Host,
    settings: Settings,
    tables: Tables,
    device: Device,
    *,
    words: Sequence[str],
    yours: Yours,
    inherited: Mapping[str, str],
) -> tuple[EnvVar, ...]:
    """Choose the environment of one instance, in the order in which it is written.

    What the user's file sets outside our block comes first and as it is; then ours; settings win over ours.
    """
    file = Reason(YOURS_IN_FILE, {"place": yours.place})
    setting = Reason(YOURS_IN_SETTINGS, {"place": settings.places.get("env", "config.toml")})
    chosen = {name: EnvVar(name, value, file) for name, value in yours.env.items()}
    ours = [
        *_choose_gpu_variables(device),
        *_choose_torch_variables(tables, device, words),
        *_choose_rows(host, settings, tables, device),
        *_choose_proxy(inherited),
    ]
    for variable in ours:
        if variable.name not in yours.opaque:
            chosen.setdefault(variable.name, variable)
    for variable in _choose_python(host, settings, tables):
        chosen[variable.name] = variable
    for name, value in settings.env.items():
        chosen[name] = EnvVar(name, value, setting)
    return tuple(chosen.values())


def _choose_gpu_variables(device: Device) -> list[EnvVar]:
    if device.kind != "cuda" or device.gpu is None or not device.is_masked:
        return []
    if not device.gpu.uuid:
        facts = {"gpu": device.gpu.name, "index": device.gpu.index}
        return [
            EnvVar("CUDA_DEVICE_ORDER", "PCI_BUS_ID", Reason("SDL-WHY-PCI-ORDER")),
            EnvVar("CUDA_VISIBLE_DEVICES", str(device.gpu.index), Reason("SDL-WHY-VISIBLE", facts)),
        ]
    facts = {"gpu": device.gpu.name, "index": device.gpu.index}
    return [EnvVar("CUDA_VISIBLE_DEVICES", device.gpu.uuid, Reason("SDL-WHY-VISIBLE", facts))]


def _choose_torch_variables(tables: Tables, device: Device, words: Sequence[str]) -> list[EnvVar]:
    variables = []
    if command := device.torch.command:
        if tables.dialect.bare_torch_command:
            command = command.removeprefix("pip install ")
        variables.append(EnvVar("TORCH_COMMAND", command, Reason("SDL-WHY-TORCH-COMMAND")))
    named = {name_of(group) for group in group_words(words)}
    if device.torch.xformers and named.intersection(_XFORMERS):
        facts = {"version": device.torch.version, "channel": device.torch.channel}
        variables.append(EnvVar("XFORMERS_PACKAGE", device.torch.xformers, Reason("SDL-WHY-XFORMERS-PAIR", facts)))
    return variables


def _choose_rows(host: Host, settings: Settings, tables: Tables, device: Device) -> list[EnvVar]:
    nobody = Gpu(0, "", "", (0, 0), None)
    gpu = device.gpu if device.gpu is not None and device.kind == "cuda" else nobody
    situation = Situation(host, None, gpu, choose_tier(gpu.memory_total, tables.tiers), settings.model)
    return [
        EnvVar(row.name, row.value, Reason(row.because))
        for row in tables.dialect.environment
        if row.when.hold(situation)
        and (device.kind == "cuda" or not row.cuda)
        and row.advisory not in settings.advisories_off
    ]


def _choose_proxy(inherited: Mapping[str, str]) -> list[EnvVar]:
    """Keep the WebUI's own address away from a proxy: gradio asks for it at the start and gives up otherwise."""
    if not any(inherited.get(name) for name in _PROXIES):
        return []
    kept = [part.strip() for part in (inherited.get("no_proxy") or inherited.get("NO_PROXY") or "").split(",")]
    hosts = [part for part in kept if part]
    hosts += [name for name in _LOCAL if name not in hosts]
    return [EnvVar(name, ",".join(hosts), Reason("SDL-WHY-NO-PROXY")) for name in ("NO_PROXY", "no_proxy")]


def _choose_python(host: Host, settings: Settings, tables: Tables) -> list[EnvVar]:
    if settings.python is None:
        return []
    place = settings.places.get("python", "config.toml")
    reason = Reason("SDL-WHY-PYTHON-VENV") if place == OWN_ENVIRONMENT else Reason(YOURS_IN_SETTINGS, {"place": place})
    if host.system != "windows":
        return [EnvVar(tables.dialect.python_variable, settings.python, reason)]
    # webui.bat runs %PYTHON% as it stands, so a path with spaces must bring its own quotes.
    bare = settings.python.strip('"')
    return [EnvVar("PYTHON", f'"{bare}"' if " " in bare else bare, reason)]
