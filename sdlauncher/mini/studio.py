"""The running WebUI's shared things: flags, settings, checkpoints, the queue, and the one model in memory."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdlauncher.mini.checkpoints import Checkpoint, Checkpoints, load_checkpoint, read_metadata
from sdlauncher.mini.jobs import Progress, QueueLock, Tasks
from sdlauncher.mini.log import complain, say
from sdlauncher.mini.misbehave import Misbehaviour
from sdlauncher.mini.settings import Settings

if TYPE_CHECKING:
    from sdlauncher.mini.model import Model


@dataclass(slots=True)
class Studio:
    """Everything that requests share."""

    root: Path
    flags: argparse.Namespace
    misbehaviour: Misbehaviour
    settings: Settings
    checkpoints: Checkpoints
    queue: QueueLock = field(default_factory=QueueLock)
    progress: Progress = field(default_factory=Progress)
    tasks: Tasks = field(default_factory=Tasks)
    startup: dict[str, Any] = field(default_factory=dict)
    weights_found: threading.Event = field(default_factory=threading.Event)  # or it is clear that there are none
    serving: threading.Event = field(default_factory=threading.Event)  # set once "Startup time:" was printed
    hanging: threading.Event = field(default_factory=threading.Event)  # set: no request is answered any more
    stopping: threading.Event = field(default_factory=threading.Event)
    loaded: Checkpoint | None = None
    _model: Model | None = None
    _loading: threading.Lock = field(default_factory=threading.Lock)

    @property
    def model_files(self) -> Path:
        """The directory of all kinds of models."""
        return Path(self.flags.models_dir or Path(self.flags.data_dir, "models"))

    def model(self) -> Model:
        """Give the model, loading the chosen checkpoint first if none is loaded. Raises what the loading raises."""
        with self._loading:
            if self._model is None:
                self._load(self.settings["sd_model_checkpoint"], wait_for_server=False)
            assert self._model is not None
            return self._model

    def load_at_start(self, meanwhile: Callable[[], None]) -> None:
        """Load the model in the background of the start; a failure is told on the log and costs only generations.

        What has to be there before the first request is done meanwhile.
        """
        with self._loading:
            try:
                self._load(self.settings["sd_model_checkpoint"], wait_for_server=True, meanwhile=meanwhile)
            except Exception:  # noqa: BLE001 - whatever is wrong with the model, the server stays up; _load has told it
                say("Applying attention optimization: numpy... done.")
            finally:
                self.weights_found.set()

    def switch_to(self, name: str | None) -> None:
        """Load another checkpoint, unless it is the loaded one. Raises what the loading raises."""
        with self._loading:
            wanted = self.checkpoints.choose(name)
            if self.loaded is None or wanted.path != self.loaded.path:
                self._load(name, wait_for_server=False)

    def unload(self) -> None:
        """Forget the model; the next generation loads it again."""
        with self._loading:
            self._model = None

    def _load(self, name: str | None, *, wait_for_server: bool, meanwhile: Callable[[], None] | None = None) -> None:
        try:
            started = time.monotonic()
            checkpoint = self.checkpoints.choose(name)
            if checkpoint.sha256 is None:
                read_metadata(checkpoint)
            model, parts = load_checkpoint(checkpoint, self._pretend_to_load)
        except Exception as error:
            complain(f"loading stable diffusion model: {type(error).__name__}")
            _print_exception(error)
            complain("\n\nStable diffusion model failed to load")
            raise
        if meanwhile is not None:
            meanwhile()
        self._model, self.loaded = model, checkpoint
        self.settings.note("sd_model_checkpoint", checkpoint.title)
        self.settings.note("sd_checkpoint_hash", checkpoint.sha256)
        if wait_for_server:
            # The real model needs longer than the server; a tiny one is made to keep that order of lines.
            self.serving.wait()
        say("Applying attention optimization: numpy... done.")
        say(f"Model loaded in {describe_seconds(time.monotonic() - started, parts)}.")

    def _pretend_to_load(self) -> None:
        # A model that takes long before it fails does so behind a server that is up, as a real one does.
        if not self.misbehaviour.load_fails or self.misbehaviour.slow_load:
            self.weights_found.set()
        if self.misbehaviour.slow_load:
            time.sleep(self.misbehaviour.slow_load)
        if self.misbehaviour.crash_at == "load":
            from sdlauncher.mini.trouble import crash

            crash(self.misbehaviour)
        if self.misbehaviour.load_fails:
            raise RuntimeError("Error(s) in loading state_dict for Mini: the model was asked to fail")


def make_studio(root: Path, flags: argparse.Namespace, misbehaviour: Misbehaviour) -> Studio:
    """Read the settings, look at the checkpoints on disk and put everything together."""
    settings = Settings(Path(flags.ui_settings_file), frozen=flags.freeze_settings)
    settings.load()
    models = Path(flags.models_dir or Path(flags.data_dir, "models"))
    checkpoints = Checkpoints(
        folder=(models / "Stable-diffusion").absolute(),
        extra_folder=Path(flags.ckpt_dir) if flags.ckpt_dir else None,
        file=Path(flags.ckpt),
        file_is_default=Path(flags.ckpt) in (root / "model.ckpt", Path(flags.data_dir, "model.ckpt")),
    )
    checkpoints.refresh()
    return Studio(root=root, flags=flags, misbehaviour=misbehaviour, settings=settings, checkpoints=checkpoints)


def describe_seconds(total: float, parts: dict[str, float]) -> str:
    """Give `1.4s (load weights from disk: 0.2s, create model: 1.0s)`."""
    shown = ", ".join(f"{name}: {seconds:.1f}s" for name, seconds in parts.items())
    return f"{total:.1f}s ({shown})" if shown else f"{total:.1f}s"


def _print_exception(error: Exception) -> None:
    import traceback

    complain("".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip())
