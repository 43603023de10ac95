// A picture in SVG, written element by element; all text is escaped here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quarot::plot {

// For text and attribute values of XML and HTML: markup as entities, control characters as U+FFFD.
std::string escaped(std::string_view text);

// "12.3": pixels with one decimal at most.
std::string pixels(double value);

// "4498", "12.1", "0.0342", "1.2e+09": three to four digits, as people read them.
std::string short_number(double value);

// At most `max` characters of well-formed UTF-8, with an ellipsis in the middle of longer ones.
std::string shortened(std::string_view text, size_t max);

enum class Anchor { Start, Middle, End };

struct Box {
    double x = 0.0, y = 0.0, width = 0.0, height = 0.0;
    double right() const { return x + width; }
    double bottom() const { return y + height; }
};

// Classes are those of style.h. Coordinates are pixels from the top left corner.
class Svg {
  public:
    void text(double x, double y, Anchor anchor, std::string_view css, std::string_view content);
    // Turned to run upwards.
    void vertical_text(double x, double y, std::string_view css, std::string_view content);
    void line(double x1, double y1, double x2, double y2, std::string_view css);
    // What follows has this class until the group ends.
    void begin_group(std::string_view css);
    void end_group();
    // css may be empty. hover: shown when the pointer rests there; empty: nothing is.
    void rect(const Box& box, std::string_view css, std::string_view hover = {});
    void circle(double x, double y, double radius, std::string_view css,
                std::string_view hover = {});
    struct Point {
        double x = 0.0, y = 0.0;
    };
    void polyline(const std::vector<Point>& points, std::string_view css);
    // The area between two staircases of equally wide steps from left to right.
    struct Staircase {
        double left = 0.0, width = 0.0;  // of all steps
        std::vector<double> top, bottom;
    };
    void area(const Staircase& stairs, std::string_view css);

    const std::string& elements() const { return elements_; }

  private:
    std::string elements_;
};

// Of every picture.
inline constexpr double kFigureWidth = 900;

// One finished picture.
struct Figure {
    std::string name;   // of its file, without ".svg": letters, digits, '-' and '_'
    std::string title;  // one line
    double width = 0.0, height = 0.0;
    Svg picture;

    // A whole file with its style, or an element for a page that has the style.
    std::string file() const;
    std::string element() const;
};

}  // namespace quarot::plot
