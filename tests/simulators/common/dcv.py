"""Domain control, proved over the network as a CA does it: an HTTP(S) request for the file, questions to a name server."""
import http.client
import socket
import ssl
import urllib.parse

import dns.exception
import dns.message
import dns.rdatatype

LONGEST_FILE = 64 << 10
REDIRECTS = 5


class Network:
    """Where names are, for the simulator: `settings` holds http_port, https_port, addresses {name: "host" or "host:port"} and
    name_server "host:port"."""

    def __init__(self, settings):
        self.settings = settings
        self.seen = []  # what was asked, and what came of it

    def _place(self, host, scheme):
        port = self.settings["http_port"] if scheme == "http" else self.settings["https_port"]
        place = self.settings["addresses"].get(host, self.settings["address"])
        if ":" in place:
            place, _, text = place.rpartition(":")
            port = int(text)
        return place, port

    def _get(self, url):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise OSError("a redirect to " + url)
        address, port = self._place(parts.hostname, parts.scheme)
        plain = socket.create_connection((address, port), timeout=self.settings["fetch_timeout"])
        connection = http.client.HTTPConnection(parts.hostname, timeout=self.settings["fetch_timeout"])
        connection.sock = plain
        try:
            if parts.scheme == "https":
                context = ssl._create_unverified_context()
                connection.sock = context.wrap_socket(plain, server_hostname=parts.hostname)
            connection.request("GET", (parts.path or "/") + ("?" + parts.query if parts.query else ""), headers={"User-Agent": "simulated CA"})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Location"), answer.read(LONGEST_FILE)
        finally:
            connection.close()
            plain.close()

    def fetch(self, scheme, name, path):
        """(content, None) or (None, why not)."""
        url = "%s://%s%s" % (scheme, name, path)
        why = "too many redirects"
        for _ in range(REDIRECTS):
            try:
                status, location, content = self._get(url)
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = "%s: %s" % (url, error)
                break
            if status in (301, 302, 307, 308) and location:
                url = urllib.parse.urljoin(url, location)
                continue
            if status != 200:
                why = "%s: HTTP %d" % (url, status)
                break
            self.seen.append((url, "found"))
            return content.decode("utf-8", "replace"), None
        self.seen.append((url, why))
        return None, why

    def look_up(self, name, kind):
        """(values, None) or (None, why not); a name without such records has no values."""
        from dns.query import udp_with_fallback  # here, since it loads HTTP libraries for a third of a second that most runs do not need
        server = self.settings["name_server"]
        if not server:
            return None, "this simulator was given no name server (setting name_server)"
        host, _, port = server.rpartition(":")
        try:
            question = dns.message.make_query(name, kind)
            answer, _ = udp_with_fallback(question, host, timeout=self.settings["fetch_timeout"], port=int(port))
        except (OSError, dns.exception.DNSException) as error:
            return None, "%s %s: %s" % (kind, name, error)
        if answer.rcode() not in (0, 3):
            return None, "%s %s: rcode %d" % (kind, name, answer.rcode())
        wanted = dns.rdatatype.from_text(kind)
        values = []
        for records in answer.answer:
            for record in records if records.rdtype == wanted else ():
                if kind == "TXT":
                    values.append(b"".join(record.strings).decode("utf-8", "replace"))
                elif kind == "CAA":
                    values.append((record.tag.decode(), record.value.decode()))
                else:
                    values.append(record.target.to_text().rstrip("."))
        self.seen.append((kind + " " + name, values))
        return values, None

    def file_has(self, schemes, name, path, lines):
        """None when the file holds exactly these lines (a last line end is allowed), else why not."""
        why = None
        for scheme in schemes:
            content, why = self.fetch(scheme, name, path)
            if content is None:
                continue
            found = content.split("\n")
            if found and found[-1] == "":
                found.pop()
            if found == lines:
                return None
            why = "%s://%s%s has another content" % (scheme, name, path)
        return why

    def file_contains(self, schemes, name, path, value, longest):
        """None when the file has this value anywhere in its first bytes, else why not."""
        why = None
        for scheme in schemes:
            content, why = self.fetch(scheme, name, path)
            if content is not None and value in content[:longest]:
                return None
            why = why or "%s://%s%s does not contain the value" % (scheme, name, path)
        return why

    def text_record(self, name, value):
        values, why = self.look_up(name, "TXT")
        if values is None:
            return why
        return None if value in values else "no TXT record of %s has the value (%d are there)" % (name, len(values))

    def alias(self, name, target):
        values, why = self.look_up(name, "CNAME")
        if values is None:
            return why
        wanted = target.rstrip(".").lower()
        return None if wanted in [v.lower() for v in values] else "%s is no CNAME of %s (%s)" % (name, target, ", ".join(values) or "none")

    def forbidden_by_caa(self, name):
        """Why CAA keeps this CA from issuing, or None."""
        identity = self.settings["caa_identity"]
        wildcard, label = name.startswith("*."), name.removeprefix("*.")
        while label:
            values, why = self.look_up(label, "CAA")
            if values is None:
                return why
            if values:
                issue = [v for t, v in values if t == "issue"]
                issue = ([v for t, v in values if t == "issuewild"] or issue) if wildcard else issue
                allowed = not issue or any(v.split(";")[0].strip() == identity for v in issue)
                return None if allowed else "CAA of %s does not name %s" % (label, identity)
            label = label.partition(".")[2]
        return None
