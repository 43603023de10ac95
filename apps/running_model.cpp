// What runs: recipe, backend and threads in one line. And does the model have room for it?
#include "apps/running_model.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "apps/report.h"
#include "core/error.h"
#include "core/log.h"
#include "folder/load_weights.h"
#include "folder/recipe_json.h"
#include "recipe/settings.h"

namespace quarot::apps {

namespace {

// As it would be given on a command line; what has no flag is key=value.
std::string as_flag(const folder::ChangedSetting& change) {
    std::string value = change.value;
    std::erase(value, '"');
    const SettingHelp& help = recipe_setting(change.key).help;
    const std::string_view word = value == "false" ? help.off : help.word;
    if (word.empty()) return change.key + "=" + value;
    return help.value.empty() ? fmt::format("--{}", word) : fmt::format("--{} {}", word, value);
}

// Lets `named` rotate as `recipe` does; the flags that do so, if it did not before.
std::vector<std::string> rotate_like(const Recipe& recipe, Recipe& named) {
    std::vector<std::string> flags;
    const std::string parts = rotation_parts(recipe.rotation);
    if (parts != rotation_parts(named.rotation)) {
        set_rotation(named, parts);
        flags.push_back("--rotate " + parts);
    }
    if (recipe.rotation.residual == ResidualRotation::Aligned &&
        named.rotation.residual != ResidualRotation::Aligned) {
        named.rotation.residual = ResidualRotation::Aligned;
        flags.assign({"--rotate aligned"});
    }
    if (recipe.rotation.residual == ResidualRotation::File) {
        named.rotation.residual = ResidualRotation::File;
        named.rotation.residual_sha256 = recipe.rotation.residual_sha256;
        flags.emplace_back("--r1");
    }
    return flags;
}

// "w4a8kv4", or "w4a8kv4, with --dtype bf16".
std::string name_with_changes(const Recipe& recipe) {
    const std::vector<std::string> names = known_recipes();
    const bool is_named = std::find(names.begin(), names.end(), recipe.name) != names.end();
    if (!is_named && recipe.name != "custom") return recipe.name;
    const std::string base = is_named ? recipe.name : folder::nearest_name(recipe);
    Recipe named = named_recipe(base);
    // Which of both a text has decided.
    if (rounds_without_text(base)) named.weights.method = recipe.weights.method;
    std::vector<std::string> flags = rotate_like(recipe, named);
    for (const folder::ChangedSetting& change : folder::changed_settings(named, recipe)) {
        flags.push_back(as_flag(change));
    }
    return flags.empty() ? base : fmt::format("{}, with {}:", base, joined(flags, ", "));
}

}  // namespace

std::string describe(const Recipe& recipe) {
    const auto zero_point = [](bool symmetric, int bits) {
        return symmetric || bits == 16 ? "" : "a";
    };
    std::string text = fmt::format(
        "{} W{}{}A{}{}K{}V{}", name_with_changes(recipe), recipe.weights.bits,
        zero_point(recipe.weights.symmetric, recipe.weights.bits), recipe.activations.bits,
        zero_point(recipe.activations.symmetric, recipe.activations.bits), recipe.k.bits,
        recipe.v.bits);
    const int64_t w_group = recipe.weights.group_size, a_group = recipe.activations.group_size;
    if (w_group != 0) text += fmt::format(" weight groups {}", w_group);
    if (a_group != 0) text += fmt::format(" activation groups {}", a_group);
    for (const auto& [name, bits] : {std::pair{"attn_in", recipe.site_bits.attn_in},
                                     {"o_in", recipe.site_bits.o_in},
                                     {"mlp_in", recipe.site_bits.mlp_in},
                                     {"down_in", recipe.site_bits.down_in}}) {
        if (bits != 0) text += fmt::format(" {} {}", name, bits);
    }
    if (recipe.activations.scales == kernels::ActivationScales::TwoLevel) text += " two-level";
    if (recipe.activations.first_positions != 0) {
        text += fmt::format(" first {} A{}", recipe.activations.first_positions,
                            recipe.activations.widest_bits());
    }
    if (recipe.down_bits != 0) text += fmt::format(" down {}", recipe.down_bits);
    if (recipe.head_bits != 16) text += fmt::format(" head {}", recipe.head_bits);
    if (recipe.embedding_bits != 16) text += fmt::format(" embedding {}", recipe.embedding_bits);
    if (recipe.smoothing.enabled) text += fmt::format(" smoothed {:.2g}", recipe.smoothing.alpha);
    if (recipe.outliers.enabled()) text += fmt::format(" outliers {}", recipe.outliers.bits);
    return text;
}

io::Json bits_to_json(const Recipe& recipe, double bits_per_weight) {
    return io::Json::Object{{"per_weight", bits_per_weight},
                            {"weights", recipe.weights.bits},
                            {"activations", recipe.activations.bits},
                            {"k", recipe.k.bits},
                            {"v", recipe.v.bits}};
}

io::Json backend_to_json(const kernels::BackendInfo& info) {
    return io::Json::Object{
        {"name", info.name}, {"tier", info.tier}, {"threads", int64_t{info.n_threads}}};
}

std::string describe_threads(int n_threads) {
    return fmt::format("{} thread{}", n_threads, n_threads == 1 ? "" : "s");
}

void log_run(const kernels::Backend& backend, const Recipe& recipe, const std::string& more) {
    const kernels::BackendInfo info = backend.info();
    log_info("backend {}, tier {}, {}, recipe {}{}{}", info.name, info.tier,
             describe_threads(info.n_threads), describe(recipe), more.empty() ? "" : ", ", more);
}

void log_run(const std::vector<kernels::Rank>& group, const Recipe& recipe,
             const std::string& more) {
    std::string all = more;
    if (group.size() > 1) {
        all = fmt::format("{} ranks{}{}", group.size(), more.empty() ? "" : ", ", more);
    }
    log_run(*group.front().backend, recipe, all);
}

runtime::ModelGroup load_group(std::vector<kernels::Rank> group, const folder::SourceModel& source,
                               const SettingChanges& changes, int64_t n_positions) {
    const int n_ranks = static_cast<int>(group.size());
    if (n_ranks > 1) {
        folder::require_memory_for_ranks(source, changes, n_positions, *group.front().backend,
                                         n_ranks);
    }
    return {std::move(group), [&](const model::Shard& shard, kernels::Backend& backend) {
                return folder::load_weights(source, changes, n_positions, backend, shard);
            }};
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

int64_t context_that_fits(const folder::SourceModel& source, std::optional<int64_t> asked,
                          const SettingChanges& changes, const std::vector<kernels::Rank>& group) {
    const int64_t most = source.config().max_positions;
    if (asked) {
        require_positions(source, "--ctx", *asked);
        return *asked;
    }
    const int64_t fitting =
        folder::fitting_positions(source, changes, most, *group.front().backend,
                                  {.rank = 0, .size = static_cast<int>(group.size())});
    if (fitting >= most || fitting == 0) return most;
    log_info("a context of {} tokens of {}, which is what memory has room for", fitting, most);
    return fitting;
}

void require_positions(const folder::SourceModel& source, const std::string& what,
                       int64_t n_positions) {
    if (n_positions <= source.config().max_positions) return;
    fail(ErrorCode::Usage, "{} needs {} positions, but {} has {}", what, n_positions,
         source.folder(), source.config().max_positions);
}

}  // namespace quarot::apps
