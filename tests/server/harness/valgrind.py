"""A server under valgrind: what it complains of with us in the stack is ours; what servers and libraries do by themselves is theirs."""
import glob
import os
import re
import shutil

INSTALLED = shutil.which("valgrind") is not None


class Valgrind:
    def __init__(self, folder):
        self.folder = os.path.join(folder, "reports")
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o1777)  # processes begin theirs as the web server's user
        self.prefix = ["valgrind", "--quiet", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite",
                       "--child-silent-after-fork=no", "--trace-children=no", "--num-callers=30", "--log-file=" + os.path.join(self.folder, "%p")]

    def readable(self, install):
        """valgrind looks into a program before it lets it be executed, so this script may be read."""
        program = os.path.join(self.folder, "evercert")
        with open(program, "w") as file:
            file.write('#!/bin/sh\nexec %s "$@"\n' % install.program)
        os.chmod(program, 0o755)
        return program

    def complaints(self):
        paths = [path for path in glob.glob(os.path.join(self.folder, "*")) if path.rsplit("/", 1)[1].isdigit()]
        assert paths, "valgrind wrote nothing"
        ours = []
        for path in paths:
            with open(path, errors="replace") as file:
                ours += [block for block in re.split(r"\n==\d+== \n", file.read()) if "evercert" in block and "Command:" not in block]
        return ours
