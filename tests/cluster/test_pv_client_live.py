"""The author's pv_client: a plugin reads and writes the PVs of another IOC."""

import pytest
from support import MINIMAL_TASK, caget, wait_for

pytestmark = pytest.mark.thorough

READER = """\
from iocmng import TaskBase, pv_client


class Reader(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        pv_client.put("TST:TARGET:WISH", 12.5, timeout=5)
        self.set_pv("SEEN", pv_client.get("TST:TARGET:WISH"))
        pv_client.get("TST:NOBODY:HOME", timeout=0.2)

    def cleanup(self):
        pass
"""


def test_pv_client_over_pv_access(server):
    """Get and put work from execute(); a PV that does not answer is a clear error after its time-out."""
    server.add("target", {"m.py": MINIMAL_TASK, "config.yaml": "pvs: {inputs: {WISH: {type: float}}}"})
    answer = server.add("reader", {"r.py": READER, "config.yaml": "pvs: {outputs: {SEEN: {type: float}}}"})
    assert answer.status_code == 201, answer.text
    wait_for(lambda: caget("TST:READER:SEEN") == "12.5", "the value read back")
    assert caget("TST:TARGET:WISH") == "12.5"
    wait_for(lambda: server.get("reader")["status"] == "error", "the silent PV is told")
    assert "TST:NOBODY:HOME did not answer within 0.2 s" in server.get("reader")["message"]


@pytest.mark.parametrize("name", ["get", "put"])
def test_pv_client_over_channel_access(name, tmp_path, monkeypatch):
    """With --pva false the same calls use Channel Access."""
    monkeypatch.setenv("IOCMNG_STATE_DIR", str(tmp_path / "state"))
    import signal
    import subprocess
    import sys

    from support import write_files

    target = write_files(
        tmp_path / "target", {"m.py": MINIMAL_TASK, "config.yaml": "pvs: {inputs: {WISH: {type: float, value: 3}}}"}
    )
    call = {"get": "pv_client.get(P)", "put": "pv_client.put(P, 4.5) or pv_client.get(P)"}[name]
    source = READER.split("    def execute")[0] + (
        f'    def execute(self):\n        P = "CAT{name}:WISH"\n        self.set_pv("SEEN", {call})\n\n'
        "    def cleanup(self):\n        pass\n"
    )
    reader = write_files(tmp_path / "reader", {"r.py": source, "config.yaml": "pvs: {outputs: {SEEN: {type: float}}}"})
    start = [sys.executable, "-c", "from iocmng.cli.main import run_main; run_main()"]
    processes = [
        subprocess.Popen([sys.executable, "-m", "iocmng", "run", target, "--prefix", f"CAT{name}"]),
        subprocess.Popen([*start, "-m", "r", "--prefix", f"CAR{name}", "--pva", "false"], cwd=reader),
    ]
    try:
        wait_for(lambda: caget(f"CAR{name}:SEEN") == {"get": "3", "put": "4.5"}[name], "the value read")
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(15) for process in processes] == [0, 0]
