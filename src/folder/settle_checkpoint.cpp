#include "folder/settle_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/log.h"
#include "core/process.h"
#include "folder/stored_names.h"

namespace quarot::folder {

namespace {

constexpr int64_t kRowsAtATime = 1024;

bool holds_equal(const io::Checkpoint& checkpoint, const std::string& a, const std::string& b) {
    const io::TensorInfo& of_a = checkpoint.info(a);
    const io::TensorInfo& of_b = checkpoint.info(b);
    if (of_a.dtype != of_b.dtype || of_a.shape != of_b.shape) return false;
    const int64_t n_rows = of_a.shape.empty() ? 0 : of_a.shape[0];
    for (int64_t first = 0; first < n_rows; first += kRowsAtATime) {
        throw_if_interrupted();
        const int64_t n = std::min(kRowsAtATime, n_rows - first);
        const Tensor rows_a = checkpoint.read_rows(a, first, n);
        const Tensor rows_b = checkpoint.read_rows(b, first, n);
        const auto bytes = static_cast<size_t>(rows_a.bytes());
        if (std::memcmp(rows_a.data(), rows_b.data(), bytes) != 0) return false;
    }
    return true;
}

void settle_names(io::Checkpoint& checkpoint, const Family& family, const Recipe& recipe) {
    if (recipe.name != "none") return;
    for (const NameInPlace& prefix : family.other_prefixes) {
        for (const std::string& stored : checkpoint.names()) {
            if (!stored.starts_with(prefix.other)) continue;
            const std::string name = std::string(prefix.name) + stored.substr(prefix.other.size());
            if (!checkpoint.contains(name)) checkpoint.rename(stored, name);
        }
    }
    for (const NameInPlace& place : family.other_names) {
        const std::string name = std::string(place.name) + ".weight";
        const std::string other = std::string(place.other) + ".weight";
        const bool moved = !checkpoint.contains(name) && checkpoint.contains(other);
        if (moved) checkpoint.rename(other, name);
    }
}

void settle_tied_head(io::Checkpoint& checkpoint, const Family& family, const Recipe& recipe,
                      model::ModelConfig& config) {
    if (!config.tied_embeddings) return;
    const auto linear = recipe.name == "none" ? family.linear : whole_tensor;
    const std::string embedding = linear({model::LinearRole::Embedding}, config).name + ".weight";
    const std::string head = linear({model::LinearRole::LmHead}, config).name + ".weight";
    if (!checkpoint.contains(head)) return;
    if (!checkpoint.contains(embedding)) return checkpoint.add_name(embedding, head);
    if (holds_equal(checkpoint, embedding, head)) return;
    log_warning(
        "{}: config.json ties the head to the embedding, but {} holds other values; it is used, "
        "untied",
        checkpoint.folder(), head);
    config.tied_embeddings = false;
}

}  // namespace

void settle_checkpoint(io::Checkpoint& checkpoint, const Family& family, const Recipe& recipe,
                       model::ModelConfig& config) {
    settle_names(checkpoint, family, recipe);
    settle_tied_head(checkpoint, family, recipe, config);
}

}  // namespace quarot::folder
