"""The audit trail as tests read it: state/events/*.jsonl, one event a line, only ever appended to."""
import glob
import json
import os

from .waiting import wait_for


class Audit:
    def __init__(self, state):
        self.folder = os.path.join(state, "state", "events")

    def _lines(self):
        for path in sorted(glob.glob(os.path.join(self.folder, "*.jsonl"))):
            with open(path, "rb") as file:
                for line in file.read().split(b"\n")[:-1]:  # a line without its end is still being written
                    yield line

    def all(self, name=None, certificate=None):
        found = []
        for line in self._lines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # torn by a kill in mid-write; what follows is whole again
            if name and event.get("name") != name:
                continue
            if certificate and event.get("certificate") != certificate:
                continue
            found.append(event)
        return found

    def size(self):
        return [(path, os.stat(path).st_size) for path in sorted(glob.glob(os.path.join(self.folder, "*.jsonl")))]

    def mark(self):
        return len(self.all())

    def since(self, mark, name=None, certificate=None):
        return [event for event in self.all()[mark:]
                if (not name or event.get("name") == name) and (not certificate or event.get("certificate") == certificate)]

    def count(self, name, certificate=None):
        return len(self.all(name, certificate))

    def wait(self, name, certificate=None, more_than=0, timeout=15.0, pause=0.002, seen=None):
        """The newest such event, once there are more than `more_than` of them."""
        seen_size = None

        def look():
            nonlocal seen_size
            # What has not grown says nothing new: whoever waits leaves the machine to what it waits for.
            size = self.size()
            if size == seen_size:
                return None
            seen_size = size
            found = self.all(name, certificate)
            return found[-1] if len(found) > more_than else None
        return wait_for(look, "event %s%s" % (name, " of " + certificate if certificate else ""), timeout, pause,
                        seen or self.sentences)

    def sentences(self):
        return "\n".join("%s %s: %s" % (e.get("name"), e.get("certificate", ""), e.get("sentence", "")) for e in self.all()[-30:])
