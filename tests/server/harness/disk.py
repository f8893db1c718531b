"""A small disk of a test's own, which can be filled to the last byte or be made read-only. Mounting needs root."""
import contextlib
import os
import subprocess


class SmallDisk:
    def __init__(self, folder, size="2m"):
        self.place = os.path.join(folder, "disk")
        self.state = os.path.join(self.place, "evercert")
        self.filler = os.path.join(self.place, "filler")
        os.makedirs(self.place)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%s,mode=0755" % size, "tmpfs", self.place], check=True)

    def fill(self):
        """Writes until not one more byte fits."""
        with open(self.filler, "wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"x" * size)

    def make_room(self):
        os.unlink(self.filler)

    def remount(self, mode):
        """"ro" or "rw"; ro fails while somebody has a file open for writing."""
        subprocess.run(["mount", "-o", "remount," + mode, self.place], check=True)

    def close(self):
        subprocess.run(["umount", "-l", self.place], check=True)
