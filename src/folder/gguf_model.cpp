#include "folder/gguf_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"
#include "io/gguf.h"
#include "io/text.h"

namespace quarot::folder {

namespace {

constexpr std::array<GgufName, 3> kOuterNames = {
    {{"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}}};
constexpr std::array<GgufName, 11> kLayerNames = {{{"attn_norm", "input_layernorm"},
                                                   {"ffn_norm", "post_attention_layernorm"},
                                                   {"attn_q", "self_attn.q_proj"},
                                                   {"attn_k", "self_attn.k_proj"},
                                                   {"attn_v", "self_attn.v_proj"},
                                                   {"attn_output", "self_attn.o_proj"},
                                                   {"attn_q_norm", "self_attn.q_norm"},
                                                   {"attn_k_norm", "self_attn.k_norm"},
                                                   {"ffn_gate", "mlp.gate_proj"},
                                                   {"ffn_up", "mlp.up_proj"},
                                                   {"ffn_down", "mlp.down_proj"}}};

std::optional<std::string_view> find_name(std::span<const GgufName> names, std::string_view name) {
    for (const GgufName& known : names) {
        if (known.gguf == name) return known.ours;
    }
    return std::nullopt;
}

// "blk.3.attn_q.bias" has layer 3, name "attn_q" and ending ".bias"; "output.weight" no layer.
struct SplitName {
    std::string_view layer, name, ending;
};
SplitName split(std::string_view whole) {
    SplitName parts;
    if (whole.starts_with("blk.")) {
        whole.remove_prefix(4);
        parts.layer = whole.substr(0, whole.find('.'));
        whole.remove_prefix(std::min(whole.size(), parts.layer.size() + 1));
    }
    const size_t dot = std::min(whole.rfind('.'), whole.size());
    parts.name = whole.substr(0, dot);
    parts.ending = whole.substr(dot);
    return parts;
}

// Empty if the family has no such tensor.
std::string our_name(const GgufFamily& family, std::string_view stored) {
    const SplitName parts = split(stored);
    if (parts.ending != ".weight" && parts.ending != ".bias") return {};
    if (parts.layer.empty()) {
        const auto outer = find_name(kOuterNames, parts.name);
        return outer ? fmt::format("{}{}", *outer, parts.ending) : std::string();
    }
    auto found = find_name(family.names, parts.name);
    if (!found) found = find_name(kLayerNames, parts.name);
    if (!found) return {};
    return fmt::format("model.layers.{}.{}{}", parts.layer, *found, parts.ending);
}

// Tensors of a file under our names, rows in our order.
class GgufTensors final : public io::TensorFile {
  public:
    GgufTensors(io::GgufFile file, const GgufFamily& family, const io::Json& config)
        : file_(std::move(file)) {
        for (const auto& [stored, tensor] : file_.tensors()) {
            if (!is_gguf_field(stored)) add(stored, tensor, family, config);
        }
        file_.drop_metadata();
    }

    const std::string& path() const override { return file_.path(); }
    const std::map<std::string, io::TensorInfo>& tensors() const override { return infos_; }

    void read_rows(const std::string& name, int64_t first_row, int64_t n_rows,
                   std::span<std::byte> out) const override {
        const Place& place = places_.at(name);
        if (place.head_rows == 0) {
            file_.read_rows(*place.tensor, first_row, n_rows, out);
            return;
        }
        const size_t row_bytes = n_rows == 0 ? 0 : out.size() / static_cast<size_t>(n_rows);
        for (int64_t r = 0; r < n_rows; ++r) {
            file_.read_rows(*place.tensor, stored_row(first_row + r, place.head_rows), 1,
                            out.subspan(static_cast<size_t>(r) * row_bytes, row_bytes));
        }
    }

  private:
    struct Place {
        const io::GgufTensor* tensor;
        int64_t head_rows;  // of a head whose rows are stored in pairs; 0: as they are
    };

    // We turn row i of a head's first half together with row i of its second half; there the two
    // stand beside each other.
    static int64_t stored_row(int64_t row, int64_t head_rows) {
        const int64_t head = row / head_rows, within = row % head_rows, half = head_rows / 2;
        return head * head_rows + within % half * 2 + within / half;
    }

    void add(const std::string& stored, const io::GgufTensor& tensor, const GgufFamily& family,
             const io::Json& config) {
        const std::string name = our_name(family, stored);
        if (name.empty() || infos_.contains(name)) {
            fail(ErrorCode::Unsupported, "{}: tensor {} has no place in a model of the kind {}",
                 file_.path(), io::printable(stored), family.architecture);
        }
        places_.emplace(name, Place{&tensor, head_rows(stored, tensor, family, config)});
        const DType dtype = tensor.type->dtype;
        infos_.emplace(name, io::TensorInfo{.dtype = dtype,
                                            .shape = tensor.shape,
                                            .offset = tensor.offset,
                                            .bytes = element_count(tensor.shape) * size_of(dtype)});
    }

    int64_t head_rows(const std::string& stored, const io::GgufTensor& tensor,
                      const GgufFamily& family, const io::Json& config) const {
        const std::string_view part = split(stored).name;
        const bool is_query = part == "attn_q", is_key = part == "attn_k";
        if (!family.rows_in_pairs || (!is_query && !is_key)) return 0;
        const char* key = is_query ? "num_attention_heads" : "num_key_value_heads";
        const int64_t n_heads = config.at(key).as_int(1, tensor.shape.front());
        if (tensor.shape.front() % (2 * n_heads) == 0) return tensor.shape.front() / n_heads;
        fail(ErrorCode::Corrupt, "{}: tensor {} has {} rows, expected {} heads of an even number",
             file_.path(), io::printable(stored), tensor.shape.front(), n_heads);
    }

    io::GgufFile file_;
    std::map<std::string, io::TensorInfo> infos_;
    std::map<std::string, Place> places_;
};

void refuse_parts(const io::GgufMetadata& metadata) {
    const int64_t n = metadata.find_integer("split.count", 0, INT64_MAX).value_or(1);
    if (n <= 1) return;
    fail(ErrorCode::Unsupported,
         "{} is {}, so this is one of several files of a model, and one whole file is read; merge "
         "them with llama-gguf-split",
         metadata.place("split.count"), n);
}

bool is_of(const GgufFamily& gguf, const io::GgufMetadata& metadata) {
    return !gguf.architecture.empty() &&
           gguf.architecture == metadata.text("general.architecture") &&
           (gguf.holds == nullptr || gguf.holds(metadata));
}

// Two families may share an architecture.
std::string known_architectures() {
    std::vector<std::string_view> names;
    for (const Family& family : families()) {
        const std::string_view name = family.gguf.architecture;
        const bool is_new = std::find(names.begin(), names.end(), name) == names.end();
        if (!name.empty() && is_new) names.push_back(name);
    }
    std::string list;
    for (const std::string_view name : names) {
        list += fmt::format("{}{}", list.empty() ? "" : ", ", name);
    }
    return list;
}

const Family& family_of_gguf(const io::GgufMetadata& metadata) {
    for (const Family& family : families()) {
        if (is_of(family.gguf, metadata)) return family;
    }
    fail(ErrorCode::Unsupported, "{} is \"{}\", and this version reads GGUF files of {}",
         metadata.place("general.architecture"),
         io::printable(metadata.text("general.architecture")), known_architectures());
}

io::Json config_of(const io::GgufFile& file, const Family& family) {
    io::Json config = io::Json::Object{
        {"architectures", io::Json::Array{std::string(family.architectures.front())}},
        {"model_type", std::string(family.name)}};
    io::Json common = common_gguf_fields(file);
    for (auto& [key, value] : common.as_object()) config.set(key, std::move(value));
    if (family.gguf.add_fields != nullptr) family.gguf.add_fields(file, config);
    // Written and read once, so that messages about its values say where they come from.
    return io::Json::parse(config.dump(-1), file.path() + " as config.json");
}

}  // namespace

GgufModel open_gguf_model(const std::string& path) {
    io::GgufFile file(path);
    refuse_parts(file.metadata());
    const Family& family = family_of_gguf(file.metadata());
    io::Json config = config_of(file, family);
    auto tensors = std::make_unique<GgufTensors>(std::move(file), family.gguf, config);
    return {std::move(config), io::Checkpoint::of_file(std::move(tensors))};
}

}  // namespace quarot::folder
