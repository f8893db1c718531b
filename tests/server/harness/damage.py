"""What may have become of bundles on disk."""
import glob
import os


def bundles(state, name):
    return sorted(glob.glob(os.path.join(state, "state", "certificates", name, "*.bundle")),
                  key=lambda path: int(os.path.basename(path).split(".")[0]))


def change(path, alter):
    """Replaces the content in place; owner and mode stay."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    data = alter(data)
    with open(path, "wb") as file:
        file.write(data)


def flip(data):
    data[len(data) // 2] ^= 0x40
    return data


DAMAGES = {"truncated": lambda data: data[:len(data) // 2], "bit-flipped": flip, "empty": lambda data: b"",
           "foreign": lambda data: b"-----BEGIN NONSENSE-----\n" * 20}
