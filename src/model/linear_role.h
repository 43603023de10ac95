// The linears and norms of a decoder by the part they play, and sets of linears.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace quarot::model {

// The embedding's rows are read by token id, and in a tied model they are the head's as well.
enum class LinearRole { Q, K, V, O, Gate, Up, Down, LmHead, Embedding };
inline constexpr size_t kLinearRolesOfLayers = 7;  // all but LmHead and Embedding, the last

constexpr bool is_of_layers(LinearRole role) {
    return static_cast<size_t>(role) < kLinearRolesOfLayers;
}

// Query and Key are norms of each head of q and k, before RoPE.
enum class NormRole { None, Attention, Mlp, Query, Key, Final };
inline constexpr size_t kNormRoles = 6;

class RoleSet {
  public:
    constexpr RoleSet() = default;
    constexpr RoleSet(std::initializer_list<LinearRole> roles) {
        for (const LinearRole role : roles) bits_ |= bit(role);
    }
    constexpr bool contains(LinearRole role) const { return (bits_ & bit(role)) != 0; }
    constexpr RoleSet operator|(RoleSet other) const {
        other.bits_ |= bits_;
        return other;
    }
    bool operator==(const RoleSet&) const = default;

  private:
    static constexpr uint32_t bit(LinearRole role) { return 1u << static_cast<uint32_t>(role); }
    uint32_t bits_ = 0;
};

}  // namespace quarot::model
