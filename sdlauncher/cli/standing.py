"""How instances are, written for people: in their language, in their time zone, with how long ago that is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from sdlauncher.cli.output import language
from sdlauncher.cli.table import gibibytes, render_table
from sdlauncher.supervise.record import read_stamp
from sdlauncher.supervise.status import Status

# The words of --json stay beside their translation: documents and scripts speak of them.
_CHINESE: Final = {
    "instance": "实例", "state": "状态", "dir": "目录", "url": "地址", "pid": "进程", "supervisor": "守护进程",
    "model": "模型", "memory": "内存", "since": "始于", "restarts": "重启次数", "last exit": "上次结束",
    "stopped": "已停止", "starting": "正在启动", "running": "运行中", "stopping": "正在停止", "backoff": "等待重试",
    "fatal": "已放弃", "loaded": "已加载", "loading": "加载中", "failed": "加载失败", "unknown": "未知",
}  # fmt: skip
# Why it ended: the kinds of core/crash.py, and those of whoever else names a cause.
_CAUSES: Final = {
    "stopped": "已停止", "restarted": "按要求重启", "stopped-by-api": "经其 API 停止", "killed": "被杀掉",
    "crashed": "崩溃", "exited": "自行退出", "oom-killer": "因内存不足被内核杀掉", "out-of-memory": "内存不足",
    "cuda-oom": "显存不足", "gpu-lost": "GPU 失联", "no-gpu": "没有可用的 GPU", "nan": "结果为 NaN",
    "disk-full": "磁盘已满", "port-taken": "端口被占用", "bad-flag": "参数错误", "environment": "运行环境损坏",
    "install": "安装失败", "refused": "拒绝启动", "cannot-start": "无法启动", "http-too-early": "过早收到请求",
    "never-ready": "一直未就绪", "hung": "无响应", "restart-loop": "反复重启", "memory": "达到内存上限",
    "age": "达到运行时长上限", "supervisor-died": "守护进程意外结束", "machine-restarted": "机器重启",
}  # fmt: skip
_UNITS: Final = (("d", "天", 86400), ("h", "小时", 3600), ("min", "分钟", 60), ("s", "秒", 1))


def render_standing(status: Status) -> str:
    """Write how one instance is."""
    rows = [("instance", status.instance), ("state", _state(status))]
    if status.webui:
        rows += [("webui", status.webui), ("dir", status.dir)]
    if status.is_up:
        pid = f"{status.pid or '-'} ({_word('supervisor')} {status.supervisor_pid})"
        rows += [("url", status.url), ("pid", pid), ("model", _both(status.model))]
        if status.memory_rss is not None:
            rows.append(("memory", gibibytes(status.memory_rss)))
    if status.since:
        rows.append(("since", _since(status.since)))
    rows.append(("restarts", str(status.restarts)))
    if status.last_exit:
        last = status.last_exit
        words = [
            _both(str(last.get("cause") or ""), _CAUSES),
            *(str(last[key]) for key in ("signal", "evidence") if last.get(key)),
        ]
        rows.append(("last exit", " ".join(words)))
    return render_table([(_word(label), text) for label, text in rows])


def render_standings(found: Sequence[Status]) -> str:
    """Write one line for each instance."""
    heads = ("instance", "webui", "state", "pid", "url", "dir")
    rows = [tuple(_word(head).upper() for head in heads)]
    rows += [(one.instance, one.webui, _both(one.state), str(one.pid or "-"), one.url or "-", one.dir) for one in found]
    return render_table(rows)


def describe_age(seconds: float) -> str:
    """Write a duration in its largest whole unit, e.g. `3 min`."""
    name, chinese, size = next((unit for unit in _UNITS if seconds >= unit[2]), _UNITS[-1])
    return f"{max(0, int(seconds)) // size} {chinese if language() == 'zh' else name}"


def _state(status: Status) -> str:
    if status.retry_in is None:
        return _both(status.state)
    began = read_stamp(status.since)
    waited = 0.0 if began is None else time.time() - began
    wait = f"{max(0.0, status.retry_in - waited):.0f}"
    return _both(status.state) + (f"，{wait} 秒后重试" if language() == "zh" else f", next try in {wait} s")


def _since(stamp: str) -> str:
    at = read_stamp(stamp)
    if at is None:
        return stamp
    age = describe_age(time.time() - at) + ("前" if language() == "zh" else " ago")
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))} ({age})"


def _word(word: str) -> str:
    return _CHINESE.get(word, word) if language() == "zh" else word


def _both(word: str, chinese: Mapping[str, str] = _CHINESE) -> str:
    return f"{chinese[word]} ({word})" if language() == "zh" and word in chinese else word
