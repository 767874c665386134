"""What a request may choose: samplers and their schedules, upscalers; and what is taken in place of an unknown one."""

from __future__ import annotations

from sdlauncher.mini.model import SAMPLERS, SCHEDULERS

LATENT_MODES = (
    "Latent",
    "Latent (antialiased)",
    "Latent (bicubic)",
    "Latent (bicubic antialiased)",
    "Latent (nearest)",
    "Latent (nearest-exact)",
)
UPSCALERS = ("None", "Lanczos", "Nearest")


def resolve_sampler(sampler: str | None, scheduler: str | None) -> tuple[str, str]:
    """Give the names of the sampler and the scheduler to use: unknown ones are replaced, never refused."""
    schedulers = {scheduler.name: scheduler for scheduler in SCHEDULERS}
    labels = {scheduler.label: scheduler for scheduler in SCHEDULERS}
    chosen = labels.get(scheduler or "") or schedulers.get(scheduler or "") or SCHEDULERS[0]
    name = sampler or SAMPLERS[0].name
    for candidate in SCHEDULERS:
        for suffix in (candidate.label, candidate.name):
            if name.endswith(f" {suffix}"):
                name, chosen = name.removesuffix(f" {suffix}"), candidate
                break
    found = next((known for known in SAMPLERS if known.name == name), SAMPLERS[0])
    if found.options.get("scheduler") == chosen.name:
        chosen = SCHEDULERS[0]
    return found.name, chosen.label


def schedule_of(sampler: str, scheduler: str) -> str:
    """Give the label of the schedule that `Automatic` means for a sampler."""
    if scheduler != SCHEDULERS[0].label:
        return scheduler
    own = next(known.options.get("scheduler") for known in SAMPLERS if known.name == sampler)
    return next((known.label for known in SCHEDULERS if known.name == own), scheduler)
