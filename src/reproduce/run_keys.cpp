#include "reproduce/run_keys.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/process.h"
#include "folder/recipe_json.h"
#include "io/hash.h"
#include "quantize/quantize_model.h"

namespace quarot::reproduce {

namespace {

constexpr size_t kKeyDigits = 32;

std::string short_hash(const io::Json& json) {
    return io::sha256_of_text(json.dump(-1)).substr(0, kKeyDigits);
}

io::Json model_digests(const folder::SourceModel& source) {
    io::Json::Object digests;
    for (const std::string& path : source.files()) {
        throw_if_interrupted();
        digests.emplace_back(std::filesystem::path(path).filename().string(),
                             io::sha256_of_file(path));
    }
    std::sort(digests.begin(), digests.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    return digests;
}

// Without its name, and without what it says about calibration if nothing reads that.
io::Json settings_of(Recipe recipe, bool calibrated) {
    recipe.name = "custom";
    if (!calibrated) recipe.calibration = {};
    return folder::to_json(recipe);
}

void forget_run_time_choices(Recipe& recipe) {
    const auto forget = [](auto& format) {
        format.bits = 16;
        format.clip = 1.0f;
    };
    forget(recipe.activations);
    recipe.site_bits = {};
    recipe.activations.first_positions = 0;
    forget(recipe.k);
    forget(recipe.v);
}

}  // namespace

io::Json run_identity(const folder::SourceModel& source, const RunSettings& settings) {
    return io::Json::Object{{"version", QUAROT_VERSION},
                            {"model", model_digests(source)},
                            {"text", io::xxh3_128(std::as_bytes(settings.ids))},
                            {"seqlen", settings.seqlen},
                            {"windows", settings.max_windows},
                            {"backend", settings.backend}};
}

std::string calibration_digest(const std::vector<std::vector<int32_t>>& windows) {
    if (windows.empty()) return "";
    io::Xxh3 hash;
    for (const std::vector<int32_t>& window : windows) hash.add(std::as_bytes(std::span(window)));
    return hash.hex();
}

std::string weights_key(const io::Json& identity, const Recipe& recipe,
                        const std::string& calibration) {
    const bool calibrated = quantize::needs_calibration(recipe);
    Recipe weights = recipe;
    if (!calibrated) forget_run_time_choices(weights);
    return short_hash(io::Json::Object{{"version", identity.at("version")},
                                       {"model", identity.at("model")},
                                       {"recipe", settings_of(weights, calibrated)},
                                       {"calibration", calibrated ? calibration : ""}});
}

std::string measurement_key(const io::Json& identity, const Recipe& recipe,
                            const std::string& calibration, bool beside_full_precision) {
    const bool calibrated = quantize::needs_calibration(recipe);
    io::Json::Object what = {{"run", identity},
                             {"recipe", settings_of(recipe, calibrated)},
                             {"calibration", calibrated ? calibration : ""}};
    if (beside_full_precision) what.emplace_back("beside", "full precision");
    return short_hash(what);
}

std::string task_key(const io::Json& identity, const Recipe& recipe, const std::string& calibration,
                     const ZeroShotTask& task) {
    const bool calibrated = quantize::needs_calibration(recipe);
    return short_hash(io::Json::Object{{"version", identity.at("version")},
                                       {"model", identity.at("model")},
                                       {"backend", identity.at("backend")},
                                       {"recipe", settings_of(recipe, calibrated)},
                                       {"calibration", calibrated ? calibration : ""},
                                       {"task", task.name()},
                                       {"requests", task.digest}});
}

}  // namespace quarot::reproduce
