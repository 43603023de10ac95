#include "folder/tensor_hashes.h"

#include <filesystem>

#include "core/error.h"
#include "io/file_listing.h"
#include "io/file_names.h"
#include "io/hash.h"
#include "io/text.h"

namespace quarot::folder {

TensorHashes TensorHashes::of_folder(const std::string& folder) {
    const std::string path = (std::filesystem::path(folder) / io::kProvenanceFile).string();
    if (!io::is_listed(path)) return {};
    return from_json(io::Json::parse_file(path, {.max_bytes = limits::kProvenanceBytes}));
}

TensorHashes TensorHashes::from_json(const io::Json& provenance) {
    TensorHashes result;
    for (const auto& [name, hash] : provenance.at("tensors").as_object()) {
        result.hashes_.emplace(name, hash.as_string());
    }
    if (result.empty()) {
        fail(ErrorCode::Corrupt, "{} is empty, expected the digest of every tensor",
             provenance.at("tensors").place());
    }
    return result;
}

void TensorHashes::verify(const std::string& name, const std::string& file,
                          std::span<const std::byte> bytes) const {
    if (empty()) return;
    const auto recorded = hashes_.find(name);
    if (recorded == hashes_.end()) {
        fail(ErrorCode::Corrupt, "{}: tensor {} has no digest in {}, expected one for every tensor",
             file, name, io::kProvenanceFile);
    }
    const std::string found = io::xxh3_128(bytes);
    if (found == recorded->second) return;
    fail(ErrorCode::Corrupt,
         "{}: tensor {} has digest {}, expected {} from {}; the file has changed since it was "
         "written",
         file, name, found, io::printable(recorded->second), io::kProvenanceFile);
}

}  // namespace quarot::folder
