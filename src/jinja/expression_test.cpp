// Operators, members, calls and the text of values, by Python's rules.
#include "jinja/render_for_tests.h"

namespace quarot::jinja {
namespace {

TEST(Expression, OperatorsBindAsInJinja) {
    EXPECT_EQ(printed("{{ 1 + 2 * 3 ** 2 }} {{ -2 ** 2 }} {{ 7 // 2 - 7 % 4 }}"), "19 4 0");
    EXPECT_EQ(printed("{{ 2 ~ 3 * 4 }}{{ 'a' ~ 1 in ['a1'] }}"), "212True");
}

TEST(Expression, DivisionRoundsDownAndModuloFollowsTheDivisor) {
    EXPECT_EQ(printed("{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ -7.5 // 2 }}"),
              "-4 2 -2 3.5 -4.0");
}

TEST(Expression, IntegersThatWouldGrowOver64BitsAreUnsupported) {
    for (const char* source :
         {"{{ 2 ** 63 }}", "{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775807 - 2 }}",
          "{{ 4611686018427387904 * 2 }}", "{{ (-9223372036854775807 - 1) // -1 }}",
          "{{ -(-9223372036854775807 - 1) }}", "{{ (-9223372036854775807 - 1) | abs }}",
          "{{ 1e300 | int }}"}) {
        expect_failure(ErrorCode::Unsupported, {"64 bits"}, source);
    }
    EXPECT_EQ(printed("{{ (-9223372036854775807 - 1) % -1 }}"), "0");
}

TEST(Expression, DivisionByZeroFailsWithItsLine) {
    for (const char* source :
         {"\n{{ 1 / 0 }}", "\n{{ 1 // 0 }}", "\n{{ 1 % 0 }}", "\n{{ 1.0 % 0 }}"}) {
        expect_failure(ErrorCode::Corrupt, {"line 2", "zero"}, source);
    }
}

TEST(Expression, ComparisonsChain) {
    EXPECT_EQ(printed("{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 == true }}"), "True False True");
    EXPECT_EQ(printed("{{ 'a' in 'cat' }} {{ 2 not in [1] }} {{ 'k' in {'k': 1} }}"),
              "True True True");
    expect_failure(ErrorCode::Corrupt, {"no order"}, "{{ 1 < 'a' }}");
}

TEST(Expression, LogicGivesTheLastValueSeen) {
    EXPECT_EQ(printed("{{ 0 or 'x' }}{{ 1 and '' }}{{ not [] }}{{ none or false }}"), "xTrueFalse");
}

TEST(Expression, ValuesPrintAsInPython) {
    EXPECT_EQ(printed("{{ true }} {{ none }} {{ 1.0 }} {{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }}"),
              "True None 1.0 1e+16 1e-05 0.30000000000000004");
    EXPECT_EQ(printed("{{ ['a', \"it's\", none, 2.0, (1,), {'k': []}] }}"),
              "['a', \"it's\", None, 2.0, (1,), {'k': []}]");
    EXPECT_EQ(printed(R"({{ ['\n\\', '\x00\u200b', 'é'] }})"), R"(['\n\\', '\x00\u200b', 'é'])");
    EXPECT_EQ(printed("{{ range(3) }} {{ {'a': 1}.items() }}"),
              "range(0, 3) dict_items([('a', 1)])");
}

TEST(Expression, SlicesCountCharacters) {
    EXPECT_EQ(printed("{{ s[1:3] }}|{{ s[::-1] }}|{{ s[-1] }}|{{ s[9:] }}", R"({"s": "aé東b"})"),
              "é東|b東éa|b|");
    EXPECT_EQ(printed("{{ [1, 2, 3, 4][::2] }}{{ [1, 2, 3][-2:] }}{{ range(10)[2:8:3] }}"),
              "[1, 3][2, 3]range(2, 8, 3)");
    EXPECT_EQ(printed("{{ 'abc'[9223372036854775807:] }}{{ 'abc'[::-9223372036854775807] }}"), "c");
}

TEST(Expression, MethodsWinOverMembersAndMembersOverMethodsInBrackets) {
    EXPECT_EQ(printed("{{ d.items() | list }}{{ d['items'] }}{{ d.x }}",
                      R"({"d": {"items": 1, "x": 2}})"),
              "[('items', 1), ('x', 2)]12");
}

TEST(Expression, UndefinedPrintsNothingAndHasNoMembers) {
    EXPECT_EQ(printed("[{{ x }}{{ x | default('d') }}{{ x is defined }}{{ x | length }}]"),
              "[dFalse0]");
    expect_failure(ErrorCode::Corrupt, {"line 1", "'x' is undefined"}, "{{ x.y }}");
    expect_failure(ErrorCode::Corrupt, {"'x' is undefined"}, "{{ x + 1 }}");
    expect_failure(ErrorCode::Corrupt, {"'x' is undefined"}, "{{ x() }}");
}

TEST(Expression, PythonsInnerAttributesAreOutOfReach) {
    expect_failure(ErrorCode::Corrupt, {"__class__"}, "{{ ''.__class__ }}");
    expect_failure(ErrorCode::Corrupt, {"__class__"}, "{{ ''['__class__'] }}");
    expect_failure(ErrorCode::Corrupt, {"would change"}, "{{ [1].append(2) }}");
}

TEST(Expression, MissingFiltersTestsAndMethodsAreNamed) {
    expect_failure(ErrorCode::Unsupported, {"line 2", "filter urlize"}, "\n{{ 'a' | urlize }}");
    expect_failure(ErrorCode::Unsupported, {"test strange"}, "{{ 1 is strange }}");
    expect_failure(ErrorCode::Unsupported, {"encode"}, "{{ 'a'.encode() }}");
    expect_failure(ErrorCode::Unsupported, {"second if"}, "{{ 1 if 2 if 3 }}");
}

TEST(Expression, ArgumentsOutOfOrderAreToldWhatMayStandThere) {
    expect_failure(ErrorCode::Corrupt, {"found *", "one * argument"}, "{{ f(*a, *b) }}");
    for (const char* source : {"{{ f(**a, **b) }}", "{{ f(**a, b=1) }}", "{{ f(**a, *b) }}"}) {
        expect_failure(ErrorCode::Corrupt, {"line 1", "found", ") after the **"}, source);
    }
    expect_failure(ErrorCode::Corrupt, {"found is", "one test"}, "{{ 1 is number is number }}");
    expect_failure(ErrorCode::Corrupt, {"**", "int as key"}, "{{ dict(**{1: 2}) }}");
    expect_failure(ErrorCode::Corrupt, {"3 values", "pairs"}, "{{ dict([(1, 2, 3)]) }}");
}

TEST(Expression, DictsTakeEqualNumbersAsOneKey) {
    EXPECT_EQ(printed("{{ {1: 'a', 1.0: 'b', true: 'c'} }}{{ {'1': 0, 1: 1}[1] }}"), "{1: 'c'}1");
    expect_failure(ErrorCode::Corrupt, {"cannot be a key"}, "{{ {[1]: 2} }}");
}

}  // namespace
}  // namespace quarot::jinja
