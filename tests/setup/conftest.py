"""The small world that installations draw from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.setup.world import World, build_world


@pytest.fixture
def world(home: Path, tmp_path: Path) -> World:
    """Repositories and packages of its own, with the home's config.toml pointing at them."""
    return build_world(tmp_path / "world", home)
