"""The Debian packages: what is in them, who may read it, and that nginx loads the module from where they put it."""
import os
import subprocess

import pytest

from harness import ports
from harness.install import BUILD


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    run("cpack", "--config", os.path.join(BUILD, "CPackConfig.cmake"), "-B", str(folder))
    made = {run("dpkg-deb", "-f", str(path), "Package").strip(): str(path) for path in folder.glob("*.deb")}
    assert set(made) == {"evercert", "libnginx-mod-http-evercert", "libapache2-mod-evercert", "haproxy-evercert"}
    return made


def test_the_module_depends_on_nginx_by_its_binary_interface_and_never_by_version(packages):
    depends = run("dpkg-deb", "-f", packages["libnginx-mod-http-evercert"], "Depends")
    provided = run("dpkg-query", "-W", "-f", "${Provides}", "nginx")
    abi = [word.strip() for word in provided.split(",") if word.strip().startswith("nginx-abi-")]
    assert abi and abi[0] in depends
    assert "nginx (" not in depends


def test_the_program_can_be_run_but_not_read_by_others(packages):
    listing = run("dpkg-deb", "-c", packages["evercert"])
    program = [line for line in listing.splitlines() if line.endswith("./usr/bin/evercert")]
    assert program and program[0].startswith("-rwx--x--x root/root")


def test_nginx_loads_the_packaged_modules(packages, tmp_path):
    run("dpkg-deb", "-x", packages["libnginx-mod-http-evercert"], str(tmp_path))
    modules = tmp_path / "usr/lib/nginx/modules"
    stream = "/usr/lib/nginx/modules/ngx_stream_module.so"
    config = tmp_path / "nginx.conf"
    config.write_text("load_module %s/ngx_http_evercert_module.so;\nload_module %s;\nload_module %s/ngx_stream_evercert_module.so;\n"
                      "pid %s/pid;\nerror_log %s/log;\nevents { }\nhttp { server { listen 127.0.0.1:%d; } }\n"
                      % (modules, stream, modules, tmp_path, tmp_path, ports.HTTP))
    done = subprocess.run(["nginx", "-t", "-c", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_load_snippet_names_a_module_that_is_in_the_package(packages, tmp_path):
    run("dpkg-deb", "-x", packages["libnginx-mod-http-evercert"], str(tmp_path))
    snippets = list((tmp_path / "usr/share/nginx/modules-available").glob("*.conf"))
    assert snippets
    for snippet in snippets:
        for line in snippet.read_text().splitlines():
            if line.startswith("load_module"):
                assert (tmp_path / "usr/lib/nginx" / line.split()[1].rstrip(";")).exists(), line
