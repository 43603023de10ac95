// Items of a task, read from the files of its data set.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eval/task.h"

namespace quarot::eval {

struct TaskData {
    const Task* task = nullptr;
    std::string file;  // that they were read from
    std::vector<Item> items;
};

// The first `limit` items (0: all) of a task whose file is somewhere below `folder`.
// Error{NotFound} with the names that were looked for, Error{Corrupt} with file and line.
TaskData read_task(const Task& task, const std::string& folder, int64_t limit);

// The first `limit` values (0: all) of a file with a JSON object a line; their places name file and
// line. Empty lines are passed over.
std::vector<io::Json> read_json_lines(const std::string& path, int64_t limit = 0);
// The same of a text that came from `source`.
std::vector<io::Json> parse_json_lines(std::string_view text, const std::string& source,
                                       int64_t limit = 0);

}  // namespace quarot::eval
