"""Memory that a run may take: the least of the machine's, the control group's, the process's."""

import math
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from ntk_theory.machine import resources
from ntk_theory.machine.resources import control_group_memory, limited_memory, memory_limit

NONE_SET = 2**63 - 4096
"""What version 1 says where there is no limit."""


@pytest.fixture
def groups(tmp_path):
    """Makes files of control groups, as the kernel shows them; returns membership and mount."""

    def make(membership, limits):
        for name, text in limits.items():
            file = tmp_path / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n", encoding="utf-8")
        (tmp_path / "self").write_text(membership, encoding="utf-8")
        return tmp_path / "self", tmp_path / "cgroup"

    return make


@pytest.mark.parametrize(
    ("membership", "limits", "expected"),
    [
        ("0::/\n", {"memory.max": 2**30}, 2**30),  # seen from inside a container
        ("0::/\n", {"memory.max": "max", "memory.high": "max"}, math.inf),
        ("0::/\n", {}, math.inf),  # the root of a machine has no such file
        ("0::/job\n", {"job/memory.max": 2**31, "job/memory.high": 2**30}, 2**30),
        ("0::/a/b/c\n", {"a/b/c/memory.max": "max", "a/memory.max": 2**30}, 2**30),
        ("0::/a/b\n", {"a/b/memory.max": 2**29, "a/memory.max": 2**30}, 2**29),
        ("0::/a\n", {"a/memory.max": "max", "a/b/memory.max": 1, "c/memory.max": 1}, math.inf),
        # A path of the host, which is not there inside.
        ("0::/docker/4f2a\n", {"memory.max": 2**30}, 2**30),
        ("0::/../../other\n", {"memory.max": 2**30}, 2**30),
        ("4:memory:/job\n", {"memory/job/memory.limit_in_bytes": 2**30}, 2**30),
        (
            "4:cpu,memory:/job/step\n0::/\n",
            {"memory/job/memory.limit_in_bytes": 2**30, "memory/memory.limit_in_bytes": NONE_SET},
            2**30,
        ),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": NONE_SET}, NONE_SET),
        # Another controller's group; a name with a colon.
        ("2:cpu:/job\n", {"memory/job/memory.limit_in_bytes": 1, "memory.max": 1}, math.inf),
        ("1:name=systemd:/x\n0::/a:b\n", {"a:b/memory.max": 2**30}, 2**30),
        ("", {}, math.inf),
    ],
)
def test_the_limit_of_a_control_group_is_the_least_on_its_way_to_the_root(
    groups, membership, limits, expected
):
    assert control_group_memory(*groups(membership, limits)) == expected


def test_a_system_without_control_groups_has_no_limit_of_them(tmp_path):
    assert control_group_memory(tmp_path / "self", tmp_path / "cgroup") == math.inf


def test_a_limit_that_cannot_be_read_is_none(groups):
    membership, mount = groups("0::/a\n", {"a/memory.max/folder": 1})
    assert control_group_memory(membership, mount) == math.inf


@pytest.mark.parametrize("least", ["machine", "group", "process"])
def test_a_run_may_take_the_least_of_all_limits(least, monkeypatch):
    limits = dict.fromkeys(("machine", "group", "process"), 3e9) | {least: 1e9}
    machine = SimpleNamespace(total=int(limits["machine"]))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    monkeypatch.setattr(resources, "control_group_memory", lambda: limits["group"])
    monkeypatch.setattr(resources, "_address_space", lambda: limits["process"])
    assert memory_limit() == 1e9
    with limited_memory(5e9):
        assert memory_limit() == 5e9, "the user knows better"
        with limited_memory(None):
            assert memory_limit() == 1e9


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_AS"), reason="such a limit is set on Linux only")
def test_what_is_mapped_already_is_no_part_of_what_may_be_taken():
    code = (
        "import psutil; from ntk_theory.machine.resources import memory_limit\n"
        "process = psutil.Process()\n"
        "machine = memory_limit()\n"
        "allowed = process.memory_info().vms + 2**28\n"
        "process.rlimit(psutil.RLIMIT_AS, (allowed, allowed))\n"
        "kept = bytearray(2**27)\n"
        "print(machine, memory_limit())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    machine, left = map(float, done.stdout.split())
    # Half of it is taken; Python itself maps some pieces of a MiB.
    assert 2**27 - 2**24 < left <= 2**27 < machine


def test_a_system_without_such_a_limit_has_none(monkeypatch):
    monkeypatch.delattr(psutil, "RLIMIT_AS", raising=False)
    assert resources._address_space() == math.inf
