// Do templates that would run for ever, take all memory or nest without end end with an error?
#include "jinja/limits.h"

#include <string>
#include <vector>

#include "jinja/arithmetic.h"
#include "jinja/budget.h"
#include "jinja/render_for_tests.h"
#include "jinja/small_stack_for_tests.h"

namespace quarot::jinja {
namespace {

std::string repeated(const std::string& text, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
}

// Ended by the clock where there is one.
const std::vector<std::string> kEndless = {
    "{% set l = range(1000) | list %}{% for a in range(100000) %}{% for b in l %}{% endfor %}"
    "{% endfor %}",
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "{% for a in range(100000) %}{% for b in range(100000) %}{% if a == b %}{% endif %}"
    "{% endfor %}{% endfor %}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(50) %}{% set ns.l = [ns.l, ns.l] %}"
    "{% endfor %}{{ ns.l }}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(50) %}{% set ns.l = [ns.l, ns.l] %}"
    "{% endfor %}{{ ns.l | tojson }}",
    "{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(50) %}{% set ns.l = [ns.l, ns.l] %}"
    "{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}",
    "{% macro m(n) %}{% if n < 40 %}{{ m(n + 1) }}{{ m(n + 1) }}{% endif %}{% endmacro %}"
    "{{ m(0) }}",
};

// Ended by the bytes of all values.
const std::vector<std::string> kLarge = {
    "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}"
    "{% endfor %}",
    "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}"
    "{% endfor %}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}"
    "{% endfor %}",
    "{% set ns = namespace(l=(1,)) %}{% for i in range(50) %}{% set ns.l = (ns.l, ns.l) %}"
    "{% endfor %}{{ {ns.l: 1} }}",
    "{% for i in range(100000) %}{% if ('a' * 1000 * 300) in 'a' %}{% endif %}{% endfor %}",
    "{{ 'x' * 1000000000 }}",
    "{{ [0] * 1000000000 }}",
    "{{ 'x' * 9223372036854775807 }}",
    "{{ ('x' * 1000000).replace('', 'y' * 1000000) }}",
    "{{ ('x' * 1000000) | replace('x', 'y' * 1000) }}",
    "{{ ('a,' * 100000).split(',') | join('b' * 1000000) }}",
    "{{ range(100000) | join('z' * 100000) }}",
    "{{ 'x'.center(9223372036854775807) }}",
    "{{ 'x' | indent(1000000000) }}",
    "{{ ('a\\n' * 100000) | indent(10000) }}",
    "{{ 'x' | center(1000000000) }}",
    "{{ 'x'.zfill(1000000000) }}",
    "{{ 'x'.ljust(1000000000, '-') }}",
    "{{ [1] | slice(1000000000) | list }}",
    "{{ range(100000) | list | tojson(separators=('x' * 100000, ':')) }}",
    "{{ ('a' * 1000 * 1000).split('a') | length }}",
    "{{ ('a ' * 1000 * 1000).split() | length }}",
    "{{ ('\\n' * 1000 * 1000).splitlines() | length }}",
    "{{ ('a' * 1000 * 1000) | list | length }}",
    "{{ ('\\x01' * 1000 * 20000) | tojson | length }}",
    "{{ [('\\x01' * 1000 * 20000)] | string | length }}",
    "{{ ('&' * 1000 * 20000) | e }}",
};

// Ended by their nesting.
const std::vector<std::string> kDeep = {
    "{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}"
    "{% endfor %}",
    "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l.copy] %}"
    "{% endfor %}",
    "{% set ns = namespace(l={}) %}{% for i in range(100000) %}{% set ns.l = {1: ns.l.get} %}"
    "{% endfor %}",
    "{% set ns = namespace() %}{% set ns.self = [ns] %}{{ ns }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
    "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "{% macro m() %}{{ caller() }}{% call m() %}x{% endcall %}{% endmacro %}"
    "{% call m() %}y{% endcall %}",
};

TEST(Limits, EndlessTemplatesTakeTooManySteps) {
    expect_failure(ErrorCode::Corrupt, {"line 1", "2000000 steps"}, kEndless[0]);
    for (const std::string& source : kEndless) {
        SCOPED_TRACE(source);
        // The clock is looked at where steps are counted, and ends them sooner.
        int looks = 0;
        Surroundings around;
        around.clock_ms = [&] { return ++looks > 10 ? limits::kTemplateMilliseconds + 1 : 0; };
        expect_error(ErrorCode::Corrupt, {"line 1", "longer than"},
                     [&] { render(source, "{}", around); });
    }
}

TEST(Limits, LargeValuesTakeTooManyBytes) {
    // Takes most of the bytes at once, so that the rest is soon gone.
    const std::string large = "{% set large = 'x' * 1000 * 15500 %}";
    EXPECT_EQ(printed(large), "");
    for (const std::string& source : kLarge) {
        SCOPED_TRACE(source);
        expect_failure(ErrorCode::Corrupt, {"line 1", "32 MiB in all"}, large + source);
    }
}

// Found by fuzzing: a list of 50 MiB took 64 MiB while it grew.
TEST(Limits, ListsTakeNoMoreThanWasCharged) {
    Budget budget;
    const Value list = make_list(budget, {Value::none(), Value::none(), Value::none()});
    const Value repeated = compute(budget, Operator::Multiply, list, Value(int64_t{1'001}));
    const Value joined = compute(budget, Operator::Add, repeated, list);
    EXPECT_EQ(repeated.sequence()->items.capacity(), 3'003U);
    EXPECT_EQ(joined.sequence()->items.capacity(), 3'006U);
}

TEST(Limits, DeepValuesAndCallsAreRefused) {
    for (const std::string& source : kDeep) {
        SCOPED_TRACE(source);
        expect_failure(ErrorCode::Corrupt, {"line 1", "deep"}, source);
    }
}

TEST(Limits, NumbersAndOutputAreBounded) {
    expect_failure(ErrorCode::Corrupt, {"batch", "100000"},
                   "{{ [1] | batch(1000000000, 'x') | list }}");
    expect_failure(ErrorCode::Corrupt, {"wider than 4096"}, "{{ '%1000000000d' | format(1) }}");
    expect_failure(ErrorCode::Corrupt, {"wider than 512"}, "{{ '%.1000000000f' | format(1.5) }}");
    expect_failure(ErrorCode::Corrupt, {"tojson", "64 spaces", "1000000000"},
                   "{{ [1] | tojson(indent=1000000000) }}");
    expect_failure(ErrorCode::Corrupt, {"100001 numbers", "100000"}, "{{ range(100001) }}");
    expect_failure(ErrorCode::Corrupt, {"prints more than 4 MiB"},
                   "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}");
}

TEST(Limits, TheSmallestIntegerIsNoWayAround) {
    const std::string least = "(-9223372036854775807 - 1)";
    expect_failure(ErrorCode::Unsupported, {"round", "-9223372036854775808 digits"},
                   "{{ 1 | round(" + least + ") }}");
    expect_failure(ErrorCode::Unsupported, {"64 bits"}, "{{ " + least + " | round(-1) }}");
    expect_failure(ErrorCode::Unsupported, {"64 bits"}, "{{ " + least + " | abs }}");
    expect_failure(ErrorCode::Unsupported, {"long steps"}, "{{ range(5)[::" + least + "] }}");
    EXPECT_EQ(printed("{{ 25 | round(-1) }} {{ -25 | round(-1) }} {{ -26 | round(-1) }} "
                      "{{ 35 | round(-1) }} {{ 'abc'[::" +
                      least + "] }}"),
              "20 -20 -30 40 c");
}

TEST(Limits, DeepSourcesAreRefusedOnASmallStack) {
    const int deep = 10'000;
    const std::vector<std::string> sources = {
        "{{ " + repeated("(", deep) + "1" + repeated(")", deep) + " }}",
        "{{ " + repeated("[", deep) + repeated("]", deep) + " }}",
        "{{ " + repeated("{1:", deep) + "1" + repeated("}", deep) + " }}",
        "{{ " + repeated("-", deep) + "1 }}",
        "{{ " + repeated("not ", deep) + "1 }}",
        "{{ " + repeated("a[", deep) + "1" + repeated("]", deep) + " }}",
        "{{ " + repeated("f(", deep) + repeated(")", deep) + " }}",
        "{{ " + repeated("1 if 1 else ", deep) + "1 }}",
        "{{ 1 is " + repeated("in (1 is ", deep) + repeated(")", deep) + " }}",
        repeated("{% if 1 %}", deep),
        repeated("{% for x in y %}", deep),
        repeated("{% macro m() %}", deep),
        repeated("{% set x %}", deep),
        "{% for " + repeated("(", deep) + "x" + repeated(")", deep) + " in y %}{% endfor %}",
    };
    for (const std::string& source : sources) {
        SCOPED_TRACE(source.substr(0, 40));
        run_on_small_stack([&] { expect_failure(ErrorCode::Corrupt, {"line 1", "deep"}, source); });
    }
}

TEST(Limits, LongChainsAreNotDeep) {
    const int length = 20'000;
    run_on_small_stack([&] {
        EXPECT_EQ(printed("{{ 0" + repeated(" + 1", length) + " }}"), "20000");
        EXPECT_EQ(printed("{{ 'a'" + repeated(" ~ ''", length) + " }}"), "a");
        EXPECT_EQ(printed("{{ 1" + repeated(" and 1", length) + " }}"), "1");
        EXPECT_EQ(printed("{{ 'a'" + repeated("|trim", length) + " }}"), "a");
        EXPECT_EQ(printed("{{ 'a'" + repeated("[0]", length) + " }}"), "a");
        EXPECT_EQ(printed("{% if 0 %}" + repeated("{% elif 0 %}", length) + "{% endif %}"), "");
    });
}

TEST(Limits, TheDeepestAllowedTemplatesFitASmallStack) {
    const int deep = limits::kTemplateDepth - 8;
    run_on_small_stack([&] {
        EXPECT_EQ(printed("{{ " + repeated("(", deep) + "1" + repeated(")", deep) + " }}"), "1");
        EXPECT_EQ(printed(repeated("{% if 1 %}", deep) + "x" + repeated("{% endif %}", deep)), "x");
        // Calls, blocks and expressions nested in each other until the limit is met.
        const std::string body = repeated("{% if 1 %}", 20) + "{{ " + repeated("[", 20) + "m()" +
                                 repeated("]", 20) + " }}" + repeated("{% endif %}", 20);
        expect_failure(ErrorCode::Corrupt, {"deep"},
                       "{% macro m() %}" + body + "{% endmacro %}{{ m() }}");
    });
}

TEST(Limits, ValuesOfTheDeepestNestingAreComparedAndPrinted) {
    run_on_small_stack([&] {
        const std::string grow =
            "{% set ns = namespace(a=[], b=[]) %}{% for i in range(60) %}"
            "{% set ns.a = [ns.a] %}{% set ns.b = [ns.b] %}{% endfor %}";
        EXPECT_EQ(
            printed(grow +
                    "{{ ns.a == ns.b }}{{ ns.a | tojson | length }}{{ ns.b | string | length }}"),
            "True122122");
    });
}

TEST(Limits, NamespacesInListsAreNotPrintedDeeperThanTheStack) {
    const std::string grow =
        "{% set ns = namespace(x=1) %}{% for i in range(300) %}{% set ns.x = " + repeated("[", 50) +
        "namespace(x=ns.x)" + repeated("]", 50) + " %}{% endfor %}";
    run_on_small_stack([&] {
        expect_failure(ErrorCode::Corrupt, {"line 1", "deep"}, grow + "{{ ns.x }}");
    });
}

TEST(Limits, LargeSourcesAreRefused) {
    const std::string largest(size_t{limits::kTemplateBytes}, 'x');
    EXPECT_EQ(printed(largest).size(), largest.size());
    expect_failure(ErrorCode::Corrupt, {"262145 bytes"}, largest + "x");
}

TEST(Limits, LongConversationsAreNotRefused) {
    const std::string content(1 << 20, 'x');
    const std::string source =
        "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + "
        "m.content.split('</think>')[-1].strip() "
        "+ '<|end|>' + '\\n' }}{% endfor %}";
    const std::string variables =
        R"({"messages": [{"role": "user", "content": ")" + content + R"("}]})";
    EXPECT_GT(printed(source, variables).size(), content.size());
}

TEST(Limits, AClockEndsASlowTemplate) {
    int64_t now = 0;
    Surroundings around;
    around.clock_ms = [&] { return now += limits::kTemplateMilliseconds / 10; };
    expect_error(ErrorCode::Corrupt, {"longer than 200 ms"},
                 [&] { render("{% for i in range(100000) %}{% endfor %}", "{}", around); });
    EXPECT_EQ(render("{% for i in range(10) %}{{ i }}{% endfor %}", "{}", around), "0123456789");
}

}  // namespace
}  // namespace quarot::jinja
