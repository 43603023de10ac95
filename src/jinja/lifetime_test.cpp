// Is everything that a template made gone once it is rendered, even what holds itself?
#include <gtest/gtest.h>

#include <string>

#include "core/error.h"
#include "jinja/interpreter.h"
#include "jinja/small_stack_for_tests.h"
#include "jinja/statement_parser.h"

namespace quarot::jinja {
namespace {

// How many still hold the variable `probe` after the rendering, the test itself excepted.
long holders_after(const std::string& source) {
    const auto probe = std::make_shared<const Text>("probe");
    const Block block = parse_template(source);
    Runtime runtime(Budget(), std::nullopt);
    {
        Interpreter interpreter(runtime);
        interpreter.set_variable("probe", TextPtr(probe));
        try {
            interpreter.render(block);
        } catch (const Error&) {
            // Failing in the middle is part of the question.
        }
    }
    return probe.use_count() - 1;
}

TEST(Lifetime, CirclesEndWithTheRendering) {
    for (const std::string source : {
             "{% for i in [probe] %}{{ loop.changed(loop, probe) }}{% endfor %}",
             "{% for i in [probe] %}{{ loop.changed(loop, probe) }}{{ 1 / 0 }}{% endfor %}",
             "{% set ns = namespace() %}{% for i in [probe] %}{% set ns.l = loop %}{% endfor %}"
             "{{ ns.l.changed(ns.l, probe) }}",
             "{% set ns = namespace(p=probe) %}{% set ns.n = [ns] %}{{ 1 / 0 }}",
             "{% set ns = namespace(p=probe) %}{% macro m() %}{{ ns }}{% endmacro %}"
             "{% set ns.m = m %}",
         }) {
        EXPECT_EQ(holders_after(source), 0) << source;
    }
}

// Each link would take some hundred bytes of stack if it freed the next.
TEST(Lifetime, ChainsAreFreedLinkByLink) {
    const std::string grow = "{% set ns = namespace(x=1) %}{% for i in range(5000) %}";
    for (const std::string link : {
             "{% for a in [ns.x, probe] %}{% set ns.x = loop %}{% endfor %}",
             "{% for a in [probe] %}{% set t = loop.changed(ns.x) %}{% set ns.x = loop %}"
             "{% endfor %}",
             "{% for a in [[ns.x, probe]] %}{% set ns.x = loop.changed %}{% endfor %}",
             "{% set ns.x = namespace(x=ns.x, p=probe) %}",
             "{% set ns.x = [namespace(x=ns.x, p=probe)] %}",
             "{% macro m(x) %}{% macro i() %}{{ x }}{% endmacro %}{% set ns.x = i %}{% endmacro %}"
             "{{ m([ns.x, probe]) }}",
         }) {
        SCOPED_TRACE(link);
        run_on_small_stack([&] { EXPECT_EQ(holders_after(grow + link + "{% endfor %}"), 0); });
    }
}

}  // namespace
}  // namespace quarot::jinja
