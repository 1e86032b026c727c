"""A job with parameters and progress: POST /jobs/beam-statistics/run with {"parameters": {"samples": 50}}."""

import math
import statistics

from iocmng import JobBase, JobResult


class BeamStatistics(JobBase):
    def initialize(self):
        self.samples = []

    def execute(self):
        wanted = self.parameters["samples"]
        for number in range(wanted):
            if self.cancelled:
                return JobResult(success=False, message=f"cancelled after {number} samples")
            self.samples.append(math.sin(number))
            self.report_progress((number + 1) / wanted)
        mean = statistics.fmean(self.samples)
        self.set_pv("MEAN", mean)
        data = {"mean": mean, "deviation": statistics.pstdev(self.samples), "samples": wanted}
        return JobResult(success=True, data=data, message=f"{wanted} samples")
