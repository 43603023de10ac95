// How results reach stdout: one JSON document, or text and tables for people.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"

namespace quarot::apps {

// {"schema": "quarot.<command>/1", "version": ...}, to be filled.
io::Json json_document(const std::string& command);

// The reader of stdout has gone: nothing is wrong, and nobody is left to tell.
struct ClosedPipe {};

// A signal ended the work early, and the result that there is has been told.
struct Interrupted {
    int exit_code;
};

// Writes all of it and flushes; ClosedPipe if nobody reads it, Error{Io} if stdout does not take
// it.
void print_result(const std::string& text);
void print_document(const io::Json& document);

// Columns as wide as their widest cell; the first is left-aligned, the others right-aligned. Lines
// end with a newline.
std::string format_table(const std::vector<std::vector<std::string>>& rows);
// "name     value" lines, both left-aligned.
std::string format_pairs(const std::vector<std::pair<std::string, std::string>>& pairs);

std::string joined(const std::vector<std::string>& words, const std::string& separator);
std::string human_bytes(int64_t bytes);  // "16.8 MB", units of 1000
std::string human_count(int64_t count);  // "8.4 M"

}  // namespace quarot::apps
