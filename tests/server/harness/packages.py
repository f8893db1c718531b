"""The Debian packages, made by dpkg-buildpackage from the folder that is built already. All test processes share what one of them
made of the same files. EVERCERT_PACKAGES names a folder with packages that were built in another release of Debian, and EVERCERT_SUITE
that release."""
import fcntl
import hashlib
import os
import shutil
import subprocess

from .install import BUILD, PROJECT

NAMES = {"evercert", "libnginx-mod-http-evercert", "libnginx-mod-stream-evercert", "libapache2-mod-evercert", "haproxy-evercert", "evercert-doc"}
SUITE = os.environ.get("EVERCERT_SUITE", "bookworm")
# What they are made of, beside what is built.
SOURCES = ("debian", "conf", "docs", "haproxy_lua_bridge/evercert.lua", "README.md", "CHANGELOG.md", "cmake/install.cmake")
BUILT = ("core/cli/evercert", "nginx_module/ngx_http_evercert_module.so", "nginx_module/ngx_stream_evercert_module.so",
         "apache_module/mod_evercert.so", "haproxy_lua_bridge/evercert.so")


def files_of_project():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    return sorted(name for name in listed.split("\0") if name and os.path.lexists(os.path.join(PROJECT, name)))


def digest_of(files):
    digest = hashlib.sha256(BUILD.encode())
    for path in [os.path.join(PROJECT, name) for name in files if name.startswith(SOURCES)] + [os.path.join(BUILD, name) for name in BUILT]:
        digest.update(path.encode())
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()[:16]


def make(files, folder):
    tree = os.path.join(folder, "tree")
    for name in files:
        os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
        shutil.copy2(os.path.join(PROJECT, name), os.path.join(tree, name), follow_symlinks=False)
    done = subprocess.run(["dpkg-buildpackage", "-b", "-us", "-uc"], cwd=tree, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          env=dict(os.environ, EVERCERT_BUILT=BUILD, LC_ALL="C.UTF-8"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    shutil.rmtree(tree)


def folder_of_packages():
    """The .deb files and the .changes file that names them; read only."""
    if os.environ.get("EVERCERT_PACKAGES"):
        return os.environ["EVERCERT_PACKAGES"]
    files = files_of_project()
    wanted = os.path.join(PROJECT, "build", "packages-" + digest_of(files))
    os.makedirs(os.path.dirname(wanted), exist_ok=True)
    with open(os.path.join(PROJECT, "build", "packages.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(wanted):
            for old in os.listdir(os.path.dirname(wanted)):
                if old.startswith("packages-"):
                    shutil.rmtree(os.path.join(os.path.dirname(wanted), old))
            os.makedirs(wanted + ".new")
            make(files, wanted + ".new")
            os.rename(wanted + ".new", wanted)
    return wanted


def built_packages():
    """The path of each package by its name."""
    folder = folder_of_packages()
    made = {name.split("_")[0]: os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".deb") and "-dbgsym_" not in name}
    assert set(made) == NAMES, made
    return made
