#include "folder/gguf_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/error.h"
#include "folder/families/gguf_fields.h"
#include "io/text.h"
#include "model/roles.h"

namespace quarot::folder {

namespace {

using model::LinearRole;
using model::ModelConfig;
using model::NormRole;

// A weight that files have outside the layers or in each of them; of experts: one behind the other.
struct GgufLinear {
    std::string_view name;
    LinearRole role;
    bool of_experts = false;
};
struct GgufNorm {
    std::string_view name;
    NormRole role;
};

constexpr std::string_view kWeight = ".weight", kBias = ".bias";
constexpr std::string_view kFusedQkv = "attn_qkv";  // with k and v behind q
constexpr std::array<GgufLinear, 14> kLinears = {{{"token_embd", LinearRole::Embedding},
                                                  {"output", LinearRole::LmHead},
                                                  {"attn_q", LinearRole::Q},
                                                  {"attn_k", LinearRole::K},
                                                  {"attn_v", LinearRole::V},
                                                  {kFusedQkv, LinearRole::Q},
                                                  {"attn_output", LinearRole::O},
                                                  {"ffn_gate", LinearRole::Gate},
                                                  {"ffn_up", LinearRole::Up},
                                                  {"ffn_down", LinearRole::Down},
                                                  {"ffn_gate_inp", LinearRole::Router},
                                                  {"ffn_gate_exps", LinearRole::Gate, true},
                                                  {"ffn_up_exps", LinearRole::Up, true},
                                                  {"ffn_down_exps", LinearRole::Down, true}}};
constexpr std::array<GgufNorm, 7> kNorms = {{{"output_norm", NormRole::Final},
                                             {"attn_norm", NormRole::AttentionIn},
                                             {"post_attention_norm", NormRole::AttentionOut},
                                             {"ffn_norm", NormRole::MlpIn},
                                             {"post_ffw_norm", NormRole::MlpOut},
                                             {"attn_q_norm", NormRole::Query},
                                             {"attn_k_norm", NormRole::Key}}};

template <typename Part, size_t n>
const Part* find_part(const std::array<Part, n>& parts, std::string_view name) {
    const auto found = std::find_if(parts.begin(), parts.end(),
                                    [&](const Part& part) { return part.name == name; });
    return found == parts.end() ? nullptr : &*found;
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

// The layer that a part of this name belongs to, 0 for one outside; -1: there is no such.
int64_t layer_of(const SplitName& parts, bool in_layers, int64_t n_layers) {
    if (in_layers == parts.layer.empty()) return -1;
    if (!in_layers) return 0;
    int64_t layer = 0;
    const std::string_view text = parts.layer;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), layer);
    const bool is_number = error == std::errc() && end == text.data() + text.size();
    return is_number && layer < n_layers ? layer : -1;
}

bool has_linear(const ModelConfig& config, const model::LinearId& id) {
    if (!is_of_layers(id.role)) return true;
    const std::vector<model::LinearId> all = linears_of(config, id.layer);
    return std::any_of(all.begin(), all.end(), [&](const model::LinearId& one) {
        return one.role == id.role && one.expert == id.expert;
    });
}

bool has_norm(const ModelConfig& config, NormRole role, int64_t layer) {
    if (role == NormRole::Final) return true;
    const std::vector<NormRole> all = norms_of(config, layer);
    return std::find(all.begin(), all.end(), role) != all.end();
}

// How the rows of a tensor lie in a file, where a folder has them otherwise.
enum class RowOrder {
    Same,
    HeadsInPairs,  // rows that RoPE turns together beside each other
    PartByPart,    // all heads of q, of k, of v; folders have them head by head
};

struct RowPlace {
    RowOrder order = RowOrder::Same;
    int64_t head_rows = 0;
    int64_t n_heads = 0;

    int64_t stored_row(int64_t row) const {
        if (order == RowOrder::Same) return row;
        const int64_t chunk = row / head_rows, within = row % head_rows;
        if (order == RowOrder::PartByPart) {
            const int64_t head = chunk / 3, part = chunk % 3;
            return (part * n_heads + head) * head_rows + within;
        }
        const int64_t half = head_rows / 2;
        return chunk * head_rows + within % half * 2 + within / half;
    }
};

// Tensors of a file under our names, rows in our order.
class GgufTensors final : public io::TensorFile {
  public:
    GgufTensors(io::GgufFile file, const Family& family, ModelConfig config)
        : file_(std::move(file)), family_(family), config_(std::move(config)) {
        for (const auto& [stored, tensor] : file_.tensors()) {
            if (!is_gguf_field(stored)) add(stored, tensor);
        }
        file_.drop_metadata();
    }

    const std::string& path() const override { return file_.path(); }
    const std::map<std::string, io::TensorInfo>& tensors() const override { return infos_; }

    void read_rows(const std::string& name, int64_t first_row, int64_t n_rows,
                   std::span<std::byte> out) const override {
        const Place& place = places_.at(name);
        if (place.rows.order == RowOrder::Same) {
            file_.read_rows(place.tensor, first_row, n_rows, out);
            return;
        }
        const size_t row_bytes = n_rows == 0 ? 0 : out.size() / static_cast<size_t>(n_rows);
        for (int64_t r = 0; r < n_rows; ++r) {
            file_.read_rows(place.tensor, place.rows.stored_row(first_row + r), 1,
                            out.subspan(static_cast<size_t>(r) * row_bytes, row_bytes));
        }
    }

  private:
    struct Place {
        io::GgufTensor tensor;
        RowPlace rows;
    };

    void add(const std::string& stored, const io::GgufTensor& tensor) {
        const SplitName parts = split(stored);
        const GgufNorm* norm = find_part(kNorms, parts.name);
        const GgufLinear* linear = find_part(kLinears, parts.name);
        const bool has_ending = parts.ending == kWeight || parts.ending == kBias;
        if (!has_ending || (norm == nullptr && linear == nullptr)) refuse(stored);
        norm != nullptr ? add_norm(stored, tensor, norm->role)
                        : add_linear(stored, tensor, *linear);
    }

    void add_norm(const std::string& stored, const io::GgufTensor& tensor, NormRole role) {
        const SplitName parts = split(stored);
        const int64_t layer = layer_of(parts, role != NormRole::Final, config_.n_layers);
        const bool has_place = layer >= 0 && has_norm(config_, role, layer) &&
                               (parts.ending == kWeight || has_bias(role, config_));
        if (!has_place) refuse(stored);
        put(stored, fmt::format("{}{}", family_.norm(role, layer, config_), parts.ending),
            {tensor, {}});
    }

    void add_linear(const std::string& stored, const io::GgufTensor& tensor,
                    const GgufLinear& linear) {
        const SplitName parts = split(stored);
        const int64_t layer = layer_of(parts, is_of_layers(linear.role), config_.n_layers);
        const model::LinearId id(linear.role, layer, linear.of_experts ? 0 : -1);
        const bool may_have_bias = !linear.of_experts && has_bias(id.role, config_);
        const bool has_place =
            layer >= 0 && has_linear(config_, id) && (parts.ending == kWeight || may_have_bias);
        if (!has_place) refuse(stored);
        if (linear.of_experts) return put_experts(stored, tensor, id);
        const TensorSlice slice = family_.linear(id, config_);
        put(stored, fmt::format("{}{}", slice.name, parts.ending),
            {tensor, rows_of(stored, tensor, slice)});
    }

    void put(const std::string& stored, const std::string& name, Place place) {
        const DType dtype = place.tensor.type->dtype;
        const io::TensorInfo info = {.dtype = dtype,
                                     .shape = place.tensor.shape,
                                     .offset = place.tensor.offset,
                                     .bytes = element_count(place.tensor.shape) * size_of(dtype)};
        if (!infos_.emplace(name, info).second) refuse(stored);
        places_.emplace(name, std::move(place));
    }

    // [experts, rows, columns], a matrix for each.
    void put_experts(const std::string& stored, const io::GgufTensor& tensor, model::LinearId id) {
        const int64_t n = config_.mixture.n_experts;
        if (tensor.shape.size() != 3 || tensor.shape.front() != n) {
            fail(ErrorCode::Corrupt,
                 "{}: tensor {} has {} dimensions and the last is {}, expected 3 and {}, a matrix "
                 "for each expert",
                 file_.path(), io::printable(stored), tensor.shape.size(), tensor.shape.front(), n);
        }
        io::GgufTensor matrix = tensor;
        matrix.shape.erase(matrix.shape.begin());
        matrix.bytes = tensor.bytes / n;
        for (id.expert = 0; id.expert < n; ++id.expert) {
            matrix.offset = tensor.offset + id.expert * matrix.bytes;
            put(stored, fmt::format("{}{}", family_.linear(id, config_).name, kWeight),
                {matrix, {}});
        }
    }

    RowPlace rows_of(const std::string& stored, const io::GgufTensor& tensor,
                     const TensorSlice& slice) const {
        const std::string_view part = split(stored).name;
        const int64_t rows = tensor.shape.front(), n_heads = config_.n_heads;
        const bool is_query = part == "attn_q", is_key = part == "attn_k";
        if (family_.gguf.rows_in_pairs && (is_query || is_key)) {
            const int64_t n = is_query ? n_heads : config_.n_kv_heads;
            expect_heads(stored, rows, n, 2);
            return {RowOrder::HeadsInPairs, rows / n, n};
        }
        if (part != kFusedQkv || slice.block == 0) return {};
        expect_heads(stored, rows, n_heads, 3);
        return {RowOrder::PartByPart, rows / n_heads / 3, n_heads};
    }

    void expect_heads(const std::string& stored, int64_t rows, int64_t n_heads,
                      int64_t parts) const {
        if (rows % (parts * n_heads) == 0) return;
        fail(ErrorCode::Corrupt,
             "{}: tensor {} has {} rows, expected a multiple of {} for {} heads", file_.path(),
             io::printable(stored), rows, parts * n_heads, n_heads);
    }

    [[noreturn]] void refuse(const std::string& stored) const {
        fail(ErrorCode::Unsupported, "{}: tensor {} has no place in a model of the kind {}",
             file_.path(), io::printable(stored), family_.gguf.architecture);
    }

    io::GgufFile file_;
    const Family& family_;
    ModelConfig config_;
    std::map<std::string, io::TensorInfo> infos_;
    std::map<std::string, Place> places_;
};

}  // namespace

std::unique_ptr<io::TensorFile> gguf_tensors(io::GgufFile file, const Family& family,
                                             model::ModelConfig config) {
    return std::make_unique<GgufTensors>(std::move(file), family, std::move(config));
}

}  // namespace quarot::folder
