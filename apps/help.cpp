#include "apps/help.h"

#include <fmt/format.h>

#include <algorithm>

namespace quarot::apps {

namespace {

// "-t, --threads N"; the positional name of a flag that has one stands in the usage line alone.
std::string left_side(const Flag& flag) {
    std::string text;
    for (const std::string& name : split_names(flag.names)) {
        if (name.starts_with("-")) text += fmt::format("{}{}", text.empty() ? "" : ", ", name);
    }
    if (text.empty()) return flag.names;
    return flag.value.empty() ? text : fmt::format("{} {}", text, flag.value);
}

std::string usage_line(const std::string& command, const std::vector<Flag>& flags) {
    std::string line = "quarot " + command;
    for (const Flag& flag : flags) {
        for (const std::string& name : split_names(flag.names)) {
            if (!name.starts_with("-")) line += fmt::format(" {}", name);
        }
    }
    return line + " [flags]";
}

std::string flag_line(const Flag& flag, size_t width) {
    const std::string left = left_side(flag);
    if (left.size() <= width) return fmt::format("  {:{}}  {}\n", left, width, flag.help);
    return fmt::format("  {}\n  {:{}}  {}\n", left, "", width, flag.help);
}

std::string flag_lines(const std::vector<Flag>& flags, Shown shown) {
    constexpr size_t kMaxWidth = 32;
    size_t width = 0;
    for (const Flag& flag : flags) {
        const size_t size = left_side(flag).size();
        if (size <= kMaxWidth && flag.shown != Shown::Hidden) width = std::max(width, size);
    }
    std::string text;
    for (const Flag& flag : flags) {
        if (flag.shown == shown) text += flag_line(flag, width);
    }
    return text;
}

}  // namespace

std::string help_text(const std::string& command, const std::string& summary,
                      const std::vector<Flag>& flags, const std::vector<Example>& examples,
                      bool full) {
    std::string text = fmt::format("{}\n\nusage: {}\n\n", summary, usage_line(command, flags));
    text += flag_lines(flags, Shown::First);
    if (!full) {
        return text + fmt::format("\nquarot {} --help shows every flag, and examples.\n", command);
    }
    text += "\nmore:\n" + flag_lines(flags, Shown::Full);
    text +=
        "\nEvery flag may be set as QUAROT_<FLAG> in the environment, as in "
        "QUAROT_THREADS=2.\nQUAROT_ISA=scalar, avx2 or avx512vnni chooses the instructions of the "
        "cpu "
        "device.\n\nexamples:\n";
    for (const Example& example : examples) {
        text += fmt::format("  {}\n      {}\n", example.line, example.what);
    }
    return text;
}

}  // namespace quarot::apps
