// A family of models: recognises its config.json, reads it, and names its tensors; and the same of
// GGUF files.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "folder/stored_names.h"
#include "io/gguf.h"
#include "io/json.h"
#include "model/config.h"
#include "model/roles.h"

namespace quarot::folder {

// A linear as rows of a stored tensor, which may hold several: blocks of rows, `stride` rows from
// the first of one to the first of the next.
struct TensorSlice {
    std::string name;  // without ".weight"
    int64_t first_row = 0;
    int64_t block = 0;   // rows; 0: all of them are one block
    int64_t stride = 0;  // at least block

    // The stored row of row r of the linear.
    int64_t row(int64_t r) const {
        return first_row + (block == 0 ? r : r / block * stride + r % block);
    }
};

// Stored rows that follow each other.
struct RowRun {
    int64_t first = 0;
    int64_t count = 0;
};
// Rows [first, first + n) of the linear, in order, in as few runs as there are.
std::vector<RowRun> runs_of(const TensorSlice& slice, int64_t first, int64_t n);

// For families that fuse nothing: linear_name(id), all rows.
TensorSlice whole_tensor(const model::LinearId& id, const model::ModelConfig& config);

// How GGUF files hold a family.
struct GgufFamily {
    // Their general.architecture, with which the keys of their numbers begin; empty: there are
    // none.
    std::string_view architecture;
    // Whether a file of that architecture is of this family; nullptr: all are.
    bool (*holds)(const io::GgufMetadata& metadata) = nullptr;
    // Adds what the family's config.json has beyond common_gguf_fields, or nothing.
    void (*add_fields)(const io::GgufFile& file, io::Json& config) = nullptr;
    // Whether a head of q or k has the rows that RoPE turns together beside each other.
    bool rows_in_pairs = false;
    bool has_experts = false;
};

// A tensor that some folders have under another name.
struct NameInPlace {
    std::string_view name, other;
};

struct Family {
    std::string_view name;
    std::span<const std::string_view> architectures;  // values of config.json's "architectures"
    // Error{Corrupt} for values out of range, Error{Unsupported} for features we lack.
    model::ModelConfig (*read_config)(const io::Json& config);
    // Where an original folder has a linear; our own folders have the names of stored_names.h.
    TensorSlice (*linear)(const model::LinearId& id,
                          const model::ModelConfig& config) = whole_tensor;
    // A norm's gain is what its tensor holds plus this, in our own folders too; GGUF files hold
    // it whole.
    float gain_offset = 0.0f;
    // Where it has a norm, without ".weight" or ".bias"; likewise.
    std::string (*norm)(model::NormRole role, int64_t layer,
                        const model::ModelConfig& config) = norm_stem;
    // Other names, without ".weight", that folders have in place of linear's, each its own.
    std::span<const NameInPlace> other_names = {};
    // Other beginnings of all names: models that see have their text model below another name.
    std::span<const NameInPlace> other_prefixes = {};
    GgufFamily gguf;
};

// The family of a config.json; Error{Unsupported} naming what is supported.
const Family& family_of(const io::Json& config);
std::span<const Family> families();

}  // namespace quarot::folder
