// What the ranks of a tensor-parallel group tell each other.
#pragma once

#include <cstdint>

#include "core/check.h"
#include "tensor/rows.h"

namespace quarot::comm {

// The rows [first, first + count) of a stream of rows that ranks share.
struct RowShare {
    int64_t first = 0;
    int64_t count = 0;
};
inline RowShare row_share(int64_t rows, int rank, int size) {
    const int64_t first = rows * rank / size;
    return {first, rows * (rank + 1) / size - first};
}

// Collective: every rank of the group calls the same operation in the same order, with views into
// its own backend's memory of the same shapes. Only enqueued, as operations of a backend are; where
// a rank fails, the others' calls throw instead of waiting for it.
class Comm {
  public:
    virtual ~Comm() = default;
    virtual int rank() const = 0;
    virtual int size() const = 0;
    // rows = the element-wise fp32 sum over all ranks, by the binary tree ((0 + 1) + (2 + 3)) ...,
    // so that all ranks get the same bits.
    virtual void sum(Rows rows) = 0;
    // whole[r] = part[r] of rank 0, then of rank 1 ...; whole has size() times the columns.
    virtual void gather_columns(Rows part, Rows whole) = 0;
    // Does a step of so many rows share them? Then what follows a sum row by row, such as a norm,
    // is done by each rank for its row_share alone (AddNormArgs::group).
    virtual bool shares_rows(int64_t rows) const = 0;
    // Row i of everybody's rows becomes that of the rank whose row_share it is in.
    virtual void gather_rows(Rows rows) = 0;
    // values[i] = the largest of all ranks' values[i].
    virtual void maximum(float* values, int64_t n) = 0;
    // The bytes of rank 0.
    virtual void broadcast(void* data, int64_t bytes) = 0;
    // This rank takes part no more; said where it fails.
    virtual void leave() = 0;
};

// A group of one, where everything is there already. gather_columns is left out by its caller.
class SingleComm final : public Comm {
  public:
    int rank() const override { return 0; }
    int size() const override { return 1; }
    void sum(Rows) override {}
    void gather_columns(Rows, Rows) override {
        QUAROT_CHECK(false, "a group of one has whole rows");
    }
    bool shares_rows(int64_t) const override { return false; }
    void gather_rows(Rows) override {}
    void maximum(float*, int64_t) override {}
    void broadcast(void*, int64_t) override {}
    void leave() override {}
};

}  // namespace quarot::comm
