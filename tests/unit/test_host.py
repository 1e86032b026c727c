"""A plugin with everything around it, on records that are a dictionary: what is served, restored and saved when."""

import pytest
from base_fakes import FakeClock, FakePvs
from support import wait_for

from iocmng import TaskBase
from iocmng.base import host as host_module
from iocmng.base.facts import plugin_facts
from iocmng.base.host import PluginHost
from iocmng.base.identity import identify
from iocmng.core.manifest_text import parse_manifest
from iocmng.errors import PluginRejected

CONFIG = "pvs: {inputs: {SETPOINT: {type: float, value: 1}}}"
LIMIT = 10


class Server(FakePvs):
    """Records, and the values that they had when clients saw them first."""

    at_first = None

    def build(self, pv_prefix, pvs, on_write):
        self.on_write = on_write
        self.values = {pv.name: pv.pv.coerce(pv.pv.value) for pv in pvs}
        return ()

    def run(self):
        self.at_first = dict(self.values)
        return 5064, 5075

    def client_puts(self, name, value):
        """Do what EPICS does when a client puts."""
        self.values[name] = value
        self.on_write(name, value)


class Pump(TaskBase):
    """Notes what is called, and with which setpoint."""

    def __init__(self):
        self.calls = []
        self.set_pv("SETPOINT", 2.0)

    def initialize(self):
        self.calls.append(("initialize", self.get_pv("SETPOINT")))

    def execute(self):
        self.calls.append(("execute", self.get_pv("SETPOINT")))

    def on_write(self, pv_name, value):
        self.calls.append((pv_name, value))

    def cleanup(self):
        self.calls.append(("cleanup", self.get_pv("SETPOINT")))


@pytest.fixture
def values(tmp_path, monkeypatch):
    """Return the directory of the saved values; they are saved at the end only."""
    monkeypatch.setattr(host_module, "SAVE_PERIOD", 1000.0)
    return tmp_path / "pump"


def build(values, config=CONFIG, cls=Pump):
    """Return a host with the plugin built, and its records."""
    server = Server()
    host = PluginHost(server, FakeClock())
    identity = identify("pump", "X:PUMP", cls, parse_manifest(config), {}, commit=None)
    host.build(cls, identity, "info", values).result(LIMIT)
    return host, server


def serve(host):
    return host.thread.submit(host.serve).result(LIMIT)


def settle(host):
    """Return when the author's thread has done what it was asked for."""
    host.thread.submit(lambda: None).result(LIMIT)


def test_without_a_directory_nothing_is_saved(values):
    """As callers that know nothing of values have it; the PVs begin as __init__ leaves them."""
    host, server = build(None)
    assert serve(host) == (5064, 5075)
    host.end().result(LIMIT)
    assert server.at_first["SETPOINT"] == 2.0
    assert not values.exists()


def test_values_are_restored_before_clients_see_them(values):
    """They win over what __init__ sets, initialize() finds them, and on_write() is not called for them."""
    host, server = build(values)
    serve(host)
    server.client_puts("SETPOINT", 3.0)
    host.end().result(LIMIT)
    host, server = build(values)
    assert server.at_first is None
    serve(host)
    assert server.at_first["SETPOINT"] == 3.0
    host.set_running(True).result(LIMIT)
    assert host._plugin.calls[0] == ("initialize", 3.0)
    assert ("SETPOINT", 3.0) not in host._plugin.calls
    host.end().result(LIMIT)


def test_on_a_reload_the_last_put_to_the_old_process_counts(values):
    """Also one that comes while the old process ends, and although the new one was built before."""
    old, old_server = build(values)
    serve(old)
    new, new_server = build(values)
    old_server.client_puts("SETPOINT", 3.0)
    old.end().result(LIMIT)
    old_server.client_puts("SETPOINT", 4.0)
    settle(old)
    serve(new)
    assert new_server.at_first["SETPOINT"] == 4.0
    new.end().result(LIMIT)


def test_a_process_that_never_served_saves_nothing(values):
    """A replacement that is thrown away leaves the file alone."""
    host, _ = build(values)
    host.end().result(LIMIT)
    assert not values.exists()


def test_values_that_cleanup_sets_are_saved(values):
    """A plugin that leaves a safe state finds it again."""

    class Safe(Pump):
        def cleanup(self):
            self.set_pv("SETPOINT", 0.0)

    host, _ = build(values, cls=Safe)
    serve(host)
    host.set_running(True).result(LIMIT)
    host.end().result(LIMIT)
    host, server = build(values)
    serve(host)
    assert server.at_first["SETPOINT"] == 0.0
    host.end().result(LIMIT)


def test_a_pause_is_restored(values):
    """initialize() runs, no cycle does, and STATUS is PAUSED until ENABLE is written."""
    host, server = build(values)
    serve(host)
    server.client_puts("ENABLE", False)
    settle(host)
    host.end().result(LIMIT)
    host, server = build(values)
    serve(host)
    host.set_running(True).result(LIMIT)
    settle(host)
    assert [call for call, _ in host._plugin.calls] == ["initialize"]
    assert (host.report().state, host.report().status) == ("PAUSED", "paused")
    server.client_puts("ENABLE", True)
    wait_for(lambda: host._plugin.calls[-1][0] == "execute", "a cycle")
    host.end().result(LIMIT)


def test_the_heartbeat_saves_and_looks_while_the_plugin_hangs(values, monkeypatch):
    """A call that never returns keeps neither the values nor the news of it back."""
    monkeypatch.setattr(host_module, "SAVE_PERIOD", 0.01)
    monkeypatch.setattr(host_module, "HEARTBEAT_PERIOD", 0.01)
    hanging = []

    class Stuck(Pump):
        def execute(self):
            hanging.append(True)
            wait_for(lambda: not hanging, "the end of the test")

    host, server = build(values, f"{CONFIG}\nwatchdog: 5", Stuck)
    serve(host)
    host.set_running(True).result(LIMIT)
    wait_for(lambda: hanging, "a cycle")
    server.client_puts("SETPOINT", 3.0)
    file = values / "pump.softsav"
    wait_for(lambda: file.exists() and "SETPOINT: 3.0" in file.read_text(), "the value is saved")
    host._clock.now += 6
    wait_for(lambda: host.report().hung, "the hang is shown")
    assert host.report().message == "execute() has not returned for 6 s"
    hanging.clear()
    wait_for(lambda: not host.report().hung, "it has returned")
    host.end().result(LIMIT)


SECRETIVE = CONFIG + "\nparameters_schema: {password: {type: string, secret: true, required: true}}"
PASSWORD = "correct horse"


class Talkative(TaskBase):
    """Tells its password wherever it can."""

    def initialize(self):
        assert self.parameters["password"] == PASSWORD
        self.logger.info("logging in with %s", self.parameters["password"])
        self.set_message(f"the password is {PASSWORD}")
        raise ValueError(f"{PASSWORD} was refused")

    def execute(self):
        pass

    def cleanup(self):
        pass


def test_a_secret_parameter_stands_in_no_message_and_no_log_line():
    """The plugin gets it; where it tells it, by mistake or in an exception, three stars stand in its place."""
    host = PluginHost(Server(), FakeClock())
    manifest = parse_manifest(SECRETIVE)
    identity = identify("p", "X:P", Talkative, manifest, {"password": PASSWORD}, commit=None)
    host.build(Talkative, identity, "info").result(LIMIT)
    with pytest.raises(PluginRejected, match=r"\*\*\* was refused") as refused:
        host.set_running(True).result(LIMIT)
    report = host.report()
    assert any("logging in with ***" in line for line in report.log)
    assert PASSWORD not in f"{report}{refused.value}{refused.value.failures}"
    assert PASSWORD not in str(plugin_facts(Talkative, identity, manifest, None, None))
    host.end().result(LIMIT)
