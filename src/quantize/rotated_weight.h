// The rows of one weight in the rotated basis: gains folded, rotated in fp64, rounded once to fp32.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "folder/source_model.h"
#include "rotate/rotation.h"

namespace quarot::quantize {

// Of the pieces that a weight is made in; 2 MiB of fp64.
inline constexpr int64_t kBlockElements = int64_t{1} << 18;

// A stored weight and what a rotation is to do with it.
struct WeightSource {
    std::string name;  // of the tensor, for messages
    int64_t rows = 0;
    int64_t cols = 0;
    rotate::Space input = model::Basis::Plain;
    rotate::Space output = model::Basis::Plain;
    std::vector<double> gain;      // [cols], folded; empty: ones
    std::span<const double> rise;  // [rows], multiplies them; empty: ones; the rotation's
    bool centre_inputs = false;    // rows are vectors whose mean is taken out
    bool centre_outputs = false;   // columns are, before `output`
    std::function<Tensor(int64_t first, int64_t n)> read;  // fp32 rows; threads may call it
};

// With the norm's gain that the recipe folds, and means if it folds those. The embedding of a tied
// model that is rotated online takes the signs of R1 alone; both of its readers apply the rest.
WeightSource linear_source(const folder::SourceModel& source, const model::LinearId& id,
                           const Recipe& recipe, const rotate::Rotation& rotation);

// Holds the whole weight in fp64 only if its outputs are mixed; else rows are made when asked for.
class RotatedWeight {
  public:
    // rotation and config must outlive it.
    RotatedWeight(WeightSource source, const rotate::Rotation& rotation,
                  const model::ModelConfig& config, ThreadPool& pool);

    const std::string& name() const { return source_.name; }
    int64_t rows() const { return source_.rows; }
    int64_t cols() const { return source_.cols; }
    // Pieces to work in, all but the last of one size that depends on the shape alone.
    int64_t block_rows() const { return block_rows_; }
    int64_t n_blocks() const;

    // Rows of one block, fp32 [rows of the block, cols]. Threads may call it at the same time.
    // Error{Numeric} naming the place if a value is more than fp32 holds.
    std::vector<float> block(int64_t index) const;

  private:
    std::vector<double> input_rotated(int64_t first, int64_t n) const;
    void rotate_columns(ThreadPool& pool);

    WeightSource source_;
    const rotate::Rotation& rotation_;
    const model::ModelConfig& config_;
    int64_t block_rows_ = 0;
    std::vector<double> whole_;  // [rows, cols], or empty
};

}  // namespace quarot::quantize
