"""A careless operator: what was asked for and cannot be done is never passed over in silence, and never in the way of serving."""
import os

from harness import ports, tls
from harness.evercert import DONE, FAILED
from harness.nginx import host


def test_a_hook_that_is_not_there_is_not_passed_over_in_silence(nginx, evercert, folder):
    missing = os.path.join(folder, "no-such-hook")
    site = nginx(host("hookless.test"), global_extra="evercert_hook %s;" % missing).start()
    problem = evercert.wait_problem("hookless.test", "hook")
    assert missing in problem["message"] and "cannot be run" in problem["message"]
    site.wait_log("the hook .*no-such-hook cannot be run")
    one = evercert.wait_state("hookless.test", "served")
    assert one["served"]["generation"] == 1 and evercert.renew("hookless.test").returncode == DONE


def test_a_file_in_the_place_of_the_export_directory_does_not_end_what_is_served(nginx, evercert, folder):
    place = os.path.join(folder, "exports")
    with open(place, "w") as file:
        file.write("what somebody needs\n")
    site = nginx(host("filed.test"), global_extra="evercert_export_path %s;" % place)
    code, said = site.test()
    assert code == 0 and "%s is no directory" % place in said, said
    site.start()
    assert "Pebble" in tls.wait_leaf(ports.TLS, "filed.test", timeout=30).issuer
    assert place in evercert.wait_problem("filed.test", "export")["message"]
    assert evercert.run("renew", "filed.test", "--force").returncode == FAILED
    with open(place) as file:
        assert file.read() == "what somebody needs\n"
