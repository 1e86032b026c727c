"""The share of the CPU of a plugin's process: on groups that follow the kernel's rules, and on real ones."""

import json
import os
import subprocess
import sys
import time

import pytest
from delegated_group import in_group
from fake_groups import FakeGroups
from support import wait_for

from iocmng.errors import InvalidRequest, PluginRejected
from iocmng.loading.cgroups import find_mount, own_group
from iocmng.loading.cpu_share import PERIOD, CpuShares, NoShare, check_cpu_share, share_cpu
from iocmng.settings import Settings

SERVICE = "/system.slice/iocmng.service"


@pytest.fixture
def service():
    """A server as a service of systemd, with Delegate=cpu: process 100 is about to get its share."""
    groups = FakeGroups(SERVICE)
    groups.delegated.add(SERVICE)
    return groups


def test_a_process_gets_a_group_and_the_others_make_room(service):
    """The kernel wants no processes beside shared groups: all others go into one of their own, with more weight."""
    CpuShares(service).limit("pump", 100, 0.5)
    assert service.processes == {100: f"{SERVICE}/iocmng-plugin-pump-100", 101: f"{SERVICE}/iocmng-server"}
    assert service.files[f"{SERVICE}/iocmng-plugin-pump-100", "cpu.max"] == f"{PERIOD // 2} {PERIOD}"
    assert service.files[f"{SERVICE}/iocmng-server", "cpu.weight"] == "1000"


def test_a_later_process_finds_it_so(service):
    """One that Ray starts in the group of the others gets its own beside that."""
    CpuShares(service).limit("pump", 100, 0.5)
    service.me = 102
    service.processes[102] = f"{SERVICE}/iocmng-server"
    CpuShares(service).limit("valve", 102, 2)
    assert service.processes[102] == f"{SERVICE}/iocmng-plugin-valve-102"
    assert service.processes[101] == f"{SERVICE}/iocmng-server"


def test_in_a_container_the_root_is_divided():
    """What a container sees as the root is its own, without a mark of systemd's; all its processes make room."""
    groups = FakeGroups("/", container=True)
    CpuShares(groups).limit("pump", 100, 0.25)
    assert groups.processes == {100: "/iocmng-plugin-pump-100", 101: "/iocmng-server"}


def test_the_root_of_a_machine_keeps_its_processes():
    """It is the one group that may have them beside others; nobody has to move."""
    groups = FakeGroups("/")
    CpuShares(groups).limit("pump", 100, 0.25)
    assert groups.processes == {100: "/iocmng-plugin-pump-100", 101: "/"}


def test_a_tree_for_threads_is_undone(service):
    """What the kernel makes of a group that is to share CPU while it has processes does not last."""
    service.write(SERVICE, "cgroup.subtree_control", "+cpu")
    assert service.read(SERVICE, "cgroup.type") == "domain threaded"
    CpuShares(service).limit("pump", 100, 0.5)
    assert service.processes[100] == f"{SERVICE}/iocmng-plugin-pump-100"


def test_groups_of_the_dead_are_removed(service):
    """Whoever comes next tidies up; what the dead have started keeps its group until it has ended, too."""
    shares = CpuShares(service)
    shares.limit("pump", 100, 0.5)
    service.processes[103] = f"{SERVICE}/iocmng-plugin-pump-100"
    service.me = 101
    service.make(f"{SERVICE}/of-somebody-else-100")
    assert shares.sweep() == set()
    del service.processes[100]
    assert shares.sweep() == {100}
    del service.processes[103]
    assert shares.sweep() == set()
    assert service.below(SERVICE) == [f"{SERVICE}/iocmng-server", f"{SERVICE}/of-somebody-else-100"]


def not_delegated():
    return FakeGroups(SERVICE)


def read_only():
    groups = FakeGroups("/")
    groups.writable = False
    return groups


WITHOUT = {
    "no control groups of version 2": lambda: FakeGroups(None),
    f"{SERVICE} is not left to this server .*Delegate=cpu": not_delegated,
    "group / is not left to this server": read_only,
    "group / has no controller `cpu`": lambda: FakeGroups("/", controllers="memory pids"),
}


@pytest.mark.parametrize("words", WITHOUT)
def test_where_there_can_be_no_shares_a_plugin_says_so_and_runs(words):
    """What its config.yaml asks for is a wish, unless the site insists: then it does not run. Nothing is changed."""
    groups = WITHOUT[words]()
    before = dict(groups.processes)
    with pytest.raises(NoShare, match=words) as reason:
        CpuShares(groups).check()
    (warning,) = share_cpu("pump", 0.5, insists=False, shares=CpuShares(groups))
    assert warning == f"limits.cpu: 0.5 is not kept, the plugin runs without this limit: {reason.value}"
    with pytest.raises(PluginRejected, match=f"limits.cpu: 0.5 cannot be kept .*IOCMNG_PLUGIN_CPU is set: .*{words}"):
        share_cpu("pump", 0.5, insists=True, shares=CpuShares(groups))
    assert share_cpu("pump", None, insists=True, shares=CpuShares(groups)) == ()
    assert (groups.processes, groups.files) == (before, {})


def test_processes_that_cannot_be_moved():
    """One of another container in the same group, for example: the reason is told, in the end."""
    groups = FakeGroups(SERVICE, stubborn=frozenset({101}))
    groups.delegated.add(SERVICE)
    with pytest.raises(NoShare, match=r"cannot be divided \(it has processes that cannot be moved"):
        CpuShares(groups).limit("pump", 100, 0.5)


def test_a_server_whose_site_insists_does_not_start_without(monkeypatch, tmp_path):
    """The sentence names the setting; without the setting nothing is asked."""
    monkeypatch.setattr("iocmng.loading.cpu_share.KernelGroups", lambda: FakeGroups(None))
    with pytest.raises(InvalidRequest, match="IOCMNG_PLUGIN_CPU cannot be kept: this machine has no control groups"):
        check_cpu_share(Settings(plugins_dir=tmp_path, plugin_cpu="500m"))
    check_cpu_share(Settings(plugins_dir=tmp_path))


MOUNTS = """\
22 1 0:20 / /proc rw - proc proc rw
30 25 0:26 {root} /sys/fs/cgroup/my\\040place rw,nosuid - cgroup2 cgroup2 rw
"""


@pytest.mark.parametrize(
    ("root", "cgroup", "found"),
    [
        ("/", "0::/a/b\n", "/a/b"),
        ("/", "4:memory:/x\n0::/\n", "/"),
        ("/a", "0::/a/b\n", "/b"),
        ("/a", "0::/a\n", "/"),
        ("/a", "0::/ab\n", None),
        ("/", "4:memory:/x\n", None),
        ("/", "0::/../c\n", "/../c"),
    ],
)
def test_where_this_process_is(root, cgroup, found):
    """As the kernel tells it in mountinfo and cgroup, also where only a part of the groups is mounted."""
    mount, above = find_mount(MOUNTS.format(root=root))
    assert str(mount) == "/sys/fs/cgroup/my place"
    assert own_group(cgroup, above) == found


BUSY = """\
import json, os, sys, time
from iocmng.loading.cgroups import KernelGroups
from iocmng.loading.cpu_share import share_cpu

warnings = share_cpu("busy", 0.2, insists=True)
group = KernelGroups().own()
if child := os.fork():
    print(json.dumps([warnings, group, os.getpid(), child]), flush=True)
while True:
    pass
"""


def usage(group):
    for line in (group / "cpu.stat").read_text().splitlines():
        if line.startswith("usage_usec"):
            return int(line.split()[1]) / 1e6
    raise AssertionError


def test_a_busy_process_and_its_child_get_their_share(delegated):
    """Both together about 0.2 cores, of all that there are; and the group goes when they have."""
    process = subprocess.Popen(
        in_group(delegated, sys.executable, "-c", BUSY), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        warnings, name, *pids = json.loads(process.stdout.readline())
        group = delegated / name.rpartition("/")[2]
        assert (warnings, group.name) == ([], f"iocmng-plugin-busy-{process.pid}")
        assert sorted(map(int, (group / "cgroup.procs").read_text().split())) == sorted(pids)
        began, used = time.monotonic(), usage(group)
        wait_for(lambda: time.monotonic() > began + 2, "they have been busy for a while")
        share = (usage(group) - used) / (time.monotonic() - began)
        assert 0.1 < share < 0.3
    finally:
        os.killpg(process.pid, 9)
        process.communicate()
    sweep = "from iocmng.loading.cpu_share import CpuShares\nassert not CpuShares().sweep()"
    subprocess.run(in_group(delegated, sys.executable, "-c", sweep), check=True)
    assert not group.exists()
