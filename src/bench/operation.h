// The operations of a step as a table has them: what each computes, what it moves, how long it
// takes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/sample_step.h"
#include "bench/speed_test.h"
#include "kernels/ops.h"

namespace quarot::bench {

// Of a product.
struct ProductShape {
    int64_t rows = 0;  // tokens
    int64_t out_features = 0;
    int64_t in_features = 0;
    int64_t n_matrices = 1;  // that calls take in turn: one a layer, or one
};

struct OperationCost {
    std::string name;       // "gate, up"
    std::string shape;      // "22016 x 4096": outputs x inputs of products, else the columns
    double computed = 0.0;  // additions and multiplications of products; else 0
    double bytes = 0.0;     // weights, cache and operands, each read or written once as it is kept
    std::optional<ProductShape> product = {};
};

struct Operation {
    OperationCost cost;
    std::function<void(int64_t layer)> enqueue;
};

// Each kind of a layer's operations once, in their order, and the head. They use `step`, which must
// outlive them. Where nothing is done, as with values of 16 bits before o_proj, there is none.
std::vector<Operation> operations_of(SampleStep& step);

// Seconds of one call of `enqueue`, the median of n_samples. It is called for layers 0 to
// n_layers - 1 in turn, so that weights come from memory as in a model. The calls are recorded and
// replayed for a tenth of a second a sample, so that the wait at the end does not count and a chip
// gets as warm as in use. Stops on a signal.
double seconds_of(const std::function<void(int64_t layer)>& enqueue, int64_t n_layers,
                  int64_t n_samples, kernels::Backend& backend, const Clock& clock);

// The same for products of this shape in fp8 by the vendor's library; nothing where the backend or
// the library has none. Error{OutOfMemory}.
std::optional<double> fp8_seconds_of(const ProductShape& shape, int64_t n_samples,
                                     kernels::Backend& backend, const Clock& clock);

// Bytes read and written a second by a copy of `bytes` with the backend's own gather_rows.
double copy_speed(int64_t bytes, int64_t n_samples, kernels::Backend& backend, const Clock& clock);

}  // namespace quarot::bench
