#include "golden/golden_support.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "folder/load_weights.h"
#include "support/checkout.h"

namespace quarot::test {

namespace {

std::string if_exists(const std::string& path) {
    return std::filesystem::exists(path) ? path : "";
}

}  // namespace

std::string model_folder(const std::string& name) {
    if (name == "tiny-novels") return if_exists(in_checkout("models/tiny-novels"));
    if (name == "smollm2-135m") {
        const char* chosen = std::getenv("QUAROT_SMOLLM2");
        const std::string folder = chosen != nullptr ? chosen : in_checkout("build/models/" + name);
        return if_exists(folder + "/config.json").empty() ? "" : folder;
    }
    return if_exists(in_checkout("../shared/models/" + name));
}

std::string reference_folder(const std::string& name) {
    if (name == "tiny-novels") return model_folder(name);
    return if_exists(in_checkout("../shared/models/" + name));
}

std::string shared_data(const std::string& path) {
    return if_exists(in_checkout("../shared/data/" + path));
}

LoadedModel load(const std::string& folder, const LoadOptions& options) {
    LoadedModel loaded;
    loaded.backend = kernels::make_backend(options.device, {.n_threads = options.n_threads});
    const auto source = folder::SourceModel::open(folder);
    const int64_t context = std::min(options.context, source.config().max_positions);
    loaded.weights = std::make_unique<model::Weights>(
        folder::load_weights(source, options.overrides, context, *loaded.backend));
    loaded.engine = std::make_unique<runtime::Engine>(*loaded.weights, *loaded.backend, context,
                                                      options.n_sequences);
    return loaded;
}

std::vector<float> all_logits(LoadedModel& model, const std::vector<int32_t>& ids, int64_t piece) {
    const auto vocab = static_cast<size_t>(model.weights->config.vocab);
    const auto step = static_cast<size_t>(piece == 0 ? runtime::kStepTokens : piece);
    std::vector<float> logits(ids.size() * vocab);
    const runtime::SequenceId sequence = model.engine->add_sequence();
    for (size_t first = 0; first < ids.size(); first += step) {
        const size_t n = std::min(step, ids.size() - first);
        const runtime::Chunk chunk = {
            sequence, {ids.data() + first, n}, runtime::LogitsWanted::All};
        const int64_t rows = model.engine->step({&chunk, 1});
        model.engine->logits(0, rows, {logits.data() + first * vocab, n * vocab});
    }
    model.engine->remove_sequence(sequence);
    return logits;
}

double max_abs_difference(const std::vector<float>& a, const std::vector<float>& b) {
    EXPECT_EQ(a.size(), b.size());
    double worst = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
        worst = std::max(worst, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    }
    return worst;
}

double max_abs(const std::vector<float>& a) {
    return max_abs_difference(a, std::vector<float>(a.size(), 0.0f));
}

std::vector<int32_t> int_list(const io::Json& array) {
    std::vector<int32_t> list;
    for (const auto& value : array.as_array()) list.push_back(static_cast<int32_t>(value.as_int()));
    return list;
}

}  // namespace quarot::test
