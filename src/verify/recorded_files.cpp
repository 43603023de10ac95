// The document is believed only if its seal holds: then quarot wrote it and nobody changed it by
// accident since.
#include "verify/recorded_files.h"

#include "core/error.h"
#include "folder/tensor_hashes.h"
#include "io/file.h"
#include "io/json.h"
#include "io/seal.h"
#include "io/text.h"

namespace quarot::verify {

namespace {

constexpr const char* kSchema = "quarot.provenance/1";

void check_plain_name(const std::string& name, const std::string& path) {
    const bool plain = !name.empty() && name != "." && name != ".." &&
                       name.find('/') == std::string::npos && !io::has_control_characters(name);
    if (plain) return;
    fail(ErrorCode::Corrupt, "{}: outputs names \"{}\", expected a file of this folder", path,
         io::printable(name));
}

}  // namespace

std::map<std::string, std::string> read_recorded_files(const std::string& path) {
    return parse_recorded_files(io::read_text(path, limits::kProvenanceBytes), path);
}

std::map<std::string, std::string> parse_recorded_files(std::string_view text,
                                                        const std::string& path) {
    const io::Json json = io::Json::parse(text, path, {.max_bytes = limits::kProvenanceBytes});
    if (json.at("schema").as_string() != kSchema) {
        fail(ErrorCode::Unsupported, "{} has schema \"{}\", and this version reads \"{}\"", path,
             io::printable(json.at("schema").as_string()), kSchema);
    }
    if (!text.ends_with('\n') || !io::is_sealed(text.substr(0, text.size() - 1))) {
        fail(ErrorCode::Corrupt, "{} does not fit its own digest; it was changed after it was made",
             path);
    }
    std::map<std::string, std::string> recorded;
    for (const auto& [name, digest] : json.at("outputs").as_object()) {
        check_plain_name(name, path);
        recorded.emplace(name, digest.as_string());
    }
    return recorded;
}

}  // namespace quarot::verify
