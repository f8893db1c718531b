"""Servers whose modules were built with sanitizers (EVERCERT_BUILD=build/asan): how they are started, and what was found.

The server itself knows nothing of them, so that their libraries are loaded ahead of it. Leaks are not looked for: a server
that ends leaves much of its own behind, and ours makes itself impossible to look into. Reports go into a folder beside the
program; a process that gave up its root finds the same path below it."""
import functools
import glob
import os
import re
import subprocess

from .install import BUILD

FOLDER = "sanitizer"


@functools.lru_cache
def active():
    try:
        with open(os.path.join(BUILD, "CMakeCache.txt")) as file:
            return re.search(r"^EVERCERT_SANITIZE:STRING=.*address", file.read(), re.M) is not None
    except FileNotFoundError:
        return False


@functools.lru_cache
def libraries():
    linked = subprocess.run(["ldd", os.path.join(BUILD, "core", "cli", "evercert")], capture_output=True, text=True, check=True).stdout
    return " ".join(re.findall(r"=> (\S*/lib(?:asan|ubsan)\.so\S*)", linked))


def report_folder(install):
    return os.path.join(install.folder, FOLDER)


def prepare(folder):
    """Anybody may leave a report: processes begin theirs as the web server's user."""
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o1777)


def prefix(install):
    """The words before a server's own command line."""
    if install is None or not active():
        return []
    options = "detect_leaks=0:halt_on_error=1:abort_on_error=1:log_path=%s/report" % report_folder(install)
    return ["env", "LD_PRELOAD=" + libraries(), "ASAN_OPTIONS=" + options, "UBSAN_OPTIONS=print_stacktrace=1:" + options]


def reports(install, *jails):
    found = ""
    for folder in (report_folder(install), *(jail + report_folder(install) for jail in jails)):
        for path in sorted(glob.glob(os.path.join(folder, "report*"))):
            with open(path, errors="replace") as file:
                found += "--- %s\n%s\n" % (path, file.read()[:8000])
            os.unlink(path)
    return found
