// Loops unrolled by the front end, so that arrays of accumulators become registers.
//
// A pragma unrolls after the compiler has decided what stays in memory: with it, GCC 12 writes all
// 28 accumulators of the integer tile back in every step.
#pragma once

#define QUAROT_INLINE __attribute__((always_inline))

namespace quarot::kernels::cpu {

template <int I>
struct Index {
    constexpr operator int() const { return I; }
};

// body(Index<0>), body(Index<1>), ... body(Index<N - 1>)
template <int N, class Body>
QUAROT_INLINE static inline void unroll(const Body& body) {
    if constexpr (N > 0) {
        unroll<N - 1>(body);
        body(Index<N - 1>{});
    }
}

}  // namespace quarot::kernels::cpu
