// The sum of what lives at the same time, taken where it is largest. Bytes of an element: 8 fp64,
// 4 fp32.
#include "quantize/job/job_memory.h"

#include <algorithm>

#include "model/role_formats.h"
#include "model/roles.h"
#include "quantize/rotated_weight.h"
#include "quantize/rounding/gptq_tile.h"

namespace quarot::quantize {
namespace {

using model::LinearId;
using model::LinearRole;

constexpr int64_t kQuantizerBytes = int64_t{28} << 20;  // code, libraries, headers of the inputs
constexpr int64_t kThreadBytes = int64_t{3} << 20;      // stacks and heaps
constexpr int64_t kBlocksOfAWeight = 4;                 // waiting for each thread, when written
constexpr int64_t kBlocksOfALinear = 2;                 // the same, when quantized

int64_t elements(const LinearId& id, const model::ModelConfig& config) {
    return out_features(id, config) * in_features(id, config);
}

int64_t block_elements(int64_t rows, int64_t cols) {
    return std::min(std::max(kBlockElements, kGptqTileRows * cols), rows * cols);
}

// fp64, only where the outputs are mixed.
int64_t whole_bytes(const LinearId& id, const JobShape& shape) {
    const bool mixed = rotate::changes(shape.rotation, rule_of(id, shape.config).output) ||
                       (folds_means(shape.recipe, shape.config) && is_of_layers(id.role) &&
                        model::writes_residual(id.role));
    return mixed ? 8 * elements(id, shape.config) : 0;
}

// Packed codes with their scales, or floats as they are stored.
int64_t stored_bytes(const LinearId& id, const JobShape& shape) {
    const int64_t n = elements(id, shape.config);
    const int bits = weight_bits(shape.recipe, id.role);
    if (bits == 16) return 4 * n;
    const int64_t group = weight_format(shape.recipe, id.role).group_size;
    const int64_t n_scales = group == 0 ? out_features(id, shape.config) : n / group;
    return n * bits / 8 + 8 * n_scales;
}

// A few blocks of a weight on their way: what a thread works on (stored fp32, fp64 and rounded
// fp32, with the columns of a GPTQ tile), and what waits.
int64_t blocks_bytes(const LinearId& id, const JobShape& shape) {
    const int64_t cols = in_features(id, shape.config);
    const int64_t block = block_elements(out_features(id, shape.config), cols);
    const int64_t tile = shape.hessians ? 3 * 8 * kGptqTileRows * cols : 0;
    const int64_t working = 16 * block + tile;
    // With Hessians a finished block keeps its rounding errors twice, and one of both of all blocks
    // is weighted at a time: copied, multiplied and brought back.
    const int64_t waiting = shape.hessians ? (9 + 12) * block : block;
    return shape.n_threads * (working + kBlocksOfALinear * waiting);
}

// Of a mixture: what the experts gave all tokens, and which tokens went where; an expert's
// activations for a window of tokens.
int64_t expert_bytes(const JobShape& shape) {
    const model::ModelConfig& config = shape.config;
    if (!config.has_mixtures()) return 0;
    const model::Mixture& mixture = config.mixture;
    return shape.n_tokens * (4 * config.hidden + 12 * mixture.top_k) +
           shape.seqlen * 4 * (6 * config.hidden + 3 * mixture.ffn + mixture.n_experts);
}

// The residual stream and the inputs of o_proj of all tokens, as ids and as fp32; one window's
// activations between the linears, and its K and V. All but the ids for each of two streams, where
// weights are refitted.
int64_t calibration_bytes(const JobShape& shape) {
    if (!shape.calibrated) return 0;
    const model::ModelConfig& config = shape.config;
    constexpr int64_t kIds = 4 + 16;  // in order, and sorted with their places
    if (shape.on_gpu) return shape.n_tokens * kIds;
    const int64_t n_streams = shape.refits ? 2 : 1;
    const int64_t token = 4 * (config.hidden + config.q_dim());
    const int64_t between =
        2 * config.hidden + 2 * config.q_dim() + 2 * config.kv_dim() + 3 * config.ffn;
    const int64_t stream =
        shape.n_tokens * token + shape.seqlen * 4 * (between + 2 * config.kv_dim());
    return n_streams * stream + shape.n_tokens * kIds + expert_bytes(shape);
}

// Of a linear that calibration runs its windows through: codes as the backend packs them, at most a
// byte each, with three numbers a group; floats where only smoothing looks, and beside the codes
// where weights are refitted.
int64_t held_bytes(const LinearId& id, const JobShape& shape) {
    if (!shape.calibrated || shape.on_gpu) return 0;
    const int64_t n = elements(id, shape.config);
    const int bits = weight_bits(shape.recipe, id.role);
    const int64_t exact = shape.refits ? 4 * n : 0;
    if (bits == 16 || !shape.hessians) return exact + 4 * n;
    const int64_t group = weight_format(shape.recipe, id.role).group_size;
    return exact + (bits > 4 ? n : n / 2) + (group == 0 ? 0 : 3 * 4 * (n / group));
}

// The tensors of the linear at hand, and what calibration holds of the layer: of the experts of a
// mixture one at a time.
int64_t layer_bytes(int64_t layer, const JobShape& shape) {
    int64_t at_hand = 0, held = 0;
    for (const LinearId& id : linears_of(shape.config, layer)) {
        if (id.expert > 0) break;  // all are alike
        at_hand = std::max(at_hand, 2 * stored_bytes(id, shape));
        held += held_bytes(id, shape);
    }
    return at_hand + held;
}

int64_t largest_elements(const model::SiteRule& site, int64_t layer, const JobShape& shape) {
    int64_t most = 0;
    for (const LinearRole role : site.roles) {
        most = std::max(most, elements(site.linear(role, layer), shape.config));
    }
    return most;
}

// Of the largest weight that a GPU solves as a whole: rows and codes.
int64_t solved_bytes(const model::SiteRule& site, int64_t layer, const JobShape& shape) {
    return (4 + 1) * largest_elements(site, layer, shape);
}

// A weight and what the refit moves of it in fp32, and tiles of products of both.
int64_t refit_bytes(const model::SiteRule& site, int64_t layer, const JobShape& shape) {
    if (!shape.refits) return 0;
    const int64_t n = in_features(site.first(layer), shape.config);
    return 8 * largest_elements(site, layer, shape) + shape.n_threads * 3 * 8 * kGptqTileRows * n;
}

// n^2 Hessian in fp64 with its factor in fp64 and its fp32 copy; then the Hessian goes and the
// weights of the site come. What a GPU holds passes through here where its columns are reordered.
int64_t site_bytes(const model::SiteRule& site, int64_t layer, const JobShape& shape) {
    const int64_t n = in_features(site.first(layer), shape.config);
    int64_t weight = 0;
    for (const LinearRole role : site.roles) {
        const LinearId id = site.linear(role, layer);
        weight = std::max(weight, whole_bytes(id, shape) + blocks_bytes(id, shape));
    }
    if (!shape.hessians) return weight;
    if (shape.on_gpu) {
        const bool ordered = has_column_order(shape.recipe, site.roles.front());
        return std::max(ordered ? (8 + 8) * n * n : 0, weight + solved_bytes(site, layer, shape));
    }
    const int64_t kept = shape.refits ? 4 * 8 * n * n : 0;  // moments of a refit
    return kept + std::max((8 + 8 + 4) * n * n,
                           (8 + 4) * n * n + weight + refit_bytes(site, layer, shape));
}

// Of a rotation that is found on the text: a whole layer in fp32 between the windows, and second
// moments in fp64; then the eigenvectors of one, its copy and its work space.
int64_t finding_bytes(const JobShape& shape) {
    if (!shape.recipe.rotation.looks_at_text()) return 0;
    const model::ModelConfig& config = shape.config;
    int64_t most = 0;
    for (int64_t layer = 0; layer < config.n_layers; ++layer) {
        int64_t of_layer = 0, largest = 0;
        for (const LinearId& id : linears_of(config, layer)) {
            if (id.expert > 0) break;  // all are alike
            of_layer += 4 * elements(id, config);
            largest = std::max(largest, 4 * elements(id, config));
        }
        most = std::max(most, of_layer + largest);
    }
    const bool aligned = shape.recipe.rotation.residual == ResidualRotation::Aligned;
    const int64_t moment = aligned ? 8 * config.hidden * config.hidden : 0;
    return std::max(calibration_bytes(shape) + most + 2 * moment, 4 * moment);
}

// R1 as a whole matrix, R2 of every KV head and scales of up, where there are such.
int64_t dense_bytes(const JobShape& shape) {
    const RotationSpec& spec = shape.recipe.rotation;
    const model::ModelConfig& config = shape.config;
    const int64_t order = shape.rotation.residual_order;
    int64_t n = spec.has_dense_residual() ? order * order : 0;
    if (spec.aligned_values) n += config.n_layers * config.kv_dim() * config.head_dim;
    if (spec.up_balance > 0.0) n += config.n_layers * config.ffn;
    return 8 * n;
}

int64_t quantizing_bytes(const JobShape& shape) {
    int64_t bytes = 0;
    for (int64_t layer = 0; layer < shape.config.n_layers; ++layer) {
        const int64_t of_layer = layer_bytes(layer, shape);
        for (const model::SiteRule& site : sites_of(shape.config, layer)) {
            bytes = std::max(bytes, site_bytes(site, layer, shape) + of_layer);
        }
    }
    return bytes + calibration_bytes(shape);
}

// Of the largest linear: finished tensors, or what is rotated when it is written.
int64_t writing_bytes(int64_t layer, const JobShape& shape) {
    int64_t most = 0;
    for (const LinearId& id : linears_of(shape.config, layer)) {
        const bool finished = weight_bits(shape.recipe, id.role) < 16;
        most = std::max(most, finished ? stored_bytes(id, shape)
                                       : whole_bytes(id, shape) + blocks_bytes(id, shape));
    }
    return most;
}

// Embedding and head pass in blocks, stored as fp32 at most; linears of layers come whole.
int64_t writing_bytes(const JobShape& shape) {
    const model::ModelConfig& config = shape.config;
    const int64_t block = block_elements(config.vocab, config.hidden);
    const int64_t n_blocks = std::min(kBlocksOfAWeight * shape.n_threads,
                                      std::max(int64_t{1}, config.vocab * config.hidden / block));
    int64_t codes = 0;  // of one after the other
    for (const LinearRole role : {LinearRole::Embedding, LinearRole::LmHead}) {
        if (weight_bits(shape.recipe, role) == 16) continue;
        codes = std::max(codes, 2 * stored_bytes(role, shape));
    }
    int64_t bytes = codes + shape.n_threads * 16 * block + n_blocks * 4 * block;
    for (int64_t layer = 0; layer < config.n_layers; ++layer) {
        bytes = std::max(bytes, writing_bytes(layer, shape));
    }
    return bytes;
}

}  // namespace

int64_t job_ram_bytes(const JobShape& shape) {
    const int64_t bytes =
        kQuantizerBytes + shape.n_threads * kThreadBytes + dense_bytes(shape) +
        std::max({finding_bytes(shape), quantizing_bytes(shape), writing_bytes(shape)});
    return bytes + bytes / 16;  // what the allocator does not give back
}

// The residual stream in fp32 and the inputs of o_proj in halves, of all tokens; what a window is
// between the linears; a layer in halves; then a Gram matrix, its factor and its fp32 copy, and
// when it has gone a weight's rows, their columns in fp64 and its codes.
int64_t job_device_bytes(const JobShape& shape) {
    constexpr int64_t kContextBytes = int64_t{1} << 30;  // kernels, libraries and their workspaces
    const model::ModelConfig& config = shape.config;
    const int64_t between =
        2 * config.hidden + 2 * config.q_dim() + 4 * config.kv_dim() + 4 * config.ffn;
    const int64_t tokens =
        shape.n_tokens * (4 * config.hidden + 2 * config.q_dim()) + shape.seqlen * 4 * between;
    int64_t most = 0;
    for (int64_t layer = 0; layer < config.n_layers; ++layer) {
        int64_t weights = 0, site_bytes = 0;
        for (const LinearId& id : linears_of(config, layer)) weights += 2 * elements(id, config);
        for (const model::SiteRule& site : sites_of(config, layer)) {
            if (!shape.hessians) continue;
            const int64_t n = in_features(site.first(layer), config);
            int64_t rows = 0;
            for (const LinearRole role : site.roles) {
                rows = std::max(rows, out_features(site.linear(role, layer), config));
            }
            site_bytes = std::max(
                {site_bytes, (8 + 8 + 4) * n * n, (8 + 4) * n * n + (4 + 8 + 1) * n * rows});
        }
        most = std::max(most, weights + site_bytes);
    }
    return kContextBytes + tokens + most;
}

}  // namespace quarot::quantize
