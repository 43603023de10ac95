#include "quantize/job/job_identity.h"

#include <fmt/format.h>

#include <filesystem>
#include <span>
#include <vector>

#include "core/process.h"
#include "folder/recipe_json.h"
#include "io/hash.h"
#include "quantize/provenance.h"

namespace quarot::quantize {
namespace {

// {"a": {"b": 1}} becomes {"a.b": 1}.
void flatten(const std::string& prefix, const io::Json& json, io::Json& flat) {
    for (const auto& [key, value] : json.as_object()) {
        const std::string name = prefix.empty() ? key : fmt::format("{}.{}", prefix, key);
        if (value.is_object()) {
            flatten(name, value, flat);
        } else {
            flat.set(name, value);
        }
    }
}

std::string digest_of(const TokenWindows& windows) {
    io::Xxh3 hash;
    for (const auto& window : windows) hash.add(std::as_bytes(std::span(window)));
    return hash.hex();
}

}  // namespace

InputDigests digest_inputs(const folder::SourceModel& source, ThreadPool& pool) {
    const std::vector<std::string> paths = input_files(source);
    std::vector<std::string> digests(paths.size());
    pool.parallel_for(std::ssize(paths), [&](int64_t i, int) {
        throw_if_interrupted();
        const auto at = static_cast<size_t>(i);
        digests[at] = io::sha256_of_file(paths[at]);
    });
    InputDigests by_name;
    for (size_t i = 0; i < paths.size(); ++i) {
        by_name.emplace(std::filesystem::path(paths[i]).filename().string(), digests[i]);
    }
    return by_name;
}

io::Json job_identity(const Recipe& recipe, const InputDigests& inputs,
                      const TokenWindows& calibration, const std::string& device) {
    io::Json job;
    job.set("version", QUAROT_VERSION);
    io::Json settings = folder::to_json(recipe);
    std::erase_if(settings.as_object(),
                  [](const auto& member) { return member.first == "recipe"; });
    flatten("recipe", settings, job);
    for (const auto& [name, digest] : inputs) job.set("input " + name, digest);
    job.set("calibration", calibration.empty() ? "none" : digest_of(calibration));
    if (!device.empty()) job.set("device", device);
    job.set("recipe", recipe.name);  // last: another setting is a better reason to differ
    return job;
}

}  // namespace quarot::quantize
