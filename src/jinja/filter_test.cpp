// Filters and string methods; the oracle tests compare them with jinja2 at large.
#include "jinja/render_for_tests.h"

namespace quarot::jinja {
namespace {

TEST(Filter, JsonIsSpelledAsByPython) {
    const char* variables = R"({"v": {"b": [1, 2.0, null, true], "a": "é<&>\"\n\u0001", "e": {}}})";
    EXPECT_EQ(printed("{{ v | tojson }}", variables),
              R"({"b": [1, 2.0, null, true], "a": "é<&>\"\n\u0001", "e": {}})");
    EXPECT_EQ(printed("{{ v | tojson(sort_keys=true, ensure_ascii=true) }}", variables),
              R"({"a": "\u00e9<&>\"\n\u0001", "b": [1, 2.0, null, true], "e": {}})");
    EXPECT_EQ(printed("{{ [1, {'k': []}] | tojson(indent=2) }}"),
              "[\n  1,\n  {\n    \"k\": []\n  }\n]");
    expect_failure(ErrorCode::Corrupt, {"JSON"}, "{{ nothing | tojson }}");
}

TEST(Filter, CaseFollowsUnicode) {
    EXPECT_EQ(printed("{{ 'straße ŉ' | upper }}|{{ 'ΑΣ ΑΣΑ' | lower }}|{{ 'ǆ ß' | capitalize }}"),
              "STRASSE ʼN|ας ασα|ǅ ß");
    EXPECT_EQ(printed("{{ 'the cat-hat (x)' | title }}|{{ \"it's a\".title() }}"),
              "The Cat-Hat (X)|It'S A");
}

TEST(Filter, SelectionsGoByAttributeAndTest) {
    const char* variables = R"({"ms": [{"r": "u", "n": 2}, {"r": "a", "n": 1}, {"n": 3}]})";
    EXPECT_EQ(
        printed("{{ ms | selectattr('r', 'equalto', 'u') | map(attribute='n') | list }}"
                "{{ ms | rejectattr('r') | list }}{{ ms | map(attribute='r', default='-') | join }}"
                "{{ ms | sort(attribute='n') | map(attribute='n') | list }}",
                variables),
        "[2][{'n': 3}]ua-[1, 2, 3]");
}

TEST(Filter, IteratorsAreUsedUp) {
    EXPECT_EQ(
        printed("{% set m = [1, 2] | map('string') %}{{ m | first }}{{ m | list }}{{ m | list }}"),
        "1['2'][]");
    expect_failure(ErrorCode::Corrupt, {"no length"}, "{{ [1] | map('string') | length }}");
    expect_failure(ErrorCode::Unsupported, {"generator"}, "{{ [1] | map('string') }}");
}

TEST(Filter, NumbersAreReadAndRoundedAsByPython) {
    EXPECT_EQ(printed("{{ '12.9' | int }} {{ 'x' | int(7) }} {{ '0x1F' | int(base=16) }} "
                      "{{ '1_0' | float }} {{ 2.5 | round }} {{ 0.125 | round(2) }} "
                      "{{ 1.1 | round(0, 'ceil') }} {{ 25 | round(-1) }}"),
              "12 7 31 10.0 2.0 0.12 2.0 20");
    EXPECT_EQ(printed("{{ (5e21 / 3) | round(-1) }} {{ 5.0 | round(-1) }} {{ 15.0 | round(-1) }} "
                      "{{ 34.99 | round(-1) }} {{ -0.3 | round(-1) }} {{ 7.5 | round(-1) }} "
                      "{{ 1e300 | round(-15) }} {{ 4.0 | round(-2) }} {{ 50.000001 | round(-2) }}"),
              "1.6666666666666668e+21 0.0 20.0 30.0 -0.0 10.0 1e+300 0.0 100.0");
}

TEST(Filter, EscapedStringsCanOnlyBePrinted) {
    EXPECT_EQ(printed("{{ '<a>&\"' | e }}"), "&lt;a&gt;&amp;&#34;");
    expect_failure(ErrorCode::Unsupported, {"escaped"}, "{{ ('<' | e) ~ 'x' }}");
    expect_failure(ErrorCode::Unsupported, {"escaped"}, "{{ ('<' | safe).upper() }}");
    expect_failure(ErrorCode::Unsupported, {"escaped"}, "{{ ('<' | safe)[0] }}");
}

TEST(Filter, TextIsCutReplacedAndIndented) {
    EXPECT_EQ(
        printed("{{ 'a,b,,c'.split(',', 2) }}{{ ' a  b '.split() }}{{ 'a-b-c'.rsplit('-', 1) }}"),
        "['a', 'b', ',c']['a', 'b']['a-b', 'c']");
    EXPECT_EQ(printed("{{ 'aaa'.replace('a', 'bb', 2) }}{{ 'ab' | replace('', '-') }}"),
              "bbbba-a-b-");
    EXPECT_EQ(printed("{{ 'a\n\nb' | indent(2) }}|{{ 'a\nb' | indent('>', true) }}"),
              "a\n\n  b|>a\n>b");
    EXPECT_EQ(printed("{{ '  x\u3000'.strip() }}{{ 'xyx'.lstrip('x') }}{{ 'a b c' | truncate(4, "
                      "true, '.', 0) }}"),
              "xyxa b.");
}

TEST(Filter, PatternsAreFilledIn) {
    EXPECT_EQ(printed("{{ '%s|%05d|%.2f|%x|%%|%r' % ('a', 42, 1.005, 255, 'q') }}"),
              "a|00042|1.00|ff|%|'q'");
    EXPECT_EQ(printed("{{ '%(k)s' % {'k': 1} }}{{ '{} {1} {x}'.format(1, 2, x=3) }}"), "11 2 3");
    expect_failure(ErrorCode::Corrupt, {"too few values: 1"}, "{{ '%s %s' % 'a' }}");
    expect_failure(ErrorCode::Corrupt, {"too many values: 2 for 1"}, "{{ '%s' % ('a', 'b') }}");
    expect_failure(ErrorCode::Unsupported, {"%a"}, "{{ '%a' % 'a' }}");
    expect_failure(ErrorCode::Corrupt, {"wider"}, "{{ '%999999999d' % 1 }}");
    expect_failure(ErrorCode::Unsupported, {"{0.__class__}"}, "{{ '{0.__class__}'.format(1) }}");
}

TEST(Filter, FailuresNameWhatWasCalled) {
    for (const char* method :
         {"startswith",   "endswith",  "strip", "lstrip", "rstrip",  "partition",
          "rpartition",   "find",      "rfind", "index",  "rindex",  "removeprefix",
          "removesuffix", "ljust",     "rjust", "center", "isalpha", "isdigit",
          "islower",      "isupper",   "upper", "lower",  "title",   "split",
          "rsplit",       "capitalize"}) {
        expect_failure(ErrorCode::Corrupt, {std::string(": ") + method + " "},
                       "{{ 'a'." + std::string(method) + "(1, 2, 3, 4, 5) }}");
    }
    for (const char* filter : {"length", "count", "upper", "lower", "capitalize", "d", "default",
                               "e", "escape", "min", "max"}) {
        expect_failure(ErrorCode::Corrupt, {std::string(": ") + filter + " takes at most"},
                       "{{ 'a' | " + std::string(filter) + "(1, 2, 3) }}");
    }
    for (const char* filter : {"select", "reject"}) {
        expect_failure(ErrorCode::Corrupt, {std::string(": ") + filter + " takes a name"},
                       "{{ [1] | " + std::string(filter) + "(1) | list }}");
        expect_failure(ErrorCode::Corrupt, {std::string(": ") + filter + "attr needs"},
                       "{{ [1] | " + std::string(filter) + "attr | list }}");
    }
    for (const char* test : {"defined", "string", "eq", "ge", "gt", "le", "lt", "ne", "lower",
                             "upper", "equalto", "in"}) {
        expect_failure(ErrorCode::Corrupt, {std::string(": ") + test + " takes at most"},
                       "{{ 1 is " + std::string(test) + "(1, 2) }}");
    }
    expect_failure(ErrorCode::Corrupt, {"rindex does not find"}, "{{ 'a'.rindex('b') }}");
    expect_failure(ErrorCode::Corrupt, {"endswith takes strings"}, "{{ 'a'.endswith((1,)) }}");
    expect_failure(ErrorCode::Corrupt, {"fillchar of rjust", "2 characters", "expected 1"},
                   "{{ 'a'.rjust(3, 'bc') }}");
    expect_failure(ErrorCode::Corrupt, {": keys takes"}, "{{ {}.keys(1) }}");
    expect_failure(ErrorCode::Corrupt, {"dictsort goes by \"x\""}, "{{ {} | dictsort(by='x') }}");
    expect_failure(ErrorCode::Corrupt, {"separators", "1 values"},
                   "{{ 1 | tojson(separators=[',']) }}");
}

TEST(Filter, ArgumentsAreChecked) {
    expect_failure(ErrorCode::Corrupt, {"replace", "needs"}, "{{ 'a' | replace('a') }}");
    expect_failure(ErrorCode::Corrupt, {"trim", "at most"}, "{{ 'a' | trim('a', 'b') }}");
    expect_failure(ErrorCode::Corrupt, {"join", "no argument"}, "{{ [] | join(sep=',') }}");
    expect_failure(ErrorCode::Corrupt, {"twice"}, "{{ 1 | default(2, default_value=3) }}");
}

}  // namespace
}  // namespace quarot::jinja
