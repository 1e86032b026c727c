"""The author's pv_client, and where its client comes from."""

import pytest

from iocmng import pv_client
from iocmng.errors import ServerUnavailable, TimedOut


class FakeClient:
    """Notes what it is asked."""

    def __init__(self):
        self.calls = []

    def get(self, pv_name, timeout):
        self.calls.append(("get", pv_name, timeout))
        return 42

    def put(self, pv_name, value, timeout):
        self.calls.append(("put", pv_name, value, timeout))
        raise TimedOut(f"{pv_name} does not answer")


@pytest.fixture
def client():
    """Install a fake for one test."""
    fake = FakeClient()
    pv_client.install(fake)
    yield fake
    pv_client.install(None)


def test_calls_reach_the_installed_client(client):
    """Values come back, errors too, and the time-out is five seconds unless it is given."""
    assert pv_client.get("LAB:X") == 42
    with pytest.raises(TimedOut, match="LAB:X does not answer"):
        pv_client.put("LAB:X", 1, timeout=0.5)
    assert client.calls == [("get", "LAB:X", 5.0), ("put", "LAB:X", 1, 0.5)]


def test_the_last_installed_client_is_used(client):
    """Installing another replaces the first."""
    other = FakeClient()
    pv_client.install(other)
    pv_client.get("LAB:X", 1)
    assert (client.calls, other.calls) == ([], [("get", "LAB:X", 1)])


@pytest.mark.parametrize("call", [lambda: pv_client.get("LAB:X"), lambda: pv_client.put("LAB:X", 1)])
def test_without_a_client_the_error_says_what_to_do(call):
    """Outside of a running plugin there is none."""
    pv_client.install(None)
    with pytest.raises(ServerUnavailable, match=r"pv_client\.install"):
        call()
