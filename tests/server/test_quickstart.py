"""evercert quickstart on the servers of this machine: beside the distribution's own configuration, copied below a root of the
test's own, what it writes passes the server's test and leads to a certificate. On packaged servers: test_packages_installed.py."""
import os
import shutil
import subprocess

import pytest

from harness import ports, tls
from harness.waiting import wait_port

NAMES = ["quick.test", "www.quick.test"]


class Machine:
    """A copy of what the distribution has in /etc, with evercert installed."""

    def __init__(self, folder, install, server):
        self.root, self.install, self.server = os.path.join(folder, "machine"), install, server
        if not os.path.isdir("/etc/" + server):
            pytest.skip("this machine has no /etc/" + server)
        shutil.copytree("/etc/" + server, self.place("/etc/" + server), symlinks=True)

    def place(self, path):
        return self.root + path

    def put(self, path, text):
        os.makedirs(os.path.dirname(self.place(path)), exist_ok=True)
        with open(self.place(path), "w") as file:
            file.write(text)

    def text(self, path):
        with open(self.place(path)) as file:
            return file.read()

    def change(self, path, *pairs):
        """Our ports and paths in place of the world's; everything that is replaced must be there."""
        text = self.text(path)
        for old, new in pairs:
            assert old in text, "no %r in\n%s" % (old, text)
            text = text.replace(old, new)
        self.put(path, text)

    def quickstart(self, server, pebble, *more):
        words = [word for name in NAMES for word in ("--name", name)]
        done = subprocess.run([self.install.program, "quickstart", server, *words, "--issuer", pebble.uri, "--ssl-trusted-certificate",
                               pebble.trust, "--root", self.root, *more], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done


def leads_to_a_certificate(site, running):
    code, said = site.test()
    assert code == 0, said
    if running:
        site.reload()
    else:
        site.start()
    leaf = tls.wait_leaf(ports.TLS, NAMES[1], lambda leaf: "Pebble" in leaf.issuer, 30, seen=site.log)
    assert sorted(leaf.names) == NAMES
    site.audit.wait("served", NAMES[0], seen=site.log)


running = pytest.mark.parametrize("running", [False, True], ids=["not yet started", "running"])


def without_ipv6(text):
    return "".join(line for line in text.splitlines(True) if "[::]" not in line)


@running
def test_nginx_of_the_distribution(folder, install, nginx, pebble, running):
    machine = Machine(folder, install, "nginx")
    machine.put("/etc/nginx/modules-enabled/50-mod-http-evercert.conf", "load_module %s;\n" % install.http_module)
    machine.put("/usr/lib/nginx/modules/ngx_http_evercert_module.so", "")
    site = nginx("")
    written = machine.quickstart("nginx", pebble, "--write")
    assert written.stdout == "" and "load_module" not in written.stderr and "1. sudo nginx -t" in written.stderr
    ours = "/etc/nginx/conf.d/evercert.conf"
    machine.put(ours, without_ipv6(machine.text(ours)))
    machine.change(ours, ("listen 80;", "listen 127.0.0.1:%d;" % ports.HTTP), ("listen 443 ssl;", "listen 127.0.0.1:%d ssl;" % ports.TLS))
    machine.put(ours, machine.text(ours) + "evercert_http_port %d; evercert_tls_port %d; evercert_state_path %s; evercert_program %s;\n"
                % (ports.HTTP, ports.TLS, site.state, install.program))
    shutil.rmtree(machine.place("/etc/nginx/sites-enabled"))
    machine.put("/etc/nginx/sites-enabled/default", "server { listen 127.0.0.1:%d default_server; server_name _; }\n" % ports.HTTP)
    for name in ("sites-enabled/default", "nginx.conf"):
        text = machine.text("/etc/nginx/" + name)
        machine.put("/etc/nginx/" + name, text.replace("/etc/nginx", machine.place("/etc/nginx")))
    machine.change("/etc/nginx/nginx.conf", ("pid /run/nginx.pid;", "pid %s; daemon off;" % site.pid_file), ("worker_processes auto", "worker_processes 2"),
                   ("/var/log/nginx/error.log", site.error_log), ("/var/log/nginx/access.log", "/dev/null"))
    site.configuration = machine.place("/etc/nginx/nginx.conf")
    if running:
        # The module, too, is new to it.
        module = "/etc/nginx/modules-enabled/50-mod-http-evercert.conf"
        texts = {path: machine.text(path) for path in (ours, module)}
        for path in texts:
            os.unlink(machine.place(path))
        site.start(wait=False)
        wait_port(ports.HTTP, seen=site.log)
        site.wait_workers()
        for path, text in texts.items():
            machine.put(path, text)
    leads_to_a_certificate(site, running)


@running
def test_apache_of_the_distribution(folder, install, apache, pebble, running):
    machine = Machine(folder, install, "apache2")
    machine.put("/etc/apache2/mods-available/evercert.load", "# Depends: ssl\nLoadModule evercert_module %s\n" % install.apache_module)
    site = apache("")
    written = machine.quickstart("apache", pebble, "--write")
    assert written.stdout == ""
    steps = [line.split(". ", 1)[1] for line in written.stderr.splitlines() if line.startswith("  ") and ". " in line]
    assert steps[:3] == ["sudo a2enmod evercert", "sudo a2ensite evercert", "sudo apache2ctl -t"], steps
    environment = dict(os.environ, APACHE_CONFDIR=machine.place("/etc/apache2"), A2DISMOD_NO_STATE="1", APACHE_STATE_DIRECTORY=machine.root)

    def typed(*commands):
        for command in commands:
            subprocess.run(command.split()[1:], env=environment, check=True, capture_output=True)
    typed("sudo a2dissite 000-default")
    ours = "/etc/apache2/sites-available/evercert.conf"
    machine.change(ours, ("*:80>", "*:%d>" % ports.HTTP), ("*:443>", "*:%d>" % ports.TLS))
    machine.put(ours, machine.text(ours) + "EvercertHttpPort %d\nEvercertTlsPort %d\nEvercertStatePath %s\nEvercertProgram %s\n"
                % (ports.HTTP, ports.TLS, site.state, install.program))
    machine.change("/etc/apache2/ports.conf", ("Listen 80", "Listen 127.0.0.1:%d" % ports.HTTP), ("Listen 443", "Listen 127.0.0.1:%d https" % ports.TLS))
    machine.put("/etc/apache2/envvars-of-test.conf", "".join("Define %s %s\n" % pair for pair in (
        ("APACHE_RUN_DIR", folder), ("APACHE_LOCK_DIR", folder), ("APACHE_LOG_DIR", folder), ("APACHE_PID_FILE", site.pid_file),
        ("APACHE_RUN_USER", "www-data"), ("APACHE_RUN_GROUP", "www-data")))
        + "ServerRoot %s\nErrorLog %s\nServerName localhost\nInclude apache2.conf\nErrorLog %s\n" % (machine.place("/etc/apache2"), site.error_log, site.error_log))
    site.configuration = machine.place("/etc/apache2/envvars-of-test.conf")
    if running:
        # The modules, TLS among them, are new to it.
        site.start(wait=False)
        site.wait_log("resuming normal operations")
    typed(*steps[:2])
    leads_to_a_certificate(site, running)


@running
def test_haproxy_of_the_distribution(folder, install, haproxy, pebble, running):
    machine = Machine(folder, install, "haproxy")
    machine.put("/usr/share/evercert/evercert.lua", "")
    site = haproxy([])
    written = machine.quickstart("haproxy", pebble, "--write")
    with open(machine.place("/etc/haproxy/haproxy.cfg"), "a") as file:
        file.write(written.stdout)
    settings = "/etc/evercert/evercert.json"
    machine.change(settings, ('{\n  "issuers"', '{ "state_path": "%s", "program": "%s", "pem_path": "%s", "http_port": %d, "tls_port": %d,\n  "issuers"'
                              % (site.state, install.program, site.pem_path, ports.HTTP, ports.TLS)))
    machine.put("/etc/haproxy/haproxy.cfg", machine.text("/etc/haproxy/haproxy.cfg").replace("bind :::", "bind :").replace(" v4v6", ""))
    machine.change("/etc/haproxy/haproxy.cfg", ("/etc/evercert/evercert.json", machine.place(settings)), ("/usr/lib/haproxy", install.folder),
                   ("/usr/share/evercert/evercert.lua", install.lua), ("crt /run/evercert/haproxy", "crt " + site.pem_path),
                   ("chroot /var/lib/haproxy", "chroot " + site.jail), ("/run/haproxy/admin.sock", site.stats_socket), ("\tdaemon\n", ""),
                   ("/etc/haproxy/errors", machine.place("/etc/haproxy/errors")), ("bind :80", "bind 127.0.0.1:%d" % ports.HTTP), ("bind :443", "bind 127.0.0.1:%d" % ports.TLS))
    site.configuration = machine.place("/etc/haproxy/haproxy.cfg")
    if running:
        # It does not run without anything to listen at.
        whole = machine.text("/etc/haproxy/haproxy.cfg") + "frontend other\n bind 127.0.0.1:%d\n" % ports.STATUS
        machine.put("/etc/haproxy/haproxy.cfg", whole.replace(whole[whole.index("# /etc/haproxy/haproxy.cfg, at its end"):whole.index("frontend other")], ""))
        site.start(wait=False)
        wait_port(ports.STATUS, seen=site.log)
        machine.put("/etc/haproxy/haproxy.cfg", whole)
    leads_to_a_certificate(site, running)


@pytest.mark.parametrize("server,folder_of_it", [("nginx", "nginx"), ("apache", "apache2"), ("haproxy", "haproxy")])
def test_it_can_be_done_once(folder, install, pebble, server, folder_of_it):
    machine = Machine(folder, install, folder_of_it)
    machine.quickstart(server, pebble, "--write")
    (path,) = [os.path.join(where, name) for where, _, files in os.walk(machine.root) for name in files if name.startswith("evercert.")]
    with open(path) as file:
        before = file.read()
    words = [install.program, "quickstart", server, "--name", "other.test", "--root", machine.root, "--write"]
    again = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 1 and again.stderr == path + " is there already, so nothing was written: move it away, or change it by hand\n"
    with open(path) as file:
        assert file.read() == before
