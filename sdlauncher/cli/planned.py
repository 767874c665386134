"""How plans, written files and answers about flags look: as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdlauncher import messages
from sdlauncher.cli.output import Report, language, say
from sdlauncher.cli.table import render_table
from sdlauncher.core.exposure import SECRET_FLAGS
from sdlauncher.core.launch import Flag, LaunchPlan, Reason
from sdlauncher.core.verdict import Verdict
from sdlauncher.errors import SdLauncherError

if TYPE_CHECKING:  # `plan` must be quick, and needs none of these
    from sdlauncher.core.flags import FlagCheck
    from sdlauncher.setup.commands import Configured
    from sdlauncher.setup.configure import Written


def show_plan(plan: LaunchPlan) -> Report:
    """Report a plan."""
    return Report(plan_data(plan), lambda: plan_text(plan))


def plan_data(plan: LaunchPlan) -> dict[str, Any]:
    """Give a plan as `plan --json` promises it."""
    gpu = plan.gpu
    return {
        "webui": plan.webui,
        "device": plan.device,
        "gpu": None if gpu is None else {
            "index": gpu.index, "uuid": gpu.uuid, "name": gpu.name,
            "compute_capability": "{}.{}".format(*gpu.compute_capability), "memory_total": gpu.memory_total,
        },
        "flags": [{"text": _mask(flag), "reason": _say(flag.reason)} for flag in plan.flags],
        "env": [{"name": item.name, "value": item.value, "reason": _say(item.reason)} for item in plan.env],
        "torch": {
            "version": plan.torch.version, "channel": plan.torch.channel, "command": plan.torch.command,
            "reason": _say(plan.torch.reason), "torchvision": plan.torch.torchvision, "xformers": plan.torch.xformers,
        },
        "python": {"version": plan.python.version, "reason": _say(plan.python.reason)},
        "warnings": [{"code": item.code, "text": _warning(item)} for item in plan.warnings],
        "replaced": [{"text": flag.text, "reason": _say(flag.reason)} for flag in plan.dropped],
        "port": plan.port,
        "bind": plan.bind,
    }  # fmt: skip


def plan_text(plan: LaunchPlan) -> str:
    """Give a plan for people: every choice with its reason."""
    chinese = language() == "zh"
    gpu = plan.gpu
    lines = [f"{plan.webui} · {plan.device}" + (f" · {gpu.name} ({gpu.sm})" if gpu else "")]

    def section(title: str, title_zh: str, rows: list[tuple[str, str]]) -> None:
        if rows:
            lines.extend(["", title_zh if chinese else title])
            for head, reason in rows:
                lines.extend([f"  {head}", f"      {reason}"])

    section("flags", "参数", [(_mask(flag), _say(flag.reason)) for flag in plan.flags])
    section("in other words here", "在此 WebUI 中的替代", [(flag.text, _say(flag.reason)) for flag in plan.dropped])
    section("environment", "环境变量", [(f"{item.name}={item.value}", _say(item.reason)) for item in plan.env])
    torch = plan.torch
    if torch.version:
        section("torch", "torch", [(f"{torch.version} ({torch.channel})", _say(torch.reason))])
    section("python", "Python", [(plan.python.version, _say(plan.python.reason))])
    section("mind", "请注意", [(f"[{item.code}]", _warning(item)) for item in plan.warnings])
    return "\n".join(lines)


def show_written(done: Configured) -> Report:
    """Report what `configure` wrote, or would write; new credentials are said once, on stderr."""
    data = {**_files_data(done.written), **plan_data(done.plan), "dir": str(done.checkout), "dry_run": done.is_dry_run}
    if (made := done.written.made) is not None:
        say("configure-credentials", user=made.user, password=made.password, path=done.plan.credentials)
    return Report(data, lambda: "\n".join(part for part in (_files_text(done.written), plan_text(done.plan)) if part))


def show_undone(written: Written) -> Report:
    """Report what `configure --undo` took out."""
    return Report(_files_data(written), lambda: _files_text(written))


def show_checks(webui: str, checks: tuple[FlagCheck, ...]) -> Report:
    """Report the answers of `flags check`; it fails if the WebUI would not start."""
    rows = [
        {"flag": check.flag, "status": check.status, "suggestion": check.suggestion, "reason": _say(check.reason)}
        for check in checks
    ]
    fatal = [check.flag for check in checks if check.is_fatal]
    failure = SdLauncherError("SDL-FLAGS-REJECTED", webui=webui, flags=" ".join(fatal)) if fatal else None
    table = [(row["flag"], row["status"], row["reason"]) for row in rows]
    return Report({"webui": webui, "results": rows}, lambda: render_table(table), failure)


def _files_data(written: Written) -> dict[str, Any]:
    return {
        "changed": [str(path) for path in written.changed],
        "backups": [str(path) for path in written.backups],
        "diff": written.diff,
        "refused": [
            {"file": str(path), "code": error.code, "text": error.describe(language()).sentence}
            for path, error in written.refused.items()
        ],
    }


def _files_text(written: Written) -> str:
    nothing = "没有变化" if language() == "zh" else "nothing to change"
    lines = [written.diff.rstrip("\n") or nothing]
    for path, error in written.refused.items():
        facts = {"path": path, "evidence": error.describe(language()).sentence}
        lines.append(messages.describe("SDL-OTHER-SCRIPT", facts, language()).sentence)
    return "\n".join(lines) + "\n"


def _mask(flag: Flag) -> str:
    """Write a flag without the password that the user's own file may hold."""
    return f"{flag.name} ***" if flag.name in SECRET_FLAGS else flag.text


def _say(reason: Reason) -> str:
    return messages.describe(reason.code, reason.facts, language()).sentence


def _warning(verdict: Verdict) -> str:
    said = messages.describe(verdict.code, verdict.facts, language())
    return f"{said.sentence} — {said.hint}" if said.hint else said.sentence
