"""Plugins that declare their parameters, on a real server: what is refused, what is shown, what runs on."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import MINIMAL_TASK, commit_files, wait_for

pytestmark = pytest.mark.thorough

SCHEMA = """\
parameters_schema:
  exposure: {type: float, unit: s, min: 0.001, max: 60, default: 0.1}
  mode_name: {type: string, choices: [fast, slow], default: fast}
"""

MODEL_JOB = """\
import time
from pathlib import Path

from pydantic import BaseModel, Field, field_validator

from iocmng import JobBase


class Scan(JobBase):
    class Parameters(BaseModel):
        frames: int = Field(ge=1)
        folder: Path = Path("data")
        until: str = ""

        @field_validator("frames")
        @classmethod
        def _slow(cls, value):
            while value == 666:
                time.sleep(0.1)
            return value

    def initialize(self):
        pass

    def execute(self):
        until = self.typed_parameters.until
        while until and not Path(until).exists():
            time.sleep(0.01)
        return {"frames": self.parameters["frames"], "folder": type(self.parameters["folder"]).__name__}
"""


def refused(answer, step, status=422):
    """Return the sentences of an answer that refuses."""
    assert answer.status_code == status, answer.text
    errors = answer.json()["validation"]["errors"]
    assert {error["step"] for error in errors} == {step}
    return [error["message"] for error in errors]


def test_parameters_that_config_yaml_declares(server):
    """Add, PATCH and restart are checked; the defaults show; what is refused leaves the old version running."""
    files = {"p.py": MINIMAL_TASK, "config.yaml": SCHEMA}
    assert refused(server.add("camera", files, parameters={"exposure": 100, "mode_nam": "slow"}), "config") == [
        "parameters.exposure: must be from 0.001 to 60 s, not 100",
        "parameters.mode_nam: unknown parameter; did you mean 'mode_name'?",
    ]
    assert server.names() == set()
    answer = server.add("camera", files, parameters={"exposure": 1, "interval": 0.5})
    assert answer.status_code == 201, answer.text
    shown = server.get("camera")
    assert shown["parameters"] == {"mode": "continuous", "interval": 0.5, "exposure": 1.0, "mode_name": "fast"}
    assert shown["parameters_schema"]["properties"]["exposure"]["x-unit"] == "s"

    patch = server.http.patch("/plugins/camera", json={"parameters": {"mode_name": "slwo"}})
    assert refused(patch, "config") == ["parameters.mode_name: 'slwo' is not one of fast, slow; did you mean 'slow'?"]
    assert "generation 1" in patch.json()["detail"]
    assert "runs on" in patch.json()["detail"]
    assert server.http.patch("/plugins/camera", json={"parameters": {"mode_name": "slow"}}).status_code == 200

    repository = server.repository("narrower", files)
    body = {"name": "narrow", "git_url": str(repository.working_dir), "parameters": {"exposure": 10}}
    assert server.http.post("/plugins", json=body).status_code == 201
    before = server.get("narrow")
    commit_files(repository, {"config.yaml": SCHEMA.replace("max: 60", "max: 5")})
    restart = server.http.post("/plugins/narrow/restart")
    assert refused(restart, "config") == ["parameters.exposure: must be from 0.001 to 5 s, not 10"]
    after = server.get("narrow")
    assert (after["status"], after["pid"], after["generation"]) == ("running", before["pid"], 1)
    assert after["parameters_schema"]["properties"]["exposure"]["maximum"] == 60


def test_parameters_that_a_model_declares(server, tmp_path):
    """A run that does not fit is refused before there is one, at once, though another run goes on."""
    both = {"p.py": MODEL_JOB, "config.yaml": SCHEMA}
    assert "keep one of the two" in refused(server.add("scan", both), "config")[0]
    answer = server.add("scan", {"p.py": MODEL_JOB}, kind="jobs")
    assert answer.status_code == 201, answer.text
    assert server.get("scan")["parameters"]["folder"] == "data"
    assert server.get("scan")["parameters_schema"]["required"] == ["frames"]

    def run(**parameters):
        return server.http.post("/jobs/scan/run", json={"parameters": parameters})

    gate = tmp_path / "gate"
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(run, frames=3, until=str(gate))
        wait_for(lambda: server.get("scan")["running"], "the run has begun")
        begun = time.monotonic()
        assert refused(run(), "request") == ["parameters.frames is missing; it must be given"]
        assert refused(run(frames=0, foldr="x"), "request") == [
            "parameters.foldr: unknown parameter; did you mean 'folder'?",
            "parameters.frames: must be greater than or equal to 1, not 0",
        ]
        assert time.monotonic() - begun < 5
        assert server.get("scan")["state"] == "RUNNING"
        hung = run(frames=666)
        assert (hung.status_code, "validators" in hung.json()["detail"]) == (504, True)
        gate.touch()
        assert going.result(30).json()["result"]["data"] == {"frames": 3, "folder": "PosixPath"}
    assert server.get("scan")["state"] == "SUCCESS"
