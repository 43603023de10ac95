// Is text that others wrote only text, and do staircases keep every step?
#include "plot/svg.h"

#include <gtest/gtest.h>

namespace quarot::plot {
namespace {

TEST(Svg, MarkupInTextBecomesEntities) {
    EXPECT_EQ(escaped("<script>alert('1') && \"2\"</script>"),
              "&lt;script&gt;alert(&#39;1&#39;) &amp;&amp; &quot;2&quot;&lt;/script&gt;");
    EXPECT_EQ(escaped("ünï ± …"), "ünï ± …");
}

TEST(Svg, ControlsStrayBytesAndTurnedTextAreReplaced) {
    const std::string mark = "\xef\xbf\xbd";
    EXPECT_EQ(escaped(std::string("a\0b\x1b[31m", 8)), "a" + mark + "b" + mark + "[31m");
    EXPECT_EQ(escaped("\xff\xc3"), mark + mark);
    EXPECT_EQ(escaped("\xe2\x80\xae"
                      "gnp.exe"),
              mark + "gnp.exe")
        << "right-to-left override";
    EXPECT_EQ(escaped("two\nlines"), "two\nlines");
}

TEST(Svg, AttributesAndElementsEscape) {
    Svg svg;
    svg.text(1, 2, Anchor::End, "label", "a<b");
    svg.rect({1, 2, 3.25, 4}, "", "x\"y");
    EXPECT_EQ(svg.elements(),
              "<text x=\"1\" y=\"2\" class=\"label\" text-anchor=\"end\">a&lt;b</text>\n"
              "<rect x=\"1\" y=\"2\" width=\"3.3\" height=\"4\"><title>x&quot;y</title></rect>\n");
}

TEST(Svg, StaircasesAreDrawnStepByStep) {
    Svg svg;
    svg.area({.left = 10, .width = 3, .top = {5, 1.5, 5}, .bottom = {6, 6, 8}}, "band");
    EXPECT_EQ(svg.elements(), "<path d=\"M10 5h1v-3.5h1v3.5h1v3h-1v-2h-1h-1z\" class=\"band\"/>\n");
}

TEST(Svg, RoundingOfManyStepsDoesNotAddUp) {
    Svg svg;
    const std::vector<double> top(300, 0.0), bottom(300, 10.0);
    svg.area({.left = 0, .width = 100, .top = top, .bottom = bottom}, "band");
    double right = 0.0;
    const std::string& path = svg.elements();
    for (size_t at = path.find('h', path.find("d=\"M")); path[at] == 'h';) {
        size_t end = path.find_first_of("hvz", at + 1);
        right += std::stod(path.substr(at + 1, end - at - 1));
        at = end;
    }
    EXPECT_NEAR(right, 100.0, 1e-9);
}

TEST(Svg, NumbersAndLongNamesAreShort) {
    EXPECT_EQ(short_number(4498.2), "4498");
    EXPECT_EQ(short_number(3.0512), "3.05");
    EXPECT_EQ(short_number(-0.0342), "-0.0342");
    EXPECT_EQ(short_number(1.234e9), "1.2e+09");
    EXPECT_EQ(short_number(0.0), "0");
    EXPECT_EQ(shortened("abcdefghij", 5), "ab…ij");
    EXPECT_EQ(shortened("äöüß", 4), "äöüß");
}

}  // namespace
}  // namespace quarot::plot
