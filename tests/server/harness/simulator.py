"""Simulated commercial CAs (tests/simulators), each a process of its own; a client of their management port, and one that speaks
plain HTTP to their interface for tests of the simulators themselves."""
import http.client
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request

from . import ports, processes

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "simulators", "run")


class Simulator:
    """Runs until close(). What `run` prints is here as attributes: url, tls_ca_file, issuing_root, credentials."""

    def __init__(self, ca, folder, port=None, **settings):
        self.ca = ca
        port = port or ports.SIMULATORS[ca]
        settings = dict({"http_port": ports.HTTP, "https_port": ports.TLS, "name_server": "127.0.0.1:%d" % ports.DNS}, **settings)
        arguments = [sys.executable, PROGRAM, ca, "--json", "--port", str(port), "--folder", os.path.join(folder, "simulator-" + ca)]
        for name, value in settings.items():
            arguments += ["--set", "%s=%s" % (name, json.dumps(value))]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the simulator of %s did not start" % ca)
        self.shown = json.loads(line)
        self.initial = self.settings()

    def __getattr__(self, name):
        try:
            return self.__dict__["shown"][name]
        except KeyError as error:
            raise AttributeError(name) from error

    def ask(self, method, path, body=None):
        """The management port; what it refuses is a ValueError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.management + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from error

    def settings(self, **changed):
        return self.ask("POST", "/settings", changed) if changed else self.ask("GET", "/settings")

    def advance(self, seconds):
        return self.ask("POST", "/clock", {"advance": seconds})["now"]

    def skew(self, seconds):
        self.ask("POST", "/clock", {"skew": seconds})

    def fault(self, fault, **options):
        self.ask("POST", "/faults", dict(options, fault=fault))

    def clear(self):
        """No faults, no counts, settings as at the start (the balance too), and no burst that counts against the next order."""
        self.ask("DELETE", "/faults")
        self.ask("DELETE", "/counts")
        self.ask("POST", "/settings", self.initial)
        self.ask("POST", "/clock", {"advance": 60, "skew": 0})

    def counts(self):
        return self.ask("GET", "/counts")["calls"]

    def paid(self):
        """How many orders cost money so far."""
        return self.ask("GET", "/paid")["orders"]

    def orders(self):
        return self.ask("GET", "/orders")["orders"]

    def order(self, number):
        return self.ask("GET", "/orders/%s" % number)

    def act(self, number, action, **more):
        return self.ask("POST", "/orders/%s/%s" % (number, action), more)

    def seed(self, **wanted):
        return self.ask("POST", "/seed", wanted)["orders"]

    def close(self):
        processes.stop(self.process)
        self.process.stdout.close()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Wire:
    """One connection to a simulator's interface, over TLS that is verified."""

    def __init__(self, simulator, certificate=None):
        context = ssl.create_default_context(cafile=simulator.tls_ca_file)
        if certificate:
            context.load_cert_chain(*certificate)
        self.connection = http.client.HTTPSConnection("127.0.0.1", int(simulator.url.rsplit(":", 1)[1]), timeout=30, context=context)

    def send(self, method, path, body=None, headers=None, form=None):
        headers = dict(headers or {})
        if form is not None:
            data = form.encode()
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        else:
            data = None
        self.connection.request(method, path, data, headers)
        answer = self.connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def close(self):
        self.connection.close()


class Files:
    """A web server that has the validation files of any name: {(host, path): content}."""

    def __init__(self, port, tls=None):
        self.there, self.moved, self.asked = {}, {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                host = self.headers.get("Host", "").split(":")[0]
                outer.asked.append((host, self.path))
                content, location = outer.there.get((host, self.path)), outer.moved.get((host, self.path))
                self.send_response(302 if location else 200 if content is not None else 404)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", str(len(content or "")))
                self.end_headers()
                self.wfile.write((content or "").encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def put(self, host, path, content):
        self.there[(host, path)] = content

    def move(self, host, path, location):
        self.moved[(host, path)] = location

    def close(self):
        self.server.shutdown()
        self.server.server_close()
