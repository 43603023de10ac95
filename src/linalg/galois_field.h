// Which elements of a finite field of odd order are squares, and what is the difference of two?
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace quarot::linalg {

// GF(p^k), p an odd prime. Elements are the numbers 0 .. q-1 read as k digits in base p, lowest
// digit first: the coefficients of a polynomial in x. For k = 1 they are the residues mod p.
class GaloisField {
  public:
    // Empty unless `order` is a power of an odd prime that is at most kMaxOrder.
    static std::optional<GaloisField> make(int64_t order);
    static constexpr int64_t kMaxOrder = 4096;

    int64_t order() const { return order_; }
    int64_t characteristic() const { return characteristic_; }
    bool is_prime_field() const { return order_ == characteristic_; }

    int64_t subtract(int64_t a, int64_t b) const;
    // 0 for the element 0, +1 for the other squares, -1 for the rest.
    int8_t quadratic_character(int64_t a) const { return characters_[a]; }

  private:
    GaloisField(int64_t order, int64_t characteristic);

    int64_t order_;
    int64_t characteristic_;
    std::vector<int8_t> characters_;  // [order]
};

}  // namespace quarot::linalg
