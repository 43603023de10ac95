#include "folder/families/mixture_fields.h"

#include <algorithm>

#include "core/error.h"
#include "folder/families/config_fields.h"
#include "folder/limits.h"

namespace quarot::folder {

namespace {

constexpr IntRange kExperts = {1, limits::kExperts};
constexpr IntRange kExpertFfn = {1, limits::kIntermediateSize};

int64_t read_n_experts(const io::Json& config) {
    const io::Json* newer = config.find("num_local_experts");
    const io::Json* older = config.find("num_experts");
    const io::Json& given = newer != nullptr ? *newer : config.at("num_experts");
    const int64_t n = given.as_int(kExperts.min, kExperts.max);
    if (older == nullptr || older->as_int() == n) return n;
    fail(ErrorCode::Corrupt, "{} is {}, and {} is {}, expected one number of experts",
         older->place(), older->as_int(), given.place(), n);
}

}  // namespace

model::Mixture read_mixture(const io::Json& config, std::string_view ffn_key) {
    model::Mixture mixture;
    mixture.n_experts = read_n_experts(config);
    mixture.top_k = required_int(config, "num_experts_per_tok", {1, mixture.n_experts});
    mixture.ffn = required_int(config, ffn_key, kExpertFfn);
    return mixture;
}

void check_expert_count(const io::Json& config, const model::ModelConfig& model) {
    const auto n_mixtures = std::count_if(model.layers.begin(), model.layers.end(),
                                          [](const model::LayerConfig& l) { return l.mixture; });
    const int64_t n = n_mixtures * model.mixture.n_experts;
    if (n <= limits::kExpertsOfAllLayers) return;
    fail(ErrorCode::Corrupt, "{} gives the layers {} experts together, expected at most {}",
         config.place(), n, limits::kExpertsOfAllLayers);
}

}  // namespace quarot::folder
