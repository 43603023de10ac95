// Does the output know which of its bytes a user typed, whatever the template did to them?
#include <gtest/gtest.h>

#include <string>

#include "jinja/template.h"
#include "jinja/text.h"

namespace quarot::jinja {
namespace {

// The output with user text in brackets; u is the user's variable, t the template's.
std::string marked(std::string_view source, const std::string& user = "User Text") {
    const std::vector<Variable> variables = {{"u", user, UserText::Yes}, {"t", "own"}};
    std::string out;
    Template::parse(source).render(variables).for_each_stretch(
        [&](std::string_view stretch, bool is_user) {
            if (is_user) out += '[';
            out += stretch;
            if (is_user) out += ']';
        });
    return out;
}

TEST(Marks, StayThroughJoiningAndCutting) {
    EXPECT_EQ(marked("<{{ u }}>"), "<[User Text]>");
    EXPECT_EQ(marked("{{ 'a' + u ~ t }}"), "a[User Text]own");
    EXPECT_EQ(marked("{{ ('<' + u + '>')[3:7] }}"), "[er T]");
    EXPECT_EQ(marked("{{ ('<' + u)[::-1] }}"), "[txeT resU]<");
    EXPECT_EQ(marked("{{ u[0] }}{{ u * 2 }}"), "[UUser TextUser Text]");
    EXPECT_EQ(marked("{{ [t, u] | join(', ') }}"), "own, [User Text]");
}

TEST(Marks, StayThroughFiltersAndMethods) {
    EXPECT_EQ(marked("{{ u | upper }}{{ u.lower() }}{{ u | title }}", "aB"), "[ABabAb]");
    EXPECT_EQ(marked("{{ (' ' ~ u ~ ' ') | trim }}|{{ u.strip() }}", " x "), "[x]|[x]");
    EXPECT_EQ(marked("{{ (t ~ u).replace('n', '-') }}", "ana"), "ow-[a]-[a]");
    EXPECT_EQ(marked("{{ u.split(' ') | last }}{{ u.split() | join('+') }}"), "[TextUser]+[Text]");
    EXPECT_EQ(marked("{{ u | indent(1) }}", "a\nb"), "[a]\n [b]");
    EXPECT_EQ(marked("{{ '%s!' % u }}{{ '{}?'.format(u) }}", "x"), "[x]![x]?");
    EXPECT_EQ(marked("{{ u | e }}", "<"), "[&lt;]");
    EXPECT_EQ(marked("{{ u | list | join }}{{ u | first }}", "ab"), "[aba]");
}

TEST(Marks, StayInJsonAndLists) {
    EXPECT_EQ(marked("{{ {'k': u} | tojson }}", "a\"b"), "{\"k\": \"[a\\\"b]\"}");
    EXPECT_EQ(marked("{{ [u] }}", "x"), "['[x]']");
}

TEST(Marks, StayOnNamesThatAUserGave) {
    const std::string one = "{% set d = {u: 1} %}";
    EXPECT_EQ(marked(one + "{{ d }}", "k"), "{'[k]': 1}");
    EXPECT_EQ(marked(one + "{{ dict(**d).keys() | list }}", "k"), "['[k]']");
    EXPECT_EQ(marked(one + "{{ namespace(**d) }}", "k"), "<Namespace {'[k]': 1}>");
    EXPECT_EQ(marked(one + "{% macro m() %}{{ kwargs }}{% endmacro %}{{ m(**d) }}", "k"),
              "{'[k]': 1}");
}

TEST(Marks, StayOnFillersAndSeparators) {
    EXPECT_EQ(marked("{{ 'a'.ljust(3, u) }}", "-"), "a[--]");
    EXPECT_EQ(marked("{{ [1, 2] | tojson(separators=(u, ':')) }}", ";"), "[1[;]2]");
    EXPECT_EQ(marked("{{ [1] | tojson(indent=u) }}", ">"), "[\n[>]1\n]");
    Surroundings around;
    around.now = std::tm{};
    const Text now = Template::parse("{{ strftime_now(u) }}{{ strftime_now('x') }}")
                         .render({{"u", "<|%S|>", UserText::Yes}}, around);
    EXPECT_EQ(now.bytes(), "<|00|>x");
    EXPECT_EQ(now.user(), (std::vector<Span>{{0, 6}}));
}

TEST(Marks, StayThroughBlocksAndMacros) {
    EXPECT_EQ(marked("{% set b %}<{{ u }}>{% endset %}{{ b }}", "x"), "<[x]>");
    EXPECT_EQ(marked("{% macro m(a) %}({{ a }}){% endmacro %}{{ m(u) | upper }}", "x"), "([X])");
    EXPECT_EQ(marked("{% filter upper %}a{{ u }}{% endfilter %}", "x"), "A[X]");
}

TEST(Marks, TellRolesFromTheRestOfAMessage) {
    const auto messages = io::Json::parse(
        R"([{"role": "user", "content": "c", "more": {"role": "r"}, "tags": ["t"]}])", "test");
    const Text text =
        Template::parse("{{ m[0].role }}{{ m[0].content }}{{ m[0].more.role }}{{ m[0].tags[0] }}")
            .render({{"m", messages, UserText::ExceptRoles}});
    EXPECT_EQ(text.bytes(), "usercrt");
    EXPECT_EQ(text.user(), (std::vector<Span>{{4, 7}}));
}

TEST(Marks, MembersOfMessagesAreNamedByTheUser) {
    const auto messages =
        io::Json::parse(R"([{"role": "user", "content": "c", "<|im_end|>": 1}])", "test");
    const Text text = Template::parse("{% for k, v in m[0].items() %}{{ k }};{% endfor %}")
                          .render({{"m", messages, UserText::ExceptRoles}});
    EXPECT_EQ(text.bytes(), "role;content;<|im_end|>;");
    EXPECT_EQ(text.user(), (std::vector<Span>{{13, 23}}));
}

TEST(Marks, BytesThatAreNotUtf8BecomeReplacementCharacters) {
    EXPECT_EQ(marked("{{ u }}{{ u | length }}",
                     "a\xFF\xE6\x9D"
                     "b"),
              "[a\uFFFD\uFFFD\uFFFDb]5");
}

TEST(Text, AppendingMergesMarksThatTouch) {
    Text text("ab", true);
    text.append("cd", true);
    text.append("ef");
    text.append(text.slice(1, 5));
    EXPECT_EQ(text.bytes(), "abcdefbcde");
    EXPECT_EQ(text.user(), (std::vector<Span>{{0, 4}, {6, 9}}));
}

TEST(Text, LastPlaceOfANeedleEndsAtTheBound) {
    EXPECT_EQ(find_last_bytes("abcabc", "bc", 6), 4U);
    EXPECT_EQ(find_last_bytes("abcabc", "bc", 5), 1U);
    EXPECT_EQ(find_last_bytes("abcabc", "x", 6), std::string_view::npos);
    EXPECT_EQ(find_bytes("abcabc", "", 6), 6U);
    EXPECT_EQ(find_bytes("abc", "a", 4), std::string_view::npos);
}

}  // namespace
}  // namespace quarot::jinja
