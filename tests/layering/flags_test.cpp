// The library does not speak the command line's language: no string below apps/ spells a flag.
#include <gtest/gtest.h>

#include <cctype>

#include "layering/literals.h"
#include "layering/sources.h"
#include "support/checkout.h"

namespace quarot::test {
namespace {

bool is_in_word(std::string_view text, size_t at) {
    const bool escape = at > 0 && text[at - 1] == '\\';
    return !escape && (text[at] == '-' || std::isalnum(static_cast<unsigned char>(text[at])) != 0);
}

// Two dashes and a letter, such as --ctx, that begin a word.
bool spells_flag(std::string_view text) {
    for (size_t at = text.find("--"); at != text.npos; at = text.find("--", at + 1)) {
        const bool begins = at == 0 || !is_in_word(text, at - 1);
        const bool names =
            at + 2 < text.size() && std::islower(static_cast<unsigned char>(text[at + 2])) != 0;
        if (begins && names) return true;
    }
    return false;
}

// Places of the strings that spell one: "src/core/a.cpp:12: text".
std::vector<std::string> flags_in(const Source& source) {
    std::vector<std::string> found;
    for (const Literal& literal : literals_of(source.text)) {
        if (!spells_flag(literal.text)) continue;
        found.push_back(source.file + ":" + std::to_string(literal.line) + ": " + literal.text);
    }
    return found;
}

TEST(Flags, NoStringBelowAppsSpellsOne) {
    int n_files = 0;
    for (const char* folder : {"src", "include"}) {
        for (const Source& source : sources_under(checkout(), folder)) {
            ++n_files;
            for (const std::string& place : flags_in(source)) {
                ADD_FAILURE() << place << "\nname a Setting (core/setting.h) instead";
            }
        }
    }
    EXPECT_GT(n_files, 500);
}

TEST(Flags, TheRuleFindsThemInEveryKindOfString) {
    const auto places = [](const std::string& text) { return flags_in({"a.cpp", text}); };
    using Places = std::vector<std::string>;
    EXPECT_EQ(places("int a;\nfail(\"use a smaller \"\n     \"--ctx\");"),
              Places{"a.cpp:3: --ctx"});
    EXPECT_EQ(places("f(\"{}\\n--ctx\");"), Places{"a.cpp:1: {}\\n--ctx"});
    EXPECT_EQ(places("f(R\"x(a \")\" --ctx)x\");"), Places{"a.cpp:1: a \")\" --ctx"});
    EXPECT_EQ(places("f('\"', 1'000, \"(--a-bits)\", \"\\\"\");"), Places{"a.cpp:1: (--a-bits)"});
    EXPECT_EQ(places("/* \" */ f(\"--no-x\"); // \""), Places{"a.cpp:1: --no-x"});
}

TEST(Flags, TheRuleLeavesOtherTextAlone) {
    for (const char* text :
         {"--i; f(\"a\");", "// \"--ctx\"", "/* \"--ctx\" */", "f('\"', --n, '\"');",
          "f(\"--\", \"---x\", \"{{--1}}\", \"final--countdown\");"}) {
        EXPECT_EQ(flags_in({"a.cpp", text}), std::vector<std::string>()) << text;
    }
}

}  // namespace
}  // namespace quarot::test
