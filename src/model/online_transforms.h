// The transforms that stay in the forward pass, and the mixers that rotation folds against them.
#pragma once

#include <optional>

#include "linalg/mixer.h"
#include "model/config.h"
#include "recipe/recipe.h"

namespace quarot::model {

// Absent: the identity. One place decides them, so that what is folded offline (rotate) and what is
// applied online (forward) cannot differ.
struct OnlineTransforms {
    std::optional<linalg::Mixer> residual;    // R1 at inputs, where norms of outputs keep it out
    std::optional<linalg::Mixer> query_key;   // R3, order head_dim
    std::optional<linalg::Mixer> head_mix;    // order n_heads (or the block), inner head_dim
    std::optional<linalg::Mixer> ffn;         // R4, order ffn (or the block), or expert_ffn's
    std::optional<linalg::Mixer> expert_ffn;  // R4 of a mixture's experts, of their width
};

// R1 without its signs, in blocks of this order; of the rotation, or online in a tied model.
linalg::Mixer residual_mixer(const RotationSpec& spec, const ModelConfig& config);

OnlineTransforms make_online_transforms(const RotationSpec& spec, const ModelConfig& config);

}  // namespace quarot::model
