"""A test of the configuration starts nothing, and leaves nothing behind that a start would take for its own."""
import os

import pytest

from harness import apache as apache_of
from harness import haproxy as haproxy_of
from harness import nginx as nginx_of


@pytest.mark.parametrize("server", ["nginx", "apache", "haproxy"])
def test_a_test_of_the_configuration_leaves_at_most_empty_directories(request, server, folder, authority):
    state = os.path.join(folder, "never-started")
    make = request.getfixturevalue(server)
    host = {"nginx": nginx_of.host, "apache": apache_of.host, "haproxy": lambda name: [haproxy_of.certificate(name)]}[server]
    code, said = make(host("www.example.com"), state=state).test()
    assert code == 0, said
    left = [os.path.join(place, name) for place, folders, files in os.walk(state) for name in folders + files]
    assert left in ([], [os.path.join(state, "state")]), left
    if server == "apache":
        assert not os.path.exists(state)
