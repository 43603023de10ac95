#include "apps/bench_weights.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "apps/report.h"
#include "apps/running_model.h"
#include "bench/random_weights.h"
#include "core/checked_math.h"
#include "core/error.h"

namespace quarot::apps {

namespace {

void require_memory(const model::ModelConfig& config, const Recipe& recipe,
                    const bench::CacheSize& cache, const kernels::Backend& backend,
                    const std::string& name, int n_ranks) {
    const MemoryNeed need = bench::memory_need(config, recipe, cache, backend);
    const std::optional<int64_t> available = backend.available_to_each(n_ranks);
    const int64_t bytes =
        checked_add(need.weights, need.kv_cache).value_or(std::numeric_limits<int64_t>::max());
    if (!available || bytes <= *available) return;
    const int64_t fitting = bench::fitting_layers(config, recipe, cache, backend, *available);
    fail(ErrorCode::OutOfMemory,
         "{} needs {} of memory, {} of it for the cache, and {} are available; {}", name,
         human_bytes(bytes), human_bytes(need.kv_cache), human_bytes(*available),
         fitting > 0 ? fmt::format("--layers {} fits", fitting)
                     : "not even one layer fits: use a smaller --depth or --batch");
}

std::string shape_note(const std::string& name) {
    return fmt::format("random weights of the shape {}", name);
}

}  // namespace

model::ModelConfig cut_shape(model::ModelConfig config, std::optional<int64_t> n_layers,
                             const std::string& name) {
    if (n_layers && *n_layers > config.n_layers) {
        fail(ErrorCode::Usage, "--layers is {}, but {} has {}", *n_layers, name, config.n_layers);
    }
    config.n_layers = n_layers.value_or(config.n_layers);
    return config;
}

model::Weights make_random_weights(const model::ModelConfig& config, const Recipe& recipe,
                                   const bench::CacheSize& cache, const std::string& name,
                                   kernels::Backend& backend) {
    require_memory(config, recipe, cache, backend, name, 1);
    log_run(backend, recipe, shape_note(name));
    return bench::random_weights(config, recipe, cache.n_positions, name, recipe.rotation.seed,
                                 backend);
}

runtime::ModelGroup make_random_group(const model::ModelConfig& config, const Recipe& recipe,
                                      const bench::CacheSize& cache, const std::string& name,
                                      std::vector<kernels::Rank> group) {
    const model::Shard first = {.rank = 0, .size = static_cast<int>(group.size())};
    require_memory(local_config(config, first), recipe, cache, *group.front().backend, name,
                   first.size);
    log_run(group, recipe, shape_note(name));
    return {std::move(group), [&](const model::Shard& shard, kernels::Backend& backend) {
                return bench::random_weights(config, recipe, cache.n_positions, name,
                                             recipe.rotation.seed, backend, shard);
            }};
}

}  // namespace quarot::apps
