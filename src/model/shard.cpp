#include "model/shard.h"

#include <bit>
#include <string_view>

#include "core/error.h"
#include "core/setting.h"
#include "model/role_formats.h"

namespace quarot::model {

namespace {

int64_t share_of(std::string_view what, int64_t whole, const Shard& shard) {
    if (whole % shard.size == 0) return whole / shard.size;
    fail(ErrorCode::Unsupported, "{} {} cannot be shared evenly by {} ranks", whole, what,
         shard.size);
}

// Do the groups of weights and activations divide `width` inputs?
bool groups_fit(const Recipe& recipe, int64_t width) {
    const int64_t of_weights = recipe.weights.group_size;
    const int64_t of_activations = recipe.activations.group_size;
    return (of_weights == 0 || width % of_weights == 0) &&
           (of_activations == 0 || width % of_activations == 0);
}

// Ranks cut head mix and R4 at their own borders.
void check_own_blocks(const RotationSpec& rotation, int64_t tp_max) {
    if (rotation.heads_block == 0 && rotation.ffn_block == 0) return;
    fail(ErrorCode::Usage,
         "head mix and R4 have blocks of {} heads and {} inputs, and those for {} ranks follow "
         "from the ranks; choose one of {}, {} and {}",
         rotation.heads_block, rotation.ffn_block, tp_max, Setting{"rotation.heads_block"},
         Setting{"rotation.ffn_block"}, Setting{"tp_max"});
}

void check_norms_of_heads(const ModelConfig& config, int64_t n_ranks) {
    if (n_ranks == 1 || config.qk_norm != QkNormSpan::Width) return;
    fail(ErrorCode::Unsupported,
         "{} norms q and k over all heads, of which {} ranks have a part each, expected one rank",
         config.architecture, n_ranks);
}

}  // namespace

Cut cut_of(LinearRole role, const ModelConfig& config, const Shard& shard) {
    if (shard.size == 1 || role == LinearRole::Embedding || role == LinearRole::Positions) {
        return Cut::None;
    }
    if (role == LinearRole::LmHead) {
        return config.vocab % shard.size == 0 ? Cut::Rows : Cut::None;
    }
    const bool adds = role == LinearRole::O || role == LinearRole::Down;
    return adds ? Cut::Columns : Cut::Rows;
}

ModelConfig local_config(const ModelConfig& config, const Shard& shard) {
    check_norms_of_heads(config, shard.size);
    ModelConfig local = config;
    local.n_heads = share_of("heads", config.n_heads, shard);
    local.n_kv_heads = share_of("KV heads", config.n_kv_heads, shard);
    local.ffn = share_of("columns of the FFN", config.ffn, shard);
    return local;
}

bool column_blocks_fit(const Recipe& recipe, const ModelConfig& config) {
    const int64_t n = recipe.tp_max;
    if (n == 1) return true;
    if (config.has_mixtures()) return false;
    if (n < 1 || !std::has_single_bit(static_cast<uint64_t>(n))) return false;
    for (const int64_t whole : {config.n_heads, config.n_kv_heads, config.ffn}) {
        if (whole % n != 0) return false;
    }
    if (recipe.rotation.heads_block != config.n_heads / n) return false;
    if (recipe.rotation.ffn_block != config.ffn / n) return false;
    return !recipe.outliers.enabled() &&
           groups_fit(recipe, column_block(recipe, config, LinearRole::O)) &&
           groups_fit(recipe, column_block(recipe, config, LinearRole::Down));
}

Recipe with_column_blocks(Recipe recipe, const ModelConfig& config, int64_t tp_max) {
    recipe.tp_max = tp_max;
    if (tp_max > 1 && config.has_mixtures()) {
        fail(ErrorCode::Unsupported,
             "a model with mixtures of experts runs on one rank in this version, and {} are wanted",
             tp_max);
    }
    if (tp_max > 1) {
        check_norms_of_heads(config, tp_max);
        check_own_blocks(recipe.rotation, tp_max);
        recipe.rotation.heads_block = config.n_heads / tp_max;
        recipe.rotation.ffn_block = config.ffn / tp_max;
    }
    if (column_blocks_fit(recipe, config)) return recipe;
    fail(ErrorCode::Usage,
         "recipe {} cannot be made for {} ranks, expected a power of two that divides {} heads, {} "
         "KV heads and the FFN's width of {}, into shares of the heads and of the FFN that groups "
         "divide, and no columns kept apart",
         recipe.name, tp_max, config.n_heads, config.n_kv_heads, config.ffn);
}

int64_t column_block(const Recipe& recipe, const ModelConfig& config, LinearRole role) {
    if (recipe.tp_max == 1) return 0;
    if (role == LinearRole::O) return recipe.rotation.heads_block * config.head_dim;
    return role == LinearRole::Down ? recipe.rotation.ffn_block : 0;
}

void check_shard(const Recipe& recipe, const ModelConfig& config, const Shard& shard,
                 const std::string& folder) {
    if (shard.size == 1) return;
    if (config.has_mixtures()) {
        fail(ErrorCode::Unsupported,
             "{} has mixtures of experts, which run on one rank in this version, not on {}", folder,
             shard.size);
    }
    const ModelConfig local = local_config(config, shard);
    const bool spans = recipe.tp_max > 1 || recipe.rotation.head_mix || recipe.rotation.ffn ||
                       (recipe.activations.bits < 16 && recipe.activations.group_size == 0);
    if (spans && recipe.tp_max % shard.size != 0) {
        fail(ErrorCode::Unsupported,
             "{} was made for {} rank{}, since rotations and scales before o_proj and down_proj "
             "run over that share of them; quantize it for {} to run it on {}",
             folder, recipe.tp_max, recipe.tp_max == 1 ? "" : "s", shard.size, shard.size);
    }
    if (recipe.outliers.enabled()) {
        fail(ErrorCode::Unsupported, "{} keeps columns apart, which {} ranks cannot share", folder,
             shard.size);
    }
    for (const LinearRole role : {LinearRole::O, LinearRole::Down}) {
        const int64_t width = in_features(role, local);
        if (groups_fit(recipe, width)) continue;
        fail(ErrorCode::Unsupported,
             "{} has groups that do not divide the {} inputs of {} which each of {} ranks has",
             folder, width, name_of(role), shard.size);
    }
}

}  // namespace quarot::model
