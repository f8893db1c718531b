"""The part of a simulated CA that has nothing to do with its interface: one state under one lock, a clock that can be moved,
work that is due later, settings, counts, faults, and the management port that reaches all of it."""
import collections
import contextlib
import email.utils
import heapq
import itertools
import json
import os
import re
import threading
import time

from . import authority
from .dcv import Network
from .knobs import allowed_values
from .web import Fault, Listener, Refusal, Reply, json_reply, server_context

# What every CA can be set to do; each CA adds its own.
SETTINGS = {
    "approval": "auto",  # or "manual": orders wait for POST /orders/<id>/approve; "reject", "hold": a person has done so at once
    "retry_after_form": "seconds",  # of Retry-After where there is one; or "date", "none"
    "csr_shown": "pem",  # how the request of an order is shown back; or "base64", "base64 lines", "pem crlf", "none"
    "issue_seconds": 0.0,  # from the last condition to the certificate
    "dcv_seconds": 0.0,  # from "check now" to the fetch
    "recheck_seconds": 60.0,  # between fetches of a CA that looks by itself
    "answer_seconds": 0.0,  # before each answer
    "certificate_days": 199,
    "chain": "right",  # or "wrong" (a stranger's intermediate), "none"
    "balance": 1000000.0,
    "orders_left": -1,  # so many orders until a licence or quota is used up; -1: no limit
    "order_refusal": {},  # {"code", "message", "status"}: every order is refused so
    "refused_names": [],  # names that this CA will not issue for
    "csr_names": "subset",  # or "ignore": what names in the request have to do with the order
    "http_port": 80, "https_port": 443, "address": "127.0.0.1", "addresses": {}, "name_server": "", "fetch_timeout": 3.0,
    "caa_identity": "",
}


def route(method, pattern):
    """Marks a method of a CA as answering `method pattern`; {name} in the pattern matches one part of the path."""
    def mark(function):
        function.__dict__.setdefault("routes", []).append((method, pattern))
        return function
    return mark


def outside(function):
    """Marks work that goes out to the network: it lets go of the state meanwhile, and the state goes on without it."""
    function.outside = True
    return function


class Simulator:
    title = "simulator"
    own_settings = {}

    def __init__(self, port, management_port, folder, tls=None, client_authorities=None, **settings):
        self.lock = threading.Lock()
        self._moved = threading.Condition(self.lock)
        self.offset, self.skew = 0.0, 0.0
        self._due, self._number = [], itertools.count()
        self.settings = dict(SETTINGS, **json.loads(json.dumps(self.own_settings)))
        self.allowed = allowed_values(self.title)
        self.change(settings)
        self.faults, self.log, self.counts = [], collections.deque(maxlen=5000), collections.Counter()
        self.paid = []  # every order that cost something, in the order of their placing
        self.mails = []  # what a person would find in the mailbox
        self.orders = {}
        self.network = Network(self.settings)
        self.folder = folder
        self.authority = authority.IssuingAuthority(self.title, self.now() - 86400)
        self.root_path = os.path.join(folder, "issuing-root.pem")
        with open(self.root_path, "w", encoding="ascii") as file:
            file.write(authority.pem_of(self.authority.root))
        self._routes = self._collected()
        self.scheme = "https" if tls else "http"
        context = server_context(*tls, client_authorities) if tls else None
        self._open = True
        self.listener = Listener(port, self.answer, context, self.date)
        self.management = Listener(management_port, self._manage)
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()

    def close(self):
        with self.lock:
            self._open = False
            self._moved.notify_all()
        self.listener.close()
        self.management.close()
        self._ticker.join()

    @property
    def url(self):
        return "%s://127.0.0.1:%d" % (self.scheme, self.listener.port)

    # --- time ---
    def now(self):
        """What this CA thinks time is."""
        return time.time() + self.offset

    def date(self):
        """What its answers say time is: skewed when a test wants that."""
        return self.now() + self.skew

    def later(self, seconds, work, *arguments):
        heapq.heappush(self._due, (self.now() + float(seconds), next(self._number), work, arguments))
        self._moved.notify_all()

    def settle(self):
        """Does all that is due; what goes out to the network does so on a thread of its own, so that nobody waits for it."""
        while self._due and self._due[0][0] <= self.now():
            _, _, work, arguments = heapq.heappop(self._due)
            if getattr(work, "outside", False):
                threading.Thread(target=self._locked, args=(work, *arguments), daemon=True).start()
            else:
                work(*arguments)

    def _locked(self, work, *arguments):
        with self.lock:
            work(*arguments)

    def _tick(self):
        with self.lock:
            while self._open:
                self.settle()
                left = self._due[0][0] - self.now() if self._due else 3600
                self._moved.wait(min(max(left, 0.001), 3600))

    @contextlib.contextmanager
    def state_released(self):
        """For what takes time, such as the network. Whatever was read of the state before must be read again."""
        self.lock.release()
        try:
            yield
        finally:
            self.lock.acquire()

    # --- calls ---
    def _collected(self):
        found = []
        for name in dir(type(self)):
            function = getattr(type(self), name)
            for method, pattern in getattr(function, "routes", ()):
                shape = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
                found.append((method, re.compile(shape), pattern, getattr(self, name)))
        return sorted(found, key=lambda row: row[2].count("{"))  # a word in a path goes before a value

    def find(self, call, prefix=""):
        """(pattern, handler, arguments) for the call, or the methods that this path knows."""
        if not call.path.startswith(prefix):
            return None, None, []
        path, known = call.path[len(prefix):], []
        for method, shape, pattern, handler in self._routes:
            matched = shape.fullmatch(path)
            if matched and method == call.method:
                return method + " " + pattern, handler, matched.groupdict()
            if matched:
                known.append(method)
        return None, None, known

    def label(self, call):
        """The kind of call for counts and faults; a CA that sees more in the path or body says so."""
        pattern, _, _ = self.find(call)
        return pattern or "unknown"

    def handle(self, call):
        raise NotImplementedError

    def answer(self, call):
        with self.lock:
            call.label, came = self.label(call), self.now()
            call.changes = self.changes(call)
            self.counts[call.label] += 1
            fault = next((f for f in self.faults if f.takes(call)), None)
        delay = self.settings["answer_seconds"]
        if delay:
            threading.Event().wait(delay)
        reply = None
        if fault is None or fault.after:
            with self.lock:
                self.settle()
                try:
                    reply = self.handle(call)
                except Refusal as refusal:
                    reply = refusal.reply
                self.settle()
        if fault is not None:
            reply = fault.reply(reply)
        with self.lock:
            self.log.append({"label": call.label, "method": call.method, "path": call.path, "status": reply.status if reply else None, "at": self.now(),
                             "came": came, "account": call.account, "connection": call.connection, "turn": call.turn, "changes": call.changes})
        return reply

    def changes(self, call):
        """Whether a call of this kind may change something at the CA, so that it must not be made twice by accident."""
        return call.method not in ("GET", "HEAD")

    def busiest(self, windows=(1, 5, 180)):
        """{account: {seconds: the most requests that came within so many seconds}}"""
        came = {}
        for row in sorted(self.log, key=lambda one: one["came"]):
            came.setdefault(row["account"], []).append(row["came"])
        most = {}
        for account, times in came.items():
            for window in windows:
                first = most.setdefault(account, {}).setdefault(str(window), 0)
                begin = 0
                for end, at in enumerate(times):
                    while at - times[begin] >= window:
                        begin += 1
                    first = max(first, end - begin + 1)
                most[account][str(window)] = first
        return most

    # --- what all CAs check and make ---
    def lifetime(self, begin=None, days=None):
        begin = self.now() - 300 if begin is None else begin
        return begin, begin + (days or self.settings["certificate_days"]) * 86400 - 1

    def refused_name(self, names):
        """A name that may not be ordered here: (name, why) or None."""
        for name in names:
            if name in self.settings["refused_names"]:
                return name, "this name is refused"
            try:
                authority.checked_name(name)
            except authority.Unsuitable as error:
                return name, str(error)
        return None

    def foreign_names(self, request, names):
        """Names in the request that the order does not have."""
        return [] if self.settings["csr_names"] == "ignore" else [n for n in request.names if n not in names]

    def no_order(self):
        """Why no order is taken now, for reasons that a test made up: {"code", "message", "status"} or None."""
        if self.settings["order_refusal"]:
            return dict({"code": "", "message": "", "status": None}, **self.settings["order_refusal"])
        if self.settings["orders_left"] == 0:
            return {"code": "", "message": "the number of certificates that were bought is used up", "status": None}
        if self.settings["orders_left"] > 0:
            self.settings["orders_left"] -= 1
        return None

    def pay(self, order, names, price):
        """An order that costs money has been placed."""
        self.paid.append({"order": str(order), "names": list(names), "price": price, "at": self.now()})

    def decided_at_once(self, order):
        """What people do to every new order while the setting says so."""
        if self.settings["approval"] in ("reject", "hold"):
            self.later(0, self.decided, order, self.settings["approval"])

    def decided(self, order, action):
        self.act(order, action, {})

    def retry_after(self, seconds):
        """The header, in the form that is set; no header for none."""
        form = self.settings["retry_after_form"]
        value = email.utils.formatdate(self.date() + seconds, usegmt=True) if form == "date" else str(int(seconds))
        return [] if form == "none" or not seconds else [("Retry-After", value)]

    def forbidden_by_caa(self, names):
        """The names that CAA keeps from this CA, once it has been given an identifier and a name server."""
        if not self.settings["caa_identity"] or not self.settings["name_server"]:
            return []
        with self.state_released():
            return [name for name in names if self.network.forbidden_by_caa(name)]

    def intermediates(self):
        return {"right": [self.authority.intermediate], "wrong": [self.authority.stranger], "none": []}[self.settings["chain"]]

    def mail(self, to, order, **more):
        self.mails.append(dict({"to": to, "order": order, "at": int(self.now())}, **more))

    # --- management ---
    def change(self, settings):
        for name, value in settings.items():
            if name not in self.settings:
                raise ValueError("there is no setting " + name)
            before = self.settings[name]
            if isinstance(before, str) and value not in self.allowed.get(name, [value]):
                raise ValueError("setting %s is one of %s" % (name, ", ".join(map(str, self.allowed[name]))))
            numbers = isinstance(before, (int, float)) and not isinstance(before, bool)
            if numbers and isinstance(value, (int, float)) and not isinstance(value, bool):
                self.settings[name] = type(before)(value) if isinstance(before, int) and value == int(value) else float(value)
            elif isinstance(value, type(before)) and not numbers:
                self.settings[name] = value
            else:
                raise ValueError("setting %s is a %s" % (name, type(before).__name__))

    def described(self):
        return {"ca": self.title, "url": self.url, "now": self.now(), "settings": self.settings}

    def order_described(self, order):
        raise NotImplementedError

    def act(self, order, action, arguments):
        """approve, reject, hold …: what people at the CA do to an order."""
        raise ValueError("no action " + action)

    def seed(self, **wanted):
        raise ValueError("seeding is not known here")

    def _manage(self, call):
        try:
            body = json.loads(call.body) if call.body else {}
            if not isinstance(body, dict):
                raise ValueError("an object is needed")
            with self.lock:
                reply = self._managed(call, call.path.strip("/").split("/"), body)
                self.settle()
                return reply
        except (ValueError, TypeError, KeyError, re.error) as error:
            return json_reply({"error": "%s: %s" % (type(error).__name__, error)}, 400)

    def _managed(self, call, parts, body):
        first, rest = parts[0], parts[1:]
        asking = call.method == "GET"
        if first == "":
            return json_reply(self.described())
        if first == "settings":
            if not asking:
                self.change(body)
            return json_reply(self.settings)
        if first == "clock":
            self.offset += float(body.get("advance", 0))
            self.skew = float(body.get("skew", self.skew))
            self._moved.notify_all()
            return json_reply({"now": self.now(), "skew": self.skew})
        if first == "faults":
            if call.method == "DELETE":
                for fault in self.faults:
                    fault.released.set()
                self.faults = []
            elif not asking:
                self.faults.append(Fault(**body))
            return json_reply({"faults": [f.described() for f in self.faults]})
        if first == "counts":
            if call.method == "DELETE":
                self.counts.clear()
                self.log.clear()
            return json_reply({"total": sum(self.counts.values()), "calls": self.counts, "orders": len(self.orders)})
        if first == "requests":
            return json_reply({"requests": [[row[name] for name in ("label", "method", "path", "status", "at")] for row in self.log]})
        if first == "log":
            return json_reply({"log": list(self.log), "busiest": self.busiest()})
        if first == "paid":
            return json_reply({"orders": len(self.paid), "amount": sum(row["price"] for row in self.paid), "log": self.paid})
        if first == "release" and not asking:
            for fault in self.faults:
                fault.released.set()
            return json_reply({"released": sum(fault.held for fault in self.faults)})
        if first == "mails":
            return json_reply({"mails": self.mails})
        if first == "network":
            return json_reply({"seen": self.network.seen})
        if first == "ca":
            known = {"root.pem": [self.authority.root], "intermediate.pem": [self.authority.intermediate]}[rest[0]]
            return Reply(200, "".join(authority.pem_of(c) for c in known), kind="application/x-pem-file")
        if first == "seed" and not asking:
            return json_reply(self.seed(**body))
        if first == "orders":
            if not rest:
                return json_reply({"orders": [self.order_described(o) for o in self.orders.values()]})
            order = self.orders[rest[0]]
            if len(rest) > 1 and not asking:
                self.act(order, rest[1], body)
            return json_reply(self.order_described(order))
        return self.managed(call, parts, body)

    def managed(self, call, parts, body):
        """What this CA alone has behind its management port."""
        return json_reply({"error": "nothing at " + call.path}, 404)
