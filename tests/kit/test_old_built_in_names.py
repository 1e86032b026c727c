"""Plugins of 2.x that declare a PV which is built in now: served once, and told of what is written."""

from contextlib import closing

from iocmng import JobBase, TaskBase
from iocmng.testing import PluginHarness


def running(cls, config):
    """Return a harness that is closed at the end of a block."""
    return closing(PluginHarness(cls, config=config))


class Counter(TaskBase):
    """Counts to itself, and begins anew when it finds RESET set, as plugins did that had a RESET of their own."""

    count = 0

    def initialize(self):
        self.told = []

    def execute(self):
        self.count = 0 if self.get_pv("RESET") else self.count + 1
        self.set_pv("COUNT", self.count)

    def on_write(self, pv_name, value):
        self.told.append((pv_name, value))

    def cleanup(self):
        pass


CONFIG = {
    "parameters": {"interval": 1.0},
    "pvs": {"inputs": {"RESET": {"type": "bool"}}, "outputs": {"COUNT": {"type": "int"}}},
}


def with_inputs(*names, mode="continuous"):
    """Return the configuration with these inputs, in this mode."""
    pvs = {"inputs": {name: {"type": "bool"} for name in ("RESET", *names)}, "outputs": CONFIG["pvs"]["outputs"]}
    return {"parameters": {"interval": 1.0, "mode": mode}, "pvs": pvs}


def test_a_cycle_sees_the_value_and_then_it_returns_to_0():
    """A put to RESET is told to on_write(), is there in exactly one execute(), and is 0 afterwards, as a button is."""
    with running(Counter, config=CONFIG) as plugin:
        plugin.start()
        plugin.advance(3.0)
        before = plugin.pvs["COUNT"].value
        plugin.put("RESET", 1)
        assert plugin.pvs["RESET"].value
        assert plugin.plugin.told == [("RESET", True)]
        plugin.advance(1.0)
        assert (before > 1, plugin.pvs["COUNT"].value, plugin.pvs["RESET"].value) == (True, 0, False)
        plugin.advance(2.0)
        assert plugin.pvs["COUNT"].value == 2


def test_where_no_cycle_comes_it_returns_at_once():
    """While the task is paused or stopped, and in a triggered one, nobody would take it back."""
    with running(Counter, config=with_inputs("ENABLE")) as plugin:
        plugin.start()
        plugin.put("ENABLE", 0)
        plugin.put("RESET", 1)
        assert plugin.plugin.told == [("ENABLE", False), ("RESET", True)]
        assert (plugin.status, plugin.pvs["ENABLE"].value, plugin.pvs["RESET"].value) == ("PAUSED", False, False)
    with running(Counter, config=with_inputs("RUN", mode="triggered")) as plugin:
        plugin.start()
        plugin.put("RESET", 1)
        plugin.put("RUN", 1)
        assert plugin.plugin.told == [("RESET", True), ("RUN", True)]
        assert (plugin.status, plugin.pvs["RUN"].value, plugin.pvs["RESET"].value) == ("END", False, False)
        assert plugin.pvs["COUNT"].value == 1


def test_what_is_not_declared_is_not_told():
    """A task that declares no RESET hears nothing of it, and it returns to 0 as it is taken."""
    config = {"pvs": {"outputs": {"COUNT": {"type": "int"}}}}
    with running(Counter, config=config) as plugin:
        plugin.start()
        plugin.put("RESET", 1)
        assert (plugin.plugin.told, plugin.pvs["RESET"].value) == ([], False)


class OwnPulse(Counter):
    """Has a HEARTBEAT of its own, which toggles."""

    def execute(self):
        self.set_pv("HEARTBEAT", not self.get_pv("HEARTBEAT"))


def test_a_plugins_own_heartbeat_is_its_own():
    """Nobody but the plugin writes the PV that it declares under the name of a newer built-in one."""
    config = {"pvs": {"outputs": {"HEARTBEAT": {"type": "bool"}}}, "parameters": {"interval": 10.0}}
    with running(OwnPulse, config=config) as plugin:
        plugin.start()
        plugin.advance(1.0)
        before = plugin.pvs["HEARTBEAT"].value
        plugin.advance(8.0)
        assert plugin.pvs["HEARTBEAT"].value == before
        assert plugin.pvs["UPTIME"].value >= 8


class Mover(JobBase):
    """A job that has a RUN of its own, which was a plain input in 2.x."""

    ran = False

    def initialize(self):
        pass

    def execute(self):
        self.ran = True


def test_a_jobs_own_run_starts_nothing():
    """In 2.x a put to it moved nothing, and it moves nothing now."""
    config = {"pvs": {"inputs": {"RUN": {"type": "bool"}}, "outputs": {"VERSION": {"type": "float", "value": 1.5}}}}
    with running(Mover, config=config) as plugin:
        plugin.put("RUN", 1)
        assert (plugin.plugin.ran, plugin.pvs["RUN"].value, plugin.status) == (False, True, "IDLE")
        assert plugin.pvs["VERSION"].value == 1.5
