#include "plot/style.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace quarot::plot {
namespace {

struct Colour {
    std::string_view name, light, dark;
};

// "before" and "after" have three shades each: from the outermost band to the innermost.
constexpr std::array<Colour, 20> kColours = {{
    {"paper", "#ffffff", "#14181d"},    {"ink", "#1f2328", "#e6edf3"},
    {"muted", "#59636e", "#9aa5b1"},    {"grid", "#dfe3e8", "#2b323a"},
    {"before-0", "#ec9455", "#a8602b"}, {"before-1", "#cf5f14", "#dd8240"},
    {"before-2", "#7d3200", "#ffd9ba"}, {"after-0", "#6aa9e3", "#2a6cad"},
    {"after-1", "#2276c4", "#4d9ce6"},  {"after-2", "#0b3f75", "#d2e8ff"},
    {"series-0", "#2276c4", "#58a6f0"}, {"series-1", "#cf5f14", "#ef8f4c"},
    {"series-2", "#1a7f37", "#4ec56b"}, {"series-3", "#8250df", "#b48cff"},
    {"series-4", "#b3246f", "#f277b5"}, {"series-5", "#0f7c80", "#3cc3c8"},
    {"series-6", "#8a6d00", "#d9b53a"}, {"series-7", "#5b6470", "#a9b3be"},
    {"error", "#1f2328", "#e6edf3"},    {"head", "#f3f5f7", "#1c2229"},
}};

// "$name" becomes the variable's value.
std::string with_variables(std::string_view rules) {
    std::string css;
    for (size_t at = 0; at < rules.size();) {
        if (rules[at] != '$') {
            css += rules[at++];
            continue;
        }
        constexpr std::string_view kNameCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-";
        const size_t end = std::min(rules.find_first_not_of(kNameCharacters, at + 1), rules.size());
        css += fmt::format("var(--{})", rules.substr(at + 1, end - at - 1));
        at = end;
    }
    return css;
}

std::string variables(bool dark) {
    std::string text;
    for (const Colour& colour : kColours) {
        text += fmt::format("--{}:{};", colour.name, dark ? colour.dark : colour.light);
    }
    return text;
}

constexpr std::string_view kRules =
    ".figure{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
    "font-size:12px}\n"
    ".figure .paper{fill:$paper}\n"
    ".figure .title{fill:$ink;font-size:16px;font-weight:600}\n"
    ".figure .subtitle,.figure .label{fill:$muted}\n"
    ".figure .panel{fill:$ink;font-size:13px;font-weight:600}\n"
    ".figure .value{fill:$ink}\n"
    ".figure .frame{fill:none;stroke:$muted;stroke-width:1}\n"
    ".figure .grid{stroke:$grid;stroke-width:1}\n"
    ".figure .zero{stroke:$muted;stroke-width:1}\n"
    ".figure .reference{stroke:$muted;stroke-width:1.5;stroke-dasharray:5 4}\n"
    ".figure path{stroke-width:.8}\n"
    ".figure .before-0{stroke:$before-0}.figure .after-0{stroke:$after-0}\n"
    ".figure .error{stroke:$error;stroke-width:1.2}\n"
    ".figure .hover{fill:transparent}\n"
    ".figure .hover rect:hover{fill:$muted;fill-opacity:.25}\n";

std::string coloured_rules() {
    std::string text;
    for (const Colour& colour : kColours) {
        if (colour.name.find('-') == std::string_view::npos) continue;
        text += fmt::format(
            ".figure .{0}{{fill:${0}}}.figure .{0}.stroke{{fill:none;"
            "stroke:${0};stroke-width:2}}\n",
            colour.name);
    }
    return text;
}

}  // namespace

std::string picture_style() {
    return fmt::format(
               ":root{{color-scheme:light dark;{}}}\n"
               "@media (prefers-color-scheme:dark){{:root{{{}}}}}\n",
               variables(false), variables(true)) +
           with_variables(std::string(kRules) + coloured_rules());
}

std::string page_style() {
    return with_variables(
        "body{background:$paper;color:$ink;margin:0 auto;max-width:1000px;"
        "padding:24px 16px 64px;font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,"
        "'DejaVu Sans',sans-serif}\n"
        "h1{font-size:26px;margin:0 0 8px}h2{font-size:20px;margin:40px 0 8px}\n"
        "h3{font-size:16px;margin:24px 0 4px}\n"
        "p,li{color:$muted}p b,li b{color:$ink}\n"
        "svg.figure{display:block;width:100%;height:auto;margin:16px 0}\n"
        ".table{overflow-x:auto}table{border-collapse:collapse;font-size:13px;"
        "font-variant-numeric:tabular-nums;margin:8px 0}\n"
        "th,td{padding:4px 10px;border-bottom:1px solid $grid;text-align:right;"
        "white-space:nowrap}\n"
        "th{background:$head;font-weight:600}td.text,th.text{text-align:left}\n"
        "td.wide{white-space:normal;min-width:220px}\n");
}

}  // namespace quarot::plot
