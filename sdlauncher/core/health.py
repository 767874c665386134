"""Verdicts on a running WebUI, layer by layer: what was observed in, the first thing that is wrong out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sdlauncher.errors import SdLauncherError

LAYERS: Final = ("process", "port", "liveness", "docs", "api", "auth", "model", "loaded", "picture")
HEALTHY: Final = "healthy"

# Why a model failed to load, by the signature of the line in the log.
_MODEL_FAULTS: Final = {
    "safetensors_header": "SDL-MODEL-CORRUPT",
    "pickle_corrupt": "SDL-MODEL-CORRUPT",
    "weights_only": "SDL-MODEL-PICKLE",
    "no_checkpoints": "SDL-MODEL-NONE",
    "oom": "SDL-MODEL-MEMORY",
    "pagefile": "SDL-MODEL-MEMORY",
    "hf_tokenizer": "SDL-MODEL-OFFLINE",
    "hf_max_retries": "SDL-MODEL-OFFLINE",
    "no_driver": "SDL-MODEL-NO-GPU",
    "no_cuda_gpus": "SDL-MODEL-NO-GPU",
    "torch_not_compiled_cuda": "SDL-MODEL-NO-GPU",
    "no_kernel_image": "SDL-MODEL-KERNEL",
}
# Verdicts on the model that no waiting changes.
MODEL_FAILURES: Final = frozenset({*_MODEL_FAULTS.values(), "SDL-MODEL-FAILED"})


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. `ok` is None where it cannot be known from here; sentence and hint belong to `code`."""

    name: str
    ok: bool | None
    code: str
    facts: Mapping[str, object] = field(default_factory=dict)
    latency_ms: float | None = None

    def describe(self, language: str = "en") -> tuple[str, str]:
        """Render what was seen, and what to do about it (empty where nothing is to be done)."""
        text = SdLauncherError(self.code, **self.facts).describe(language)
        return text.sentence, text.hint

    @property
    def detail(self) -> str:
        """What was seen, in English."""
        return self.describe()[0]

    @property
    def hint(self) -> str:
        """What to do about it, in English."""
        return self.describe()[1]


@dataclass(frozen=True, slots=True)
class Health:
    """All layers, in their order."""

    layers: tuple[Layer, ...]

    @property
    def failing(self) -> Layer | None:
        """The first layer that fails."""
        return next((layer for layer in self.layers if layer.ok is False), None)

    @property
    def verdict(self) -> str:
        """The code of the first failing layer, or `healthy`."""
        return HEALTHY if self.failing is None else self.failing.code

    @property
    def is_healthy(self) -> bool:
        """Whether no layer fails."""
        return self.failing is None

    @property
    def failure(self) -> SdLauncherError | None:
        """The verdict as an error, for a command that has to end with it."""
        return None if self.failing is None else SdLauncherError(self.failing.code, **self.failing.facts)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from one path: a status with the parsed JSON (None: no JSON), or the error of a failed call."""

    path: str
    status: int | None = None
    kind: str = ""
    json: Any = None
    excerpt: str = ""
    location: str = ""
    error: SdLauncherError | None = None
    latency_ms: float | None = None

    @property
    def is_json(self) -> bool:
        """Whether it is a 200 with JSON in it."""
        return self.status == 200 and self.json is not None


@dataclass(frozen=True, slots=True)
class ModelLog:
    """What the log of this run last said about the model: "", "loading", "loaded" or "failed".

    `evidence` is the decisive line, `finding` the id of the signature that explains it ("": none does).
    """

    state: str = ""
    evidence: str = ""
    finding: str = ""


def complete(layers: Sequence[Layer]) -> Health:
    """Add the layers that were not reached, as not checked, so that every report lists the same names."""
    seen = {layer.name for layer in layers}
    failing = next((layer.name for layer in layers if layer.ok is False), "")
    facts = {"layer": failing}
    rest = [Layer(name, None, "SDL-NOT-CHECKED", facts) for name in LAYERS if name not in seen]
    return Health(tuple(sorted([*layers, *rest], key=lambda layer: LAYERS.index(layer.name))))


def judge_process(state: str, facts: Mapping[str, object]) -> Layer:
    """Judge what the supervisor says: only `running` may be asked by HTTP.

    `facts` holds instance, pid, seconds (in this state) and evidence (the cause of the last end).
    """
    match state:
        case "running":
            return Layer("process", True, "SDL-PROCESS-UP", {"pid": facts["pid"], "seconds": facts["seconds"]})
        case "starting":
            return Layer("process", False, "SDL-STARTING", {key: facts[key] for key in ("instance", "pid", "seconds")})
        case "backoff" | "fatal":
            code = "SDL-BACKOFF" if state == "backoff" else "SDL-GAVE-UP"
            return Layer("process", False, code, {key: facts[key] for key in ("instance", "evidence")})
        case _:
            return Layer("process", False, "SDL-NOT-RUNNING", {"instance": facts["instance"]})


def judge_port(host: str, port: int, seconds: float | None, owner: str | None, unknown: str = "") -> Layer:
    """Judge a bare TCP connect; `seconds` None: nobody accepts, `owner`: a stranger that holds the port.

    `unknown` are the system's words for a host that it cannot find.
    """
    where = {"host": host, "port": port}
    if unknown:
        return Layer("port", False, "SDL-HTTP-NAME", {"url": f"{host}:{port}", "evidence": unknown})
    if seconds is None:
        return Layer("port", False, "SDL-PORT-CLOSED", where)
    if owner is not None:
        return Layer("port", False, "SDL-PORT-STRANGER", {**where, "owner": owner}, _ms(seconds))
    return Layer("port", True, "SDL-PORT-OPEN", where, _ms(seconds))


def judge_liveness(answer: Answer) -> Layer:
    """Judge the first HTTP answer: any status below 500 means that the server lives."""
    if (failed := _failed("liveness", answer)) is not None:
        return failed
    facts = {"path": answer.path, "status": answer.status}
    return Layer("liveness", True, "SDL-ALIVE", facts, answer.latency_ms)


def judge_docs(docs: Answer, *, has_api: bool) -> Layer:
    """Judge /docs. A fork may serve none; that is no fault as long as its API answers."""
    if (failed := _failed("docs", docs)) is not None:
        return failed
    if docs.status == 200:
        return Layer("docs", True, "SDL-DOCS-SERVED", {"path": docs.path}, docs.latency_ms)
    facts = {"path": docs.path, "status": docs.status}
    return Layer("docs", None if has_api else False, "SDL-DOCS-MISSING", facts, docs.latency_ms)


def judge_api(openapi: Answer, options: Answer) -> Layer:
    """Judge whether the API is mounted: /docs is 200 without it, so the proof is a path of the API itself.

    `openapi` is the answer of /openapi.json; a fork without it is judged by `options` alone: 401 proves the API
    as well as 200 does, 404 disproves it.
    """
    paths = openapi.json.get("paths") if openapi.is_json and isinstance(openapi.json, dict) else None
    if isinstance(paths, dict) and any(str(path).endswith("/sdapi/v1/txt2img") for path in paths):
        return Layer("api", True, "SDL-API-MOUNTED", {"count": len(paths)}, openapi.latency_ms)
    if options.error is None and options.status == 404:
        return Layer("api", False, "SDL-API-OFF", {"path": options.path}, options.latency_ms)
    if (failed := _failed("api", options)) is not None:
        return failed
    if options.status in (401, 403) or (options.is_json and isinstance(options.json, dict)):
        return Layer("api", True, "SDL-API-ANSWERS", {"path": options.path}, options.latency_ms)
    return Layer("api", False, "SDL-API-STRANGE", _strange(options), options.latency_ms)


def judge_auth(options: Answer, *, user: str) -> Layer:
    """Judge the credentials by an answer of the API: 401 is told apart from a missing API and a broken server."""
    if options.error is None and options.status in (401, 403):
        said = options.json.get("detail", "") if isinstance(options.json, dict) else ""
        if user:
            return Layer("auth", False, "SDL-AUTH-WRONG", {"user": user, "evidence": str(said)[:120]})
        return Layer("auth", False, "SDL-AUTH-MISSING", {"path": options.path, "status": options.status})
    if (failed := _failed("auth", options)) is not None:
        return failed
    if not options.is_json or not isinstance(options.json, dict):
        return Layer("auth", False, "SDL-API-STRANGE", _strange(options), options.latency_ms)
    code = "SDL-AUTH-ACCEPTED" if user else "SDL-AUTH-NONE"
    return Layer("auth", True, code, {"user": user} if user else {}, options.latency_ms)


def judge_model(models: Answer) -> Layer:
    """Judge whether the WebUI lists a checkpoint. A corrupt one is listed too: that is the next layer's."""
    if (failed := _failed("model", models)) is not None:
        return failed
    if not models.is_json or not isinstance(models.json, list):
        return Layer("model", False, "SDL-API-STRANGE", _strange(models), models.latency_ms)
    titles = [str(item.get("title") or item.get("model_name")) for item in models.json if isinstance(item, dict)]
    if not titles:
        return Layer("model", False, "SDL-MODEL-NONE", {}, models.latency_ms)
    return Layer("model", True, "SDL-MODEL-PRESENT", {"count": len(titles), "first": titles[0]}, models.latency_ms)


def only_model(models: Answer) -> str:
    """Return the title of the one checkpoint that is listed, "" when there are more or none."""
    rows = models.json if isinstance(models.json, list) else []
    return str(rows[0].get("title") or "") if len(rows) == 1 and isinstance(rows[0], dict) else ""


def judge_loaded(log: ModelLog | None, options: Answer, *, made_picture: bool, listed: str = "") -> Layer:
    """Judge whether the model is loaded. No endpoint says so: the log does, and a picture that was made.

    The options only tell which checkpoint is meant, by what config.json kept of an earlier run. If they name none,
    none was ever loaded: without a log at hand (`log` None) that is all there is to go by. `listed` is the checkpoint
    that can be meant because there is no other.
    """
    meant = options.json.get("sd_model_checkpoint") if isinstance(options.json, dict) else None
    model = str(meant or listed or "?")
    if log is not None and log.state == "failed":
        code = _MODEL_FAULTS.get(log.finding, "SDL-MODEL-FAILED")
        return Layer("loaded", False, code, {"model": model, "evidence": log.evidence})
    if log is not None and log.state == "loaded":
        return Layer("loaded", True, "SDL-MODEL-LOADED", {"model": model})
    if made_picture:
        return Layer("loaded", True, "SDL-MODEL-PAINTED", {"model": model})
    if log is not None and log.state == "loading":
        return Layer("loaded", False, "SDL-MODEL-LOADING", {"evidence": log.evidence})
    if log is None and isinstance(options.json, dict) and options.json.get("sd_model_checkpoint", "") is None:
        return Layer("loaded", False, "SDL-MODEL-NOT-LOADED", {"path": options.path})
    return Layer("loaded", None, "SDL-MODEL-UNKNOWN", {"model": model})


def judge_picture(age_seconds: float | None, *, was_judged: bool) -> Layer:
    """Tell how long ago the last picture was made; none yet is no fault.

    `was_judged`: smoke made it. Otherwise the age is that of the last job, which may have failed.
    """
    if age_seconds is None:
        return Layer("picture", None, "SDL-PICTURE-NONE")
    facts = {"age": f"{age_seconds:.0f}"}
    if not was_judged:
        return Layer("picture", None, "SDL-PICTURE-JOB", facts)
    return Layer("picture", True, "SDL-PICTURE-AGE", facts)


def _failed(name: str, answer: Answer) -> Layer | None:
    """Return the failing layer for a call that failed, a redirect, or a broken server; None for an answer."""
    if answer.error is not None:
        return Layer(name, False, answer.error.code, answer.error.facts, answer.latency_ms)
    assert answer.status is not None
    if 300 <= answer.status < 400:
        facts = {"path": answer.path, "status": answer.status, "location": answer.location or "?"}
        return Layer(name, False, "SDL-HTTP-REDIRECT", facts, answer.latency_ms)
    if answer.status >= 500:
        facts = {"path": answer.path, "status": answer.status, "evidence": answer.excerpt or answer.kind}
        return Layer(name, False, "SDL-SERVER-ERROR", facts, answer.latency_ms)
    return None


def _strange(answer: Answer) -> dict[str, object]:
    return {
        "path": answer.path,
        "status": answer.status,
        "kind": answer.kind,
        "evidence": answer.excerpt or "an empty body",
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
