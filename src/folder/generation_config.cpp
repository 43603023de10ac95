#include "folder/generation_config.h"

#include <filesystem>
#include <string_view>

#include "core/error.h"
#include "folder/limits.h"
#include "io/file_listing.h"
#include "model/limits.h"

namespace quarot::folder {

namespace {

enum class Least { Zero, AboveZero };

std::optional<float> read_number(const io::Json& object, std::string_view key, Least least,
                                 float most) {
    const io::Json* found = object.find(key);
    if (found == nullptr) return std::nullopt;
    const double value = found->as_double();
    const auto rounded = static_cast<float>(value);
    const bool fits = (least == Least::Zero ? value >= 0.0 : rounded > 0.0f) &&
                      value <= static_cast<double>(most);
    if (fits) return rounded;
    fail(ErrorCode::Corrupt, "{} is {}, expected a number {} 0 {} {}", found->place(), value,
         least == Least::Zero ? "from" : "above", least == Least::Zero ? "to" : "and at most",
         most);
}

std::optional<int64_t> read_top_k(const io::Json& object) {
    const io::Json* found = object.find("top_k");
    if (found == nullptr) return std::nullopt;
    if (found->is_int() && found->as_int() == -1) return 0;  // as other programs say "off"
    return found->as_int(0, limits::kVocabulary);
}

std::optional<bool> read_do_sample(const io::Json& object) {
    const io::Json* found = object.find("do_sample");
    if (found == nullptr) return std::nullopt;
    return found->as_bool();
}

}  // namespace

GenerationDefaults read_generation_defaults(const io::Json& generation) {
    generation.as_object();  // an error that names the file, if it is none
    GenerationDefaults defaults;
    defaults.temperature =
        read_number(generation, "temperature", Least::Zero, limits::kMaxTemperature);
    defaults.top_k = read_top_k(generation);
    defaults.top_p = read_number(generation, "top_p", Least::Zero, 1.0f);
    defaults.min_p = read_number(generation, "min_p", Least::Zero, 1.0f);
    defaults.repetition_penalty = read_number(generation, "repetition_penalty", Least::AboveZero,
                                              limits::kMaxRepetitionPenalty);

    const bool shapes_choice =
        defaults.temperature || defaults.top_k || defaults.top_p || defaults.min_p;
    const std::optional<bool> do_sample = read_do_sample(generation);
    if (do_sample == false) {
        defaults.temperature = 0.0f;
    } else if (do_sample == true || shapes_choice) {
        defaults.temperature = defaults.temperature.value_or(1.0f);
    }
    return defaults;
}

GenerationDefaults generation_defaults_of(const std::string& folder) {
    const std::string path = (std::filesystem::path(folder) / "generation_config.json").string();
    if (!io::is_listed(path)) return {};
    return read_generation_defaults(io::Json::parse_file(path));
}

}  // namespace quarot::folder
