"""The packages on a bare Debian (12, or the release that EVERCERT_SUITE names): installed by apt, used by both servers, removed, purged. A root of its own keeps this machine as
it is; where none can be made the reason is said and the test is skipped."""
import glob
import os
import re
import shutil
import subprocess

import pytest

from harness import ports, processes, tls
from harness.audit import Audit
from harness.install import PROJECT
from harness.packages import SUITE, built_packages
from harness.waiting import wait_for, wait_port

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="a root directory of its own needs root")]

NAME = "www.example.com"
TRUST = "/etc/ssl/test-ca.pem"
NAME_IN_README = {"nginx": "nginx", "apache2": "Apache", "haproxy": "HAProxy"}


def readme():
    with open(os.path.join(PROJECT, "README.md")) as file:
        return file.read()


def changed(text, *pairs):
    """Our ports and CA in place of the world's; everything that is replaced must be there."""
    for old, new in pairs:
        assert old in text, "no %r in\n%s" % (old, text)
        text = text.replace(old, new)
    return text


def at_our_ports_of_nginx(text):
    """But for IPv6, which not every machine has."""
    text = "".join(line for line in text.splitlines(True) if "[::]" not in line)
    return changed(text, ("listen 80;", "listen 127.0.0.1:%d;" % ports.HTTP), ("listen 443 ssl;", "listen 127.0.0.1:%d ssl;" % ports.TLS)
                   ) + "evercert_http_port %d;\nevercert_tls_port %d;\n" % (ports.HTTP, ports.TLS)


def block_of_readme(uri):
    """The one for nginx, as a reader copies it."""
    block = re.search("^```nginx\n(.*?)^```", readme(), re.M | re.S).group(1)
    return at_our_ports_of_nginx(changed(
        block, ("uri letsencrypt;", "uri %s;" % uri), ("127.0.0.1:8080", "127.0.0.1:%d" % ports.STATUS),
        ("accept_terms_of_service;", "accept_terms_of_service; ssl_trusted_certificate %s;" % TRUST)))


def commands_of_readme(server):
    """What its row of the table says to type: for the packages, and once they are there."""
    row = re.search(r"^\| %s \|.*$" % server, readme(), re.M).group(0)
    commands = [command.replace(r"\|", "|") for command in re.findall("`(sudo [^`]*)`", row)]
    assert "apt install" in commands[0] and "evercert quickstart" in commands[1], commands
    return commands


def install_as_the_readme_says(root, server):
    """Its command as it stands, where dpkg-buildpackage leaves the packages: beside the folder with the sources."""
    command = commands_of_readme(NAME_IN_README[server])[0]
    root("bash", "-e", "-c", "mkdir -p /packages/evercert && cd /packages/evercert && " + re.sub(r"\bsudo ", "", command))


def type_what_the_readme_says(root, server, uri):
    """With our CA, and then our ports in what was written; for the server's package of that name."""
    for command in commands_of_readme(NAME_IN_README[server])[1:]:
        if "quickstart" in command:
            command = changed(command, ("--write", "--write --issuer %s --ssl-trusted-certificate %s" % (uri, TRUST)))
        root("bash", "-e", "-o", "pipefail", "-c", re.sub(r"\bsudo ", "", command))
    if server == "nginx":
        root.change("/etc/nginx/conf.d/evercert.conf", at_our_ports_of_nginx)
    elif server == "apache2":
        root("a2dissite", "-q", "000-default")
        root.write("/etc/apache2/ports.conf", "Listen 127.0.0.1:%d\nListen 127.0.0.1:%d https\n" % (ports.HTTP, ports.TLS))
        root.change("/etc/apache2/sites-available/evercert.conf", lambda text: changed(
            text, ("*:80>", "*:%d>" % ports.HTTP), ("*:443>", "*:%d>" % ports.TLS)) + "EvercertHttpPort %d\nEvercertTlsPort %d\n" % (ports.HTTP, ports.TLS))
    else:
        root.change("/etc/evercert/evercert.json", lambda text: changed(
            text, ('{\n  "issuers"', '{ "http_port": %d, "tls_port": %d,\n  "issuers"' % (ports.HTTP, ports.TLS))))
        root.change("/etc/haproxy/haproxy.cfg", lambda text: changed(
            text.replace("bind :::", "bind :").replace(" v4v6", ""),
            ("bind :80", "bind 127.0.0.1:%d" % ports.HTTP), ("bind :443", "bind 127.0.0.1:%d" % ports.TLS)))
        os.makedirs(root.place("/run/haproxy"), exist_ok=True)  # the service manager makes it


class Root:
    def __init__(self, path):
        self.path = path

    def __call__(self, *command, check=True):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        environment.update({name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")})
        done = subprocess.run(["chroot", self.path, *command], capture_output=True, text=True, timeout=600, check=False, env=environment)
        assert not check or done.returncode == 0, "%s: %d\n%s%s" % (" ".join(command), done.returncode, done.stdout[-3000:], done.stderr[-3000:])
        return done

    def place(self, name):
        return os.path.join(self.path, name.lstrip("/"))

    def write(self, name, text):
        with open(self.place(name), "w") as file:
            file.write(text)

    def change(self, name, how):
        with open(self.place(name)) as file:
            text = file.read()
        self.write(name, how(text))

    def named(self, word, *where):
        """Paths with this word in their last part, below the named folders."""
        found = []
        for folder in where:
            for here, folders, files in os.walk(self.place(folder)):
                found += [os.path.join(here, name)[len(self.path):] for name in folders + files if word in name]
        return sorted(found)


@pytest.fixture
def root(folder):
    try:
        made = subprocess.run([os.path.join(PROJECT, "tests", "package-root"), SUITE], capture_output=True, text=True, timeout=900, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("no root of its own: the package mirror did not answer")
    if made.returncode != 0:
        pytest.skip("no root of its own: " + (made.stderr.strip().splitlines() or ["debootstrap failed"])[-1])
    path = os.path.join(folder, "root")
    subprocess.run(["cp", "-a", made.stdout.strip(), path], check=True)
    patterns = ["apt.conf.d/*"]
    if SUITE == "bookworm":
        # With its updates, as this system has them.
        os.unlink(os.path.join(path, "etc/apt/sources.list"))
        patterns += ["sources.list", "sources.list.d/debian*"]
    for pattern in patterns:
        for source in glob.glob("/etc/apt/" + pattern):
            shutil.copy(source, os.path.join(path, source.lstrip("/")))
    shutil.copy("/etc/resolv.conf", os.path.join(path, "etc/resolv.conf"))
    inside = Root(path)
    inside.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")  # nothing starts by itself
    os.chmod(inside.place("/usr/sbin/policy-rc.d"), 0o755)
    inside.write("/etc/apt/apt.conf.d/99-yes", 'APT::Get::Assume-Yes "true";\n')  # in place of the person who types
    subprocess.run(["mount", "-t", "proc", "proc", os.path.join(path, "proc")], check=True)
    try:
        yield inside
    finally:
        subprocess.run(["umount", "-l", os.path.join(path, "proc")], check=True)


class Running:
    """A server of that root in the foreground."""

    def __init__(self, root, *command):
        self.log = open(root.place("/tmp/server.log"), "w+")
        self.process = subprocess.Popen(["chroot", root.path, *command], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)

    def __enter__(self):
        wait_port(ports.TLS, True, 30, self.said)
        return self

    def __exit__(self, *failure):
        known = processes.descendants_of(self.process.pid)
        processes.stop(self.process)
        processes.end_all(known)
        wait_port(ports.TLS, False)
        self.log.close()

    def said(self):
        self.log.seek(0)
        return self.log.read()


def packages_into(root):
    os.makedirs(root.place("/packages"))
    found = {}
    for name, path in built_packages().items():
        found[name] = "/packages/" + os.path.basename(path)
        shutil.copy(path, root.place(found[name]))
    return found


def apt_install(root, *names):
    root("apt-get", "install", "-y", "-qq", "--no-install-recommends", *names)


def leaf_of(running):
    return tls.wait_leaf(ports.TLS, NAME, lambda leaf: "Pebble" in leaf.issuer, 30, running.said)


def test_a_newcomer_has_a_certificate_with_the_packages_and_blocks_of_the_readme(root, pebble):
    if root("apt-get", "update", "-qq", check=False).returncode != 0:
        pytest.skip("the package mirror did not answer")
    packages = packages_into(root)
    shutil.copy(pebble.trust, root.place(TRUST))

    apt_install(root, "nginx")
    install_as_the_readme_says(root, "nginx")
    assert root("evercert", "version").stdout
    os.unlink(root.place("/etc/nginx/sites-enabled/default"))
    root.write("/etc/nginx/conf.d/evercert.conf", block_of_readme(pebble.uri))
    assert "successful" in root("nginx", "-t").stderr
    with Running(root, "nginx", "-g", "daemon off;") as running:
        serial = leaf_of(running).serial
        Audit(root.place("/var/lib/evercert")).wait("served", NAME, seen=running.said)
        assert NAME in root("evercert", "status").stdout

    # What quickstart writes in the block's place means the same.
    os.unlink(root.place("/etc/nginx/conf.d/evercert.conf"))
    type_what_the_readme_says(root, "nginx", pebble.uri)
    assert "successful" in root("nginx", "-t").stderr
    with Running(root, "nginx", "-g", "daemon off;") as running:
        assert leaf_of(running).serial == serial

    # The other server takes over what the first has ordered.
    apt_install(root, "apache2")
    install_as_the_readme_says(root, "apache2")
    type_what_the_readme_says(root, "apache2", pebble.uri)
    assert "Syntax OK" in root("apache2ctl", "-t").stderr
    with Running(root, "apache2ctl", "-DFOREGROUND") as running:
        assert leaf_of(running).serial == serial

    # HAProxy has a user of its own, and therefore a state of its own.
    shutil.rmtree(root.place("/var/lib/evercert"))
    apt_install(root, "haproxy")
    install_as_the_readme_says(root, "haproxy")
    type_what_the_readme_says(root, "haproxy", pebble.uri)
    root("haproxy", "-c", "-f", "/etc/haproxy/haproxy.cfg")
    with Running(root, "haproxy", "-Ws", "-f", "/etc/haproxy/haproxy.cfg") as running:
        leaf_of(running)
        Audit(root.place("/var/lib/evercert")).wait("served", NAME, seen=running.said)

    os.unlink(root.place("/etc/nginx/conf.d/evercert.conf"))
    root("a2dissite", "-p", "evercert")
    os.unlink(root.place("/etc/apache2/sites-available/evercert.conf"))
    shutil.rmtree(root.place("/etc/evercert"))
    ours = ("libnginx-mod-http-evercert", "libapache2-mod-evercert", "haproxy-evercert", "evercert")
    root("apt-get", "remove", "-y", "-qq", *ours)
    assert "successful" in root("nginx", "-t").stderr and "Syntax OK" in root("apache2ctl", "-t").stderr
    # What cannot be had again stays, what people may have written into, and that nginx's module was on.
    assert root.named("evercert", "usr", "etc", "var/lib/evercert") == [
        "/etc/apache2/mods-available/evercert.conf", "/etc/apache2/mods-available/evercert.load",
        "/etc/nginx/modules-enabled/50-mod-http-evercert.conf.removed"]
    assert os.listdir(root.place("/var/lib/evercert/state/certificates")) == [NAME]

    # Installed again all is as it was, and what is stored is there.
    apt_install(root, *(packages[name] for name in ours))
    assert os.path.lexists(root.place("/etc/nginx/modules-enabled/50-mod-http-evercert.conf"))
    assert os.path.exists(root.place("/etc/apache2/mods-enabled/evercert.load"))
    assert "successful" in root("nginx", "-t").stderr and "Syntax OK" in root("apache2ctl", "-t").stderr
    # Nobody runs at the moment, and status says so.
    status = root("evercert", "status", check=False)
    assert status.returncode == 5 and NAME in status.stdout, status

    root("apt-get", "purge", "-y", "-qq", *ours)
    assert "successful" in root("nginx", "-t").stderr and "Syntax OK" in root("apache2ctl", "-t").stderr
    assert root.named("evercert", "usr", "etc", "var/lib") == []
    assert not os.path.exists(root.place("/var/lib/evercert"))


def earlier_packages(root, packages):
    """As they were named and filled before 0.1.0-1: the module for stream{} with the one for http{}, nothing of debhelper's."""
    made = []
    for name, moved in (("evercert", ("lib/systemd", "usr/lib/systemd")), ("libnginx-mod-http-evercert", None)):
        folder = root.place("/tmp/earlier-" + name)
        subprocess.run(["dpkg-deb", "-R", root.place(packages[name]), folder], check=True)
        control = os.path.join(folder, "DEBIAN")
        for script in set(os.listdir(control)) - {"control", "md5sums"}:
            os.unlink(os.path.join(control, script))
        with open(os.path.join(control, "control")) as file:
            text = changed(file.read(), ("0.1.0-1", "0.1.0"))
        with open(os.path.join(control, "control"), "w") as file:
            file.write(text)
        # Where newer releases of Debian have it anyway.
        if moved and os.path.isdir(os.path.join(folder, moved[0])):
            shutil.move(os.path.join(folder, moved[0]), os.path.join(folder, moved[1]))
        elif not moved:
            subprocess.run(["dpkg-deb", "-x", root.place(packages["libnginx-mod-stream-evercert"]), folder], check=True)
            shutil.rmtree(os.path.join(folder, "usr/share/doc/libnginx-mod-stream-evercert"))
        made.append("/tmp/earlier_%s.deb" % name)
        subprocess.run(["dpkg-deb", "-b", "-Znone", folder, root.place(made[-1])], check=True, capture_output=True)
    return made


def links_to(root, word):
    return sorted(name for name in os.listdir(root.place("/etc/nginx/modules-enabled")) if word in name)


def test_an_upgrade_from_the_earlier_packages_keeps_nginx_able_to_start(root):
    if root("apt-get", "update", "-qq", check=False).returncode != 0:
        pytest.skip("the package mirror did not answer")
    packages = packages_into(root)
    earlier = earlier_packages(root, packages)
    ours = ("evercert", "libnginx-mod-http-evercert", "libnginx-mod-stream-evercert")

    def as_before():
        apt_install(root, "nginx", "libnginx-mod-stream", *earlier)
        for at, kind in (("50", "http"), ("80", "stream")):
            os.symlink("/usr/share/nginx/modules-available/mod-%s-evercert.conf" % kind,
                       root.place("/etc/nginx/modules-enabled/%s-mod-%s-evercert.conf" % (at, kind)))
        assert "successful" in root("nginx", "-t").stderr

    # Without the package that is new: nginx goes on without that module, and it is said where it is.
    as_before()
    done = root("dpkg", "-i", *(packages[name] for name in ours[:2]))
    assert "libnginx-mod-stream-evercert" in done.stderr
    assert "successful" in root("nginx", "-t").stderr
    assert links_to(root, "evercert") == ["50-mod-http-evercert.conf"]
    assert os.path.exists(root.place("/lib/systemd/system/evercert.service"))
    apt_install(root, packages[ours[2]])
    assert "successful" in root("nginx", "-t").stderr
    assert links_to(root, "evercert") == ["50-mod-http-evercert.conf", "70-mod-stream-evercert.conf"]
    root("apt-get", "purge", "-y", "-qq", *ours)
    assert "successful" in root("nginx", "-t").stderr and not links_to(root, "evercert")

    # All at once, and with what the administrator linked.
    as_before()
    apt_install(root, *(packages[name] for name in ours))
    assert "successful" in root("nginx", "-t").stderr
    assert links_to(root, "evercert") == ["50-mod-http-evercert.conf", "70-mod-stream-evercert.conf"]


def modules_of(pid):
    """What a process has mapped of ours; a file that was replaced since is "(deleted)"."""
    with open("/proc/%d/maps" % pid) as file:
        return {line.split(None, 5)[5].strip() for line in file if re.search(r"/[a-z_]*evercert[a-z_]*\.so", line)}


# What init does for a daemon: scripts that stop one wait until nobody knows it any more.
INIT = """
import ctypes, os, subprocess, sys

ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
print(subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode, flush=True)
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
"""


class Service:
    """A server of that root, started as an administrator without systemd does."""

    def __init__(self, root, name, pid_file):
        self.root, self.name, self.pid_file, self.init = root, name, root.place(pid_file), None

    def __enter__(self):
        words = ["/usr/bin/python3", "-c", INIT, "chroot", self.root.path, "/etc/init.d/" + self.name, "start"]
        self.init = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.init.stdout.readline() == b"0\n", self.said()
        wait_port(ports.TLS, True, 30, self.said)
        return self

    def __exit__(self, *failure):
        known = {self.pid(), *processes.descendants_of(self.pid()), *processes.descendants_of(self.init.pid)}
        processes.end_all(known)
        self.init.wait(30)
        wait_port(ports.TLS, False)

    def pid(self):
        with open(self.pid_file) as file:
            return int((file.read().split() or ["0"])[0])

    def said(self):
        return "\n".join(path + "\n" + open(self.root.place(path), errors="replace").read()[-2000:]
                         for path in ("/var/log/nginx/error.log", "/var/log/apache2/error.log") if os.path.exists(self.root.place(path)))


def configured(root, server, pebble):
    """One host of the README, on ports of ours."""
    shutil.copy(pebble.trust, root.place(TRUST))
    if server == "nginx":
        os.unlink(root.place("/etc/nginx/sites-enabled/default"))
    type_what_the_readme_says(root, server, pebble.uri)
    return Service(root, server, {"nginx": "/run/nginx.pid", "apache2": "/run/apache2/apache2.pid", "haproxy": "/run/haproxy.pid"}[server])


@pytest.mark.parametrize("server,package", [("nginx", "libnginx-mod-http-evercert"), ("apache2", "libapache2-mod-evercert"),
                                            ("haproxy", "haproxy-evercert")])
def test_an_upgrade_leaves_no_server_with_the_module_of_before(root, pebble, server, package):
    if root("apt-get", "update", "-qq", check=False).returncode != 0:
        pytest.skip("the package mirror did not answer")
    packages = packages_into(root)
    ours = [packages["evercert"], packages[package]]
    apt_install(root, "procps", server, *ours)
    service = configured(root, server, pebble)
    root.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n")  # as where an init system runs
    with service:
        serial = leaf_of(service).serial
        before = service.pid()
        assert modules_of(before) and not any("deleted" in name for name in modules_of(before))
        # Every file is a new one, as with another version.
        done = root("dpkg", "-i", *ours)
        wait_for(lambda: modules_of(service.pid()) and not any("deleted" in name for name in modules_of(service.pid())),
                 "the module of now", 30, seen=lambda: (done.stdout + done.stderr, modules_of(service.pid())))
        wait_port(ports.TLS, True, 30, service.said)
        assert tls.wait_leaf(ports.TLS, NAME, seen=service.said).serial == serial
    # What cannot be taken up is said, and the upgrade ends well all the same.
    with service:
        where = {"nginx": "/etc/nginx/conf.d/evercert.conf", "apache2": "/etc/apache2/ports.conf", "haproxy": "/etc/haproxy/haproxy.cfg"}[server]
        with open(root.place(where), "a") as file:
            file.write("\nno such word\n")
        done = root("dpkg", "-i", *ours)
        assert re.search("(?i)configuration", done.stdout + done.stderr), done
        assert tls.wait_leaf(ports.TLS, NAME, seen=service.said).serial == serial
