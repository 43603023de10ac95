// Sums across the ranks of a tensor-parallel group.
#pragma once

#include "kernels/ops.h"

namespace quarot::comm {

class Comm {
  public:
    virtual ~Comm() = default;
    virtual int rank() const = 0;
    virtual int size() const = 0;
    // Element-wise sum over all ranks, in place, in a fixed order.
    virtual void all_reduce(kernels::Rows rows) = 0;
};

// A group of one: every sum is there already.
class SingleComm final : public Comm {
  public:
    int rank() const override { return 0; }
    int size() const override { return 1; }
    void all_reduce(kernels::Rows) override {}
};

}  // namespace quarot::comm
