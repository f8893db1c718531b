"""The modules for an nginx that has no nginx-dev: built from its sources and what `nginx -V` tells, by the commands of the page."""
import os
import re
import subprocess

import pytest

from harness import nginx as server, ports
from harness.install import BUILD, MODULES, PROJECT

PAGE = os.path.join(PROJECT, "docs", "how-to", "build-for-any-nginx.md")


def configure(folder, says):
    """What cmake says of the sources of 1.27.9, for a program whose -V prints this."""
    source = folder / "sources"
    (source / "src" / "core").mkdir(parents=True)
    (source / "src" / "core" / "nginx.h").write_text('#define NGINX_VERSION      "1.27.9"\n')
    program = folder / "nginx"
    program.write_text("#!/bin/sh\ncat >&2 <<'END'\n%s\nEND\n" % says)
    program.chmod(0o755)
    script = folder / "ask.cmake"
    script.write_text('include(%s/cmake/nginx.cmake)\nevercert_configure_nginx(tree)\n' % PROJECT)
    done = subprocess.run(["cmake", "-DPROJECT_SOURCE_DIR=%s" % folder, "-DEVERCERT_NGINX_SOURCE=%s" % source,
                           "-DEVERCERT_NGINX_PROGRAM=%s" % program, "-P", str(script)], capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def told(version="1.27.9", tls="built with OpenSSL 3.0.22 25 Aug 2026", arguments="--with-http_ssl_module"):
    return "nginx version: nginx/%s\n%s\nTLS SNI support enabled\nconfigure arguments: %s" % (version, tls, arguments)


@pytest.mark.parametrize("says,why", [
    (dict(version="1.26.3"), "has nginx 1.27.9"),
    (dict(tls="built with LibreSSL 3.9.2"), "is not built with OpenSSL 3"),
    (dict(tls="built with OpenSSL 1.1.1w  11 Sep 2023"), "is not built with OpenSSL 3"),
    (dict(arguments="--with-http_ssl_module --with-openssl=../openssl-3.5.0"), "has an OpenSSL of its own built in"),
    (dict(arguments="--with-stream"), "was built without --with-http_ssl_module"),
], ids=["another version", "LibreSSL", "an old OpenSSL", "OpenSSL built in", "no TLS"])
def test_an_nginx_that_could_not_load_the_modules_is_refused_at_once(tmp_path, says, why):
    code, said = configure(tmp_path, told(**says))
    assert code != 0 and why in said, said
    assert not os.path.exists(str(tmp_path / "build"))


def test_the_configure_arguments_that_shape_modules_are_kept_and_others_left_out(tmp_path):
    script = tmp_path / "ask.cmake"
    line = ("--prefix=/etc/nginx --with-cc-opt='-O2 -DLIMIT=7 -ffile-prefix-map=/data/builder=. -I/opt/ssl/include' --with-ld-opt='-Wl,-z,relro -L/opt/ssl/lib' "
            "--with-compat --with-http_v3_module --with-pcre=../pcre --add-module=/data/other --add-dynamic-module=../brotli --with-zlib=../zlib "
            "--with-http_perl_module=dynamic --with-stream=dynamic --with-stream_ssl_module --build='of a friend' --with-threads")
    script.write_text('include(%s/cmake/nginx.cmake)\nevercert_nginx_arguments(kept "%s")\nmessage(STATUS "${kept}")\n' % (PROJECT, line))
    done = subprocess.run(["cmake", "-P", str(script)], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ("-- --prefix=/etc/nginx;--with-cc-opt=-DLIMIT=7 -I/opt/ssl/include;--with-ld-opt=-L/opt/ssl/lib;--with-compat;"
                                   "--with-http_v3_module;--with-pcre;--with-stream=dynamic;--with-stream_ssl_module;--with-threads")


def compare(module, program):
    done = subprocess.run(["cmake", "-DMODULE=%s" % module, "-DNGINX=%s" % program, "-DREADELF=readelf", "-P",
                           os.path.join(PROJECT, "cmake", "nginx_signature.cmake")], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_a_module_with_another_signature_or_openssl_is_refused(tmp_path):
    module = os.path.join(BUILD, "nginx_module", MODULES[0])
    assert compare(module, server.PROGRAM)[0] == 0
    with open(module, "rb") as file:
        signature = re.search(rb"(?m)\d+,\d+,\d+,[01]{20,}", file.read()).group(0).decode()
    # A program that says the same of itself, but links nothing.
    other = tmp_path / "nginx"
    other.write_text(signature + "\n")
    code, said = compare(module, other)
    assert code != 0 and "uses no OpenSSL of this system" in said, said
    other.write_text(signature[:-1] + ("0" if signature[-1] == "1" else "1") + "\n")
    code, said = compare(module, other)
    assert code != 0 and "was built for another nginx" in said, said


@pytest.fixture
def commands(tmp_path):
    """Those of the page, for the sources of this system's nginx as its authors publish them, and a folder of the test's own."""
    with open(PAGE) as file:
        text = re.search(r"```sh\n(.*?)```", file.read(), re.S).group(1)
    done = subprocess.run([os.path.join(PROJECT, "tests", "nginx-sources"), ".".join(map(str, server.version())), str(tmp_path)],
                          capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        pytest.skip("the sources of this nginx cannot be had")
    tree = done.stdout.strip()
    assert not os.path.exists(os.path.join(tree, "conf_flags"))
    for word, instead in (("$HOME/nginx-sources", tree), ("=/usr/sbin/nginx", "=" + server.PROGRAM), ("sudo ", "DESTDIR=%s " % (tmp_path / "installed"))):
        assert word in text
        text = text.replace(word, instead)
    lines = text.strip().splitlines()
    assert len(lines) == 5
    return lines


def run(commands):
    done = subprocess.run(["bash", "-ec", "\n".join(commands)], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def loads(folder, *modules):
    config = folder / "nginx.conf"
    config.write_text("".join("load_module %s;\n" % module for module in (server.stream_module(), *modules) if module) +
                      "pid %s/pid;\nerror_log %s/log;\nevents { }\nhttp { server { listen 127.0.0.1:%d; } }\nstream { }\n"
                      % (folder, folder, ports.HTTP))
    done = subprocess.run([server.PROGRAM, "-t", "-c", str(config)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_page_configures_for_this_nginx_and_one_module_is_built_alone(tmp_path, commands):
    run([*commands[:3], commands[3] + " --target ngx_stream_evercert_module"])
    built = os.path.join(PROJECT, "build", "for-nginx", "nginx_module")
    loads(tmp_path, os.path.join(BUILD, "nginx_module", MODULES[0]), os.path.join(built, MODULES[1]))


@pytest.mark.skipif(not os.environ.get("EVERCERT_VERSIONS"), reason="compiles all once more: a part of tests/run versions")
def test_all_commands_of_the_page_build_and_install(tmp_path, commands):
    run(commands)
    installed = tmp_path / "installed" / "usr"
    assert (installed / "bin/evercert").stat().st_mode & 0o777 == 0o711
    assert (installed / "share/man/man1/evercert.1").is_file()
    loads(tmp_path, *(installed / "lib/nginx/modules" / module for module in MODULES))
    with open(PAGE) as file:
        line = re.search(r"`load_module (/usr/lib/nginx/modules/ngx_http_evercert_module\.so);`", file.read()).group(1)
    assert os.path.isfile(str(tmp_path / "installed") + line)
