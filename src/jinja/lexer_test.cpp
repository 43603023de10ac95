// Whitespace, comments, raw blocks and literals.
#include "jinja/lexer.h"

#include "jinja/limits.h"
#include "jinja/render_for_tests.h"

namespace quarot::jinja {
namespace {

TEST(Lexer, BlocksTakeTheLineEndBehindThem) {
    EXPECT_EQ(printed("{% if true %}\na\n{% endif %}\nb"), "a\nb");
    EXPECT_EQ(printed("{# note #}\na{{ 1 }}\nb"), "a1\nb");
}

TEST(Lexer, BlocksTakeTheIndentationBeforeThem) {
    EXPECT_EQ(printed("  {% if true %}x{% endif %}"), "x");
    EXPECT_EQ(printed("a\n \t {% if true %}x{% endif %}"), "a\nx");
    EXPECT_EQ(printed("a {% if true %}x{% endif %}"), "a x");
    EXPECT_EQ(printed("  {{ 1 }}"), "  1");
}

TEST(Lexer, SignsOverrideTheTrimming) {
    EXPECT_EQ(printed("a \n {%- if true -%} \n x \n {%- endif -%} \n b"), "axb");
    EXPECT_EQ(printed("a {{- 1 -}} b"), "a1b");
    EXPECT_EQ(printed("  {%+ if true +%}\nx{% endif %}"), "  \nx");
    EXPECT_EQ(printed("a\n{#- c -#}\nb"), "ab");
}

TEST(Lexer, OneLineEndAtTheEndIsDropped) {
    EXPECT_EQ(printed("a\n"), "a");
    EXPECT_EQ(printed("a\n\n"), "a\n");
    EXPECT_EQ(printed("a\r\nb\rc"), "a\nb\nc");
}

TEST(Lexer, RawBlocksAreNotRead) {
    EXPECT_EQ(printed("{% raw %}{{ x }}{% if %}{% endraw %}!"), "{{ x }}{% if %}!");
    EXPECT_EQ(printed("a {%- raw -%} b {%- endraw -%} c"), "abc");
}

TEST(Lexer, BracketsHideTheEndOfATag) {
    EXPECT_EQ(printed("{{ {'a': {'b': 1}}['a'] }}"), "{'b': 1}");
    EXPECT_EQ(printed("{{ '}}' ~ \"%}\" }}"), "}}%}");
}

TEST(Lexer, StringsKnowPythonsEscapes) {
    EXPECT_EQ(printed(R"({{ 'a\n\t\x41\u00e9\U0001F600\101\'\q' }})"),
              "a\n\tA\u00e9\U0001F600A'\\q");
}

TEST(Lexer, NumbersHaveBasesUnderscoresAndExponents) {
    EXPECT_EQ(printed("{{ [0x1F, 0o17, 0b101, 1_000, 1.5e3, 2e-1] }}"),
              "[31, 15, 5, 1000, 1500.0, 0.2]");
}

TEST(Lexer, WhatDoesNotEndIsNamedWithItsLine) {
    expect_failure(ErrorCode::Corrupt, {"line 2", "comment"}, "a\n{# b");
    expect_failure(ErrorCode::Corrupt, {"line 1", "raw"}, "{% raw %} {{");
    expect_failure(ErrorCode::Corrupt, {"line 3", "string"}, "\n\n{{ 'abc }}");
    expect_failure(ErrorCode::Corrupt, {"line 1", "inside a tag"}, "{{ 1 ");
    expect_failure(ErrorCode::Corrupt, {"line 1", "found ]", "expected )"}, "{{ (1] }}");
    expect_failure(ErrorCode::Corrupt, {"line 1", "found }", "none is open"}, "{{ 1 } }}");
    expect_failure(ErrorCode::Corrupt, {"line 2", "found ?", "expected a name"}, "\n{{ 1 ? }}");
}

TEST(Lexer, NumbersAbove64BitsAreUnsupported) {
    EXPECT_EQ(printed("{{ 9223372036854775807 }}"), "9223372036854775807");
    expect_failure(ErrorCode::Unsupported, {"line 2", "64 bits"}, "\n{{ 9223372036854775808 }}");
}

TEST(Lexer, LongNamesAreUnsupported) {
    const std::string name(limits::kTemplateNameBytes, 'n');
    EXPECT_EQ(printed("{% set " + name + " = 1 %}{{ " + name + " }}"), "1");
    for (const char* before : {"{% set ", "{% macro ", "{{ ", "{{ x.", "{{ 1 | ", "{{ f("}) {
        expect_failure(ErrorCode::Unsupported, {"line 2", "257 bytes", "256"},
                       std::string("\n").append(before).append(name).append("n"));
    }
}

TEST(Lexer, SourcesThatAreNotUtf8AreRefused) {
    expect_failure(ErrorCode::Corrupt, {"not UTF-8 at byte 1"}, "a\xFF");
    expect_failure(ErrorCode::Unsupported, {"ASCII"}, "{{ \u00e9 }}");
}

}  // namespace
}  // namespace quarot::jinja
