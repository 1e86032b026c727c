"""A job that works on many files at the same time: POST /jobs/count-events/run."""

import tempfile
from functools import partial
from pathlib import Path

from event_files import count_above, write_sample

from iocmng import JobBase, JobResult


class CountEvents(JobBase):
    def initialize(self):
        self.directory = tempfile.TemporaryDirectory()

    def execute(self):
        wanted = self.parameters
        write = partial(write_sample, directory=Path(self.directory.name), events=wanted["events"])
        paths = self.map(write, range(wanted["files"]), progress=(0.0, 0.5))

        count = partial(count_above, threshold=wanted["threshold"])
        counts = self.map(count, paths, progress=(0.5, 1.0))

        self.set_pv("ABOVE", sum(counts))
        return JobResult(
            success=True,
            data={"files": len(paths), "above": sum(counts), "most": paths[counts.index(max(counts))].name},
            message=f"{sum(counts)} events above {wanted['threshold']:g} MeV",
        )

    def cleanup(self):
        self.directory.cleanup()
