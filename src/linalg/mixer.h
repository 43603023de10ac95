// The orthogonal transform used wherever a width is rotated: small dense factor (x) Sylvester.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace quarot::linalg {

enum class MixerKind { Identity, Hadamard, Hartley };

// "identity", "hadamard", "hartley": as quarot.json and inspect spell it.
const char* name_of(MixerKind kind);

// T = (D (x) S_{2^m}) / sqrt(n) of order n = dense_order * 2^m, acting on column vectors:
// y[k * 2^m + j] = sum_{k', j'} D[k][k'] S[j][j'] x[k' * 2^m + j'] / sqrt(n).
// D is a Hadamard sign matrix (or the Hartley matrix cas(2 pi j k / q)), S natural-order Sylvester:
// S[j][j'] = (-1)^popcount(j & j').
// D D^T = dense_order I, so T is orthogonal. T^T uses D^T: not every D is symmetric.
// Identity: T = I_n whatever n is; dense_order is 1 and not to be read.
struct Mixer {
    MixerKind kind = MixerKind::Identity;
    int64_t n = 1;
    int64_t dense_order = 1;    // K, or q for Hartley; 1: pure Sylvester
    std::vector<double> dense;  // [dense_order, dense_order]; entries +-1 or cas(...)
    int64_t sylvester_order() const { return n / dense_order; }
    // "Hadamard 172 x 2^6", "Hadamard 2^12", "Hartley 107 x 2^7", "identity"
    std::string describe() const;
};

// The decomposition of docs/quarot.md: the original's K where its table gives one, else the
// cheapest constructible K; Hartley (odd part of n) x Sylvester where no Hadamard matrix is known.
// A dense factor never exceeds kMaxHadamardOrder: where the odd part of n does, and for n = 1, the
// result is the identity, which describe() says. n >= 1.
Mixer make_mixer(int64_t n);
// As make_mixer, but the identity instead of a Hartley fallback (head mix).
Mixer make_hadamard_or_identity(int64_t n);
Mixer identity_mixer(int64_t n);
// T^T, which is T^-1.
Mixer transposed(const Mixer& mixer);

// y = T x or, with transpose, y = T^T x, in place, fp64; x.size() == n. Calls on different spans
// may run at the same time. The result is the same, bit for bit, through either function.
void apply(const Mixer& mixer, std::span<double> x, bool transpose = false);
// For every inner index c in [0, inner): transforms the vector x[i * inner + c], i in [0, n):
// T (x) I_inner on x.size() == n * inner.
void apply_strided(const Mixer& mixer, std::span<double> x, int64_t inner, bool transpose = false);

}  // namespace quarot::linalg
