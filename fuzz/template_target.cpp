// A Jinja template, then a JSON object of its variables. The clock lets sources of an even length
// end in the middle, and the others come to most limits but that of the steps, which would take a
// second each: seeds that take memory are of an odd length.
#include <optional>

#include "fuzz/target.h"
#include "io/json.h"
#include "io/utf8.h"
#include "jinja/limits.h"
#include "jinja/template.h"

namespace quarot::fuzz {
namespace {

constexpr const char* kVariables =
    R"({"messages":[{"role":"user","content":"Hi {{x}}"},{"role":"assistant","content":"a\nb"}],)"
    R"("add_generation_prompt":true,"bos_token":"<s>","tools":null})";

std::vector<jinja::Variable> variables_of(std::string_view text) {
    const io::Json json = io::Json::parse(text, "variables");
    std::vector<jinja::Variable> variables;
    for (const auto& [name, value] : json.as_object()) {
        const bool messages = name == "messages";
        variables.push_back(
            {name, value, messages ? jinja::UserText::ExceptRoles : jinja::UserText::No});
    }
    return variables;
}

void check_text(const jinja::Text& text) {
    expect(text.size() <= limits::kTemplateOutputBytes, "the output exceeds its limit");
    expect(io::first_non_utf8(text.bytes()) == text.size(), "the output is not UTF-8");
    size_t last = 0;
    for (const jinja::Span& span : text.user()) {
        expect(span.begin >= last && span.begin < span.end && span.end <= text.size(),
               "a mark lies outside the text");
        last = span.end;
    }
}

void run(std::string_view input) {
    const std::string_view source = take_segment(input);
    const jinja::Template parsed = jinja::Template::parse(source, "chat_template");
    jinja::Surroundings around;
    around.now = std::tm{};
    const int64_t looks = source.size() % 2 == 0 ? 2 : 128;
    around.clock_ms = [now = int64_t{0}, looks]() mutable {
        return now += limits::kTemplateMilliseconds / looks + 1;
    };
    check_text(parsed.render(variables_of(input.empty() ? kVariables : input), around));
}

std::vector<std::string> seeds() {
    return {
        "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m['content'] | trim }}\n"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
        "{%- set ns = namespace(n=0) -%}{%- for m in messages if m.role == 'user' -%}"
        "{%- set ns.n = ns.n + loop.index0 -%}{%- endfor -%}{{ ns.n }}",
        "{% macro f(a, b=2) %}{{ a ~ b }}{% endmacro %}{{ f(1) }}{{ f(1, b='x') }}",
        "{{ messages | map(attribute='role') | join(', ') | upper }}",
        "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
        "{{ messages | tojson(indent=2) }}{{ {'a': [1, 2.5, none]} | tojson }}",
        "{% if tools is defined and tools is not none %}{{ tools[0] }}{% else %}-{% endif %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'a' * 1000000000 }}{{ 'b'.replace('', 'c') }}{{ 'x' | indent(4) }}",
        "{{ raise_exception('no\nline') }}",
        "{{ messages[-1].content.split('\\n')[::-1] }}{{ 'abc'[1:] }}{{ (1, 2) + (3,) }}",
        "{{ 7 // 2 }}{{ -7 % 3 }}{{ 2 ** 62 * 4 }}{{ 1 / 0 }}",
        "{{ strftime_now('%d %B %Y') }}{{ '%s' % 'x' }}{{ '{}'.format(1) }}",
        "{# comment #}{% raw %}{{ x }}{% endraw %}{% break %}",
        "{% filter upper %}x{% endfilter %}{% call f() %}{% endcall %}{% include 'x' %}",
        "{% generation %}x{% endgeneration %}{{ x.__class__.__mro__ }}",
        "{{ [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]] }}",
        "{{ 'cab' | sort | join }}{{ nothing | sort }}{{ 'abc' | map('upper') | list }}",
        "{{ 'cab' | unique | list }}{{ 'abc' | select | list }}{{ dict([('a', 1)]) }}",
        "{{ messages * 7 ** 7 }}",
        "{{ 'x' * 70 * 7 ** 7 }}",
        "{% if 1 %}",
        "{{ 'unfinished }}",
        "{% endfor %}",
        join_segments({"{{ a.b.c | default('d', true) }}{{ l | sort | unique | list }}",
                       R"({"a":{"b":{}},"l":[3,1,2,1]})"})};
}

std::vector<std::string> words() {
    return {"{{",
            "}}",
            "{%",
            "%}",
            "{%-",
            "-%}",
            "{#",
            "#}",
            "for ",
            " in ",
            "endfor",
            "if ",
            "elif ",
            "else",
            "endif",
            "set ",
            "endset",
            "macro ",
            "endmacro",
            "namespace(",
            "loop.",
            "range(",
            "messages",
            "content",
            " is ",
            " not ",
            "defined",
            "none",
            " | ",
            "tojson",
            "join(",
            "map(",
            "selectattr(",
            "items()",
            "dictsort",
            "replace(",
            "split(",
            "strip()",
            "format(",
            "raise_exception(",
            "strftime_now(",
            "caller()",
            "break",
            "continue",
            "recursive",
            "loop(",
            "*",
            "**",
            "//",
            "~",
            "==",
            "<=",
            "[::-1]",
            "9223372036854775807",
            "1e308",
            "\\x00",
            "\xc3\xa9",
            std::string(1, '\0')};
}

}  // namespace

constinit const Target kTemplateTarget = {
    .name = "template", .run = run, .seeds = seeds, .words = words};

}  // namespace quarot::fuzz
