// The angles of all positions in backend memory, made as far as batches have come.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops.h"
#include "model/config.h"

namespace quarot::model {

// Positions are made from 0 on, some more than are asked for. Used by one thread at a time.
class RopeTables {
  public:
    // Room for n_positions, which costs no memory where the backend's is made when it is touched.
    // They decide the frequencies of types that depend on length.
    RopeTables(const RopeConfig& rope, int64_t head_dim, int64_t n_positions,
               kernels::Backend& backend);

    // Makes positions [0, n), n at most n_positions, of which some may be there.
    void reach(int64_t n, kernels::Backend& backend);
    int64_t n_made() const { return n_made_; }
    // Of n_positions, at addresses that do not change.
    kernels::RopeTable view() const;

  private:
    std::vector<double> frequencies_;
    double amplitude_;
    int64_t n_positions_;
    int64_t n_made_ = 0;
    kernels::Buffer cos_, sin_;  // [n_positions, head_dim / 2] fp32
};

}  // namespace quarot::model
