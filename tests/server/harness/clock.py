"""The agent with a clock of its own, which a test turns while the agent runs. Servers, clients and steady waits keep theirs."""
import glob
import os

LIBRARY = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")


class Clock:
    """`program` is what a server is to start in place of the agent."""

    def __init__(self, folder, install, shift="+0"):
        self.file, self.program = os.path.join(folder, "agent.clock"), os.path.join(folder, "evercert-shifted")
        self.turn(shift)
        # nginx empties its environment, so a script puts the library in.
        with open(self.program, "w") as file:
            file.write("#!/bin/sh\nexec env LD_PRELOAD=%s FAKETIME_TIMESTAMP_FILE=%s FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1 "
                       "%s \"$@\"\n" % (LIBRARY[0], self.file, install.program))
        os.chmod(self.program, 0o755)

    def turn(self, shift):
        """From now on the agent's clock is so far from the real one: "+3d". The agent looks at it every ten seconds."""
        with open(self.file + ".new", "w") as file:
            file.write(shift + "\n")
        os.replace(self.file + ".new", self.file)
