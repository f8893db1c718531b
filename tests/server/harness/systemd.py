"""A real systemd as process 1 of a root directory: in namespaces and a control group of its own, on the network of this machine, and
without the rights to touch clock, modules or settings of the kernel."""
import os
import subprocess
import time

from .waiting import wait_for

BOOT = r"""
set -e
root=$1
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys
mount --rbind /sys sys
mount -o remount,ro,bind sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in run dev; do mount -t tmpfs -o mode=755 tmpfs $folder; done
for node in null zero full random urandom tty; do
  touch dev/$node
  mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
pivot_root . mnt
umount -l /mnt
# What systemd does itself where it does not take itself for one in a container: credentials come by a mount that spreads.
mount --make-rshared /
export container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec setpriv --bounding-set=-sys_time,-sys_module,-sys_boot,-mac_admin,-mac_override \
  /lib/systemd/systemd --system --unit="$2" --log-target=journal --show-status=no
"""


def control_groups():
    """Where the second version of control groups is mounted, or nothing."""
    with open("/proc/mounts") as file:
        mounts = [line.split() for line in file]
    return next((mount[1] for mount in mounts if mount[2] == "cgroup2" and os.access(mount[1], os.W_OK)), None)


class Systemd:
    def __init__(self, root, target="basic.target"):
        self.root, self.target = root, target
        self.group = os.path.join(control_groups(), "evercert-test-%d" % os.getpid())
        self.process = self.first = None

    def __enter__(self):
        os.makedirs(self.group, exist_ok=True)
        words = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--fork", "--propagation", "private", "--kill-child", "bash", "-c", BOOT, "boot",
                 self.root.path, self.target]
        self.process = subprocess.Popen(["bash", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self.group, *words], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        wait_for(self.booted, "systemd", 60, seen=lambda: self.process.poll())
        return self

    def booted(self):
        if self.process.poll() is not None:
            raise AssertionError(self.process.stdout.read().decode(errors="replace"))
        if self.first is None:
            with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as file:
                self.first = next((int(word) for word in file.read().split()), None)
        return self.first is not None and self("systemctl", "is-active", self.target).stdout.strip() == "active"

    def __exit__(self, *failure):
        if self.first is not None:
            os.kill(self.first, 9)  # and with it all of its name space
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        deadline = time.monotonic() + 20
        for folder, _, _ in list(os.walk(self.group, topdown=False)):
            while time.monotonic() < deadline:
                try:
                    os.rmdir(folder)
                    break
                except OSError:
                    time.sleep(0.05)  # its last processes are just ending

    def __call__(self, *command, check=False):
        done = subprocess.run(["nsenter", "-t", str(self.first), "-m", "-u", "-i", "-p", "-C", "-r", "-w", "--", *command], capture_output=True, text=True,
                              timeout=300, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})
        assert not check or done.returncode == 0, "%s: %d\n%s%s" % (" ".join(command), done.returncode, done.stdout[-3000:], done.stderr[-3000:])
        return done

    def pid(self, unit):
        """Of its main process, as counted inside."""
        return int(self("systemctl", "show", "-P", "MainPID", unit).stdout.strip() or 0)

    def said(self, unit):
        return self("systemctl", "status", "--no-pager", "-l", unit).stdout + self("journalctl", "--no-pager", "-n", "60", "-u", unit).stdout
