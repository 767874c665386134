"""How instances are, in words: languages, ages, time zones, and only what is known."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone

import pytest

from sdlauncher.cli.standing import describe_age, render_standing, render_standings
from sdlauncher.core.crash import SIGNS
from sdlauncher.supervise.status import Status

UP = Status(
    "default", "a1111", "/home/me/webui", "running", 41, 40, "http://127.0.0.1:7860", memory_rss=3 << 30, model="loaded"
)


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDLAUNCHER_LANG", "en")


def test_what_is_up_and_what_is_not_known_is_left_out() -> None:
    lines = [line.split(maxsplit=1) for line in render_standing(UP).splitlines()]
    told = {words[0]: words[1] for words in lines}
    assert told["pid"] == "41 (supervisor 40)"
    assert told["memory"] == "3.0 GiB"
    assert "since" not in told
    assert "memory" not in render_standing(UP._replace(memory_rss=None))
    assert "pid" not in render_standing(UP._replace(state="stopped"))


def test_since_is_local_time_and_an_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        at = datetime.now(timezone.utc) - timedelta(minutes=3, seconds=5)
        text = render_standing(UP._replace(since=f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"))
        assert f"{at + timedelta(hours=8):%Y-%m-%d %H:%M:%S} (3 min ago)" in text
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "since      no time at all" in render_standing(UP._replace(since="no time at all", last_exit={"cause": "x"}))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-2, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_ages(seconds: float, words: str) -> None:
    assert describe_age(seconds) == words


def test_the_next_try_is_told() -> None:
    waiting = UP._replace(state="backoff", retry_in=60.6)
    assert "backoff, next try in 61 s" in render_standing(waiting)
    at = datetime.now(timezone.utc) - timedelta(seconds=20)
    begun = waiting._replace(since=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    assert re.search("backoff, next try in (40|41) s", render_standing(begun))


def test_a_chinese_reader_gets_both_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDLAUNCHER_LANG", "zh")
    text = render_standing(UP._replace(last_exit={"cause": "killed", "signal": "SIGKILL"}))
    assert "状态      运行中 (running)" in text
    assert "模型      已加载 (loaded)" in text
    assert "上次结束  被杀掉 (killed) SIGKILL" in text
    for sign in SIGNS:
        said = render_standing(UP._replace(last_exit={"cause": sign.kind})).splitlines()[-1]
        assert said.endswith(f" ({sign.kind})"), sign.kind
    assert render_standings([UP]).splitlines()[0].split() == ["实例", "WEBUI", "状态", "进程", "地址", "目录"]
