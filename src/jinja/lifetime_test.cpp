// Is everything that a template made gone once it is rendered, even what holds itself?
#include <gtest/gtest.h>

#include <string>

#include "core/error.h"
#include "jinja/interpreter.h"
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

TEST(Lifetime, ChainsOfLoopsAreFreedOneByOne) {
    const std::string grow = "{% set ns = namespace(x=1) %}{% for i in range(30000) %}";
    const std::string shrink = "{% endfor %}";
    EXPECT_EQ(holders_after(grow + "{% for a in [ns.x, probe] %}{% set ns.x = loop %}{% endfor %}" +
                            shrink),
              0);
    EXPECT_EQ(holders_after(grow + "{% set ns.x = namespace(x=ns.x, p=probe) %}" + shrink), 0);
}

}  // namespace
}  // namespace quarot::jinja
