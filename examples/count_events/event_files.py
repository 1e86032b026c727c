"""What is done with one file of events; it runs in other processes, so it knows nothing of the plugin."""

import logging
import random

log = logging.getLogger(__name__)


def write_sample(number, directory, events):
    """Write a file of events, an energy in MeV on each line; return its path."""
    energies = random.Random(number)
    path = directory / f"run-{number:04}.txt"
    path.write_text("".join(f"{energies.expovariate(1 / 20):.3f}\n" for _ in range(events)))
    return path


def count_above(path, threshold):
    """Return how many events of a file are above the threshold."""
    count = sum(float(line) > threshold for line in path.read_text().splitlines())
    if not count:
        log.warning("%s has no event above %g MeV", path.name, threshold)
    return count
