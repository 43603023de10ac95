// What the public Model holds: weights on a backend, and the engine that runs them for all
// sessions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "model/weights.h"
#include "quarot/model.h"
#include "runtime/engine.h"
#include "tokenizer/tokenizer.h"

namespace quarot {

struct Model::Impl {
    std::string folder;
    std::optional<Tokenizer> tokenizer;  // empty if the folder has none
    int64_t parameter_count = 0;
    double bits_per_weight = 0.0;
    int n_threads = 1;
    std::unique_ptr<kernels::Backend> backend;
    model::Weights weights;                   // in the backend's memory
    std::unique_ptr<runtime::Engine> engine;  // of all sessions

    // Error{NotFound} if the folder has none.
    const Tokenizer& required_tokenizer() const;
    const tokenizer::Tokenizer& internal_tokenizer() const;
};

}  // namespace quarot
