"""A small disk of a test's own, which can be filled to the last byte or be made read-only. Mounting needs root."""
import contextlib
import os
import subprocess


@contextlib.contextmanager
def small_disk(folder, size="2m"):
    place = os.path.join(folder, "disk")
    os.makedirs(place)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%s,mode=0755" % size, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(place):
    """Writes until not one more byte fits."""
    path = os.path.join(place, "filler")
    with open(path, "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return path
