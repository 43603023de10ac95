// The screens of --help, from the commands and flags as declared.
#include "apps/help.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/commands.h"
#include "apps/flag_names.h"
#include "apps/text_width.h"

namespace quarot::apps {

namespace {

std::string flag_line(const Flag& flag, size_t width) {
    const std::string left = flag_synopsis(flag);
    const size_t column = width + 4;
    const std::string help = wrapped(flag.help, column, column, terminal_width());
    if (left.size() <= width) return fmt::format("  {:{}}  {}\n", left, width, help);
    return fmt::format("  {}\n  {:{}}  {}\n", left, "", width, help);
}

std::string flag_lines(const std::vector<Flag>& flags, Shown shown) {
    constexpr size_t kMaxWidth = 26;
    size_t width = 0;
    for (const Flag& flag : flags) {
        const size_t size = flag_synopsis(flag).size();
        if (size <= kMaxWidth && flag.shown != Shown::Hidden) width = std::max(width, size);
    }
    std::string text;
    for (const Flag& flag : flags) {
        if (flag.shown == shown) text += flag_line(flag, width);
    }
    return text;
}

}  // namespace

// The positional name of a flag that has others too stands in the usage line alone.
std::string flag_synopsis(const Flag& flag) {
    std::string text;
    for (const std::string& name : split_names(flag.names)) {
        if (name.starts_with("-")) text += fmt::format("{}{}", text.empty() ? "" : ", ", name);
    }
    if (text.empty()) return flag.names;
    return flag.value.empty() ? text : fmt::format("{} {}", text, flag.value);
}

std::string usage_line(const Args& args) {
    std::string line = "quarot " + args.command();
    for (const Flag& flag : args.flags()) {
        for (const std::string& name : split_names(flag.names)) {
            if (!name.starts_with("-")) line += fmt::format(" {}", name);
        }
    }
    return line + " [flags]";
}

std::string help_text(const Args& args, bool full) {
    std::string text = wrapped(fmt::format("quarot {}: {}", args.command(), args.summary()), 0, 0,
                               terminal_width()) +
                       fmt::format("\n\nusage: {}\n\n", usage_line(args));
    text += flag_lines(args.flags(), Shown::First);
    if (!full) {
        return text +
               fmt::format("\nquarot {} --help shows every flag, and examples.\n", args.command());
    }
    text += fmt::format("\nmore:\n{}", flag_lines(args.flags(), Shown::Full));
    for (const std::string& note : args.notes()) {
        text += fmt::format("\n{}\n", wrapped(note, 0, 0, terminal_width()));
    }
    const std::string settings = wrapped(
        "Every flag may be set as QUAROT_<FLAG> in the environment, as in QUAROT_THREADS=2. A file "
        "of --config is TOML without sections; its lines name flags without their dashes, as in "
        "threads = 2, method = \"gptq\", json = true or stop = [\"one\", \"two\"]. "
        "QUAROT_ISA=scalar, "
        "avx2, avx512vnni or amx chooses the instructions of the cpu device.",
        0, 0, terminal_width());
    text += fmt::format("\n{}\n\nexamples:\n", settings);
    for (const Example& example : args.examples()) {
        text +=
            fmt::format("  {}\n      {}\n", wrapped(example.line, 2, 4, terminal_width(), " \\"),
                        wrapped(example.what, 6, 6, terminal_width()));
    }
    return text;
}

std::string overview() {
    std::string text =
        "quarot: rotate, quantize to 4 bits and run large language models\n\n"
        "usage: quarot COMMAND [flags]\n\n";
    for (const Command& command : commands()) {
        if (!command.is_hidden) text += fmt::format("  {:<12}{}\n", command.name, command.summary);
    }
    text +=
        "\nquarot COMMAND --help explains one. To begin:\n"
        "  quarot quantize models/tiny-novels /tmp/tiny-w4 --calib models/tiny-novels/calib.txt\n"
        "  quarot perplexity /tmp/tiny-w4 --text models/tiny-novels/eval.txt --seqlen 1024\n"
        "  quarot generate -m /tmp/tiny-w4 -p \"It was a dark\" -n 50\n";
    return text;
}

}  // namespace quarot::apps
