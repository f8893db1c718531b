"""The programs under test, copied as a package would install them: out of the build tree (whose folders the web server's user
may not even enter), the program with mode 0711, so that nobody but root can read its memory from its first instruction on."""
import os
import shutil

PROJECT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILD = os.path.realpath(os.environ.get("EVERCERT_BUILD", os.path.join(PROJECT, "build", "release")))

APACHE_MODULE = "mod_evercert.so"
MODULES = ("ngx_http_evercert_module.so", "ngx_stream_evercert_module.so")
BRIDGE = ("evercert.so", "evercert.lua")
STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"


class Install:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, mode=0o755, exist_ok=True)
        self.program = os.path.join(folder, "evercert")
        shutil.copy(os.path.join(BUILD, "core", "cli", "evercert"), self.program)
        os.chmod(self.program, 0o711)
        for module in MODULES:
            shutil.copy(os.path.join(BUILD, "nginx_module", module), os.path.join(folder, module))
            os.chmod(os.path.join(folder, module), 0o644)
        # Apart, so that HAProxy finds one by its lua-prepend-path and not beside the other.
        self.lua = os.path.join(folder, "share", BRIDGE[1])
        os.makedirs(os.path.dirname(self.lua), exist_ok=True)
        for part, place in zip(BRIDGE, (os.path.join(folder, BRIDGE[0]), self.lua)):
            if os.path.exists(os.path.join(BUILD, "haproxy_lua_bridge", part)):
                shutil.copy(os.path.join(BUILD, "haproxy_lua_bridge", part), place)
                os.chmod(place, 0o644)
        self.apache_module = os.path.join(folder, APACHE_MODULE)
        shutil.copy(os.path.join(BUILD, "apache_module", APACHE_MODULE), self.apache_module)
        os.chmod(self.apache_module, 0o644)
        self.http_module, self.stream_module = (os.path.join(folder, module) for module in MODULES)


def built():
    return os.path.exists(os.path.join(BUILD, "core", "cli", "evercert"))
