"""The shape of what customers send: which fields, of which type, which are needed. complaints() says all that is wrong as
(path, sentence); each CA puts that in its own words."""
import re


def text(longest=4096, shortest=1, pattern=None):
    def check(value):
        if not isinstance(value, str):
            return "must be a string"
        if not shortest <= len(value) <= longest:
            return "must have %d to %d characters" % (shortest, longest)
        if pattern and not re.fullmatch(pattern, value):
            return "has a wrong format"
        return None
    return check


def choice(*values):
    def check(value):
        known = any(type(value) is type(v) and value == v for v in values)
        return None if known else "must be one of " + ", ".join(str(v) for v in values)
    return check


def boolean(value):
    return None if isinstance(value, bool) else "must be true or false"


def integer(lowest=0, highest=1 << 40):
    def check(value):
        if not isinstance(value, int) or isinstance(value, bool):
            return "must be a number"
        return None if lowest <= value <= highest else "must be between %d and %d" % (lowest, highest)
    return check


digits = text(20, pattern=r"[0-9]+")
email = text(254, pattern=r"[^@\s,;]+@[^@\s,;]+\.[^@\s,;]+")
anything = text(65536, 0)
day = text(10, pattern=r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def optional(check):
    """May be empty, too."""
    return lambda value: None if value in ("", None) else check(value)


class List:
    def __init__(self, item, longest=1000, shortest=0):
        self.item, self.longest, self.shortest = item, longest, shortest


class Fields:
    def __init__(self, needed=None, may=None):
        self.needed, self.may = needed or {}, may or {}


def complaints(value, shape, path=""):
    if isinstance(shape, Fields):
        if not isinstance(value, dict):
            return [(path or ".", "must be an object")]
        found = []
        for name, inner in list(shape.needed.items()) + list(shape.may.items()):
            where = path + "." + name if path else name
            if name in value:
                found += complaints(value[name], inner, where)
            elif name in shape.needed:
                found.append((where, "is missing"))
        for name in value:
            if name not in shape.needed and name not in shape.may:
                found.append((path + "." + name if path else name, "is not known"))
        return found
    if isinstance(shape, List):
        if not isinstance(value, list):
            return [(path, "must be an array")]
        if not shape.shortest <= len(value) <= shape.longest:
            return [(path, "must have %d to %d elements" % (shape.shortest, shape.longest))]
        return [fault for number, item in enumerate(value) for fault in complaints(item, shape.item, "%s[%d]" % (path, number))]
    said = shape(value)
    return [(path, said)] if said else []
