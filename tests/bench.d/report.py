"""One line a figure: ours, the peer's in the same run, the ratio, the target."""
import os

LINE = "%-58s %12s %22s %8s  %-16s %s"


class Report:
    def __init__(self):
        self.all_reached = True
        print("load %.1f on %d CPUs" % (os.getloadavg()[0], os.cpu_count()))
        print(LINE % ("figure", "ours", "peer", "ratio", "target", ""))

    def figure(self, what, ours, unit, target, peer=None, peer_name="", ratio_target=None, digits=3):
        """`target`: not above this, or None when only the ratio counts."""
        ratio = ours / peer if peer else None
        reached = (target is None or ours <= target) and (ratio_target is None or ratio is None or ratio <= ratio_target)
        self.all_reached = self.all_reached and reached
        wanted = []
        if target is not None:
            wanted.append("<= %g %s" % (target, unit))
        if ratio_target is not None:
            wanted.append("<= %g x" % ratio_target)
        print(LINE % (what, "%.*f %s" % (digits, ours, unit), "%s %.*f" % (peer_name, digits, peer) if peer else peer_name or "-",
                      "%.3f" % ratio if ratio else "-", ", ".join(wanted), "" if reached else "MISSED"), flush=True)

    @staticmethod
    def note(text):
        print("  " + text, flush=True)

    def end(self):
        print("all targets reached" if self.all_reached else "some targets were missed")


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
