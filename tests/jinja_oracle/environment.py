"""jinja2 set up as the transformers library sets it up for chat templates."""
import copy
import datetime
import json
import os
import re

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

HERE = os.path.dirname(os.path.abspath(__file__))


def _check_version():
    with open(HERE + "/../../tools/requirements-oracles.txt", encoding="utf-8") as file:
        pinned = re.search(r"(?im)^jinja2==(\S+)", file.read()).group(1)
    if jinja2.__version__ != pinned:
        raise SystemExit(f"jinja2 is {jinja2.__version__}, expected {pinned}; run make oracles")


_check_version()
NOW = datetime.datetime(2026, 3, 5, 7, 8, 9)
NOW_NUMBERS = [2026, 3, 5, 7, 8, 9, NOW.isoweekday() % 7, NOW.timetuple().tm_yday]


class Raised(Exception):
    """raise_exception was called."""


class Generation(jinja2.ext.Extension):
    """{% generation %} ... {% endgeneration %}: prints its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_print")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _print(self, caller):
        return caller()


def _raise_exception(message):
    raise Raised(str(message))


def _tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def _no_such(name):
    def fail(*_args, **_kwargs):
        raise jinja2.TemplateRuntimeError(f"nothing is named {name!r}")
    return fail


class SoughtWhenUsed(dict):
    """Filters or tests. jinja2 refuses a name nobody has even where it is not reached, but not in
    the arms of an if; quarot refuses it where it is used."""

    def get(self, name, default=None):
        return super().get(name) or _no_such(name)

    def __getitem__(self, name):
        return self.get(name)


def make_environment():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True,
        extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = _tojson
    environment.filters = SoughtWhenUsed(environment.filters)
    environment.tests = SoughtWhenUsed(environment.tests)
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = NOW.strftime
    return environment


def render(environment, source, variables):
    """{"text": ...} or {"error": kind, "message": ...}."""
    # {{ l | indent }} fails, but only after jinja2's filter has appended a line break to the list.
    own = copy.deepcopy(variables)
    try:
        return {"text": environment.from_string(source).render(**own)}
    except Raised as error:
        return {"error": "raised", "message": str(error)}
    except Exception as error:  # whatever a template can make Python do
        return {"error": "failed", "message": f"{type(error).__name__}: {error}"}
