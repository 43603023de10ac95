#include "plot/svg.h"

#include <fmt/format.h>

#include <cmath>

#include "core/check.h"
#include "io/utf8.h"
#include "plot/style.h"

namespace quarot::plot {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

// What XML 1.0 does not allow even as an entity, and what turns the direction of text.
bool is_unprintable(char32_t code) {
    const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    const bool direction = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    return control || direction || code == 0xfffe || code == 0xffff;
}

const char* name_of(Anchor anchor) {
    switch (anchor) {
        case Anchor::Start:
            return "start";
        case Anchor::Middle:
            return "middle";
        case Anchor::End:
            return "end";
    }
    return "start";
}

// "/>", or a child that browsers show beside the pointer.
std::string end_of(std::string_view element, std::string_view hover) {
    if (hover.empty()) return "/>\n";
    return fmt::format("><title>{}</title></{}>\n", escaped(hover), element);
}

// Tenths of a pixel as "1.5", ".3", "-2".
std::string tenths(int64_t value) {
    std::string text = value < 0 ? "-" : "";
    const int64_t whole = std::abs(value) / 10, part = std::abs(value) % 10;
    if (whole != 0 || part == 0) text += std::to_string(whole);
    if (part != 0) text += fmt::format(".{}", part);
    return text;
}

// Moves by rounded differences whose sum is the rounded place, so that no error adds up.
class Pen {
  public:
    Pen(double x, double y) : x_(std::llround(10 * x)), y_(std::llround(10 * y)) {
        path_ = fmt::format("M{} {}", tenths(x_), tenths(y_));
    }
    void to_x(double x) { step('h', std::llround(10 * x), x_); }
    void to_y(double y) { step('v', std::llround(10 * y), y_); }
    std::string closed() const { return path_ + "z"; }

  private:
    void step(char command, int64_t to, int64_t& at) {
        if (to == at) return;
        path_ += command + tenths(to - at);
        at = to;
    }
    std::string path_;
    int64_t x_, y_;
};

}  // namespace

std::string escaped(std::string_view text) {
    std::string out;
    for (size_t at = 0; at < text.size();) {
        const io::Utf8Sequence sequence = io::utf8_sequence_at(text, at);
        const std::string_view bytes = text.substr(at, sequence.length);
        at += sequence.length;
        const bool bad = sequence.state != io::Utf8State::Valid ||
                         (bytes != "\n" && is_unprintable(io::character_at(bytes, 0).code));
        if (bad) {
            out += kReplacement;
        } else if (bytes == "&") {
            out += "&amp;";
        } else if (bytes == "<") {
            out += "&lt;";
        } else if (bytes == ">") {
            out += "&gt;";
        } else if (bytes == "\"") {
            out += "&quot;";
        } else if (bytes == "'") {
            out += "&#39;";
        } else {
            out += bytes;
        }
    }
    return out;
}

std::string pixels(double value) {
    return tenths(std::llround(10 * value));
}

std::string short_number(double value) {
    const double size = std::fabs(value);
    if (size >= 1e6 || (size > 0.0 && size < 1e-3)) return fmt::format("{:.2g}", value);
    if (size >= 100) return fmt::format("{:.0f}", value);
    return fmt::format("{:.3g}", value);
}

std::string shortened(std::string_view text, size_t max) {
    std::vector<std::string_view> characters;
    for (size_t at = 0; at < text.size();) {
        const size_t length = io::utf8_sequence_at(text, at).length;
        characters.push_back(text.substr(at, length));
        at += length;
    }
    if (characters.size() <= max) return std::string(text);
    const size_t front = (max - 1) / 2, back = max - 1 - front;
    std::string out;
    for (size_t i = 0; i < front; ++i) out += characters[i];
    out += "…";
    for (size_t i = characters.size() - back; i < characters.size(); ++i) out += characters[i];
    return out;
}

void Svg::text(double x, double y, Anchor anchor, std::string_view css, std::string_view content) {
    elements_ += fmt::format("<text x=\"{}\" y=\"{}\" class=\"{}\" text-anchor=\"{}\">{}</text>\n",
                             pixels(x), pixels(y), css, name_of(anchor), escaped(content));
}

void Svg::vertical_text(double x, double y, std::string_view css, std::string_view content) {
    elements_ += fmt::format(
        "<text transform=\"translate({} {}) rotate(-90)\" class=\"{}\" "
        "text-anchor=\"middle\">{}</text>\n",
        pixels(x), pixels(y), css, escaped(content));
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view css) {
    elements_ += fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" class=\"{}\"/>\n",
                             pixels(x1), pixels(y1), pixels(x2), pixels(y2), css);
}

void Svg::begin_group(std::string_view css) {
    elements_ += fmt::format("<g class=\"{}\">\n", css);
}

void Svg::end_group() {
    elements_ += "</g>\n";
}

void Svg::rect(const Box& box, std::string_view css, std::string_view hover) {
    elements_ +=
        fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{}{}", pixels(box.x),
                    pixels(box.y), pixels(box.width), pixels(box.height),
                    css.empty() ? "" : fmt::format(" class=\"{}\"", css), end_of("rect", hover));
}

void Svg::circle(double x, double y, double radius, std::string_view css, std::string_view hover) {
    elements_ += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" class=\"{}\"{}", pixels(x),
                             pixels(y), pixels(radius), css, end_of("circle", hover));
}

void Svg::polyline(const std::vector<Point>& points, std::string_view css) {
    std::string list;
    for (const Point& point : points) {
        list += fmt::format("{}{},{}", list.empty() ? "" : " ", pixels(point.x), pixels(point.y));
    }
    elements_ += fmt::format("<polyline points=\"{}\" class=\"{}\"/>\n", list, css);
}

void Svg::area(const Staircase& stairs, std::string_view css) {
    const size_t n = stairs.top.size();
    QUAROT_CHECK(n > 0 && stairs.bottom.size() == n);
    const auto edge = [&](size_t step) {
        return stairs.left + stairs.width * static_cast<double>(step) / static_cast<double>(n);
    };
    Pen pen(stairs.left, stairs.top.front());
    for (size_t i = 0; i < n; ++i) {
        pen.to_y(stairs.top[i]);
        pen.to_x(edge(i + 1));
    }
    for (size_t i = n; i-- > 0;) {
        pen.to_y(stairs.bottom[i]);
        pen.to_x(edge(i));
    }
    elements_ += fmt::format("<path d=\"{}\" class=\"{}\"/>\n", pen.closed(), css);
}

std::string Figure::element() const {
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"figure\" viewBox=\"0 0 {} {}\" "
        "role=\"img\" aria-label=\"{}\">\n{}</svg>\n",
        pixels(width), pixels(height), escaped(title), picture.elements());
}

std::string Figure::file() const {
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"figure\" width=\"{0}\" height=\"{1}\" "
        "viewBox=\"0 0 {0} {1}\" role=\"img\" aria-label=\"{2}\">\n<title>{2}</title>\n"
        "<style>\n{3}</style>\n<rect width=\"{0}\" height=\"{1}\" class=\"paper\"/>\n{4}</svg>\n",
        pixels(width), pixels(height), escaped(title), picture_style(), picture.elements());
}

}  // namespace quarot::plot
