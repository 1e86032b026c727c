"""How many clients are connected to the servers of a process."""

import socket

from iocmng.epics.connections import Connections, connections_at


def test_connections_are_counted_by_the_port_that_they_were_made_to():
    """On IPv4 and IPv6; neither the listening socket nor the client's own end counts, and a closed one goes."""
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        ports = four.getsockname()[1], six.getsockname()[1]
        assert connections_at(*ports) == (0, 0)
        clients = [socket.create_connection(four.getsockname()), socket.create_connection(six.getsockname()[:2])]
        clients.append(socket.create_connection(four.getsockname()))
        accepted = [four.accept()[0], six.accept()[0], four.accept()[0]]
        assert connections_at(*ports) == (2, 1)
        for one in (accepted[0], clients[0]):
            one.close()
        assert connections_at(*ports) == (1, 1)
        for one in (*accepted, *clients):
            one.close()


def test_a_count_is_good_for_a_while():
    """A process that reports each second does not count each second."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections = Connections(server.getsockname()[1], 1)
        assert connections.count() == (0, 0)
        with socket.create_connection(server.getsockname()), server.accept()[0]:
            assert connections.count() == (0, 0)
            assert connections_at(server.getsockname()[1], 1) == (1, 0)
