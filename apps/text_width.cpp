#include "apps/text_width.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <sstream>

namespace quarot::apps {

namespace {

constexpr size_t kUsualWidth = 80;
constexpr size_t kNarrowest = 40;  // where wrapping still helps

}  // namespace

size_t terminal_width() {
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= kNarrowest;
    return known ? size.ws_col : kUsualWidth;
}

std::string wrapped(const std::string& text, size_t at, size_t indent, size_t width,
                    const std::string& carry_on) {
    std::istringstream words(text);
    std::string out;
    bool line_is_empty = true;
    for (std::string word; words >> word;) {
        const size_t space = line_is_empty ? 0 : 1;
        if (!line_is_empty && at + space + word.size() + carry_on.size() > width) {
            out += carry_on + "\n" + std::string(indent, ' ');
            at = indent;
            line_is_empty = true;
        }
        out += line_is_empty ? word : " " + word;
        at += word.size() + (line_is_empty ? 0 : 1);
        line_is_empty = false;
    }
    return out;
}

}  // namespace quarot::apps
