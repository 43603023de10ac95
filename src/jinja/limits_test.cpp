// Templates that would run for ever, take all memory or nest without end: each ends with an error.
#include "core/limits.h"

#include <fmt/format.h>
#include <pthread.h>

#include <functional>
#include <string>
#include <vector>

#include "jinja/budget.h"
#include "jinja/render_for_tests.h"

namespace quarot::jinja {
namespace {

std::string repeated(const std::string& text, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
}

// The frames of a sanitizer are several times larger than ordinary ones.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kStackBytes = size_t{4} << 20;
#else
constexpr size_t kStackBytes = size_t{512} << 10;
#endif

void run_on_small_stack(const std::function<void()>& body) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    ASSERT_EQ(pthread_attr_setstacksize(&attributes, kStackBytes), 0);
    pthread_t thread{};
    const auto start = [](void* argument) -> void* {
        (*static_cast<const std::function<void()>*>(argument))();
        return nullptr;
    };
    std::function<void()> copy = body;
    ASSERT_EQ(pthread_create(&thread, &attributes, start, &copy), 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
}

const std::vector<std::string> kExploding = {
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "{% for a in range(100000) %}{% for b in range(100000) %}{% if a == b %}{% endif %}{% endfor "
    "%}{% endfor %}",
    "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor "
    "%}",
    "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor "
    "%}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}{% endfor "
    "%}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor "
    "%}",
    "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l.copy] %}{% "
    "endfor "
    "%}",
    "{% set ns = namespace(l={}) %}{% for i in range(100000) %}{% set ns.l = {1: ns.l.get} %}{% "
    "endfor %}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(50) %}{% set ns.l = [ns.l, ns.l] %}{% endfor "
    "%}{{ ns.l }}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(50) %}{% set ns.l = [ns.l, ns.l] %}{% endfor "
    "%}{{ ns.l | tojson }}",
    "{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(50) %}{% set ns.l = [ns.l, ns.l] %}"
    "{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}",
    "{% set ns = namespace(l=(1,)) %}{% for i in range(50) %}{% set ns.l = (ns.l, ns.l) %}{% "
    "endfor %}{{ {ns.l: 1} }}",
    "{{ 'x' * 1000000000 }}",
    "{{ [0] * 1000000000 }}",
    "{{ 'x' * 9223372036854775807 }}",
    "{{ ('x' * 1000000).replace('', 'y' * 1000000) }}",
    "{{ ('x' * 1000000) | replace('x', 'y' * 1000) }}",
    "{{ ('a,' * 1000000).split(',') | join('b' * 1000000) }}",
    "{{ range(100000) | join('z' * 100000) }}",
    "{{ 'x'.center(9223372036854775807) }}",
    "{{ 'x' | indent(1000000000) }}",
    "{{ ('a\\n' * 1000000) | indent(10000) }}",
    "{{ 'x' | center(1000000000) }}",
    "{{ 'x'.zfill(1000000000) }}",
    "{{ 'x'.ljust(1000000000, '-') }}",
    "{{ [1] | batch(1000000000, 'x') | list }}",
    "{{ [1] | slice(1000000000) | list }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '%.1000000000f' | format(1.5) }}",
    "{{ [1] | tojson(indent=1000000000) }}",
    "{{ range(100000) | list | tojson(separators=('x' * 100000, ':')) }}",
    "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
    "{{ range(100001) }}",
    "{{ ('a' * 100000000).split('a') | length }}",
    "{{ ('a ' * 30000000).split() | length }}",
    "{{ ('\\n' * 100000000).splitlines() | length }}",
    "{{ ('a' * 60000000) | list | length }}",
    "{{ ('\\x01' * 100000000) | tojson | length }}",
    "{{ [('\\x01' * 100000000)] | string | length }}",
    "{{ ('&' * 100000000) | e }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
    "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "{% macro m(n) %}{% if n < 40 %}{{ m(n + 1) }}{{ m(n + 1) }}{% endif %}{% endmacro %}{{ m(0) "
    "}}",
    "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
    "{% for i in range(100000) %}{% if ('a' * 300000) in ('a' * 300000) %}{% endif %}{% endfor %}",
    "{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{% if 'b' in s %}{% endif %}{% endfor "
    "%}",
    "{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{{ s | length }}{% endfor %}",
    "{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{{ s[999] }}{% endfor %}",
    "{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{{ s == s }}{% endfor %}",
    "{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{{ s.count('b') }}{% endfor %}",
    "{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{% if s.startswith('b') %}{% endif "
    "%}{% endfor %}",
    "{% set l = range(100000) | list %}{% for i in l %}{% if 'x' in l %}{% endif %}{% endfor %}",
    "{% set l = range(100000) | list %}{% for i in l %}{{ l | sum }}{% endfor %}",
    "{% set l = range(100000) | list %}{% for i in l %}{{ l[1:] | length }}{% endfor %}",
    "{% set l = range(100000) | list %}{% for i in l %}{{ l | reverse | list | length }}{% endfor "
    "%}",
};

// Many arguments, names or affixes, each of them small work: together they cost steps.
std::vector<std::string> expensive_calls() {
    std::string parameters;
    std::string arguments;
    for (int i = 0; i < 10'000; ++i) {
        parameters += fmt::format("{}p{}", i > 0 ? "," : "", i);
        arguments += fmt::format("{}p{}=1", i > 0 ? "," : "", i);
    }
    const std::string loop = "{% for i in range(100000) %}";
    const std::string long_text = "{% set s = 'a' * 1000000 %}";
    const std::string tuple = "{% set t = (s ~ 'b',) * 1000 %}";
    return {
        "{% macro m(" + parameters + ") %}{% endmacro %}" + loop + "{{ m() }}{% endfor %}",
        "{% macro m(" + parameters + ") %}{% endmacro %}{% set d = dict(" + arguments + ") %}" +
            loop + "{{ m(**d) }}{% endfor %}",
        "{% set d = dict(" + arguments + ") %}" + loop + "{{ ''.format(**d) }}{% endfor %}",
        long_text + tuple + loop + "{{ (s ~ 'c').startswith(t) }}{% endfor %}",
        long_text + loop + "{{ 'b'.strip(s) }}{% endfor %}",
        long_text + loop + "{{ s | int }}{% endfor %}",
        long_text + loop + "{% if 'b'.rfind(s) %}{% endif %}{% endfor %}",
        long_text + loop + "{{ 'b'.rsplit(s) }}{% endfor %}",
        loop + "{{ " + std::string(100'000, 'n') + " }}{% endfor %}",
        loop + "{{ i." + std::string(100'000, 'n') + " }}{% endfor %}",
    };
}

TEST(Limits, ManySmallThingsCostSteps) {
    for (const std::string& source : expensive_calls()) {
        SCOPED_TRACE(source.substr(0, 80) + "..." + source.substr(source.size() - 80));
        expect_failure(ErrorCode::Corrupt, {"line 1"}, source);
    }
}

TEST(Limits, ArgumentsFindTheirParametersByName) {
    EXPECT_EQ(printed("{% macro m(a, b=2) %}{{ a }}{{ b }}{{ kwargs }}{% endmacro %}"
                      "{{ m(b=1, c=3, a=0) }}"),
              "01{'c': 3}");
    expect_failure(ErrorCode::Corrupt, {"m", "a twice"},
                   "{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}");
    expect_failure(ErrorCode::Corrupt, {"m", "a twice"},
                   "{% macro m(a) %}{% endmacro %}{{ m(a=1, **{'a': 2}) }}");
}

TEST(Limits, BytesBelowTheCostOfAStepAddUp) {
    int looks = 0;
    Budget budget([&] {
        ++looks;
        return int64_t{0};
    });
    for (int i = 0; i < 128 * 1024 * 10; ++i) budget.allocate(1);
    EXPECT_GE(looks, 10);
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

TEST(Limits, ExplodingTemplatesEndWithAnError) {
    for (const std::string& source : kExploding) {
        SCOPED_TRACE(source);
        expect_failure(ErrorCode::Corrupt, {"line 1"}, source);
    }
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
    io::expect_error(ErrorCode::Corrupt, {"longer than 200 ms"},
                     [&] { render("{% for i in range(100000) %}{% endfor %}", "{}", around); });
    EXPECT_EQ(render("{% for i in range(10) %}{{ i }}{% endfor %}", "{}", around), "0123456789");
}

}  // namespace
}  // namespace quarot::jinja
