"""The plan of a launch: from hardware and wishes to flags, environment, torch and Python, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sdlauncher.core.device import CPU_WORDS, Device, choose_device
from sdlauncher.core.dialect import Tables
from sdlauncher.core.environment import choose_environment
from sdlauncher.core.exposure import SECRET_FLAGS, Exposure, find_exposure, judge_exposure
from sdlauncher.core.hardware import Hardware
from sdlauncher.core.launch import YOURS_IN_FILE, YOURS_IN_SETTINGS, Flag, LaunchPlan, PythonChoice, Reason
from sdlauncher.core.rules import Rule, Situation, choose, choose_tier
from sdlauncher.core.settings import Settings
from sdlauncher.core.verdict import Level, Verdict
from sdlauncher.core.webui import WebUi
from sdlauncher.core.wishes import NOTHING_YOURS, Yours, group_words, name_of, normalize_name, read_texts, value_of
from sdlauncher.errors import SdLauncherError

_DEVICE_FLAGS = ("--device-id", "--gpu-device-id", "--cuda-device")
_HALF = ("--no-half", "--no-half-vae")


@dataclass(slots=True)
class _Draft:
    """A plan in the making: what was chosen so far, and what the user's own flags leave to choose."""

    hardware: Hardware
    settings: Settings
    tables: Tables
    yours: tuple[Flag, ...]
    wished: tuple[Flag, ...]
    taken: frozenset[str]
    flags: list[Flag] = field(default_factory=list)
    dropped: list[Flag] = field(default_factory=list)
    warnings: list[Verdict] = field(default_factory=list)

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word for flag in (*self.yours, *self.flags, *self.wished) for word in flag.argv)

    def wants(self, *names: str) -> bool:
        """Tell whether the user's own flags name one of `names`."""
        return any(flag.name in names for flag in (*self.yours, *self.wished))

    def add(self, text: str, reason: Reason) -> None:
        """Take a flag of the original dialect, in this WebUI's words; nothing where the user chose or unset it."""
        original = Flag(text, reason)
        if original.name in self.taken:
            return
        translation = self.tables.dialect.translations.get(text) or self.tables.dialect.translations.get(original.name)
        if translation is None:
            self._write(original)
            return
        facts = {"flag": text, "instead": " ".join(translation.flags)}
        self.dropped.append(Flag(text, Reason(translation.because, facts)))
        for replacement in translation.flags:
            # The reason of the wish stays: what took its place does the same thing for the same cause.
            self._write(Flag(replacement, reason))

    def _write(self, flag: Flag) -> None:
        if flag.name not in self.taken and all(flag.text != other.text for other in self.flags):
            self.flags.append(flag)

    def warn(self, code: str, **facts: object) -> None:
        self.warnings.append(Verdict(code, Level.WARNING, facts))


def make_plan(
    hardware: Hardware,
    settings: Settings,
    webui: WebUi,
    tables: Tables,
    *,
    yours: Yours = NOTHING_YOURS,
    environment: Mapping[str, str] | None = None,
    credentials: str = "",
) -> LaunchPlan:
    """Plan the launch of one instance.

    `yours` is what the user's webui-user file sets outside our block, `environment` the variables the WebUI would
    inherit, `credentials` the path of the file that holds (or will hold) `user:password`. Raises SDL-GPU-ABSENT,
    SDL-ARGS-QUOTES, SDL-UNSET-YOURS, SDL-FLAGS-CONTRADICT, SDL-FLAG-DEVICE-MASKED and SDL-EXTENSIONS-EXPOSED.
    """
    draft = _begin(hardware, settings, tables, yours)
    inherited = {**(environment or {}), **yours.env, **settings.env}
    wanted = _wanted_gpu(draft, inherited)
    device = choose_device(hardware, wanted, tables)
    draft.warnings.extend(device.warnings)

    draft.add("--api", Reason("SDL-WHY-API"))
    if device.kind == "cuda":
        _choose_for_gpu(draft, device)
    else:
        _choose_for_cpu(draft)
    port = _choose_port(draft, webui)
    exposure = _choose_network(draft, port)
    if tables.dialect.downloads_model:
        draft.add("--no-download-sd-model", Reason("SDL-WHY-NO-DOWNLOAD"))
    needs_ui_auth = exposure.is_open and not settings.insecure and not exposure.has_ui_auth
    needs_api_auth = exposure.is_open and not settings.insecure and not exposure.has_api_auth
    if credentials and needs_ui_auth:
        draft.flags.append(Flag.of(tables.dialect.secret_file, credentials, reason=Reason("SDL-WHY-AUTH-FILE")))
    secret_argument = tables.dialect.secret_argument if credentials and needs_api_auth else ""
    if secret_argument:
        draft.warn("SDL-SECRET-IN-PS", flag=secret_argument)

    _refuse_contradictions(draft.words)
    found = find_exposure(draft.words, listen=settings.listen)
    draft.warnings.extend(judge_exposure(draft.words, found, insecure=settings.insecure))
    dialect = tables.dialect
    return LaunchPlan(
        webui=webui.name,
        device=device.kind,
        gpu=device.gpu,
        flags=(*draft.yours, *draft.flags, *draft.wished),
        env=choose_environment(
            hardware.host, settings, tables, device, words=draft.words, yours=yours, inherited=environment or {}
        ),
        torch=device.torch,
        python=PythonChoice(dialect.python_version, Reason(dialect.python_because, {"webui": webui.title})),
        warnings=tuple(draft.warnings),
        port=port,
        bind=exposure.bind,
        dropped=tuple(draft.dropped),
        credentials=credentials if credentials and (needs_ui_auth or needs_api_auth) else "",
        secret_argument=secret_argument,
    )


def _begin(hardware: Hardware, settings: Settings, tables: Tables, yours: Yours) -> _Draft:
    own = tuple(Flag.of(*group, reason=Reason(YOURS_IN_FILE, {"place": yours.place}))
                for group in group_words(yours.words))  # fmt: skip
    unset = {normalize_name(name) for name in settings.without}
    for flag in own:
        if flag.name in unset:
            raise SdLauncherError("SDL-UNSET-YOURS", flag=flag.name, place=yours.place)
    place = settings.places.get("flags", "config.toml")
    wished = tuple(flag for flag in read_texts(settings.flags, Reason(YOURS_IN_SETTINGS, {"place": place}))
                   if flag.name not in unset)  # fmt: skip
    for flag in wished:
        if flag.name in SECRET_FLAGS:
            raise SdLauncherError("SDL-SECRET-IN-SETTINGS", flag=flag.name, place=place)
    named = {flag.name for flag in (*own, *wished)}
    taken = set(unset) | named
    for group in tables.groups.values():
        if group & named:
            taken |= group
    draft = _Draft(hardware, settings, tables, own, wished, frozenset(taken))
    for name in sorted(yours.opaque):
        draft.warn("SDL-YOURS-OPAQUE", place=yours.place, name=name)
    for flag in own:
        if flag.name in SECRET_FLAGS:
            draft.warn("SDL-SECRET-IN-FILE", place=yours.place, flag=flag.name)
    if "--api" in unset:
        draft.warn("SDL-WITHOUT-API")
    return draft


def _wanted_gpu(draft: _Draft, inherited: Mapping[str, str]) -> str | None:
    """Find which GPU the user means: by setting, by a flag that computes on the CPU, by index flag or by variable."""
    if draft.settings.gpu is not None:
        wanted: str | None = draft.settings.gpu
    elif draft.wants("--use-cpu", "--always-cpu", "--cpu"):
        wanted = "cpu"
    elif "CUDA_VISIBLE_DEVICES" in inherited:
        visible = inherited["CUDA_VISIBLE_DEVICES"].split(",")[0].strip()
        wanted = visible if visible not in ("", "-1") else "cpu"
    else:
        wanted = None
    for flag in (*draft.yours, *draft.wished):
        if flag.name in _DEVICE_FLAGS:
            index = value_of(flag.argv)
            if wanted is None:
                wanted = index or None
            elif wanted not in CPU_WORDS and index != "0":
                # Behind CUDA_VISIBLE_DEVICES the one GPU that is left has the number 0.
                raise SdLauncherError("SDL-FLAG-DEVICE-MASKED", flag=flag.text, gpu=wanted)
    return wanted


def _choose_for_gpu(draft: _Draft, device: Device) -> None:
    gpu = device.gpu
    assert gpu is not None
    tables, hardware = draft.tables, draft.hardware
    doubled = draft.wants("--no-half")
    tier = choose_tier(gpu.memory_total, tables.tiers, down=1 if doubled else 0)
    situation = Situation(hardware.host, hardware.driver, gpu, tier, draft.settings.model)
    facts = {"gpu": gpu.name, "capability": "{}.{}".format(*gpu.compute_capability), "tier": tier}
    _choose_attention(draft, device, situation, facts)
    for rules in (tables.precision, tables.memory):
        if (rule := choose(rules, situation)) is not None:
            for text in rule.flags:
                draft.add(text, Reason(rule.because, facts))


def _choose_attention(draft: _Draft, device: Device, situation: Situation, facts: Mapping[str, object]) -> None:
    rows = draft.tables.attention
    first = choose(rows, situation)
    fits = first is not None and "--xformers" in first.flags and device.has_xformers
    asked = draft.settings.xformers
    if asked or draft.wants("--xformers", "--use-xformers"):
        if not fits:
            draft.warn("SDL-XFORMERS-REFUSED", **{key: facts[key] for key in ("gpu", "capability")})
            _take_back_xformers(draft)
        elif asked:
            draft.add("--xformers", Reason("SDL-WHY-XFORMERS-ASKED"))
            return
    if fits and asked is None and draft.tables.dialect.prefers_xformers:
        assert first is not None
        rule, because = first, first.because
    else:
        others: list[Rule] = [row for row in rows if "--xformers" not in row.flags]
        found = choose(others, situation)
        if found is None:
            return
        rule, because = found, found.because
        if fits:
            because = "SDL-WHY-XFORMERS-OFF" if asked is False else "SDL-WHY-SDP-OWN"
    for text in rule.flags:
        draft.add(text, Reason(because, facts))


def _take_back_xformers(draft: _Draft) -> None:
    """Leave out an --xformers that could not work; one in the user's own file stays, beside an attention that works."""
    refused = ("--xformers", "--use-xformers")
    draft.wished = tuple(flag for flag in draft.wished if flag.name not in refused)
    named = {flag.name for flag in (*draft.yours, *draft.wished)} - set(refused)
    attention = draft.tables.groups["attention"]
    if not attention & named:
        draft.taken = frozenset(draft.taken - (attention - {normalize_name(name) for name in draft.settings.without}))


def _choose_for_cpu(draft: _Draft) -> None:
    if draft.settings.xformers or draft.wants("--xformers", "--use-xformers"):
        draft.warn("SDL-XFORMERS-CPU")
        _take_back_xformers(draft)
    for text, because in draft.tables.cpu:
        draft.add(text, Reason(because))


def _choose_port(draft: _Draft, webui: WebUi) -> int:
    spoken = draft.settings.port
    default = webui.api_port if draft.wants("--nowebui") else webui.port
    for flag in (*draft.yours, *draft.wished):
        if flag.name == "--port" and (text := value_of(flag.argv)).isdigit():
            default = int(text)
    port = spoken or default
    named = draft.wants("--port")
    if not named or spoken is not None:
        # argparse takes the last one, and ours come after those of the user's file.
        draft.wished = tuple(flag for flag in draft.wished if flag.name != "--port")
        draft.taken -= {"--port"}
        draft.add(f"--port {port}", Reason("SDL-WHY-PORT", {"port": port}))
    return port


def _choose_network(draft: _Draft, port: int) -> Exposure:
    if draft.settings.listen and not draft.wants("--server-name"):
        draft.add("--listen", Reason("SDL-WHY-LISTEN", {"port": port}))
    elif draft.wants("--nowebui") and not draft.wants("--server-name", "--listen"):
        draft.add("--server-name 127.0.0.1", Reason("SDL-WHY-NOWEBUI-LOCAL"))
    return find_exposure(draft.words, listen=draft.settings.listen)


def _refuse_contradictions(words: tuple[str, ...]) -> None:
    given = {name_of(group): value_of(group) for group in group_words(words)}
    if given.get("--precision") == "half":
        for name in _HALF:
            if name in given:
                raise SdLauncherError("SDL-FLAGS-CONTRADICT", first="--precision half", second=name)
