#include "apps/shown_text.h"

#include <cstdio>

#include "apps/report.h"

namespace quarot::apps {

ShownText::~ShownText() {
    if (!in_line_) return;
    std::fputc('\n', stdout);
    std::fflush(stdout);
}

void ShownText::finish() {
    add(stream_.finish());
    in_line_ = false;
    if (show_) print_result("\n");
}

void ShownText::add(const std::string& piece) {
    text_ += piece;
    if (!show_ || piece.empty()) return;
    print_result(piece);
    in_line_ = true;
}

}  // namespace quarot::apps
