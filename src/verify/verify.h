// Is a model folder or a GGUF file whole, and still what was written? Every check there is, with
// all that fails.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace quarot::verify {

struct FileState {
    std::string name;
    std::string sha256;                   // empty if it could not be read
    std::optional<std::string> recorded;  // by quarot.json
};

struct Findings {
    std::vector<FileState> files;  // of the model, by name, recorded ones that are gone included
    std::vector<std::string> problems;  // one sentence each; none: all is well
    int64_t n_more_problems = 0;        // that are not listed, beyond limits::kProblems
    std::vector<std::string> notes;     // what could not be checked, and why
};

// Structure of every file, shapes against config.json, finite values, digests of tensors and files
// as quarot.json records them, and whether the tokenizer and the chat template load.
// Error{NotFound} if there is no such model; everything else that is wrong is a problem, a check
// that needs more memory or work than it may have included.
Findings verify_model(const std::string& model);

}  // namespace quarot::verify
