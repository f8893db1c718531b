"""Fixtures: one name server and one ACME server for all tests, a folder, a server and a second CA for each."""
import os
import shutil
import sys
import tempfile

import pytest

TESTS = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(TESTS, "server"), os.path.join(TESTS, "fault"), os.path.join(TESTS, "simulators")]

from fault_proxy import FaultProxy  # noqa: E402
from harness import clock, install as installation, ports, processes, sanitizer  # noqa: E402
from harness.apache import Apache  # noqa: E402
from harness.authority import Authority  # noqa: E402
from harness.buyers import BUYERS, NAME  # noqa: E402
from harness.clock import Clock  # noqa: E402
from harness.disk import SmallDisk  # noqa: E402
from harness.dns import Dns  # noqa: E402
from harness.evercert import Evercert  # noqa: E402
from harness.haproxy import Haproxy  # noqa: E402
from harness.nginx import Nginx, host  # noqa: E402
from harness.pebble import Pebble  # noqa: E402
from harness.simulator import Files, Simulator  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--part", metavar="NUMBER/COUNT", help="of the tests that were found, each COUNT-th, from the NUMBER-th on")


def pytest_collection_modifyitems(config, items):
    """Tests are independent of each other, so that several processes can have some of a file each."""
    part = config.getoption("--part")
    if part:
        number, count = map(int, part.split("/"))
        config.hook.pytest_deselected(items=[item for at, item in enumerate(items) if at % count != number - 1])
        items[:] = items[number - 1::count]


def new_folder(prefix="evercert-test-"):
    """A folder that the web server's user may enter; what is secret below it has its own modes."""
    folder = tempfile.mkdtemp(prefix=prefix)
    os.chmod(folder, 0o755)
    return folder


def remove(folder):
    if os.environ.get("EVERCERT_KEEP"):
        print("kept: " + folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def adoption():
    processes.adopt_orphans()


@pytest.fixture(scope="session")
def common_folder():
    folder = new_folder("evercert-tests-")
    yield folder
    remove(folder)


@pytest.fixture(scope="session")
def install(common_folder):
    if not installation.built():
        pytest.fail("nothing is built in %s: cmake --preset release && cmake --build --preset release" % installation.BUILD)
    made = installation.Install(os.path.join(common_folder, "installed"))
    sanitizer.prepare(sanitizer.report_folder(made))
    return made


@pytest.fixture(scope="session")
def authority(common_folder):
    return Authority(os.path.join(common_folder, "authority"))


@pytest.fixture(scope="session")
def dns(common_folder):
    server = Dns(common_folder)
    yield server
    server.close()


@pytest.fixture(scope="session")
def shared_pebble(common_folder, authority, dns):
    server = Pebble(os.path.join(common_folder, "pebble"), authority)
    yield server
    server.close()


@pytest.fixture
def pebble(shared_pebble):
    """The ACME server without faults; running, whatever the test before did to it."""
    if shared_pebble.process.poll() is not None:
        shared_pebble.start()
    elif shared_pebble.is_stuck():
        shared_pebble.restart()
    return shared_pebble


@pytest.fixture
def folder(request):
    path = new_folder()
    yield path
    report = getattr(request.node, "report", None)
    if report is not None and report.failed:
        for name in sorted(os.listdir(path)):
            if name.endswith((".log", ".conf", ".cfg")) and os.path.isfile(os.path.join(path, name)):
                with open(os.path.join(path, name), errors="replace") as file:
                    print("\n--- %s ---\n%s" % (name, file.read()[-6000:]))
    remove(path)


@pytest.fixture
def other_pebble(folder, authority, dns):
    """Makes a second ACME server with knobs, for this test alone."""
    started = []

    def make(**knobs):
        server = Pebble(os.path.join(folder, "pebble"), authority, ports.OTHER_ACME, ports.OTHER_MANAGEMENT, **knobs)
        started.append(server)
        return server
    yield make
    for server in started:
        server.close()


@pytest.fixture
def fault(pebble):
    """A proxy in front of the shared ACME server; without rules it only passes on."""
    proxy = FaultProxy(ports.FAULT, ports.ACME, pebble.chain_path, pebble.key_path)
    yield proxy
    proxy.close()


def servers(kind, folder, install, pebble):
    """Makes servers of one kind; each is ended, with all it started, when the test is over."""
    made = []
    label = kind.__name__.lower()

    def make(what, **options):
        options.setdefault("pebble", pebble)
        options.setdefault("label", label if not made else "%s%d" % (label, len(made) + 1))
        server = kind(folder, install, what, **options)
        made.append(server)
        return server
    yield make
    for server in made:
        server.close()
    found = sanitizer.reports(install, os.path.join(folder, "jail"))
    assert not found, found


@pytest.fixture
def disk(folder):
    """To be named before the server, which then ends before its disk goes."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    one = SmallDisk(folder)
    yield one
    one.close()


@pytest.fixture
def nginx(folder, install, pebble):
    yield from servers(Nginx, folder, install, pebble)


@pytest.fixture
def haproxy(folder, install, pebble):
    yield from servers(Haproxy, folder, install, pebble)


@pytest.fixture
def apache(folder, install, pebble):
    yield from servers(Apache, folder, install, pebble)


@pytest.fixture
def simulator(folder, dns):
    """Starts simulated commercial CAs for this test alone: simulator("certinext", issue_seconds=3)."""
    started = []

    def make(ca, **settings):
        started.append(Simulator(ca, folder, **settings))
        return started[-1]
    yield make
    for one in started:
        one.close()


@pytest.fixture(scope="module")
def started(request, common_folder, dns):
    """The simulated CA that a module of tests of the simulators names in SIMULATED, one for all of them."""
    one = Simulator(request.module.SIMULATED, common_folder)
    yield one
    one.close()


@pytest.fixture
def ca(started):
    started.clear()
    yield started
    started.clear()


@pytest.fixture
def files():
    """A web server that has the validation files of any name."""
    server = Files(ports.HTTP)
    yield server
    server.close()


@pytest.fixture
def buyer(request, folder, dns):
    """A customer of a simulated CA, by the name in BUYERS that a test is parametrized with."""
    one = BUYERS[request.param](folder)
    yield one
    one.close()


@pytest.fixture
def shop(nginx, buyer):
    """A server whose only certificate is bought; options of the issuer may be changed."""
    def make(names=NAME, **changed):
        return nginx(host(names), pebble=None, global_extra=buyer.issuer(**changed))
    return make


@pytest.fixture
def shifted(folder, install):
    """A clock of its own for the agent of this test."""
    if not clock.LIBRARY:
        pytest.skip("the package faketime is not installed")
    return Clock(folder, install)


@pytest.fixture
def evercert(install, folder):
    """The command line on the state directory that servers of this test use."""
    return Evercert(install, os.path.join(folder, "evercert"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.report = outcome.get_result()


def pytest_sessionfinish(session):
    """Whatever a failed test left running was started by us, so it goes with us."""
    processes.end_all(processes.descendants_of(os.getpid()))
