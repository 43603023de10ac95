// Every tensor is read once, checked and handed over.
#include "folder/load_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "core/host_memory.h"
#include "core/log.h"
#include "core/process.h"
#include "core/progress.h"
#include "core/setting.h"
#include "folder/memory_need.h"
#include "folder/stored_names.h"
#include "model/head_rows.h"
#include "model/role_formats.h"
#include "model/rope.h"
#include "model/shard.h"
#include "tensor/slice.h"

namespace quarot::folder {

namespace {

using kernels::Backend;

Recipe as_it_runs(const SourceModel& source, const SettingChanges& changes) {
    for (const auto& [key, value] : changes)
        QUAROT_CHECK(recipe_setting(key).at_run_time, "{}", key);
    const Recipe recipe = with_changes(source.recipe(), changes);
    if (recipe.clip_search && !source.recipe().clip_search) {
        fail(ErrorCode::Usage, "{} was made without clip ratios by layer, which {} asks for",
             source.folder(), Setting{"activations.clip_search"});
    }
    if (!changes.empty()) check_recipe(recipe);
    return recipe;
}

// Memory is left for what others take meanwhile.
bool fits(const MemoryNeed& need, int64_t available) {
    const auto bytes = checked_add(need.weights, need.kv_cache);
    return bytes && *bytes <= available - available / 8;
}

kernels::LinearWeights rows_of(const kernels::LinearWeights& whole, int64_t first, int64_t count) {
    kernels::LinearWeights part = {.batch_invariant = whole.batch_invariant};
    if (const auto* codes = std::get_if<QuantizedMatrix>(&whole.matrix)) {
        part.matrix = quarot::rows_of(*codes, first, count);
    } else {
        part.matrix = std::make_shared<const Tensor>(
            quarot::rows_of(*std::get<0>(whole.matrix), first, count));
    }
    if (!whole.bias.empty()) {
        part.bias.assign(whole.bias.begin() + first, whole.bias.begin() + first + count);
    }
    return part;
}

// Without the bias, which is added once and not by every block.
kernels::LinearWeights columns_of(const kernels::LinearWeights& whole, int64_t first,
                                  int64_t count) {
    kernels::LinearWeights part = {.batch_invariant = whole.batch_invariant};
    if (const auto* codes = std::get_if<QuantizedMatrix>(&whole.matrix)) {
        part.matrix = quarot::columns_of(*codes, first, count);
    } else {
        part.matrix = std::make_shared<const Tensor>(
            quarot::columns_of(*std::get<0>(whole.matrix), first, count));
    }
    return part;
}

// Such sessions turn otherwise than shorter ones from the first token on.
void tell_long_rope(const model::ModelConfig& config, int64_t n_positions,
                    const std::string& folder) {
    for (const model::RopeConfig& rope : config.ropes) {
        if (!depends_on_length(rope) || n_positions <= rope.original_max_positions) continue;
        log_info(
            "{}: a context of {} tokens has the RoPE of long contexts, one of at most {} that of "
            "short ones; {} chooses",
            folder, n_positions, rope.original_max_positions, Setting{"context"});
        return;
    }
}

class Loader {
  public:
    // `tells`: of its progress.
    Loader(const SourceModel& source, const Recipe& recipe, Backend& backend, bool tells)
        : source_(source), recipe_(recipe), backend_(backend) {
        if (tells) progress_.emplace("loading", std::ssize(linears_of(source.config())) + 2);
    }

    void load_embedding_and_head(model::Weights& weights) {
        constexpr model::LinearId kHead = {model::LinearRole::LmHead};
        const model::ModelConfig& config = source_.config();
        const model::Shard& shard = weights.shard;
        kernels::LinearWeights embedding = read_linear({model::LinearRole::Embedding});
        if (config.learned_positions > 0) {
            weights.positions =
                backend_.prepare_embedding(read_linear({model::LinearRole::Positions}).matrix);
        }
        step();
        if (!config.tied_embeddings) {
            weights.embedding = backend_.prepare_embedding(std::move(embedding.matrix));
            weights.lm_head =
                backend_.prepare_linear(rows_of_rank(kHead.role, read_linear(kHead), shard));
        } else if (cut_of(kHead.role, config, shard) == model::Cut::None) {
            kernels::TiedMatrix tied = backend_.prepare_tied(std::move(embedding));
            weights.embedding = std::move(tied.embedding);
            weights.lm_head = std::move(tied.linear);
        } else {
            const int64_t n = config.vocab / shard.size;
            weights.lm_head = backend_.prepare_linear(rows_of(embedding, shard.rank * n, n));
            weights.embedding = backend_.prepare_embedding(std::move(embedding.matrix));
        }
        step();
    }

    void load_layer(int64_t layer, model::Weights& weights) {
        model::LayerWeights& loaded = weights.layers.emplace_back();
        for (const model::NormRole role : norms_of(weights.config, layer)) {
            loaded.norms[static_cast<size_t>(role)] = load_norm(role, layer);
        }
        for (const model::LinearId& id : linears_of(weights.config, layer)) {
            load_linear(id, weights);
            if (auto outliers = source_.outliers(id)) {
                order_head_rows(id.role, weights.config, *outliers);
                loaded.outliers[static_cast<size_t>(id.role)] =
                    backend_.prepare_linear(std::move(*outliers));
            }
            step();
        }
        for (const model::SiteRule& site : sites_of(weights.config, layer)) {
            if (holds_clip(recipe_, site.roles.front())) {
                loaded.clips[static_cast<size_t>(site.site)] =
                    source_.input_clip(site.first(layer));
            }
            if (!has_column_order(recipe_, site.roles.front())) continue;
            loaded.splits[static_cast<size_t>(site.site)] = load_split(site, layer);
        }
    }

    model::NormWeights load_norm(model::NormRole role, int64_t layer) {
        std::vector<float> gain = source_.norm_gain(role, layer), bias;
        order_head_gain(role, source_.config(), gain);
        if (has_bias(role, source_.config())) bias = source_.norm_bias(role, layer);
        return model::upload_norm(gain, bias, backend_);
    }

  private:
    kernels::LinearWeights read_linear(const model::LinearId& id) {
        kernels::LinearWeights weights;
        if (source_.is_dense(id)) {
            weights.matrix = std::make_shared<const Tensor>(source_.dense(id));
        } else {
            weights.matrix = source_.quantized(id);
        }
        weights.bias = source_.bias(id);
        weights.batch_invariant = source_.is_quantized();
        return weights;
    }

    void load_linear(const model::LinearId& id, model::Weights& weights) {
        kernels::LinearWeights whole = read_linear(id);
        const int64_t n_local = in_features(id, weights.config);
        const int64_t block = column_block(recipe_, weights.config, id.role);
        const bool is_cut = cut_of(id.role, source_.config(), weights.shard) == model::Cut::Columns;
        if (!is_cut && (block == 0 || block == n_local)) {
            return weights.set_linear(id, rows_of_rank(id.role, std::move(whole), weights.shard),
                                      backend_);
        }
        const int64_t width = block == 0 ? n_local : block;
        const int64_t rank = weights.shard.rank;
        for (int64_t first = 0; first < n_local; first += width) {
            kernels::LinearWeights part = columns_of(whole, rank * n_local + first, width);
            if (rank == 0 && first == 0) part.bias = std::move(whole.bias);
            first == 0 ? weights.set_linear(id, std::move(part), backend_)
                       : weights.add_block(id, std::move(part), backend_);
        }
    }

    // The rank's rows of a linear, or all of it where it has no part of its own.
    kernels::LinearWeights rows_of_rank(model::LinearRole role, kernels::LinearWeights whole,
                                        const model::Shard& shard) const {
        if (cut_of(role, source_.config(), shard) != model::Cut::Rows) return whole;
        const int64_t n = out_features(role, source_.config()) / shard.size;
        return rows_of(whole, shard.rank * n, n);
    }

    // All linears of a site must agree on it, since they share what is gathered.
    model::ColumnSplit load_split(const model::SiteRule& site, int64_t layer) {
        const model::LinearId first = {site.roles.front(), layer};
        const std::vector<int32_t> order = source_.column_order(first);
        for (const model::LinearRole role : site.roles) {
            const model::LinearId id = {role, layer};
            if (source_.column_order(id) == order) continue;
            fail(ErrorCode::Corrupt,
                 "{}: tensors {}.column_order and {}.column_order differ, expected one order of {}",
                 source_.folder(), linear_name(first), linear_name(id), site.name);
        }
        return model::upload_split(order, n_outliers(recipe_, first.role, source_.config()),
                                   backend_);
    }

    void step() {
        if (progress_) progress_->advance();
        throw_if_interrupted();
    }

    const SourceModel& source_;
    const Recipe& recipe_;
    Backend& backend_;
    std::optional<Progress> progress_;
};

}  // namespace

model::Weights load_weights(const SourceModel& source, const SettingChanges& changes,
                            int64_t n_positions, Backend& backend, const model::Shard& shard) {
    const model::ModelConfig& config = source.config();
    if (n_positions < 1 || n_positions > config.max_positions) {
        fail(ErrorCode::Usage, "a context of {} tokens is wanted, and {} is made for 1 to {}",
             n_positions, source.folder(), config.max_positions);
    }
    const Recipe recipe = as_it_runs(source, changes);
    check_shard(recipe, config, shard, source.folder());
    tell_long_rope(config, n_positions, source.folder());
    if (config.has_mixtures() && !backend.traits().mixtures) {
        fail(ErrorCode::Unsupported,
             "{} has mixtures of experts, which the {} backend does not run; use cpu or reference",
             source.folder(), backend.info().name);
    }
    // Before the first allocation whose size the files or a flag decide.
    require_host_bytes(memory_need(source, recipe, n_positions, shard, backend),
                       backend.available_bytes(), source.folder());
    model::Weights weights = model::weights_frame(local_config(config, shard), recipe,
                                                  source.folder(), n_positions, backend);
    weights.shard = shard;
    const bool tells = shard.rank == 0;  // for all ranks
    if (tells && source.is_quantized() && !source.has_digests()) {
        log_warning(
            "{} has no quarot.json, so its tensors cannot be compared with what was written",
            source.folder());
    }

    Loader loader(source, weights.recipe, backend, tells);
    loader.load_embedding_and_head(weights);
    for (int64_t layer = 0; layer < config.n_layers; ++layer) loader.load_layer(layer, weights);
    weights.final_norm = loader.load_norm(model::NormRole::Final, 0);
    return weights;
}

void require_memory_for_ranks(const SourceModel& source, const SettingChanges& changes,
                              int64_t n_positions, const Backend& backend, int n_ranks) {
    const Recipe recipe = as_it_runs(source, changes);
    const model::Shard shard = {.rank = 0, .size = n_ranks};
    check_shard(recipe, source.config(), shard, source.folder());
    const MemoryNeed need = memory_need(source, recipe, n_positions, shard, backend);
    require_host_bytes(need, backend.available_to_each(n_ranks),
                       fmt::format("each of {} ranks of {}", n_ranks, source.folder()));
}

int64_t fitting_positions(const SourceModel& source, const SettingChanges& changes, int64_t wanted,
                          const Backend& backend, const model::Shard& shard) {
    const std::optional<int64_t> available = backend.available_to_each(shard.size);
    if (!available) return wanted;
    const Recipe recipe = as_it_runs(source, changes);
    const auto fit = [&](int64_t n_positions) {
        return fits(memory_need(source, recipe, n_positions, shard, backend), *available);
    };
    if (fit(wanted)) return wanted;
    model::Weights frame;
    frame.config = source.config();
    frame.recipe = recipe;
    const int64_t page = frame.kv_descriptor().page_tokens;
    int64_t fitting = 0, too_many = ceil_div(wanted, page);  // pages
    while (too_many - fitting > 1) {
        const int64_t middle = (fitting + too_many) / 2;
        (fit(middle * page) ? fitting : too_many) = middle;
    }
    return fitting * page;
}

}  // namespace quarot::folder
