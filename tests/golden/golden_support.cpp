#include "golden/golden_support.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "folder/load_weights.h"
#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "support/checkout.h"

namespace quarot::test {

namespace {

std::string if_exists(const std::string& path) {
    return std::filesystem::exists(path) ? path : "";
}

}  // namespace

std::string model_folder(const std::string& name) {
    if (name == "tiny-novels") return if_exists(in_checkout("models/tiny-novels"));
    if (name == "smollm2-135m" || name == "qwen2.5-coder-0.5b") {
        const char* chosen = name == "smollm2-135m" ? std::getenv("QUAROT_SMOLLM2") : nullptr;
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

std::vector<std::string> fast_devices() {
    if (kernels::gpus().empty()) return {"cpu"};
    return {"cpu", "cuda"};
}

LoadedModel load_on(kernels::Backend& backend, const std::string& folder,
                    const LoadOptions& options) {
    LoadedModel loaded;
    const auto source = folder::SourceModel::open(folder);
    const int64_t context = std::min(options.context, source.config().max_positions);
    loaded.weights = std::make_unique<model::Weights>(
        folder::load_weights(source, options.changes, context, backend));
    loaded.engine = std::make_unique<runtime::Engine>(
        *loaded.weights, backend,
        runtime::EngineLimits{.context = context, .sequences = options.n_sequences});
    return loaded;
}

LoadedModel load(const std::string& folder, const LoadOptions& options) {
    auto backend = kernels::make_backend(
        options.device, {.n_threads = options.n_threads, .isa = "", .work = options.work});
    LoadedModel loaded = load_on(*backend, folder, options);
    loaded.backend = std::move(backend);
    return loaded;
}

std::vector<float> all_logits(LoadedModel& model, const std::vector<int32_t>& ids, int64_t piece) {
    const auto vocab = static_cast<size_t>(model.weights->config.vocab);
    const size_t step = piece == 0 ? ids.size() : std::min(ids.size(), static_cast<size_t>(piece));
    std::vector<float> logits(ids.size() * vocab);
    runtime::ScopedRequest request(*model.engine, all_of(std::span(ids).first(step), ids.size()),
                                   copy_rows(logits, vocab));
    request.wait();
    for (size_t first = step; first < ids.size(); first += step) {
        request.give(std::span(ids).subspan(first, std::min(step, ids.size() - first)));
        request.wait();
    }
    return logits;
}

runtime::Request all_of(std::span<const int32_t> ids, size_t max_tokens) {
    return {.tokens = {ids.begin(), ids.end()},
            .max_tokens = static_cast<int64_t>(max_tokens),
            .logits = runtime::LogitsWanted::All,
            .shares_prefix = false};
}

runtime::Look copy_rows(std::vector<float>& logits, size_t vocab) {
    return [&logits, vocab](const runtime::StepRows& rows) {
        const auto first = static_cast<size_t>(rows.first_position()) * vocab;
        const auto n = static_cast<size_t>(rows.size()) * vocab;
        rows.logits(0, rows.size(), std::span(logits).subspan(first, n));
    };
}

Recipe rotated_recipe() {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.name = "rotated";
    recipe.storage = DType::F32;
    recipe.weights.bits = recipe.activations.bits = recipe.k.bits = recipe.v.bits = 16;
    return recipe;
}

void replace_tensor(const std::string& from, const std::string& to, const std::string& name,
                    const std::vector<float>& values) {
    std::filesystem::create_directory(to);
    std::filesystem::copy_file(from + "/config.json", to + "/config.json");
    const auto checkpoint = io::Checkpoint::open(from);
    std::vector<io::PlannedTensor> plan;
    for (const auto& tensor : checkpoint.names()) {
        plan.push_back({tensor, checkpoint.info(tensor).dtype, checkpoint.info(tensor).shape});
    }
    io::SafetensorsWriter writer(to + "/model.safetensors", plan);
    for (const auto& tensor : checkpoint.names()) {
        const Tensor data = checkpoint.read(tensor);
        const std::span<const std::byte> stored = {data.data(), static_cast<size_t>(data.bytes())};
        writer.write(tensor, 0, tensor == name ? std::as_bytes(std::span(values)) : stored);
    }
    writer.finish();
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

double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
    return max_abs_difference(a, b) / max_abs(a);
}

std::vector<int32_t> int_list(const io::Json& array) {
    std::vector<int32_t> list;
    for (const auto& value : array.as_array()) list.push_back(static_cast<int32_t>(value.as_int()));
    return list;
}

}  // namespace quarot::test
