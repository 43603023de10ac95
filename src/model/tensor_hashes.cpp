#include "model/tensor_hashes.h"

#include <filesystem>

#include "core/error.h"
#include "io/hash.h"
#include "io/json.h"
#include "io/text.h"

namespace quarot::model {

namespace {

constexpr const char* kFileName = "quarot.json";
constexpr int64_t kMaxBytes = int64_t{64} << 20;

}  // namespace

TensorHashes TensorHashes::of_folder(const std::string& folder) {
    const std::filesystem::path path = std::filesystem::path(folder) / kFileName;
    std::error_code error;
    TensorHashes result;
    if (!std::filesystem::exists(path, error)) return result;
    const io::Json json = io::Json::parse_file(path.string(), {.max_bytes = kMaxBytes});
    for (const auto& [name, hash] : json.at("tensors").as_object()) {
        result.hashes_.emplace(name, hash.as_string());
    }
    if (result.empty()) {
        fail(ErrorCode::Corrupt, "{} is empty, expected the digest of every tensor",
             json.at("tensors").place());
    }
    return result;
}

void TensorHashes::verify(const std::string& name, const std::string& file,
                          std::span<const std::byte> bytes) const {
    if (empty()) return;
    const auto recorded = hashes_.find(name);
    if (recorded == hashes_.end()) {
        fail(ErrorCode::Corrupt, "{}: tensor {} has no digest in {}, expected one for every tensor",
             file, name, kFileName);
    }
    const std::string found = io::xxh3_128(bytes);
    if (found == recorded->second) return;
    fail(ErrorCode::Corrupt,
         "{}: tensor {} has digest {}, expected {} from {}; the file has changed since it was "
         "written",
         file, name, found, io::printable(recorded->second), kFileName);
}

}  // namespace quarot::model
