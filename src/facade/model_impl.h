// What the public Model holds: weights on a backend, and whose turn it is there.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "model/weights.h"
#include "quarot/model.h"

namespace quarot {

struct Model::Impl {
    std::string folder;
    std::optional<Tokenizer> tokenizer;  // empty if the folder has none
    int64_t parameter_count = 0;
    double bits_per_weight = 0.0;
    int n_threads = 1;
    std::unique_ptr<kernels::Backend> backend;
    model::Weights weights;   // in the backend's memory
    mutable std::mutex turn;  // guards the backend

    // Error{NotFound} if the folder has none.
    const Tokenizer& required_tokenizer() const;
};

}  // namespace quarot
