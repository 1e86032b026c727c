"""Unit tests touch no network and no Ray: this folder forbids both."""

import socket

import pytest


@pytest.fixture(autouse=True)
def no_sockets_and_no_ray(monkeypatch):
    """Fail a test that opens a socket or starts Ray."""

    def forbidden(*args, **kwargs):
        raise AssertionError("a unit test must not open sockets or start Ray")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr("ray.init", forbidden, raising=False)
