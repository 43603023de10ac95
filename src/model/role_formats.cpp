#include "model/role_formats.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>

#include "core/checked_math.h"
#include "core/error.h"
#include "core/setting.h"

namespace quarot::model {

namespace {

// "32, 64, 96" of the multiples of 16 that divide all widths.
std::string common_group_sizes(const std::vector<int64_t>& widths) {
    std::string list;
    const int64_t smallest = *std::min_element(widths.begin(), widths.end());
    for (int64_t size = 16; size <= smallest; size += 16) {
        const bool fits = std::all_of(widths.begin(), widths.end(),
                                      [size](int64_t width) { return width % size == 0; });
        if (fits) list += fmt::format("{}{}", list.empty() ? "" : ", ", size);
    }
    return list.empty() ? "none from 16 on" : list;
}

}  // namespace

bool stays_tied(const Recipe& recipe, const ModelConfig& config) {
    if (!config.tied_embeddings || recipe.embedding_bits != recipe.head_bits) return false;
    if (!recipe.rotation.fold_norms || config.norms_outputs()) return true;
    if (config.norm == NormKind::Layer) return false;
    return recipe.tied_rotation && !recipe.rotation.has_dense_residual();
}

bool rotates_embedding_online(const Recipe& recipe, const ModelConfig& config) {
    return recipe.rotation.residual != ResidualRotation::None && !config.norms_outputs() &&
           stays_tied(recipe, config);
}

bool folds(const Recipe& recipe, const ModelConfig& config, NormRole norm) {
    if (!recipe.rotation.fold_norms || !is_foldable(norm)) return false;
    return norm != NormRole::Final || !(stays_tied(recipe, config) || config.norms_outputs());
}

bool folds_means(const Recipe& recipe, const ModelConfig& config) {
    return recipe.rotation.fold_norms && config.norm == NormKind::Layer;
}

ModelConfig folded_config(ModelConfig config, const Recipe& recipe) {
    if (!folds_means(recipe, config)) return config;
    if (config.norm_bias) {
        for (const RoleRule& rule : kRoleRules) {
            const bool is_absent = rule.role == LinearRole::Gate && !config.gated;
            if (is_absent || rule.role == LinearRole::Router) continue;
            const bool reads = rule_of(rule.role, config).folded_norm != NormRole::None;
            if (reads) config.bias = config.bias | RoleSet{rule.role};
        }
    }
    config.norm = NormKind::Rms;
    config.norm_bias = false;
    return config;
}

int weight_bits(const Recipe& recipe, LinearRole role) {
    if (role == LinearRole::LmHead) return recipe.head_bits;
    if (role == LinearRole::Embedding) return recipe.embedding_bits;
    if (role == LinearRole::Router || role == LinearRole::Positions) return 16;
    if (role == LinearRole::Down && recipe.down_bits != 0) return recipe.down_bits;
    return recipe.weights.bits;
}

WeightFormat weight_format(const Recipe& recipe, LinearRole role) {
    WeightFormat format = recipe.weights;
    format.bits = weight_bits(recipe, role);
    if (!is_of_layers(role) && recipe.head_group_size != 0) {
        format.group_size = recipe.head_group_size;
    }
    return format;
}

int& own_bits(SiteBits& bits, InputSite site) {
    switch (site) {
        case InputSite::Attention:
            return bits.attn_in;
        case InputSite::Output:
            return bits.o_in;
        case InputSite::Mlp:
            return bits.mlp_in;
        case InputSite::Down:
            break;
    }
    return bits.down_in;
}

kernels::ActivationFormat activation_format(const Recipe& recipe, LinearRole role) {
    if (!is_of_layers(role) || role == LinearRole::Router) return {};
    kernels::ActivationFormat format = recipe.activations;
    if (format.bits == 16) return format;
    if (role == LinearRole::Down && recipe.down_bits != 0) format.bits = recipe.down_bits;
    SiteBits own = recipe.site_bits;
    if (const int bits = own_bits(own, site_of(role)); bits != 0) format.bits = bits;
    return format;
}

bool holds_clip(const Recipe& recipe, LinearRole role) {
    return recipe.clip_search && is_of_layers(role) && role != LinearRole::Router &&
           weight_bits(recipe, role) < 16 && role == rule_of(site_of(role)).roles.front();
}

void check_clip_search(const Recipe& recipe, const ModelConfig& config) {
    if (!recipe.clip_search) return;
    const char* const what = config.has_mixtures()       ? "of a mixture of experts"
                             : !config.gated             ? "of a model without gates"
                             : recipe.outliers.enabled() ? "beside columns kept apart"
                             : recipe.weights.bits == 16 ? "of weights that are not quantized"
                                                         : nullptr;
    if (what == nullptr) return;
    fail(ErrorCode::Unsupported, "{} searches no clip ratios {} in this version",
         Setting{"activations.clip_search"}, what);
}

bool has_column_order(const Recipe& recipe, LinearRole role) {
    return recipe.outliers.enabled() && is_of_layers(role) && weight_bits(recipe, role) < 16;
}

int64_t n_outliers(const Recipe& recipe, LinearRole role, const ModelConfig& config) {
    if (!has_column_order(recipe, role)) return 0;
    const int64_t n = in_features(role, config);
    const int64_t base = recipe.outliers.by_hidden ? std::min(n, config.hidden) : n;
    const auto wanted =
        n / base *
        static_cast<int64_t>(std::ceil(recipe.outliers.share * static_cast<double>(base)));
    const int64_t unit = std::lcm(std::max<int64_t>(recipe.weights.group_size, 1),
                                  std::max<int64_t>(recipe.activations.group_size, 1));
    return wanted + (n - wanted) % unit;
}

kernels::CodesForm codes_form(const Recipe& recipe, LinearRole role, int64_t rows, int64_t cols) {
    const WeightFormat format = weight_format(recipe, role);
    return {.rows = rows,
            .cols = cols,
            .bits = format.bits,
            .group_size = format.group_size,
            .symmetric = format.symmetric,
            .activation_group = activation_format(recipe, role).corrected_group()};
}

void check_mixtures(const Recipe& recipe, const ModelConfig& config) {
    if (!config.has_mixtures()) return;
    const char* const what = recipe.outliers.enabled()  ? "keeps columns apart"
                             : recipe.smoothing.enabled ? "smooths activations"
                             : recipe.tp_max > 1        ? "is made for several ranks"
                             : recipe.weights.target == WeightTarget::Refit ? "refits weights"
                                                                            : nullptr;
    if (what == nullptr) return;
    fail(ErrorCode::Unsupported,
         "recipe {} {}, which models with mixtures of experts do not have in this version",
         recipe.name, what);
}

void check_groups(const Recipe& recipe, const ModelConfig& config) {
    const std::vector<LinearId> linears = linears_of(config);
    std::vector<int64_t> widths;
    widths.reserve(linears.size());
    for (const LinearId& id : linears) widths.push_back(in_features(id, config));
    const auto check = [&](Setting setting, int64_t size) {
        if (size == 0) return;
        for (size_t i = 0; i < widths.size(); ++i) {
            if (widths[i] % size == 0) continue;
            fail(ErrorCode::Usage,
                 "{} is {}, which does not divide the {} inputs of {}; sizes that divide all "
                 "inputs: {}",
                 setting, size, widths[i], name_of(linears[i].role), common_group_sizes(widths));
        }
    };
    check(Setting{"weights.group_size"}, recipe.weights.group_size);
    check(Setting{"activations.group_size"}, recipe.activations.group_size);
    if (const int64_t size = recipe.head_group_size; size != 0 && config.hidden % size != 0) {
        fail(ErrorCode::Usage, "{} is {}, which does not divide the {} columns of the embedding",
             Setting{"head_group_size"}, size, config.hidden);
    }
    for (const LinearId& id : linears) {
        const int64_t n = in_features(id, config);
        if (n_outliers(recipe, id.role, config) < n) continue;
        fail(ErrorCode::Usage,
             "recipe {} would keep all {} inputs of {} apart, since groups of {} leave no fewer; "
             "choose smaller groups",
             recipe.name, n, name_of(id.role), recipe.weights.group_size);
    }
}

}  // namespace quarot::model
