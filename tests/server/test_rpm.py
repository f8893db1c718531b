"""The packages for distributions that use RPM, by rpmbuild from rpm/evercert.spec and what is built here: what is in them and who may read it,
what the checker says, and that the unpacked files order and serve with this machine's servers. No such distribution runs here."""
import glob
import os
import re
import shutil
import subprocess

import pytest

from harness import tls
from harness.haproxy import certificate
from harness.install import BUILD, PROJECT
from harness.nginx import host
from harness.packages import files_of_project

SPEC = os.path.join(PROJECT, "rpm", "evercert.spec")
# Where this machine's servers look, which the folder that is built here was configured for.
HERE = {"_libdir": "/usr/lib", "nginx_modules": "/usr/lib/nginx/modules", "httpd_modules": "/usr/lib/apache2/modules", "lua_modules": "/usr/lib/haproxy",
        "units": "/usr/lib/systemd/system"}
NAMES = {"evercert", "nginx-mod-evercert", "mod_evercert", "haproxy-evercert"}

pytestmark = pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="no rpmbuild: conf/install-packages test installs it")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def rpms(tmp_path_factory):
    """The path of each package by its name."""
    top = tmp_path_factory.mktemp("rpm")
    version = re.search(r"^Version:\s+(\S+)", open(SPEC).read(), re.M).group(1)
    (top / "SOURCES").mkdir()
    (top / "list").write_text("\n".join(files_of_project()))
    run("tar", "-C", PROJECT, "-czf", str(top / "SOURCES" / ("evercert-%s.tar.gz" % version)), "--transform", "s,^,evercert-%s/," % version,
        "-T", str(top / "list"))
    words = [word for name, value in {"_topdir": str(top), "built": BUILD, **HERE}.items() for word in ("--define", "%s %s" % (name, value))]
    run("rpmbuild", "-bb", "--nodeps", *words, SPEC)
    found = {run("rpm", "-qp", "--qf", "%{NAME}", path): path for path in glob.glob(str(top / "RPMS" / "*" / "*.rpm"))}
    assert set(found) == NAMES, found
    return found


@pytest.fixture(scope="module")
def unpacked(rpms):
    folder = subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip()
    os.chmod(folder, 0o755)
    for path in rpms.values():
        run("bash", "-o", "pipefail", "-c", 'rpm2cpio "$0" | cpio --quiet -idmu', path, cwd=folder)
    yield folder
    shutil.rmtree(folder)


class Unpacked:
    """What the servers of a test load and start."""

    def __init__(self, folder):
        self.folder = folder + HERE["lua_modules"]  # where HAProxy looks
        self.program = folder + "/usr/bin/evercert"
        self.http_module, self.stream_module = (folder + HERE["nginx_modules"] + "/ngx_%s_evercert_module.so" % kind for kind in ("http", "stream"))
        self.apache_module = folder + HERE["httpd_modules"] + "/mod_evercert.so"
        self.lua = folder + "/usr/share/evercert/evercert.lua"


@pytest.fixture(scope="module")
def install(unpacked):
    return Unpacked(unpacked)


def test_the_spec_is_of_the_version_that_the_program_is_of(rpms, install):
    version = run(install.program, "version").split()[1]
    assert {run("rpm", "-qp", "--qf", "%{VERSION}", path) for path in rpms.values()} == {version}


def test_the_program_can_be_run_but_not_read_by_others(rpms):
    listing = run("rpm", "-qlvp", rpms["evercert"]).splitlines()
    assert [line.split()[:4:2] for line in listing if line.endswith(" /usr/bin/evercert")] == [["-rwx--x--x", "root"]]


def test_each_module_is_loaded_by_a_snippet_that_names_a_file_of_its_package(rpms, unpacked):
    for package, snippet in (("nginx-mod-evercert", "/usr/share/nginx/modules/mod-http-evercert.conf"),
                             ("mod_evercert", "/etc/httpd/conf.modules.d/10-evercert.conf")):
        named = re.search(r"/[^\s\";]+\.so", open(unpacked + snippet).read()).group(0)
        files = run("rpm", "-qlp", rpms[package]).splitlines()
        assert named in files and snippet in files


def test_each_module_requires_the_program_of_its_own_release(rpms):
    own = run("rpm", "-qp", "--qf", "%{VERSION}-%{RELEASE}", rpms["evercert"])
    for name in NAMES - {"evercert"}:
        assert re.search(r"^evercert(\(\S+\))? = %s$" % re.escape(own), run("rpm", "-qRp", rpms[name]), re.M), name


@pytest.mark.skipif(shutil.which("rpmlint") is None, reason="no rpmlint")
def test_the_checker_of_rpm_finds_no_error(rpms):
    done = subprocess.run(["rpmlint", "-r", os.path.join(PROJECT, "rpm", "evercert.rpmlintrc"), SPEC, *rpms.values()], capture_output=True, text=True, check=False)
    assert " 0 errors" in done.stdout and done.returncode == 0, done.stdout + done.stderr


def test_nginx_orders_and_serves_with_the_unpacked_files(nginx, pebble):
    site = nginx(host("unpacked.test")).start()
    tls.wait_leaf(site.port, "unpacked.test", lambda leaf: "Pebble" in leaf.issuer, seen=site.log)
    site.audit.wait("served", "unpacked.test", seen=site.log)


def test_haproxy_orders_and_serves_with_the_unpacked_files(haproxy, pebble):
    site = haproxy([certificate("unpacked.test")]).start()
    tls.wait_leaf(site.port, "unpacked.test", lambda leaf: "Pebble" in leaf.issuer, seen=site.log)
    site.audit.wait("served", "unpacked.test", seen=site.log)
