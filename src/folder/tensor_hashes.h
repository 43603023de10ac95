// Are the tensors of a quarot folder still the bytes that were written?
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "io/json.h"

namespace quarot::limits {
inline constexpr int64_t kProvenanceBytes = int64_t{64} << 20;  // of quarot.json
}

namespace quarot::folder {

// The XXH3-128 digests that quarot.json keeps for every tensor of its folder.
class TensorHashes {
  public:
    TensorHashes() = default;  // none: verify() accepts everything
    // Empty if the folder has no quarot.json; Error{Corrupt} if it cannot be understood.
    static TensorHashes of_folder(const std::string& folder);
    // Of what quarot.json holds; Error{Corrupt} if it has no digests.
    static TensorHashes from_json(const io::Json& provenance);

    bool empty() const { return hashes_.empty(); }
    // Error{Corrupt} naming tensor and file if its bytes are others, or if it has no digest though
    // other tensors have.
    void verify(const std::string& name, const std::string& file,
                std::span<const std::byte> bytes) const;

  private:
    std::map<std::string, std::string> hashes_;
};

}  // namespace quarot::folder
