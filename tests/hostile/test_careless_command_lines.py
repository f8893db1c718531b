"""What a careless person types is answered with what to type instead, and what is printed fits where it is read."""
import fcntl
import json
import os
import pty
import struct
import subprocess
import termios

import pytest

from harness.nginx import host


def printed_on_a_terminal(command, columns, environment):
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    done = subprocess.Popen(command, stdout=follower, stderr=subprocess.DEVNULL, env=environment)
    os.close(follower)
    text = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the other end has gone
            break
        if not piece:
            break
        text += piece
    os.close(leader)
    assert done.wait(20) == 0
    return text.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_line_of_the_status_is_wider_than_the_terminal(nginx, evercert, install, columns):
    site = nginx(host("a-name-that-is-long-enough-to-need-some-room.wide.test")).start()
    evercert.wait_state("a-name-that-is-long-enough-to-need-some-room.wide.test", "served")
    environment = {**os.environ, "NO_COLOR": "1", "EVERCERT_STATE": site.state}
    text = printed_on_a_terminal([install.program, "status"], columns, environment)
    assert "served" in text and max(len(line) for line in text.split("\n")) <= columns, text
    help_text = printed_on_a_terminal([install.program, "help", "import"], columns, environment)
    assert max(len(line) for line in help_text.split("Examples:")[0].split("\n")) <= columns, help_text


def test_whoever_may_not_is_told_to_use_sudo(nginx, evercert):
    site = nginx(host("www.example.com")).start()
    evercert.wait_state("www.example.com", "served")
    for arguments in (["status"], ["list"], ["show", "www.example.com"], ["renew", "www.example.com"], ["rollback", "www.example.com"]):
        done = evercert.run(*arguments, user="nobody")
        assert done.returncode == 1 and done.stderr.rstrip().endswith("; use sudo"), (arguments, done)
        told = json.loads(evercert.run(*arguments, "--json", user="nobody").stdout)
        assert told["exit"] == 1 and told["message"].endswith("; use sudo"), told
    secret = os.path.join(site.state, "seal.key")
    done = evercert.run("import", "issuer", "test", "--key", secret, user="nobody")
    assert done.returncode == 1 and done.stderr.rstrip().endswith("; use sudo"), done


def test_a_completion_offers_what_comes_next(install):
    script = subprocess.run([install.program, "completion", "bash"], check=True, capture_output=True, text=True).stdout

    def offered(*words):
        line = " ".join("'%s'" % word for word in words)
        command = script + "COMP_WORDS=(%s); COMP_CWORD=%d; _evercert; printf '%%s\\n' \"${COMPREPLY[@]}\"" % (line, len(words) - 1)
        return subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True).stdout.split()

    assert offered("evercert", "re") == ["renew", "revoke"]
    assert offered("evercert", "renew", "--no") == ["--no-wait"]
    assert offered("evercert", "import", "") == ["certbot", "mod-md", "nginx-acme", "issuer"]
    assert "keyCompromise" in offered("evercert", "revoke", "a", "--reason", "")
