// The linears and norms of a decoder by the part they play, and sets of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace quarot::model {

// The embedding's rows are read by token id, and in a tied model they are the head's as well; those
// of Positions by position. Router: a mixture's, which gives a logit for each expert.
enum class LinearRole { Q, K, V, O, Gate, Up, Down, Router, LmHead, Embedding, Positions };
inline constexpr size_t kLinearRolesOfLayers = 8;  // all but LmHead and what follows

constexpr bool is_of_layers(LinearRole role) {
    return static_cast<size_t>(role) < kLinearRolesOfLayers;
}

// In: what attention or the MLP reads of the residual stream. Out: what it gives, before that is
// added to the stream. Query and Key: q and k, before RoPE.
enum class NormRole { None, AttentionIn, AttentionOut, MlpIn, MlpOut, Query, Key, Final };
inline constexpr size_t kNormRoles = 8;

template <typename Role>
class SetOf {
  public:
    constexpr SetOf() = default;
    constexpr SetOf(std::initializer_list<Role> roles) {
        for (const Role role : roles) bits_ |= bit(role);
    }
    constexpr bool contains(Role role) const { return (bits_ & bit(role)) != 0; }
    constexpr SetOf operator|(SetOf other) const {
        other.bits_ |= bits_;
        return other;
    }
    bool operator==(const SetOf&) const = default;

  private:
    static constexpr uint32_t bit(Role role) { return 1u << static_cast<uint32_t>(role); }
    uint32_t bits_ = 0;
};
using RoleSet = SetOf<LinearRole>;
using NormSet = SetOf<NormRole>;

}  // namespace quarot::model
