"""Random templates of the subset, from a grammar; the same seed gives the same ones."""
import random

VARIABLES = {
    "s": "Hello World", "t": "  naïve ß ǅ\tΣΑΣ \n", "e": "", "digits": "-0042",
    "words": "the cat,the-hat (sat) [on] a MAT",
    "n": 7, "z": 0, "m": -13, "f": 2.5, "g": -0.1, "big": 1e22, "yes": True, "no": False,
    "nil": None,
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "mix": [1, "1", None, True, 2.0],
    "nest": [[1, 2], [3], []],
    "d": {"b": 1, "a": [1, 2], "items": "shadow", "é": {"x": None}}, "ed": {},
    "ms": [{"role": "user", "content": "Hi", "n": 2},
           {"role": "assistant", "content": None, "n": 1},
           {"role": "user", "n": 3, "tags": ["x", "y"]}],
}

STRINGS = ["s", "t", "e", "digits", "words"]
NUMBERS = ["n", "z", "m", "f", "g", "yes", "big"]
LISTS = ["l", "ls", "mix", "nest", "ms"]
DICTS = ["d", "ed", "ms[0]"]
TESTS = ["defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number",
         "integer", "float", "boolean", "true", "false", "odd", "even", "callable", "lower",
         "upper", "escaped"]
TESTS_WITH = ["equalto", "eq", "ne", "lt", "gt", "ge", "le", "in", "divisibleby", "sameas", "==",
              "greaterthan"]
TEXT_FILTERS = ["upper", "lower", "title", "capitalize", "trim", "reverse", "string", "escape", "e",
                "safe", "length", "wordcount", "first", "last"]
TEXT_METHODS = ["upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip", "isdigit",
                "isalpha", "isspace", "isupper", "islower", "isalnum", "isascii"]
SEPARATORS = ["' '", "','", "'l'", "'the'", "'\\n'", "'xyz'", "''", "'ß'"]


class Grammar:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *choices):
        return self.random.choice(choices)

    def one_of(self, table):
        return self.random.choice(table)

    def integer(self):
        return self.pick("0", "1", "2", "3", "-1", "-2", "5", "10", "100", "7", "0x1F", "1_000",
                         "9007199254740993")

    def string_literal(self):
        return self.pick("'a'", "'Hello'", "\"it's\"", "''", "'%s-%d'", "'{} {x}'",
                         "'\\u00e9\\n\\x41'", "'a b  c'",
                         "'1.5'", "'<b>&amp;'", "'true'", "'\\\\'", "' x '", "'東京'", "'q\"uote'")

    def value(self, depth):
        kind = self.random.random()
        if kind < 0.3:
            return self.string(depth)
        if kind < 0.55:
            return self.number(depth)
        if kind < 0.75:
            return self.list(depth)
        if kind < 0.85:
            return self.dict(depth)
        if kind < 0.95:
            return self.boolean(depth)
        return self.pick("nil", "missing", "none", "ms[1].content", "ms[2].content", "d.nope",
                         "ms[9]")

    def string(self, depth):
        if depth <= 0:
            return self.one_of(STRINGS) if self.random.random() < 0.6 else self.string_literal()
        s = lambda: self.string(depth - 1)
        v = lambda: self.value(depth - 1)
        i = self.integer
        sep = self.one_of(SEPARATORS)
        return self.pick(
            lambda: f"({s()} + {s()})", lambda: f"({v()} ~ {v()})", lambda: f"({s()} * {i()})",
            lambda: f"{s()}[{i()}:{i()}]", lambda: f"{s()}[::{i()}]", lambda: f"{s()}[{i()}]",
            lambda: f"{s()}[:{i()}]",
            lambda: f"({s()} | {self.one_of(TEXT_FILTERS)})",
            lambda: f"({v()} | string)", lambda: f"({v()} | tojson)",
            lambda: f"({v()} | tojson(indent={self.pick('0', '2', '4', 'none')}))",
            lambda: f"({v()} | tojson(ensure_ascii=true, sort_keys={self.pick('true', 'false')}))",
            lambda: f"({s()} | replace({sep}, {s()}))",
            lambda: f"({s()} | replace({sep}, '-', {i()}))",
            lambda: f"({s()} | indent({i()}, {self.pick('true', 'false')}))",
            lambda: f"({s()} | trim({sep}))",
            lambda: f"({s()} | truncate({self.pick('5', '8', '20')}, "
                    f"{self.pick('true', 'false')}, '..', 1))",
            lambda: f"({s()} | center({i()}))", lambda: f"({self.list(depth - 1)} | join({sep}))",
            lambda: f"({self.list(depth - 1)} | join)", lambda: f"({v()} | default({s()}))",
            lambda: f"({v()} | d({s()}, true))",
            lambda: f"{s()}.{self.one_of(TEXT_METHODS)}()",
            lambda: f"{s()}."
                    f"{self.pick('strip', 'lstrip', 'rstrip', 'removeprefix', 'removesuffix')}("
                    f"{sep})",
            lambda: f"{s()}.replace({sep}, {s()})", lambda: f"{s()}.replace({sep}, '+', {i()})",
            lambda: f"{s()}."
                    f"{self.pick('startswith', 'endswith', 'find', 'rfind', 'count', 'index')}("
                    f"{self.pick(sep, s())})",
            lambda: f"{s()}.{self.pick('ljust', 'rjust', 'center')}({i()}, '*')",
            lambda: f"{s()}.zfill({i()})",
            lambda: f"{sep}.join({self.list(depth - 1)})", lambda: f"{s()}.format({v()}, x={v()})",
            lambda: f"({s()} % {v()})", lambda: f"({s()} % ({v()}, {i()}))",
            lambda: f"({s()} | format({v()}, {i()}))",
            lambda: f"('%{self.pick('', '-', '0', '+', ' ')}{self.pick('', '3', '8')}"
                    f"{self.pick('', '.2', '.0')}"
                    f"{self.pick('d', 'f', 's', 'e', 'g', 'x', 'r', 'i')}' % "
                    f"{self.number(depth - 1)})",
            lambda: f"({s()} if {self.boolean(depth - 1)} else {s()})",
            lambda: f"({s()} if {self.boolean(depth - 1)})",
        )()

    def number(self, depth):
        if depth <= 0:
            if self.random.random() < 0.5:
                return self.one_of(NUMBERS)
            return self.pick(self.integer(), "1.5", "0.1", "1e3", "2.0")
        x = lambda: self.number(depth - 1)
        v = lambda: self.value(depth - 1)
        return self.pick(
            lambda: f"({x()} {self.pick('+', '-', '*', '/', '//', '%')} {x()})",
            lambda: f"({x()} ** {self.pick('0', '2', '3', '-1', '0.5')})",
            lambda: f"(-{x()})", lambda: f"(+{x()})",
            lambda: f"({v()} | {self.pick('length', 'count', 'int', 'float')})",
            lambda: f"({self.string(depth - 1)} | int(base={self.pick('2', '8', '10', '16')}))",
            lambda: f"({v()} | int({x()}))", lambda: f"({v()} | float(-1.0))",
            lambda: f"({x()} | abs)", lambda: f"({x()} | round({self.pick('', '1', '2', '-1')}))",
            lambda: f"({x()} | round({self.pick('0', '1', '2')}, '"
                    f"{self.pick('ceil', 'floor', 'common')}'))",
            lambda: f"({self.list(depth - 1)} | {self.pick('sum', 'min', 'max', 'length')})",
            lambda: f"({x()} if {self.boolean(depth - 1)} else {v()})",
            lambda: f"{self.list(depth - 1)}.{self.pick('index', 'count')}({v()})",
        )()

    def list(self, depth):
        if depth <= 0:
            return self.pick(self.one_of(LISTS), "[]", "[1, 2, 3]", "('a', 'b')", "range(4)",
                             "range(5, 0, -2)", "(1,)", "()")
        l = lambda: self.list(depth - 1)
        v = lambda: self.value(depth - 1)
        i = self.integer
        return self.pick(
            lambda: f"[{v()}, {v()}]", lambda: f"({v()}, {v()})", lambda: f"({l()} + {l()})",
            lambda: f"({l()} * {self.pick('0', '2', '-1')})",
            lambda: f"{l()}[{i()}:]", lambda: f"{l()}[:{i()}]", lambda: f"{l()}[::{i()}]",
            lambda: f"{l()}[{i()}]",
            lambda: f"({l()} | "
                    f"{self.pick('list', 'reverse | list', 'sort', 'unique | list', 'first', 'last')}"
                    ")",
            lambda: f"({l()} | sort(reverse={self.pick('true', 'false')}, case_sensitive="
                    f"{self.pick('true', 'false')}))",
            lambda: f"(ms | sort(attribute='"
                    f"{self.pick('n', 'role', 'role,n', 'content')}') | map(attribute='n') | list)",
            lambda: f"(ms | map(attribute='{self.pick('role', 'n', 'content', 'tags.0', 'nope')}'"
                    f"{self.pick('', ', default=7')}) | list)",
            lambda: f"({l()} | map('"
                    f"{self.pick('string', 'int', 'upper', 'length', 'tojson', 'abs', 'list')}"
                    "') | list)",
            lambda: f"({l()} | {self.pick('select', 'reject')}('"
                    f"{self.pick('string', 'number', 'odd', 'defined', 'none', 'mapping')}"
                    "') | list)",
            lambda: f"({l()} | {self.pick('select', 'reject')} | list)",
            lambda: f"(ms | {self.pick('selectattr', 'rejectattr')}('"
                    f"{self.pick('role', 'n', 'content', 'nope')}', '"
                    f"{self.pick('equalto', 'eq', 'ne', 'in', '==')}', {v()}) | list | length)",
            lambda: f"(ms | {self.pick('selectattr', 'rejectattr')}('"
                    f"{self.pick('content', 'tags', 'nope')}'"
                    f"{self.pick('', ', ' + chr(39) + 'defined' + chr(39))}"
                    ") | map(attribute='n') | list)",
            lambda: f"({l()} | batch({self.pick('1', '2', '3')}{self.pick('', ', 0')}) | list)",
            lambda: f"({l()} | slice({self.pick('1', '2', '3')}{self.pick('', ', 0')}) | list)",
            lambda: f"{self.string(depth - 1)}.{self.pick('split', 'rsplit')}("
                    + self.pick("", self.one_of(SEPARATORS), self.one_of(SEPARATORS) + ", 1",
                                "none, 1") + ")",
            lambda: f"{self.string(depth - 1)}.{self.pick('partition', 'rpartition')}("
                    f"{self.one_of(SEPARATORS)})",
            lambda: f"{self.string(depth - 1)}.splitlines()",
            lambda: f"({self.dict(depth - 1)} | "
                    + self.pick("items | list", "dictsort", "list", "dictsort(by='value')") + ")",
            lambda: f"({self.dict(depth - 1)}.{self.pick('items', 'keys', 'values')}() | list)",
            lambda: f"({self.string(depth - 1)} | list)",
            lambda: f"range({i()}, {self.pick('3', '12', '-4')}{self.pick('', ', 2', ', -1')})"
                    f"{self.pick('', '[1]', '[1:]', ' | list')}",
        )()

    def dict(self, depth):
        if depth <= 0:
            return self.one_of(DICTS)
        v = lambda: self.value(depth - 1)
        return self.pick(
            lambda: "{" + f"{self.pick(self.string_literal(), self.number(0), '(1, 2)', 'none')}: "
                    f"{v()}, 'k': {v()}" + "}",
            lambda: f"dict({self.pick('', self.dict(depth - 1) + ', ')}a={v()})",
            lambda: f"{self.dict(depth - 1)}.{self.pick('a', 'b', 'items', 'nope', 'role', 'k')}",
            lambda: f"{self.dict(depth - 1)}['{self.pick('a', 'b', 'items', 'nope', 'k')}']",
            lambda: f"{self.dict(depth - 1)}.get({self.pick(chr(39) + 'a' + chr(39), v())}"
                    f"{self.pick('', ', ' + v())})",
        )()

    def boolean(self, depth):
        if depth <= 0:
            return self.pick("yes", "no", "true", "false", "n", "e", "nil", "missing")
        v = lambda: self.value(depth - 1)
        b = lambda: self.boolean(depth - 1)
        return self.pick(
            lambda: f"({v()} {self.pick('==', '!=')} {v()})",
            lambda: f"({self.number(depth - 1)} {self.pick('<', '<=', '>', '>=')} "
                    f"{self.number(depth - 1)})",
            lambda: f"({v()} {self.pick('<', '<=', '>', '>=')} {v()})",
            lambda: f"({self.number(depth - 1)} < {self.number(depth - 1)} <= "
                    f"{self.number(depth - 1)})",
            lambda: f"({v()} {self.pick('in', 'not in')} "
                    + self.pick(self.list(depth - 1), self.string(depth - 1), self.dict(depth - 1))
                    + ")",
            lambda: f"({v()} is {self.pick('', 'not ')}{self.one_of(TESTS)})",
            lambda: f"({v()} is {self.pick('', 'not ')}{self.one_of(TESTS_WITH[:-2])}({v()}))",
            lambda: f"({self.number(depth - 1)} is divisibleby {self.pick('2', '3', '0')})",
            lambda: f"(not {v()})",
            lambda: f"({v()} {self.pick('and', 'or')} {v()})",
            lambda: f"({b()} and {b()} or {v()})",
        )()

    def statement(self):
        v = lambda: self.value(self.random.randrange(2))
        out = lambda: "{{ " + self.value(self.random.randrange(3)) + " }}"
        dash = lambda: self.pick("", "-", "", "+")
        tag = lambda text: "{%" + dash() + " " + text + " " + dash() + "%}"
        blank = lambda: self.pick("", " ", "\n", "  \n  ", "x", "\t", "\n\n")
        return self.pick(
            lambda: tag(f"for x in {self.list(1)}{self.pick('', ' if x')}") + blank()
                    + "{{ x }}{{ loop.index }}" + blank() + tag("else") + "none" + tag("endfor")
                    + blank(),
            lambda: tag(f"for k, w in {self.dict(1)}.items()") + "{{ k ~ w ~ loop.last }}" + blank()
                    + tag("endfor"),
            lambda: tag("for x in " + self.list(1)) + tag("if loop.index is even")
                    + tag(self.pick("continue", "break")) + tag("endif") + blank()
                    + "{{ loop.cycle('a', 'b') }}{{ loop.revindex }}" + tag("endfor"),
            lambda: tag(f"if {v()}") + blank() + out() + tag(f"elif {v()}") + "two" + blank()
                    + tag("else") + blank() + "three" + tag("endif") + blank(),
            lambda: tag(f"set y = {v()}") + blank() + "{{ y }}" + tag("set y") + blank() + out()
                    + tag("endset") + "{{ y | length }}",
            lambda: tag(f"set p, q = {v()}, {v()}") + "{{ q }}{{ p }}" + blank(),
            lambda: tag(f"set ns = namespace(a={v()})") + tag("for i in range(3)")
                    + tag("set ns.a = ns.a ~ i") + tag("set z1 = i") + tag("endfor")
                    + "{{ ns.a }}{{ z1 is defined }}{{ ns.nope }}",
            lambda: tag(f"macro mac(a, b={v()})") + blank() + "{{ a }}/{{ b }}" + blank()
                    + tag("endmacro") + "{{ mac(1) }}{{ mac(b=2, a=3) }}{{ mac(" + v()
                    + ") | trim }}{{ mac() }}",
            lambda: tag(f"with w = {v()}, u = 2") + "{{ w }}{{ u }}" + blank() + tag("endwith")
                    + "{{ u is defined }}",
            lambda: tag("filter " + self.pick("upper", "trim", "indent(2)", "replace('a', 'b')"))
                    + blank() + out() + blank() + tag("endfilter"),
            lambda: blank() + "{#" + dash() + " note " + dash() + "#}" + blank() + out(),
            lambda: tag("raw") + " {{ x }} " + tag("endraw") + blank(),
            lambda: "{{" + self.pick("-", "") + " " + v() + " " + self.pick("-", "") + "}}"
                    + blank(),
        )()

    def template(self):
        if self.random.random() < 0.7:
            return "{{ " + self.value(self.random.randrange(1, 4)) + " }}"
        return "".join(self.statement() for _ in range(self.random.randrange(1, 4)))
