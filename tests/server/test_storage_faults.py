"""Disks that fill, turn read-only or flip bits; files from elsewhere and from later."""
import os
import shutil

import pytest

from harness import ports, tls
from harness.damage import DAMAGES, bundles, change
from harness.evercert import Evercert
from harness.nginx import host
from harness.waiting import wait_for


def test_a_full_disk_keeps_the_old_certificate_served_and_heals_when_there_is_room(disk, nginx, install):
    site = nginx(host("full.test"), state=disk.state).start()
    evercert = Evercert(install, disk.state)
    site.audit.wait("served", "full.test")
    serial = tls.leaf_at(ports.TLS, "full.test").serial
    disk.fill()
    done = evercert.run("renew", "full.test", "--force", timeout=90)
    assert done.returncode != 0 and ("full" in done.stderr.lower() or "space" in done.stderr.lower()), done
    assert tls.leaf_at(ports.TLS, "full.test").serial == serial
    site.reload()
    assert tls.leaf_at(ports.TLS, "full.test").serial == serial
    disk.make_room()
    wait_for(lambda: evercert.run("renew", "full.test", "--force").returncode == 0, "a renewal with room", 40, 0.2,
             seen=site.audit.sentences)
    assert tls.leaf_at(ports.TLS, "full.test").serial != serial


def test_a_disk_that_is_full_from_the_start_buys_nothing_and_heals(disk, nginx, pebble):
    site = nginx(host("nospace.test"), state=disk.state)
    assert site.test()[0] == 0
    disk.fill()
    mark = pebble.mark()
    assert site.test()[0] == 0
    site.start(wait=False)
    wait_for(lambda: site.process.poll() is not None or ("space" in site.log().lower() and "[emerg]" not in site.log()),
             "a word on the full disk")
    assert pebble.issued(mark) == 0
    disk.make_room()
    if site.process.poll() is not None:  # refused to start without a seal key: the operator starts it again
        site.process.stderr.close()
        site.start()
    site.audit.wait("served", "nospace.test", timeout=60, pause=0.02)
    assert pebble.issued(mark) == 1


def test_a_read_only_state_serves_on_and_says_so(disk, nginx, install):
    site = nginx(host("readonly.test"), state=disk.state).start()
    evercert = Evercert(install, disk.state)
    site.audit.wait("served", "readonly.test")
    serial = tls.leaf_at(ports.TLS, "readonly.test").serial
    site.stop()
    disk.remount("ro")
    site.start()
    assert tls.leaf_at(ports.TLS, "readonly.test").serial == serial
    site.wait_log(r"(?i)read-only")
    assert tls.leaf_at(ports.TLS, "readonly.test").serial == serial
    assert evercert.run("renew", "readonly.test", "--force").returncode != 0
    disk.remount("rw")
    # What starts the agent of an nginx that root started is not root, and says what helps.
    site.wait_log(r"nothing is renewed: the file .* mend what the start said of it and reload the server")
    site.reload()
    wait_for(lambda: evercert.run("renew", "readonly.test", "--force").returncode == 0, "a renewal once writable", 60, 0.2,
             seen=lambda: site.log()[-3000:])


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_previous_generation_is_served_when_the_newest_bundle_is(nginx, evercert, damage):
    site = nginx(host("spare.test")).start()
    site.audit.wait("served", "spare.test")
    first = tls.leaf_at(ports.TLS, "spare.test").serial
    evercert.renew("spare.test")
    site.stop()
    newest = bundles(evercert.state, "spare.test")[-1]
    change(newest, DAMAGES[damage])
    site.start()
    assert tls.leaf_at(ports.TLS, "spare.test").serial == first
    site.audit.wait("bundle_damaged", "spare.test")
    wait_for(lambda: os.listdir(os.path.join(evercert.state, "state", "quarantine")), "the file in quarantine")
    site.wait_log("damaged|empty|not ours|foreign|no bundle")
    assert tls.leaf_at(ports.TLS, "spare.test").names == ["spare.test"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_name_whose_only_bundle_is_damaged_gets_a_new_certificate(nginx, evercert, pebble, damage):
    site = nginx(host("only.test")).start()
    site.audit.wait("served", "only.test")
    first = tls.leaf_at(ports.TLS, "only.test").serial
    site.stop()
    change(bundles(evercert.state, "only.test")[0], DAMAGES[damage])
    mark = pebble.mark()
    site.start()
    leaf = tls.wait_leaf(ports.TLS, "only.test", seen=site.log, timeout=30)
    assert leaf.serial != first and pebble.issued(mark) == 1
    assert len(os.listdir(os.path.join(evercert.state, "state", "quarantine"))) == 1


def test_damage_under_a_running_server_changes_nothing_that_is_served(nginx, evercert):
    # One worker: another might not have been asked for this name before the damage.
    site = nginx(host("under.test"), workers=1).start()
    site.audit.wait("served", "under.test")
    serial = tls.leaf_at(ports.TLS, "under.test").serial
    change(bundles(evercert.state, "under.test")[0], DAMAGES["bit-flipped"])
    for _ in range(10):
        assert tls.leaf_at(ports.TLS, "under.test").serial == serial
    evercert.renew("under.test")
    assert tls.leaf_at(ports.TLS, "under.test").serial != serial


def test_a_bundle_of_a_newer_version_is_left_alone_and_no_order_is_placed(nginx, evercert, pebble):
    site = nginx(host("newer.test")).start()
    site.audit.wait("served", "newer.test")
    site.stop()

    def newer(data):
        assert data[:8] == b"EVERCERT"
        data[9:11] = (99).to_bytes(2, "big")
        return data
    path = bundles(evercert.state, "newer.test")[0]
    change(path, newer)
    content = open(path, "rb").read()
    mark = pebble.mark()
    site.start()
    certificate = evercert.wait_state("newer.test", ("held", "action_required"))
    assert "newer" in certificate["problem"]["message"]
    assert pebble.orders(mark) == 0 and open(path, "rb").read() == content
    assert tls.alert_of(ports.TLS, "newer.test") == 112


def test_bundles_under_an_unknown_seal_key_are_locked_and_nothing_is_replaced(nginx, evercert, pebble):
    site = nginx(host("locked.test")).start()
    site.audit.wait("served", "locked.test")
    serial = tls.leaf_at(ports.TLS, "locked.test").serial
    site.stop()
    key = os.path.join(evercert.state, "seal.key")
    shutil.move(key, key + ".aside")
    before = bundles(evercert.state, "locked.test")
    mark = pebble.mark()
    site.start()
    certificate = evercert.wait_state("locked.test", ("held", "action_required"))
    assert "seal" in certificate["problem"]["message"]
    assert pebble.orders(mark) == 0 and bundles(evercert.state, "locked.test") == before
    site.stop()
    os.replace(key + ".aside", key)
    site.start()
    assert tls.leaf_at(ports.TLS, "locked.test").serial == serial


@pytest.mark.skipif(os.geteuid() != 0, reason="files of another user need root")
def test_a_store_that_cannot_be_read_at_start_orders_nothing_and_heals(nginx, evercert, pebble):
    site = nginx(host("unreadable.test")).start()
    site.audit.wait("served", "unreadable.test")
    serial = tls.leaf_at(ports.TLS, "unreadable.test").serial
    site.stop()
    place = os.path.dirname(bundles(evercert.state, "unreadable.test")[0])
    mode, mark = os.stat(place).st_mode & 0o7777, pebble.mark()
    os.chmod(place, 0)
    site.start()
    problem = evercert.wait_problem("unreadable.test")
    assert "unreadable.test" in problem["message"] and "ermission denied" in problem["message"], problem
    assert pebble.request_count(mark) == 0
    os.chmod(place, mode)
    assert tls.wait_leaf(ports.TLS, "unreadable.test", timeout=20, seen=site.log).serial == serial
    evercert.wait_state("unreadable.test", "served")
    assert pebble.orders(mark) == 0


def test_a_swapped_bundle_of_another_name_does_not_open(nginx, evercert):
    site = nginx(host("mine.test") + host("theirs.test")).start()
    for name in ("mine.test", "theirs.test"):
        site.audit.wait("served", name)
    site.stop()
    mine, theirs = (bundles(evercert.state, name)[0] for name in ("mine.test", "theirs.test"))
    stolen = open(theirs, "rb").read()
    change(mine, lambda data: stolen)
    site.start()
    leaf = tls.wait_leaf(ports.TLS, "mine.test", seen=site.log)
    assert leaf.names == ["mine.test"]


def test_foreign_files_in_the_store_disturb_nobody(nginx, evercert):
    site = nginx(host("guest.test")).start()
    site.audit.wait("served", "guest.test")
    where = os.path.dirname(bundles(evercert.state, "guest.test")[0])
    for name in ("README", "2.bundle.tmp", ".hidden", "00.bundle", "99999999999999999999999.bundle"):
        with open(os.path.join(where, name), "w") as file:
            file.write("hello")
    os.makedirs(os.path.join(where, "7.bundle"))
    site.reload()
    assert tls.leaf_at(ports.TLS, "guest.test").names == ["guest.test"]
    evercert.renew("guest.test")


def test_links_below_the_state_directory_are_not_followed(nginx, evercert, folder):
    site = nginx(host("link.test")).start()
    site.audit.wait("served", "link.test")
    site.stop()
    path = bundles(evercert.state, "link.test")[0]
    aside = os.path.join(folder, "aside.bundle")
    shutil.move(path, aside)
    os.symlink(aside, path)
    site.start()
    leaf = tls.wait_leaf(ports.TLS, "link.test", seen=site.log)
    assert leaf.names == ["link.test"] and os.path.exists(aside)
