// Loops, branches, assignments, macros and their scopes.
#include "jinja/render_for_tests.h"

namespace quarot::jinja {
namespace {

TEST(Statement, LoopsKnowWhereTheyAre) {
    EXPECT_EQ(printed("{% for x in 'abc' %}{{ loop.index }}{{ loop.revindex0 }}{{ loop.first }}"
                      "{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}"
                      "{{ loop.cycle('p', 'q') }} {% endfor %}"),
              "12TrueFalse3bp 21FalseFalse3acq 30FalseTrue3bp ");
}

TEST(Statement, LoopsTakeAConditionAndAnElse) {
    EXPECT_EQ(printed("{% for x in range(6) if x is odd %}{{ x }}/{{ loop.length }} {% endfor %}"),
              "1/3 3/3 5/3 ");
    EXPECT_EQ(printed("{% for x in [] %}x{% else %}none{% endfor %}"), "none");
    EXPECT_EQ(printed("{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}"),
              "123");
}

TEST(Statement, BreakAndContinueLeaveTheBody) {
    EXPECT_EQ(printed("{% for x in range(9) %}{% if x == 1 %}{% continue %}{% endif %}"
                      "{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}"),
              "023");
    expect_failure(ErrorCode::Corrupt, {"line 1", "found break", "outside a loop"}, "{% break %}");
    expect_failure(ErrorCode::Corrupt, {"found break"},
                   "{% for x in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}");
}

TEST(Statement, AssignmentsInALoopStayInside) {
    EXPECT_EQ(printed("{% set x = 0 %}{% for i in [1, 2] %}{{ x }}{% set x = i %}{{ x }}"
                      "{% endfor %}{{ x }}"),
              "01020");
    EXPECT_EQ(printed("{% set ns = namespace(n=0) %}{% for i in range(4) %}"
                      "{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}"),
              "6");
    EXPECT_EQ(printed("{% if true %}{% set x = 1 %}{% endif %}{{ x }}"), "1");
    expect_failure(ErrorCode::Corrupt, {"no namespace"}, "{% set d = {} %}{% set d.x = 1 %}");
}

TEST(Statement, SetTakesTuplesAndBlocks) {
    EXPECT_EQ(printed("{% set a, b = 1, 2 %}{{ b }}{{ a }}"), "21");
    EXPECT_EQ(printed("{% set t | upper %}a{{ 1 }}{% endset %}[{{ t }}]"), "[A1]");
    expect_failure(ErrorCode::Corrupt, {"3 values", "2 names"}, "{% set a, b = 1, 2, 3 %}");
}

TEST(Statement, MacrosTakeDefaultsNamesAndRests) {
    EXPECT_EQ(printed("{% macro m(a, b=a ~ '!') %}{{ a }}{{ b }};{% endmacro %}"
                      "{{ m(1) }}{{ m(b=2, a=3) }}"),
              "11!;32;");
    EXPECT_EQ(printed("{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, k=2) }}"),
              "(1,){'k': 2}");
    expect_failure(ErrorCode::Corrupt, {"m", "no parameter k"},
                   "{% macro m() %}{% endmacro %}{{ m(k=1) }}");
    expect_failure(ErrorCode::Corrupt, {"at most 0"}, "{% macro m() %}{% endmacro %}{{ m(1) }}");
}

TEST(Statement, CallBlocksReachTheirMacro) {
    EXPECT_EQ(printed("{% macro m(x) %}<{{ caller(x) }}>{% endmacro %}"
                      "{% call(y) m(5) %}{{ y }}{% endcall %}"),
              "<5>");
}

TEST(Statement, WithFilterAndGenerationHaveScopesOfTheirOwn) {
    EXPECT_EQ(printed("{% with a = 1 %}{{ a }}{% endwith %}{{ a is defined }}"), "1False");
    EXPECT_EQ(printed("{% filter upper %}abc{% endfilter %}"), "ABC");
    EXPECT_EQ(printed("{% generation %}x{% set y = 1 %}{% endgeneration %}{{ y is defined }}"),
              "xFalse");
}

TEST(Statement, RaisedExceptionsCarryTheTemplatesMessage) {
    expect_failure(ErrorCode::Usage, {"roles must alternate"},
                   "{{ raise_exception('roles must alternate') }}");
}

TEST(Statement, ClocksAreGivenOrAbsent) {
    Surroundings around;
    EXPECT_EQ(printed("{{ strftime_now is defined }}"), "False");
    around.now = std::tm{.tm_mday = 5, .tm_mon = 2, .tm_year = 126};
    EXPECT_EQ(render("{{ strftime_now('%d %b %Y') }}", "{}", around), "05 Mar 2026");
    expect_error(ErrorCode::Unsupported, {"strftime_now"},
                 [&] { render("{{ strftime_now('%1000000d') }}", "{}", around); });
}

TEST(Statement, StatementsWeLackAreNamed) {
    for (const char* name : {"include", "import", "extends", "block", "autoescape"}) {
        expect_failure(ErrorCode::Unsupported, {"line 2", name},
                       "\n{% " + std::string(name) + " 'x' %}");
    }
    expect_failure(ErrorCode::Unsupported, {"recursive"},
                   "{% for x in [] recursive %}{% endfor %}");
    expect_failure(ErrorCode::Corrupt, {"line 1", "expected a statement"}, "{% frobnicate %}");
    expect_failure(ErrorCode::Corrupt, {"the end of the template", "endif"}, "{% if 1 %}");
}

TEST(Statement, NamespacesAndMacrosMayHoldThemselves) {
    EXPECT_EQ(printed("{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.list = [ns] %}"
                      "{% macro m() %}{{ m is callable }}{% endmacro %}{% set ns.m = m %}"
                      "{{ ns.me.me.m() }}"),
              "True");
    expect_failure(ErrorCode::Corrupt, {"nest"},
                   "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}");
}

TEST(Statement, ArgumentsFindTheirParametersByName) {
    EXPECT_EQ(printed("{% macro m(a, b=2) %}{{ a }}{{ b }}{{ kwargs }}{% endmacro %}"
                      "{{ m(b=1, c=3, a=0) }}"),
              "01{'c': 3}");
    expect_failure(ErrorCode::Corrupt, {"m", "a twice"},
                   "{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}");
    expect_failure(ErrorCode::Corrupt, {"m", "a twice"},
                   "{% macro m(a) %}{% endmacro %}{{ m(a=1, **{'a': 2}) }}");
}

}  // namespace
}  // namespace quarot::jinja
