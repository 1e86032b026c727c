"""How many processes a map() has on a cluster of a given size."""

import pytest

from iocmng.cluster.ray_mapper import most_workers

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize(
    ("cpus", "each", "wanted", "most"),
    [(4, 0.9, None, 4), (4, 0.9, 2, 2), (4, 0.9, 100, 4), (4, 2, None, 2), (4, 8, None, 1), (0, 0.9, 3, 1)],
)
def test_no_more_workers_than_there_will_ever_be_room_for(cpus, each, wanted, most):
    """Whatever a site books for each; one in any case, which then waits for room."""
    assert most_workers(cpus, each, wanted) == most
