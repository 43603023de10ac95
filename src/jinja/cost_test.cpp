// Does each work of a template cost the steps that it takes?
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "core/error.h"
#include "core/expect_error.h"
#include "jinja/budget.h"
#include "jinja/interpreter.h"
#include "jinja/limits.h"
#include "jinja/statement_parser.h"

namespace quarot::jinja {
namespace {

bool affords(Budget budget, size_t steps) {
    try {
        budget.step(steps);
        return true;
    } catch (const Error&) {
        return false;
    }
}

int64_t steps_left(const Budget& budget) {
    size_t affordable = 0;
    size_t too_many = size_t{limits::kTemplateSteps} + 1;
    while (too_many - affordable > 1) {
        const size_t middle = (affordable + too_many) / 2;
        (affords(budget, middle) ? affordable : too_many) = middle;
    }
    return static_cast<int64_t>(affordable);
}

// u is a letter that a user typed.
int64_t steps_of(const std::string& source) {
    const Block block = parse_template(source);
    Runtime runtime(Budget(), std::nullopt);
    Interpreter interpreter(runtime);
    interpreter.set_variable("u", make_text(runtime.budget, "x", true));
    interpreter.render(block);
    return limits::kTemplateSteps - steps_left(runtime.budget);
}

// What stands behind the setup costs so many steps at least.
void expect_cost(int64_t least, const std::string& setup, const std::string& work) {
    EXPECT_GE(steps_of(setup + work) - steps_of(setup), least) << work.substr(0, 80);
}

// "p0=1,p1=1,..." and the like.
std::string many(const std::string& pattern) {
    std::string out;
    for (int i = 0; i < 10'000; ++i) {
        out += fmt::format("{}p{}{}", i > 0 ? "," : "", i, pattern);
    }
    return out;
}

const std::string kLongText = "{% set s = 'a' * 1000 * 1000 %}";

TEST(Cost, ParametersAndArgumentsCostSteps) {
    const std::string macro = "{% macro m(" + many("") + ") %}{% endmacro %}";
    const std::string names = "{% set d = dict(" + many("=1") + ") %}";
    expect_cost(10'000, macro, "{{ m() }}");
    expect_cost(20'000, macro + names, "{{ m(**d) }}");
    expect_cost(10'000, names, "{{ ''.format(**d) }}");
    const std::string nothing = "{% set e = [] | select %}{% set l = range(10000) | list %}";
    expect_cost(200'000, nothing, "{{ ([e] * 20) | map('select', 'eq', *l) | list | length }}");
    expect_cost(200'000, nothing, "{{ ([e] * 20) | map('map', 'eq', *l) | list | length }}");
}

TEST(Cost, LookingThroughTextsCostsSteps) {
    const std::string affixes = "{% set c = s ~ 'c' %}{% set t = (s ~ 'b',) * 50 %}";
    expect_cost(350'000, kLongText + affixes, "{{ c.startswith(t) }}");
    expect_cost(350'000, kLongText + "{% set c = 'c' ~ s %}{% set t = ('b' ~ s,) * 50 %}",
                "{{ c.endswith(t) }}");
    expect_cost(100'000, kLongText, "{{ 'b'.strip(s) }}");
    expect_cost(14'000, kLongText, "{{ s | int }}");
    expect_cost(7'000, kLongText, "{{ 'b'.rfind(s) }}");
    expect_cost(7'000, kLongText, "{{ 'b'.rsplit(s) | length }}");
    expect_cost(7'000, kLongText, "{{ {} | attr(s) }}");
}

TEST(Cost, QuestionsAboutTextsCostSteps) {
    expect_cost(7'000, kLongText, "{{ 'b' in s }}");
    expect_cost(7'000, kLongText, "{{ s | length }}");
    expect_cost(7'000, kLongText, "{{ s[999] }}");
    expect_cost(7'000, kLongText, "{{ s == s }}");
    expect_cost(14'000, kLongText, "{{ s.count('b') }}");
    expect_cost(7'000, kLongText, "{{ s.startswith('b') }}");
}

TEST(Cost, LookingThroughListsCostsSteps) {
    const std::string list = "{% set l = range(100000) | list %}";
    expect_cost(100'000, list, "{{ 'x' in l }}");
    expect_cost(100'000, list, "{{ l | sum }}");
    expect_cost(99'999, list, "{% set m = l[1:] %}");
    expect_cost(200'000, list, "{% set m = l | reverse | list %}");
}

// A name is kept wherever it is said again, and so is the reason of a value that is undefined.
TEST(Cost, EveryKeptNameCostsBytes) {
    const std::string name(limits::kTemplateNameBytes, 'n');
    for (const char* pattern : {"{{% set {} = 1 %}}", "{{% set ns.{} = 1 %}}", "{{% set x = {} %}}",
                                "{{% set x = i.{} %}}", "{{% set x = dict({}=1) %}}",
                                "{{% macro {}() %}}{{% endmacro %}}",
                                "{{% macro m({}) %}}{{% endmacro %}}{{{{ m() }}}}"}) {
        const auto repeated = [&](const std::string& with) {
            return "{% set ns = namespace() %}{% for i in range(1000) %}" +
                   fmt::format(fmt::runtime(pattern), with) + "{% endfor %}";
        };
        const bool is_shortened = std::string(pattern).find("i.{}") != std::string::npos;
        const int64_t kept = is_shortened ? 40 : static_cast<int64_t>(name.size()) - 1;
        EXPECT_GE(steps_of(repeated(name)) - steps_of(repeated("n")), 1000 * kept / 128) << pattern;
    }
    expect_cost(10'000 * 100 / 128, "{% set l = ['a'] * 10000 %}",
                "{% set m = l | map(attribute='x') | list %}");
}

// A text in which every second letter is a user's takes 17 bytes for two letters, and each work
// makes one text of such, paid for while it grows and as a value.
TEST(Cost, MarksCostBytes) {
    const std::string setup = "{% set s = ('a' ~ u) * 100000 %}";
    constexpr int64_t kPrice = 1'800'000 / 128;
    expect_cost(kPrice, setup, "{{ s }}");
    expect_cost(4 * kPrice, setup, "{% set t = s ~ s %}");
    expect_cost(4 * kPrice, setup, "{% set t = [s, s] | join %}");
    expect_cost(4 * kPrice, setup, "{% set t = '%s%s' % (s, s) %}");
    expect_cost(4 * kPrice, setup, "{% set t = '{}{}'.format(s, s) %}");
    expect_cost(4 * kPrice, setup, "{% set t = [s, s] | tojson %}");
    expect_cost(4 * kPrice, setup, "{% set t = [s, s] | string %}");
    expect_cost(4 * kPrice, setup, "{% set t = [1, 2] | tojson(indent=s) %}");
    expect_cost(4 * kPrice, setup, "{% set t = [1, 2, 3] | tojson(separators=(s, s)) %}");
    expect_cost(4 * kPrice, setup, "{% set t = 'a\\nb\\nc' | indent(s) %}");
}

TEST(Budget, BytesBelowTheCostOfAStepAddUp) {
    int looks = 0;
    Budget budget([&] {
        ++looks;
        return int64_t{0};
    });
    for (int i = 0; i < 128 * 1024 * 10; ++i) budget.allocate(1);
    EXPECT_GE(looks, 10);
}

TEST(Budget, WhatIsRequiredIsNotCharged) {
    Budget budget;
    budget.allocate(limits::kTemplateValueBytes - 10);
    budget.require(10);
    expect_error(ErrorCode::Corrupt, {"32 MiB"}, [&] { budget.require(11); });
    budget.allocate(10);
    expect_error(ErrorCode::Corrupt, {"32 MiB"}, [&] { budget.require(1); });
}

}  // namespace
}  // namespace quarot::jinja
