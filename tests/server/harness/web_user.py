"""Programs that somebody runs as the web server's user, beside the server: written here, run by that user."""
import subprocess

# Takes the place of the control socket and keeps what it is told: path, how it answers, where it writes.
IMPOSTOR = r"""
import base64, json, os, secrets, socket, sys, threading

path, manner, kept = sys.argv[1:]
real = path + ".real"
if manner == "relays":
    os.rename(path, real)
elif os.path.lexists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chmod(path, 0o666)
listener.listen(64)
log = open(kept, "ab", 0)
print("at work", flush=True)


def answer(link):
    if manner != "relays":
        log.write(link.recv(65536))
    if manner == "says done in clear":
        link.sendall(b'{"done":true,"exit":0,"message":"certificate renewed"}\n')
    elif manner == "greets with a number of its own":
        number = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
        link.sendall(json.dumps({"seal": number}).encode() + b"\n" + (64).to_bytes(4, "big") + secrets.token_bytes(64))
    elif manner == "announces without end":
        number = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
        link.sendall(json.dumps({"seal": number}).encode() + b"\n" + b"\xff\xff\xff\xff" + b"x" * 100000)
    elif manner == "relays":
        up = socket.socket(socket.AF_UNIX)
        up.connect(real)
        threading.Thread(target=pump, args=(up, link, True), daemon=True).start()
        pump(link, up, False)
        return
    while True:
        part = link.recv(65536)
        if not part:
            return
        log.write(part)


def pump(source, sink, from_agent):
    # What comes from the agent is cut off once it has proved itself; in its place a frame of our own says that it is done.
    count = 0
    while True:
        part = source.recv(65536)
        if not part:
            break
        log.write(part)
        count += 1
        if from_agent and count > 1:
            part = (40).to_bytes(4, "big") + b'{"done":true,"exit":0}' + b" " * 18
        try:
            sink.sendall(part)
        except OSError:
            break


def serve(link):
    try:
        answer(link)
    except OSError:
        pass


while True:
    link, _ = listener.accept()
    threading.Thread(target=serve, args=(link,), daemon=True).start()
"""

# Takes the place of the control socket, accepts, and says nothing.
MUTE = r"""
import os, socket, sys

if os.path.lexists(sys.argv[1]):
    os.unlink(sys.argv[1])
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
listener.listen(64)
print("at work", flush=True)
held = []
while True:
    held.append(listener.accept())
"""

# Puts a directory with something in it in the place of a file.
SQUATTER = r"""
import os, sys

place = sys.argv[1]
os.unlink(place)
os.mkdir(place)
with open(os.path.join(place, "in-the-way"), "w"):
    pass
print("at work", flush=True)
sys.stdin.read()
"""

# Connects as often as it may and says nothing, or something that it never finishes.
CROWD = r"""
import resource, socket, sys

path, count = sys.argv[1], int(sys.argv[2])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
links = []
for number in range(count):
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(5)
    try:
        link.connect(path)
        if number % 2:
            link.sendall(b'{"verb":')
    except OSError:
        pass
    links.append(link)
print("at work", flush=True)
sys.stdin.read()
"""

# Locks whatever it may open below a directory, and keeps it.
LOCKER = r"""
import fcntl, os, sys

held = []
for where, folders, files in os.walk(sys.argv[1]):
    for name in files:
        try:
            file = os.open(os.path.join(where, name), os.O_RDWR | os.O_NONBLOCK)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        held.append(name)
print("at work", ",".join(sorted(set(held))), flush=True)
sys.stdin.read()
"""


class WebUser:
    """One such program at work."""

    def __init__(self, program, *words, user="www-data"):
        self.process = subprocess.Popen(["/usr/bin/python3", "-c", program, *map(str, words)], user=user, group=user, extra_groups=[],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said = self.process.stdout.readline().strip()
        assert self.said.startswith("at work"), self.said

    def end(self):
        self.process.kill()
        self.process.communicate(timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
