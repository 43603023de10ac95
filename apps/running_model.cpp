// What runs: recipe, backend and threads in one line. And does the model have room for it?
#include "apps/running_model.h"

#include "core/error.h"
#include "core/log.h"
#include "folder/load_weights.h"

namespace quarot::apps {

std::string describe(const Recipe& recipe) {
    const auto zero_point = [](bool symmetric, int bits) {
        return symmetric || bits == 16 ? "" : "a";
    };
    std::string text = fmt::format(
        "{} W{}{}A{}{}K{}V{}", recipe.name, recipe.weights.bits,
        zero_point(recipe.weights.symmetric, recipe.weights.bits), recipe.activations.bits,
        zero_point(recipe.activations.symmetric, recipe.activations.bits), recipe.k.bits,
        recipe.v.bits);
    const int64_t w_group = recipe.weights.group_size, a_group = recipe.activations.group_size;
    if (w_group != 0) text += fmt::format(" weight groups {}", w_group);
    if (a_group != 0) text += fmt::format(" activation groups {}", a_group);
    if (recipe.down_bits != 0) text += fmt::format(" down {}", recipe.down_bits);
    if (recipe.head_bits != 16) text += fmt::format(" head {}", recipe.head_bits);
    if (recipe.smoothing.enabled) text += fmt::format(" smoothed {:.2g}", recipe.smoothing.alpha);
    if (recipe.outliers.enabled()) text += fmt::format(" outliers {}", recipe.outliers.bits);
    return text;
}

std::string describe_threads(int n_threads) {
    return fmt::format("{} thread{}", n_threads, n_threads == 1 ? "" : "s");
}

Recipe overridden(Recipe recipe, const folder::ActivationOverrides& overrides) {
    recipe.activations.bits = overrides.a_bits.value_or(recipe.activations.bits);
    recipe.activations.clip = overrides.a_clip.value_or(recipe.activations.clip);
    recipe.k.bits = overrides.k_bits.value_or(recipe.k.bits);
    recipe.k.clip = overrides.k_clip.value_or(recipe.k.clip);
    recipe.v.bits = overrides.v_bits.value_or(recipe.v.bits);
    recipe.v.clip = overrides.v_clip.value_or(recipe.v.clip);
    return recipe;
}

void log_run(const kernels::Backend& backend, const Recipe& recipe, const std::string& more) {
    const kernels::BackendInfo info = backend.info();
    log_info("backend {}, tier {}, {}, recipe {}{}{}", info.name, info.tier,
             describe_threads(info.n_threads), describe(recipe), more.empty() ? "" : ", ", more);
}

void require_vocabulary(const folder::SourceModel& source, std::span<const int32_t> ids) {
    const int64_t vocab = source.config().vocab;
    for (const int32_t id : ids) {
        if (id < vocab) continue;
        fail(ErrorCode::Corrupt,
             "{}: tokenizer.json gives the text a token id {}, expected less than {}, the "
             "vocab_size of config.json; do both belong to one model?",
             source.folder(), id, vocab);
    }
}

void require_positions(const folder::SourceModel& source, const std::string& what,
                       int64_t n_positions) {
    if (n_positions <= source.config().max_positions) return;
    fail(ErrorCode::Usage, "{} needs {} positions, but {} has {}", what, n_positions,
         source.folder(), source.config().max_positions);
}

}  // namespace quarot::apps
