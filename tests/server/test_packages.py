"""The Debian packages: what is in them, who may read it, what Debian's own checker says, and that nginx loads the modules from where
they put them."""
import glob
import os
import re
import shutil
import subprocess

import pytest

from harness import ports
from harness.install import PROJECT
from harness.packages import built_packages, folder_of_packages


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


@pytest.fixture(scope="module")
def packages():
    return built_packages()


def unpacked(packages, folder, *names):
    for name in names:
        run("dpkg-deb", "-x", packages[name], str(folder))
    return folder


def words_of(field):
    """The names of packages in a field of debian/control."""
    return {re.split(r"[ (]", word.strip())[0] for word in re.sub(r"\$\{[^}]*\}", "", field).split(",") if word.strip()}


def test_the_modules_depend_on_nginx_by_its_binary_interface_and_never_by_version(packages):
    provided = run("dpkg-query", "-W", "-f", "${Provides}", "nginx")
    abi = [word.strip() for word in provided.split(",") if word.strip().startswith("nginx-abi-")]
    for name in ("libnginx-mod-http-evercert", "libnginx-mod-stream-evercert"):
        depends = run("dpkg-deb", "-f", packages[name], "Depends")
        assert abi and abi[0] in depends
        assert "nginx (" not in depends
    assert "apache2-api-" in run("dpkg-deb", "-f", packages["libapache2-mod-evercert"], "Depends")


def test_every_package_is_of_the_version_that_the_program_is_of(packages, install):
    version = run(install.program, "version").split()[1]
    assert {run("dpkg-deb", "-f", path, "Version").strip().rpartition("-")[0] for path in packages.values()} == {version}


def test_the_program_can_be_run_but_not_read_by_others(packages):
    listing = run("dpkg-deb", "-c", packages["evercert"])
    program = [line for line in listing.splitlines() if line.endswith("./usr/bin/evercert")]
    assert program and program[0].startswith("-rwx--x--x root/root")


def test_nginx_loads_the_packaged_modules(packages, tmp_path):
    unpacked(packages, tmp_path, "libnginx-mod-http-evercert", "libnginx-mod-stream-evercert")
    modules = tmp_path / "usr/lib/nginx/modules"
    stream = "/usr/lib/nginx/modules/ngx_stream_module.so"
    config = tmp_path / "nginx.conf"
    config.write_text("load_module %s/ngx_http_evercert_module.so;\nload_module %s;\nload_module %s/ngx_stream_evercert_module.so;\n"
                      "pid %s/pid;\nerror_log %s/log;\nevents { }\nhttp { server { listen 127.0.0.1:%d; } }\n"
                      % (modules, stream, modules, tmp_path, tmp_path, ports.HTTP))
    done = subprocess.run(["nginx", "-t", "-c", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["libnginx-mod-http-evercert", "libnginx-mod-stream-evercert"])
def test_every_load_snippet_names_a_module_that_is_in_the_package(packages, tmp_path, name):
    unpacked(packages, tmp_path, name)
    snippets = list((tmp_path / "usr/share/nginx/modules-available").glob("*.conf"))
    assert snippets
    for snippet in snippets:
        lines = [line for line in snippet.read_text().splitlines() if line.startswith("load_module")]
        assert lines
        for line in lines:
            assert (tmp_path / "usr/lib/nginx" / line.split()[1].rstrip(";")).exists(), line


def test_the_checker_of_debian_finds_no_error_and_no_warning():
    changes = glob.glob(os.path.join(folder_of_packages(), "*.changes"))
    assert len(changes) == 1
    done = subprocess.run(["lintian", "--allow-root", "--no-cfg", "--fail-on", "error,warning", changes[0]], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not re.search("^[EW]: ", done.stdout, re.M), done.stdout + done.stderr


def test_the_manual_pages_are_ones_that_man_shows_without_complaint(packages, tmp_path):
    unpacked(packages, tmp_path, "evercert")
    for page, word in (("man1/evercert.1.gz", "rollback"), ("man5/evercert.5.gz", "evercert_issuer")):
        done = subprocess.run(["man", "--warnings", "-l", "-E", "UTF-8", str(tmp_path / "usr/share/man" / page)], capture_output=True, text=True, check=False,
                              env=dict(os.environ, MANWIDTH="100", MANROFFOPT="-ww", LC_ALL="C.UTF-8"))
        assert done.returncode == 0 and not done.stderr, done.stderr
        assert word in re.sub(".\b", "", done.stdout)


@pytest.mark.parametrize("shell,place", [("bash", "bash-completion/completions/evercert"), ("zsh", "zsh/vendor-completions/_evercert"),
                                         ("fish", "fish/vendor_completions.d/evercert.fish")])
def test_each_shell_can_read_its_completions(packages, tmp_path, shell, place):
    unpacked(packages, tmp_path, "evercert")
    script = str(tmp_path / "usr/share" / place)
    assert shutil.which(shell), "conf/install-packages test installs " + shell
    done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    with open(script) as file:
        assert "rollback" in file.read()


def test_alert_rules_ask_for_metrics_that_there_are(packages, tmp_path):
    unpacked(packages, tmp_path, "evercert")
    rules = (tmp_path / "usr/share/doc/evercert/examples/evercert.rules.yml").read_text()
    with open(os.path.join(PROJECT, "docs", "reference", "status.md")) as file:
        text = file.read()
    asked = set(re.findall(r"\bevercert_[a-z_]+", rules))
    assert len(asked) > 3 and asked <= set(re.findall(r"`(evercert_[a-z_]+)`", text))
    # Labels and the words in them, too.
    for state in re.findall(r'state=~?"([a-z_|]+)"', rules):
        for word in state.split("|"):
            assert re.search(r"\b%s\b" % word, text), word


def test_samples_and_documentation_are_in_the_packages(packages, tmp_path):
    unpacked(packages, tmp_path, *packages)
    documents = tmp_path / "usr/share/doc"
    for place in ("evercert/README.md", "evercert/tutorial.md", "evercert/how-to/use-with-haproxy.md", "evercert/reference/options.md",
                  "evercert/examples/evercert.minimal.json", "libnginx-mod-http-evercert/examples/minimal.conf",
                  "libapache2-mod-evercert/examples/full.conf", "haproxy-evercert/examples/minimal.cfg"):
        assert (documents / place).is_file(), place
    assert (tmp_path / "etc/evercert").is_dir()
    # A page that another one names is there under that name.
    for page in glob.glob(str(documents / "evercert/how-to/*.md")):
        with open(page) as file:
            for name in re.findall(r"\]\(([\w./-]+\.md)\)", file.read()):
                assert os.path.exists(os.path.join(os.path.dirname(page), name)), "%s names %s" % (page, name)


def test_what_the_installer_of_the_project_installs_is_enough_to_build_the_packages():
    with open(os.path.join(PROJECT, "debian", "control")) as file:
        wanted = words_of(re.search(r"^Build-Depends:(.*?)^\S", file.read(), re.M | re.S).group(1))
    with open(os.path.join(PROJECT, "conf", "install-packages")) as file:
        text = file.read()
    installed = set(re.search(r"^build=\((.*?)\)", text, re.M | re.S).group(1).split() + re.search(r"^package=\((.*?)\)", text, re.M | re.S).group(1).split())
    # Names that others provide.
    provided = {"debhelper-compat": "debhelper", "dh-apache2": "apache2-dev", "dh-sequence-nginx": "nginx-dev"}
    assert {provided.get(name, name) for name in wanted} <= installed
