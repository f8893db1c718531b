"""What conf/containers makes: the commands of each Containerfile are run in a bare root, and its entry point is process 1 of name spaces in it, with a
read-only root file system, a user id that nobody has given a name, no rights, and a volume as a fsGroup makes it. No registry of images is asked."""
import json
import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

from harness import ports, processes, tls
from harness.audit import Audit
from harness.install import PROJECT
from harness.packages import SUITE
from harness.waiting import wait_for, wait_port
from test_packages_installed import NAME, TRUST, packages_into, root  # noqa: F401

FOLDER = os.path.join(PROJECT, "conf", "containers")
USER, GROUP = 12345, 2000
VOLUME = "/var/lib/evercert"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="a root directory of its own needs root"),
              pytest.mark.skipif(SUITE != "bookworm", reason="the files begin from Debian 12")]

# As a runtime does it: all is read-only but the volume, and what is in memory; process 1 has no right and can gain none.
START = r"""
set -e
root=$1 user=$2 group=$3
shift 3
mount --bind "$root" "$root"
mount --bind "$root/var/lib/evercert" "$root/var/lib/evercert"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for folder in $EVERCERT_IN_MEMORY; do mount -t tmpfs -o mode=1777 tmpfs "$root$folder"; done
cd "$root"
pivot_root . mnt
umount -l /mnt
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin setpriv --reuid "$user" --regid 0 --groups "$group" --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""

NGINX = """evercert_issuer ca { uri %(uri)s; ssl_trusted_certificate %(trust)s; accept_terms_of_service; }
evercert_http_port %(http)d; evercert_tls_port %(tls)d;
server { listen 127.0.0.1:%(http)d; listen 127.0.0.1:%(tls)d ssl; server_name %(name)s; evercert on; }
"""
APACHE = """<EvercertIssuer ca>
    EvercertUri %(uri)s
    EvercertSslTrustedCertificate %(trust)s
    EvercertAcceptTermsOfService on
</EvercertIssuer>
EvercertHttpPort %(http)d
EvercertTlsPort %(tls)d
<VirtualHost *:%(http)d>
    ServerName %(name)s
</VirtualHost>
<VirtualHost *:%(tls)d>
    ServerName %(name)s
    SSLEngine on
    Evercert on
</VirtualHost>
"""
JSON = """{ "http_port": %(http)d, "tls_port": %(tls)d, "issuers": { "ca": { "uri": "%(uri)s", "accept_terms_of_service": true, "ssl_trusted_certificate": "%(trust)s" } },
  "certificates": [ { "identifiers": ["%(name)s"] } ] }
"""


def instructions(server):
    """(word, rest) of each line of the last stage."""
    with open(os.path.join(FOLDER, "Containerfile." + server)) as file:
        text = file.read()
    found = [tuple(line.split(None, 1)) for line in text.splitlines() if line and not line.startswith("#")]
    last = max(at for at, (word, _) in enumerate(found) if word == "FROM")
    return found[:last], found[last:]


def page():
    with open(os.path.join(PROJECT, "docs", "how-to", "run-in-a-container.md")) as file:
        return file.read()


def folders_in_memory(server):
    """Those that the page names for this server."""
    row = re.search(r"^\| %s \|(.*)$" % {"nginx": "nginx", "apache": "Apache", "haproxy": "HAProxy"}[server], page(), re.M).group(1)
    return re.findall(r"`(/[\w/]+)`", row.split("|")[0])


def configure(root, server, uri):  # noqa: F811
    words = dict(uri=uri, trust=TRUST, http=ports.HTTP, tls=ports.TLS, name=NAME)
    if server == "nginx":
        root.write("/etc/nginx/conf.d/evercert.conf", NGINX % words)
    elif server == "apache":
        root.write("/etc/apache2/ports.conf", "Listen 127.0.0.1:%d\nListen 127.0.0.1:%d https\n" % (ports.HTTP, ports.TLS))
        root.write("/etc/apache2/sites-enabled/evercert.conf", APACHE % words)
    else:
        os.makedirs(root.place("/etc/evercert"), exist_ok=True)
        root.write("/etc/evercert/evercert.json", JSON % words)
        block = re.search(r"```\n(global\n.*?)```", page(), re.S).group(1)
        for old, new in (("bind :80", "bind 127.0.0.1:%d" % ports.HTTP), ("bind :443", "bind 127.0.0.1:%d" % ports.TLS)):
            assert old in block
            block = block.replace(old, new)
        root.write("/etc/haproxy/haproxy.cfg", block)


class Container:
    def __init__(self, root, server, command):  # noqa: F811
        self.path = root.place("/container.log")
        self.log = open(self.path, "w")
        os.chmod(self.path, 0o666)
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "bash", "-c", START, "start", root.path, str(USER), str(GROUP)]
        self.process = subprocess.Popen([*words, *command], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True,
                                        env=dict(os.environ, EVERCERT_IN_MEMORY=" ".join(folders_in_memory(server))))

    def __enter__(self):
        wait_port(ports.TLS, True, 30, self.said)
        return self

    def __exit__(self, *failure):
        known = processes.descendants_of(self.process.pid)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        processes.end_all(known)
        self.log.close()

    def said(self):
        with open(self.path) as file:
            return file.read()[-4000:]

    def first(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as file:
            return int(file.read().split()[0])

    def agents(self):
        return [pid for pid in processes.descendants_of(self.first()) if re.match(r"\S*evercert\S* run\b", processes.title_of(pid))]


def as_fs_group(root):  # noqa: F811
    """What a kubelet does to a volume at each mount: its group may read and write all, and new files are that group's."""
    for here, folders, files in os.walk(root.place(VOLUME)):
        os.chown(here, -1, GROUP)
        os.chmod(here, os.stat(here).st_mode & 0o7777 | 0o2770)
        for name in files:
            path = os.path.join(here, name)
            os.chown(path, -1, GROUP)
            os.chmod(path, os.stat(path).st_mode & 0o7777 | 0o660)


@pytest.mark.parametrize("server", ["nginx", "apache", "haproxy"])
def test_process_1_orders_and_serves_with_a_read_only_root_and_any_user(root, pebble, server):  # noqa: F811
    packages = packages_into(root)
    _, stage = instructions(server)
    entry = None
    for word, rest in stage:
        if word == "COPY":
            *sources, target = rest.replace("--from=packages ", "").split()
            kept = {os.path.basename(source).split("_")[0] for source in sources}
            for name, path in packages.items():
                if name not in kept:
                    os.unlink(root.place(path))
            assert target == "/packages/" and kept <= set(packages)
        elif word == "RUN":
            root("sh", "-c", rest)
        elif word == "ENTRYPOINT":
            entry = json.loads(rest)
    assert entry
    shutil.copy(pebble.trust, root.place(TRUST))
    configure(root, server, pebble.uri)
    os.makedirs(root.place(VOLUME), exist_ok=True)
    os.chown(root.place(VOLUME), 0, GROUP)
    os.chmod(root.place(VOLUME), 0o2770)
    audit = Audit(root.place(VOLUME))
    with Container(root, server, entry) as container:
        serial = tls.wait_leaf(ports.TLS, NAME, lambda leaf: "Pebble" in leaf.issuer, 40, container.said).serial
        audit.wait("served", NAME, seen=container.said)
        # All of it is that user's, and the root directory is as it was.
        for pid in processes.descendants_of(container.first()) + [container.first()]:
            with open("/proc/%d/status" % pid) as file:
                status = file.read()
            assert re.search(r"^Uid:\t%d\t%d" % (USER, USER), status, re.M) and re.search(r"^CapEff:\t0+$", status, re.M), status
        # An agent that was killed is replaced, and leaves no zombie to process 1.
        before = wait_for(container.agents, "the agent", 20, seen=container.said)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: set(container.agents()) - set(before), "another agent", 40, seen=container.said)
        wait_for(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in before), "no zombies", 20, seen=container.said)
        assert tls.wait_leaf(ports.TLS, NAME, seen=container.said).serial == serial
        # The runtime's word to end ends all of it.
        stop = next(rest for word, rest in stage if word == "STOPSIGNAL")
        os.kill(container.first(), getattr(signal, stop))
        container.process.wait(30)
    wait_port(ports.TLS, False)
    # The next one, on the same volume: nothing is ordered anew.
    as_fs_group(root)
    with Container(root, server, entry) as container:
        assert tls.wait_leaf(ports.TLS, NAME, lambda leaf: "Pebble" in leaf.issuer, 40, container.said).serial == serial
    wait_port(ports.TLS, False)


@pytest.mark.parametrize("server", ["nginx", "apache", "haproxy"])
def test_the_packages_of_a_container_are_built_as_the_readme_says(server):
    first, stage = instructions(server)
    with open(os.path.join(PROJECT, "README.md")) as file:
        commands = re.search(r"those of your server:\n\n```sh\n(.*?)```", file.read(), re.S).group(1).strip().splitlines()
    assert " && ".join(commands) in [rest for word, rest in first if word == "RUN"]
    # What is copied is what is installed.
    assert "/packages/*.deb" in next(rest for word, rest in stage if word == "RUN")
    assert shlex.split(stage[0][1]) == shlex.split(first[0][1].split(" AS ")[0])
