// How fast is text encoded, and does ten times the text take ten times as long? Prints, for each
// tokenizer folder and kind of text, the speed on 1 MB and on 10 MB and the ratio of the times,
// medians of processor time over interleaved runs on one thread. With --bar, rows of a higher ratio
// are marked, and the exit code is 1 if there are any:
//   bench_tokenizer [--runs N] [--bar RATIO] [--text FILE]... FOLDER...
// tests/tokenizer_oracle/subjects.py FOLDER writes tokenizers of gpt2, gpt-neox and phi-3.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <exception>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "io/file.h"
#include "tokenizer/tokenizer.h"

namespace quarot::tokenizer {
namespace {

constexpr size_t kMegabyte = 1'000'000;
constexpr size_t kSmall = kMegabyte;
constexpr size_t kLarge = 10 * kMegabyte;

struct Options {
    int runs = 3;
    double bar = std::numeric_limits<double>::infinity();
    std::vector<std::string> texts;
    std::vector<std::string> folders;
};

struct Input {
    std::string name;
    std::string text;  // kLarge bytes, or a character less; its beginning is the small text
};

std::string repeated(std::string_view unit) {
    std::string text;
    while (text.size() + unit.size() <= kLarge) text += unit;
    return text;
}

std::string random_word() {
    std::mt19937 random(1);
    std::string word(kLarge, 'a');
    for (char& letter : word) letter = static_cast<char>('a' + random() % 26);
    return word;
}

std::string any_added_token(const Tokenizer& tokenizer) {
    for (int64_t id = tokenizer.vocabulary_size() - 1; id >= 0; --id) {
        if (tokenizer.is_special(static_cast<int32_t>(id))) {
            return tokenizer.token(static_cast<int32_t>(id));
        }
    }
    return "no token is special ";
}

std::vector<Input> inputs(const Options& options, const Tokenizer& tokenizer) {
    std::vector<Input> inputs;
    std::string words;
    for (const std::string& path : options.texts) {
        const std::string text = io::read_text(path, int64_t{1} << 30);
        inputs.push_back({path.substr(path.rfind('/') + 1), repeated(text)});
        words += text;
    }
    std::erase_if(words, [](char c) { return c == ' ' || c == '\n'; });
    if (!words.empty()) inputs.push_back({"texts without spaces", repeated(words)});
    inputs.push_back({"random letters", random_word()});
    inputs.push_back({"a", repeated("a")});
    inputs.push_back({"space", repeated(" ")});
    inputs.push_back({"newline", repeated("\n")});
    inputs.push_back({"combining mark", repeated("\u0301")});
    inputs.push_back({"digit", repeated("1")});
    inputs.push_back({"emoji", repeated("\U0001F642")});
    inputs.push_back({"scripts in turn", repeated("aбγאع中あ한ก")});
    inputs.push_back({"an added token", repeated(any_added_token(tokenizer))});
    return inputs;
}

std::string_view small_part(std::string_view text) {
    size_t end = std::min(kSmall, text.size());
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    return text.substr(0, end);
}

// Of this process, so that others on the machine matter less.
double processor_seconds() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double seconds_to_encode(const Tokenizer& tokenizer, std::string_view text) {
    const double begin = processor_seconds();
    if (tokenizer.encode(text).empty()) fmt::print(stderr, "no ids\n");
    return processor_seconds() - begin;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

// Gives false if a row is above the bar.
bool measure(const Options& options, const std::string& folder) {
    const Tokenizer tokenizer = Tokenizer::load(folder);
    const std::vector<Input> all = inputs(options, tokenizer);
    std::vector<std::vector<double>> small(all.size());
    std::vector<std::vector<double>> large(all.size());
    for (int run = 0; run < options.runs; ++run) {
        for (size_t i = 0; i < all.size(); ++i) {
            small[i].push_back(seconds_to_encode(tokenizer, small_part(all[i].text)));
            large[i].push_back(seconds_to_encode(tokenizer, all[i].text));
        }
    }
    fmt::print("{}\n{:<24}{:>12}{:>12}{:>8}\n", folder, "", "1 MB, MB/s", "10 MB, MB/s", "times");
    bool is_below_bar = true;
    for (size_t i = 0; i < all.size(); ++i) {
        const double first = median(small[i]);
        const double second = median(large[i]);
        const bool is_above = second / first > options.bar;
        is_below_bar = is_below_bar && !is_above;
        fmt::print("{:<24}{:>12.1f}{:>12.1f}{:>8.1f}{}\n", all[i].name,
                   static_cast<double>(kSmall) / kMegabyte / first,
                   static_cast<double>(kLarge) / kMegabyte / second, second / first,
                   is_above ? "  above the bar" : "");
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    fmt::print("peak memory {} MB\n\n", usage.ru_maxrss / 1024);
    std::fflush(stdout);
    return is_below_bar;
}

Options parse(int count, char** arguments) {
    Options options;
    for (int i = 1; i < count; ++i) {
        const std::string_view argument = arguments[i];
        if (argument == "--runs" && i + 1 < count) {
            options.runs = std::max(1, std::stoi(arguments[++i]));
        } else if (argument == "--bar" && i + 1 < count) {
            options.bar = std::stod(arguments[++i]);
        } else if (argument == "--text" && i + 1 < count) {
            options.texts.emplace_back(arguments[++i]);
        } else {
            options.folders.emplace_back(argument);
        }
    }
    return options;
}

}  // namespace
}  // namespace quarot::tokenizer

int main(int count, char** arguments) {
    try {
        const auto options = quarot::tokenizer::parse(count, arguments);
        bool is_below_bar = true;
        for (const std::string& folder : options.folders) {
            is_below_bar = quarot::tokenizer::measure(options, folder) && is_below_bar;
        }
        return is_below_bar ? 0 : 1;
    } catch (const std::exception& error) {
        fmt::print(stderr, "bench_tokenizer: {}\n", error.what());
        return 1;
    }
}
