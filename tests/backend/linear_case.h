// One linear layer of any combination of operand and weight, as the backends are asked for it.
#pragma once

#include "backend/cases.h"
#include "backend/subject.h"

namespace quarot::backend_test {

struct LinearCaseWeights {
    int bits = 16;  // 16: dense
    int64_t group_size = 0;
    bool symmetric = true;
    DType dtype = DType::F32;
    bool all_extreme = false;  // every code the largest, zero points and scales alike
};

struct LinearCase {
    LinearShape shape;
    LinearCaseWeights weights;
    kernels::ActivationFormat activations;  // 16 bits: fp32 rows
    Temper temper = Temper::Normal;
    bool bias = false;
    bool accumulate = false;
};

// Runs cases on the backend and on the reference.
class LinearConformance : public FastBackend {
  protected:
    // Equal where both sides are integers, within a dot product's error elsewhere. False: stop
    // here.
    bool check(const LinearCase& c);

  private:
    uint32_t seed_ = 0;
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LinearConformance);

}  // namespace quarot::backend_test
