// The zero-shot tasks, by the definitions of lm-evaluation-harness (version 1.0 of each).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace quarot::eval {

// One answer that an item offers.
struct Choice {
    std::string context, continuation;
    int64_t n_characters = 0;  // of the answer alone, by which acc_norm divides
};

struct Item {
    std::vector<Choice> choices;
    int64_t gold = 0;  // the right one
};

// A way in which data sets spell items: the key that marks it, and what its items are.
struct Layout {
    std::string_view key;
    Item (*item_of)(const io::Json& record);  // Error{Corrupt} naming the record's place
};

// A file below the folder of the data, and one beside it with a label a line, if labels are there.
struct DataFile {
    std::string_view name, labels = {};
};

enum class Metrics {
    Choice,      // acc: the likeliest choice is the right one
    ChoiceNorm,  // and acc_norm: the likeliest by log-likelihood a character
    LastWord     // acc: the only choice is what the model says; perplexity of it
};

struct Task {
    std::string_view name;
    Metrics metrics;
    std::span<const DataFile> files;  // the first that is there counts
    std::span<const Layout> layouts;  // the first whose key a record has
};

std::span<const Task> tasks();
// Error{Usage} with the list of all for a name that is none.
const Task& task_of(std::string_view name);

// Error{Corrupt} naming the place and what was found, if no layout is the record's.
Item item_of(const Task& task, const io::Json& record);

}  // namespace quarot::eval
