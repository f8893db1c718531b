"""Certificates made beforehand, laid out as certbot does, for `evercert import` to adopt: no CA is asked."""
import os

from .authority import write_private


def write(folder, authority, names, days=(-1, 90), kind="ec"):
    """Returns certbot's folder."""
    place = os.path.join(folder, "letsencrypt")
    for name in names:
        live = os.path.join(place, "live", name)
        os.makedirs(live)
        chain, key = authority.issue(name, kind=kind, days=days)
        end_of_leaf = chain.index(b"-----END CERTIFICATE-----\n") + len(b"-----END CERTIFICATE-----\n")
        for file, data in (("cert", chain[:end_of_leaf]), ("chain", chain[end_of_leaf:]), ("fullchain", chain), ("privkey", key)):
            write_private(os.path.join(live, file + ".pem"), data)
    return place
