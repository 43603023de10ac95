// The rotation of one model: basis changes of fp64 weights, driven by the roles table.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "model/config.h"
#include "model/online_transforms.h"
#include "model/roles.h"
#include "recipe/recipe.h"

namespace quarot::rotate {

// The basis changes T of every space (model/roles.h). R1: column vectors x' = T x with
// T = Q^T = H diag(s) / sqrt(d) (docs/quarot.md); the row convention h' = h Q is the same.
struct Rotation {
    ResidualRotation residual_kind = ResidualRotation::None;
    int64_t residual_order = 0;             // hidden or the block
    std::vector<double> signs;              // [hidden]; Hadamard only, none where R1 is online
    std::optional<linalg::Mixer> residual;  // Hadamard only
    std::vector<double> residual_dense;     // others: Q^T, [residual_order, residual_order]
    std::optional<linalg::Mixer> head_dim;  // R2: applied to each head of V; none where aligned
    bool aligned_values = false;            // R2 is a matrix of its own for each KV head
    // By layer: T of each KV head, [n_kv_heads, head_dim, head_dim].
    std::vector<std::vector<double>> value_heads;
    bool balances_up = false;  // rows of up are scaled, columns of down divided by that
    std::vector<std::vector<double>> up_scales;  // by layer: [ffn]
    model::OnlineTransforms online;              // what the forward pass applies
};

// Error{Usage} if a block size does not divide its width, or if R1 is asked for without folding the
// norm gains (a rotated residual stream has no basis in which gains could be applied), or if R1 is
// from a file and `residual`, its Q [hidden, hidden], is not of that size. Error{Unsupported} if R1
// is a whole matrix and the model norms what its linears give (model/roles.h), or if up is to be
// balanced in one whose FFN is not the product of up and a gate. What a text has to say is not
// there yet: such a rotation can be planned with, and nothing else.
Rotation make_rotation(const RotationSpec& spec, const model::ModelConfig& config,
                       std::vector<double> residual = {});

// Gives an aligned R1 its Q, [hidden, hidden].
void set_residual(Rotation& rotation, std::vector<double> q);
// Gives the next layer its aligned R2: Q of each KV head, [head_dim, head_dim].
void add_value_heads(Rotation& rotation, std::vector<std::vector<double>> q);

// A basis in one layer; only an aligned R2 differs from layer to layer.
struct Space {
    constexpr Space(model::Basis of, int64_t in_layer = 0) : basis(of), layer(in_layer) {}

    model::Basis basis;
    int64_t layer;
};

// Rows that a piece of a weight should hold a multiple of.
inline constexpr int64_t kRotationRows = 64;

// w <- w diag(gain) T_in^T for n_rows rows of a weight [n_rows, in], fp64, in place. gain empty:
// ones. Rows are independent, so big matrices may be done in pieces; pieces that start at multiples
// of kRotationRows give the same bits as the whole.
void rotate_input(const Rotation& rotation, Space space, const model::ModelConfig& config,
                  std::span<const double> gain, std::span<double> w, int64_t n_rows);

// w <- T_out w for a whole weight [out, n_cols], fp64, in place. A bias is the case n_cols = 1.
// Columns are independent; with a dense R1 the last bits may depend on n_cols.
void rotate_output(const Rotation& rotation, Space space, const model::ModelConfig& config,
                   std::span<double> w, int64_t n_cols);

// Subtracts from every row of w [n_rows, cols] its mean, which LayerNorm would: for rows that are
// vectors of the residual stream (the embedding's).
void centre_rows(std::span<double> w, int64_t n_rows);
// The same for outputs that go there, before rotate_output: w [out, n_cols].
void centre_columns(std::span<double> w, int64_t n_cols);

// True if the basis change is not the identity.
bool changes(const Rotation& rotation, model::Basis basis);

}  // namespace quarot::rotate
