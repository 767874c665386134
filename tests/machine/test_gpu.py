"""`gpu` through the real pynvml, on machines that the stand-in driver library describes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Cli
from tests.nvml import MIB, NvidiaMachine

Machines = Callable[[], NvidiaMachine]


def test_a_gpu_is_reported_in_full(cli: Cli, nvidia: Machines) -> None:
    machine = nvidia().driver("550.54.14", 12040)
    machine.gpu("NVIDIA GeForce RTX 4090", "8.9", 24564, free_mib=20000, busy=42, temperature=61, throttle=0x4)
    machine.process(0, 4711, 3000, "python3")
    ran = cli("gpu", "--json", env=machine.env)
    assert ran.code == 0
    assert ran.data["driver"] == "550.54.14"
    assert ran.data["cuda_version"] == "12.4"
    (gpu,) = ran.data["gpus"]
    assert gpu["index"] == 0
    assert gpu["uuid"].startswith("GPU-")
    assert gpu["name"] == "NVIDIA GeForce RTX 4090"
    assert gpu["compute_capability"] == "8.9"
    assert gpu["memory_total"] == 24564 * MIB
    assert gpu["memory_free"] == 20000 * MIB
    assert gpu["utilization_percent"] == 42
    assert gpu["temperature_celsius"] == 61
    assert gpu["throttled"] == ["power cap"]
    assert gpu["pci_bus_id"] == "00000000:01:00.0"
    assert gpu["processes"] == [{"pid": 4711, "name": "python3", "memory": 3000 * MIB}]


def test_people_see_name_memory_and_uuid(cli: Cli, nvidia: Machines) -> None:
    machine = nvidia().driver().gpu("NVIDIA GeForce GTX 1660", "7.5", 6144, uuid="GPU-abc")
    out = cli("gpu", env=machine.env).out
    assert "driver 550.54.14, CUDA 12.4" in out
    assert all(word in out for word in ("GTX 1660", "sm_75", "6.0 GiB", "GPU-abc"))


def test_mig_instances_are_seen_with_their_own_memory(cli: Cli, nvidia: Machines) -> None:
    machine = nvidia().driver().gpu("NVIDIA A100-SXM4-40GB", "8.0", 40960)
    machine.mig(0, "MIG-1", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", 4864)
    machine.mig(0, "MIG-2", "NVIDIA A100-SXM4-40GB MIG 2g.10gb", 9856)
    (gpu,) = cli("gpu", "--json", env=machine.env).data["gpus"]
    assert [(it["uuid"], it["memory_total"]) for it in gpu["mig_instances"]] == [
        ("MIG-1", 4864 * MIB),
        ("MIG-2", 9856 * MIB),
    ]


def test_a_board_that_cannot_tell_its_memory_is_still_listed(cli: Cli, nvidia: Machines) -> None:
    machine = nvidia().driver("580.95", 13000).gpu("NVIDIA GB10", "12.1", 0, busy=-1, clock=0)
    (gpu,) = cli("gpu", "--json", env=machine.env).data["gpus"]
    assert gpu["memory_total"] is None
    assert gpu["utilization_percent"] is None
    assert gpu["clock_mhz"] is None


def test_without_a_driver_it_says_so_and_succeeds(cli: Cli) -> None:
    ran = cli("gpu", "--json")
    assert ran.code == 0
    assert ran.data["driver"] is None
    assert ran.data["gpus"] == []
    assert [fault["code"] for fault in ran.data["faults"]] == ["SDL-GPU-NO-DRIVER"]


@pytest.mark.parametrize(
    ("nvml_code", "ours"),
    [
        (4, "SDL-GPU-NO-PERMISSION"),
        (9, "SDL-GPU-DRIVER-NOT-LOADED"),
        (15, "SDL-GPU-LOST"),
        (18, "SDL-GPU-DRIVER-MISMATCH"),
        (999, "SDL-GPU-NVML-ERROR"),
    ],
)
def test_each_way_of_failing_is_told_apart(cli: Cli, nvidia: Machines, nvml_code: int, ours: str) -> None:
    machine = nvidia().init_returns(nvml_code).driver().gpu()
    ran = cli("gpu", "--json", env=machine.env)
    assert ran.code == 0
    (fault,) = ran.data["faults"]
    assert fault["code"] == ours
    assert fault["hint"]


def test_one_lost_gpu_does_not_hide_the_others(cli: Cli, nvidia: Machines) -> None:
    machine = nvidia().driver().gpu(uuid="GPU-a").gpu(handle_returns=15).gpu(uuid="GPU-c")
    data = cli("gpu", "--json", env=machine.env).data
    assert [(gpu["index"], gpu["uuid"]) for gpu in data["gpus"]] == [(0, "GPU-a"), (2, "GPU-c")]
    assert [fault["code"] for fault in data["faults"]] == ["SDL-GPU-LOST"]
    assert "GPU 1" in data["faults"][0]["message"]


def test_a_driver_that_hangs_does_not_hang_us(cli: Cli, nvidia: Machines) -> None:
    ran = cli("gpu", "--json", env=nvidia().init_returns(-1).env, timeout=30)
    assert ran.code == 0
    assert [fault["code"] for fault in ran.data["faults"]] == ["SDL-GPU-TIMEOUT"]


def test_a_chinese_reader_is_answered_in_chinese(cli: Cli) -> None:
    assert "未安装 NVIDIA 驱动" in cli("gpu", env={"LANG": "zh_CN.UTF-8"}).out
