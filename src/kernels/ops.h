// The contract of a backend: what memory, weights and operations look like to the layers above.
//
// An operation takes one struct of views into backend memory, only enqueues, never allocates and
// never throws for what is in the data: rows with a NaN or Inf are noted (SiteNote). Shapes that
// contradict each other are our bug (QUAROT_CHECK). The reference backend defines what each
// operation means; docs/numerics.md says how near the others must come. Integers are bit-equal
// everywhere.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "comm/comm.h"
#include "core/check.h"
#include "kernels/formats.h"
#include "kernels/functions.h"
#include "linalg/mixer.h"
#include "tensor/quantized_matrix.h"
#include "tensor/rows.h"
#include "tensor/tensor.h"

namespace quarot::kernels {

// ---------------------------------------------------------------- memory

// Owned backend memory, 64-byte aligned. Move-only.
class Buffer {
  public:
    Buffer() = default;
    Buffer(void* data, int64_t bytes, std::function<void(void*)> free)
        : data_(data, std::move(free)), bytes_(bytes) {}
    void* data() const { return data_.get(); }
    int64_t bytes() const { return bytes_; }

  private:
    std::unique_ptr<void, std::function<void(void*)>> data_{nullptr, [](void*) {}};
    int64_t bytes_ = 0;
};

using quarot::Rows;

// ---------------------------------------------------------------- quantized activations

// Quantized rows in backend memory: value = scale * (code - offset).
//   symmetric:  code = q in [-2^(b-1), 2^(b-1)-1], offsets null (all 0)
//   asymmetric: code = q - 2^(b-1) with q in [0, 2^b-1], offset = zero - 2^(b-1)
//   real zero:  code as asymmetric, offsets null, value = scale * code + base
// The range of a whole row includes 0, that of a group need not (tensor/affine.h). b are the bits
// of the row (format_of).
// How codes, scales and the rest lie in memory is the backend's own; Backend::read_codes brings
// them to the host in one order. Shapes here are those of Backend::place_quantized's default, which
// reference and cpu use: codes int8 row-major, `stride` bytes a row, columns cols..stride-1 zero.
struct QuantizedRows {
    void* codes = nullptr;
    float* scales = nullptr;      // [rows, n_groups]
    int32_t* offsets = nullptr;   // [rows, n_groups] or null
    float* bases = nullptr;       // [rows, n_groups] for real zero points, else null
    int32_t* row_sums = nullptr;  // [rows, n_groups]: sum of the group's codes
    // Of backends that multiply scales of two levels as whole numbers of the row's unit, in layouts
    // of their own; else null.
    void* multiples = nullptr;
    void* row_units = nullptr;
    int64_t rows = 0;
    int64_t cols = 0;
    int64_t stride = 0;
    ActivationFormat format;
    // Where the tokens of rows stand in their sequences, for formats that tell the first ones from
    // others; null: nowhere.
    const int32_t* positions = nullptr;
    const int32_t* token_of = nullptr;  // rows grouped by expert: of position (Routing); else null

    // What row r is quantized to: bits and clip may differ from row to row.
    ActivationFormat format_of(int64_t row) const {
        if (positions == nullptr) return format;
        return format.at(positions[token_of == nullptr ? row : token_of[row]]);
    }
    int64_t n_groups() const { return format.group_size == 0 ? 1 : cols / format.group_size; }
    // Of the default layout only.
    int8_t* row_codes(int64_t row) const { return static_cast<int8_t*>(codes) + row * stride; }
};

// Quantized rows on the host, row-major.
struct HostCodes {
    std::vector<int8_t> codes;      // [rows, cols]
    std::vector<float> scales;      // [rows, n_groups]
    std::vector<int32_t> offsets;   // [rows, n_groups] or empty
    std::vector<float> bases;       // [rows, n_groups] or empty
    std::vector<int32_t> row_sums;  // [rows, n_groups]
    bool padding_is_zero = true;    // all bytes beside the codes, over which products run, too
};

// What a linear multiplies: float rows or quantized rows.
struct Operand {
    std::variant<Rows, QuantizedRows> rows;
    int64_t n_rows() const {
        return std::visit([](const auto& r) { return r.rows; }, rows);
    }
};

// ---------------------------------------------------------------- weights

// A matrix in host memory handed over to a backend: floats or codes. Dense ones are shared so that
// a tied head and the embedding can stand on the same bytes.
using HostMatrix = std::variant<std::shared_ptr<const Tensor>, QuantizedMatrix>;

// The matrix itself, or codes widened to F32.
std::shared_ptr<const Tensor> as_floats(const HostMatrix& matrix);

// Codes in containers of 4 or 8 bits, scales as F32 and zero points as bytes: what products read.
int64_t container_bytes(const CodesForm& form);

struct LinearWeights {
    HostMatrix matrix;        // [out, in]
    std::vector<float> bias;  // [out] or empty
    // Groups of the asymmetric activations that will be multiplied (0: whole rows, or symmetric),
    // so that what corrects for their zero points is summed once. Others are our bug.
    int64_t activation_group = 0;
    // A row's bits may not depend on the rows beside it, at some cost of speed on GPUs.
    bool batch_invariant = false;
};

// A weight matrix in the backend's own layout. Made once, const and shared by threads after.
class Linear {
  public:
    Linear(int64_t out, int64_t in, int bits) : out_(out), in_(in), bits_(bits) {}
    virtual ~Linear() = default;
    int64_t out_features() const { return out_; }
    int64_t in_features() const { return in_; }
    int bits() const { return bits_; }  // 16: dense floating point

  private:
    int64_t out_, in_;
    int bits_;
};

// A table whose rows are read by token id. Codes are read as fp32 scale * (q - zero).
class Embedding {
  public:
    virtual ~Embedding() = default;
};

// One matrix that is multiplied and read by rows. The embedding may read what the linear holds,
// which then must outlive its last use.
struct TiedMatrix {
    std::unique_ptr<Linear> linear;
    std::unique_ptr<Embedding> embedding;
};

// A mixer prepared for use on rows: transforms every run of n * inner consecutive elements of a row
// as T (x) I_inner, so a width may hold several blocks.
class Transform {
  public:
    Transform(int64_t n, int64_t inner) : n_(n), inner_(inner) {}
    virtual ~Transform() = default;
    int64_t n() const { return n_; }
    int64_t inner() const { return inner_; }

  private:
    int64_t n_, inner_;
};

// ---------------------------------------------------------------- NaN and Inf

// Names a place in the network for error messages, chosen by the caller; what comes first has the
// lower number.
using Site = int32_t;
inline constexpr Site kNoSite = std::numeric_limits<Site>::max();

// Where an operation notes NaN and Inf: lowest[r] becomes `site`, if that is lower, when row r
// holds one. The caller fills `lowest` with kNoSite before and reads it when the step is over.
struct SiteNote {
    Site site = 0;
    Site* lowest = nullptr;  // [rows] in backend memory; null: nobody asks
    // Rows grouped by expert: row r counts for token token_of[r] (Routing); null: for itself.
    const int32_t* token_of = nullptr;
};

// For backends in host memory; threads may work on rows of one token.
inline void note_row(const SiteNote& note, int64_t row) {
    if (note.lowest == nullptr) return;
    std::atomic_ref lowest(note.lowest[note.token_of == nullptr ? row : note.token_of[row]]);
    Site found = lowest.load(std::memory_order_relaxed);
    while (note.site < found &&
           !lowest.compare_exchange_weak(found, note.site, std::memory_order_relaxed)) {
    }
}

// ---------------------------------------------------------------- batch and KV cache

// The tokens of several sequences, prefill chunks and decode steps mixed; everything in backend
// memory, at addresses that do not depend on the batch, so that a step can be recorded and replayed
// on another batch of the same three counts. A batch is padded to its counts by sequences without
// tokens and by tokens at negative positions, which follow all others: from
// first_token[n_sequences] on. Padding belongs to no sequence: the cache and attention leave it out
// (RoPE leaves its rows as they are, attention writes zeros), other operations run over its rows.
struct BatchView {
    int64_t n_tokens = 0;
    const int32_t* token_ids = nullptr;          // [n_tokens], padding's too in the vocabulary
    const int32_t* positions = nullptr;          // [n_tokens], in the token's own sequence
    const int32_t* sequence_of_token = nullptr;  // [n_tokens], nondecreasing but for padding
    int64_t n_sequences = 0;
    const int32_t* first_token = nullptr;      // [n_sequences + 1]: tokens of sequence s are a run
    const int32_t* context_lengths = nullptr;  // [n_sequences], this batch's tokens included
    const int32_t* pages = nullptr;            // pages of all sequences, those of s in order from
    const int32_t* first_page = nullptr;       // [n_sequences + 1]: first_page[s]
    // [n_sequences], where keys by channel have a sequence's newest block: below
    // KvDescriptor::sequences, the same from its first token to its last, and no other's.
    const int32_t* seats = nullptr;
    int64_t n_logit_rows = 0;
    const int32_t* logit_rows = nullptr;  // [n_logit_rows]: tokens whose logits are wanted
    Site* bad_sites = nullptr;            // [n_tokens]: for the notes of operations on tokens
};

// The largest step that will run, and the widths of its operands, so that a backend can take its
// scratch beforehand.
struct StepLimits {
    int64_t tokens = 0;
    int64_t sequences = 0;
    int64_t pages = 0;  // of one sequence
    int64_t logit_rows = 0;
    int64_t n_heads = 0;
    int64_t head_dim = 0;
    int64_t columns = 0;  // of the widest activations
    int64_t vocab = 0;
};

struct KvDescriptor {
    int64_t n_layers = 0;
    int64_t n_kv_heads = 0;
    int64_t head_dim = 0;
    int64_t page_tokens = 64;  // positions a page holds; page p of a sequence: p*page_tokens ...
    KvFormat k;
    KvFormat v;
    bool k_bias_apart = false;  // keys come without their linear's bias (KeyBias)
    int64_t sequences = 1;      // at once, of which keys by channel have a newest block
};

// Bytes of K and V of one token over all layers, scales and zero points counted, as `inspect`
// prints them: codes b bits, scale F32 or F16, zero I16, by channel both F16 and shared by a block;
// 16 bits: fp32.
int64_t kv_bytes_per_token(const KvDescriptor& descriptor);
// Bytes of what one sequence has beside its pages: its newest keys of every layer in fp32, and as
// many of one layer as the step found them. 0 unless keys are by channel.
int64_t newest_block_bytes(const KvDescriptor& descriptor);

enum class KvKind { Key, Value };

// Pages of the KV cache. Who owns which page is the runtime's business; what a page looks like
// inside is the backend's.
class KvStore {
  public:
    KvStore(KvDescriptor descriptor, int64_t n_pages)
        : descriptor_(descriptor), n_pages_(n_pages) {}
    virtual ~KvStore() = default;
    const KvDescriptor& descriptor() const { return descriptor_; }
    int64_t n_pages() const { return n_pages_; }
    virtual int64_t bytes() const = 0;

    // One stored vector as codes, scale and zero (16 bits: as values); for tests. By channel: of
    // a block that was completed since its page was taken.
    struct Entry {
        std::vector<int32_t> codes;  // [head_dim]; empty at 16 bits
        std::vector<float> scales;   // [n_groups], by channel [head_dim]
        std::vector<int32_t> zeros;  // [n_groups], by channel empty
        std::vector<float> offsets;  // [head_dim] by channel, else empty
        std::vector<float> values;   // [head_dim], dequantized
    };
    virtual Entry read(KvKind kind, int64_t layer, int64_t page, int64_t slot,
                       int64_t head) const = 0;

  private:
    KvDescriptor descriptor_;
    int64_t n_pages_;
};

// cos and sin of every position, in backend memory; pairs are (i, i + head_dim/2). Null: q and k
// are not turned.
struct RopeTable {
    const float* cos = nullptr;  // [n_positions, head_dim / 2]
    const float* sin = nullptr;
    int64_t n_positions = 0;
};

// The part of keys that the cache leaves out (KvDescriptor::k_bias_apart): with h = head_dim / 2
// the key at position p is what the cache holds plus
//   sum over i < h of cos(p f_i) basis[i] + sin(p f_i) basis[h + i],
// which is R3 RoPE_p(bias).
struct KeyBias {
    const float* basis = nullptr;  // [n_kv_heads, head_dim, head_dim]; null: no such part
    RopeTable table;
};

// ---------------------------------------------------------------- operations

struct EmbedArgs {
    const Embedding& table;
    const BatchView& batch;
    Rows out;  // [n_tokens, hidden]
    // Dense. Its row position + offset is added to a token's; to padding nothing is. Or null.
    const Embedding* positions = nullptr;
    int64_t position_offset = 0;
};

// Every run of `group` columns is normalised by itself (NormKind).
struct NormArgs {
    Rows in;
    NormKind kind = NormKind::Rms;
    const float* gain = nullptr;  // [group] in backend memory, or null: ones
    const float* bias = nullptr;  // [group] of Layer, or null: zeros
    float eps = 1e-5f;
    int64_t group = 0;  // a divisor of the columns; 0: the whole row
    Rows out;           // may be `in`
};

// residual += partial, then the norm of residual into out. With a group, partial is this rank's
// part of it: the group's sum comes before, and where the group shares so many rows, residual is
// right in this rank's row_share alone afterwards.
struct AddNormArgs {
    Rows residual;  // in place
    Rows partial;   // F32; with a group it may be overwritten
    comm::Comm* group = nullptr;
    NormKind kind = NormKind::Rms;
    const float* gain = nullptr;
    const float* bias = nullptr;
    float eps = 1e-5f;
    Rows out;  // neither residual nor partial
};

// out = scale * in, and with a cap out = cap * tanh(scale * in / cap).
struct ScaleArgs {
    Rows in;
    float scale = 1.0f;
    float cap = 0.0f;  // 0: none
    Rows out;          // may be `in`
};

struct RopeArgs {
    Rows q;  // [n_tokens, n_heads * head_dim], in place
    Rows k;  // [n_tokens, n_kv_heads * head_dim], in place
    int64_t head_dim = 0;
    RopeTable table;
    const BatchView& batch;
};

// Writes K and V of the batch's tokens into their pages. Keys by channel become codes when their
// block is full, in the step that fills it: lo and hi of a channel over the block, drawn towards
// their middle by the clip ratio, give scale and offset (half_affine), and these the codes. A
// token's row is noted for a NaN or Inf in it, and where it fills a block that F16 cannot scale.
struct AppendKvArgs {
    Rows k;  // [n_tokens, n_kv_heads * head_dim], rotated already
    Rows v;
    int64_t layer = 0;
    const BatchView& batch;
    KvStore& kv;
    SiteNote note;
};

struct RopeTransformAppendArgs {
    RopeArgs rope;
    const Transform* transform = nullptr;  // R3 on q and k after RoPE; null: none
    AppendKvArgs append;
};

// Causal: the token at position p attends to positions 0..p of its own sequence, or to the last
// `window` of them, all read back from the cache (dequantized codes), its own included. Of keys by
// channel a position of the token's own block counts with the key as it came, in fp32, and one of
// an earlier block with its codes, so that it is the same however the tokens were split into steps.
// Pages that no token of the batch sees are not read. A score is scale * (q . k), and with a cap
// cap * tanh(scale * (q . k) / cap).
struct AttentionArgs {
    Rows q;  // [n_tokens, n_heads * head_dim]
    int64_t n_heads = 0;
    int64_t layer = 0;
    float scale = 1.0f;  // on q . k
    const BatchView& batch;
    const KvStore& kv;
    Rows out;                // [n_tokens, n_heads * head_dim], not q
    Rows k;                  // of keys by channel those that this batch appended; else not read
    KeyBias key_bias;        // with a basis if and only if the cache's descriptor says k_bias_apart
    float score_cap = 0.0f;  // 0: none
    int64_t window = 0;      // positions a token sees, its own included; 0: all
};

// The first position that the token at `position` sees.
inline int64_t first_seen(int64_t position, int64_t window) {
    return window > 0 ? std::max<int64_t>(position + 1 - window, 0) : 0;
}

// out = in W^T + bias (+ residual).
//   both quantized: acc = exact integer sum over the group of (code_a - offset_a)(q_w - zero_w);
//     y = sum over groups, in order, of (float(acc) * scale_w) * scale_a
//     where a group ends at every border of either side's groups. With real zero points offset_a is
//     0 and each group adds (float(acc) * scale_w) * scale_a + (float(sum of q_w - zero_w) *
//     scale_w) * base_a. Sums of integers are exact whatever their size. Scales of two levels may
//     be multiplied as whole numbers of the row's unit instead, in an order of the backend's own.
//   one quantized: fp32 products of (code - offset or zero) with the float side; the scale is
//     applied to each product or to the sum of those that share it; real zero points: of
//     scale * code + base
struct LinearArgs {
    const Operand& in;
    const Linear& weight;
    Rows out;                 // [n_rows, out_features]
    bool accumulate = false;  // out += instead of out =
};

struct LinearGroupArgs {
    const Operand& in;
    std::span<const Linear* const> weights;
    std::span<const Rows> outs;
};

// Which experts the tokens of a step go to, and their rows grouped by expert; everything in backend
// memory. A token has a row for each of its experts. Nothing depends on other tokens but the places
// of rows, so that operations on rows give a token the same bits in any company.
struct Routing {
    int64_t n_tokens = 0;
    int64_t top_k = 0;
    int64_t n_experts = 0;
    int32_t* experts = nullptr;    // [n_tokens, top_k], ascending in each token
    float* weights = nullptr;      // [n_tokens, top_k]
    int32_t* row_of = nullptr;     // [n_tokens, top_k]: the row of a token and its expert
    int32_t* token_of = nullptr;   // [n_rows]: the token of a row; ascending in each expert
    int32_t* first_row = nullptr;  // [n_experts + 1]: rows of expert e from first_row[e] on

    int64_t n_rows() const { return n_tokens * top_k; }
};
// Memory for it, and the routing standing there, still to be filled.
int64_t routing_bytes(int64_t n_tokens, int64_t top_k, int64_t n_experts);
Routing place_routing(void* memory, int64_t n_tokens, int64_t top_k, int64_t n_experts);

// Fills a routing: the top_k largest logits of a token, of equal ones those of the lower experts.
// With p = softmax(logits), computed in fp64, expert e weighs p_e, or with `renormalize` p_e over
// the sum of the p chosen. Of a row with a NaN or Inf any experts are chosen, with any weights.
struct RouteArgs {
    Rows logits;  // F32 [n_tokens, n_experts]
    bool renormalize = true;
    Routing routing;
    SiteNote note;
};

// The linears of one role, by expert. Those of experts without rows are not looked at and may be
// null.
using ExpertLinears = std::span<const std::unique_ptr<Linear>>;

// outs[i], rows r of expert e = in, rows r, times weights[i][e]: linear_group, an expert at a time.
struct ExpertGroupArgs {
    const Operand& in;  // [routing.n_rows(), in_features], grouped
    const Routing& routing;
    std::span<const ExpertLinears> weights;  // at most kMaxExpertLinears
    std::span<const Rows> outs;
};
inline constexpr size_t kMaxExpertLinears = 2;

// out[t] = sum over j, in order, of weights[t][j] * rows[row_of[t][j]]: products and sums in fp32,
// each rounded once, so that all backends give the same bits.
struct CombineArgs {
    Rows rows;  // F32 [routing.n_rows(), cols]
    const Routing& routing;
    Rows out;  // F32 [n_tokens, cols]
};

// out = f(gate) * up, or f(gate) without `up`; f is the activation.
struct ActivateArgs {
    Activation activation = Activation::Silu;
    Rows gate;
    std::optional<Rows> up;
    Rows out;  // may be gate or up
};

// out[r] = logits[r][targets[r]] - log(sum(exp(logits[r]))), fp64; 0 for a negative target.
struct LogProbabilityArgs {
    Rows logits;                       // F32
    const int32_t* targets = nullptr;  // [rows] in backend memory
    double* out = nullptr;             // [rows] in backend memory
};

// The k largest logits of each row, largest first, of equal ones the lower id first.
struct TopKArgs {
    Rows logits;              // F32
    int64_t k = 1;            // 1 to logits.cols
    float* values = nullptr;  // [rows, k] in backend memory
    int32_t* ids = nullptr;   // [rows, k] in backend memory
};

// out[r] = KL(softmax(base[r]) || softmax(model[r])) in nats, fp64.
struct DivergenceArgs {
    Rows base;              // F32
    Rows model;             // F32, of the same shape
    double* out = nullptr;  // [rows] in backend memory
};

struct BackendInfo {
    std::string name;  // "reference", "cpu"
    std::string tier;  // "scalar", "avx2", "avx512vnni", "amx"
    int n_threads = 1;
};

// What a backend keeps activations in, and what it can do.
struct BackendTraits {
    DType residual = DType::F32;  // the residual stream
    DType work = DType::F32;      // what else is not quantized, but for partial sums and logits
    DType cache16 = DType::F32;   // K and V of 16 bits
    bool records = false;         // replaying a recording is cheaper than enqueueing again
    bool embeds_codes = false;    // embeddings in codes stay so, with a tied head as one; else F32
    bool mixtures = false;        // runs mixtures of experts
    bool cross_grams = false;     // has accumulate_cross_gram
    bool own_memory = false;      // the device's, which is not the host's and no other device's
    int64_t step_tokens = 512;    // that keep it busy: longer steps only take more memory
};

// Enqueued operations kept for another time.
class Recording {
  public:
    virtual ~Recording() = default;
    // Enqueues them once more, over what the same memory holds now.
    virtual void replay() = 0;
};

// One engine thread calls a backend; inside, it may use its own threads.
class Backend {
  public:
    virtual ~Backend() = default;
    virtual BackendInfo info() const = 0;
    virtual BackendTraits traits() const { return {}; }

    // Memory. Error{OutOfMemory} from allocations and reserve only. upload has read the host's
    // bytes when it returns, but those of allocate_host are the backend's until synchronize; what
    // download writes is there after synchronize.
    virtual Buffer allocate(int64_t bytes) = 0;
    virtual Buffer allocate_host(int64_t bytes);  // memory of the host, quick to copy
    virtual void upload(void* to, const void* host, int64_t bytes) = 0;
    virtual void download(void* host, const void* from, int64_t bytes) = 0;
    virtual void synchronize() {}

    // Steps. Takes the scratch that operations of a step within `limits` need, so that none of them
    // allocates; of several calls each limit's largest value counts.
    virtual void reserve(const StepLimits& limits);
    // Calls `enqueue`, now or at each replay, and keeps the operations it enqueues; none of them
    // runs before replay. It may upload, download and synchronize nothing. The default keeps
    // `enqueue` itself, and replay calls it.
    virtual std::unique_ptr<Recording> record(std::function<void()> enqueue);

    // Ranks. Makes this backend, as rank 0, and `others` of its kind, in order, the ranks of a
    // group: a Comm for each, none of which may outlive its backend. Without others, a group of
    // one. Error{Unsupported} where backends of this kind form no group, as the default says.
    virtual std::vector<std::unique_ptr<comm::Comm>> join(std::span<Backend* const> others);

    // Weights. Error{Unsupported} for a form the backend cannot hold.
    virtual std::unique_ptr<Linear> prepare_linear(LinearWeights weights) = 0;
    virtual std::unique_ptr<Embedding> prepare_embedding(HostMatrix table) = 0;
    // Bytes that prepare_linear takes for such codes. The default is container_bytes.
    virtual int64_t codes_bytes(const CodesForm& form) const;
    // The default makes a linear and an embedding apart.
    virtual TiedMatrix prepare_tied(LinearWeights weights);
    // Numbers as they are stored between the parts of the transform. F32: never rounded on purpose.
    // F16: input, result of the Sylvester factor (with the whole 1 / sqrt(n) in it) and result of
    // the dense factor, if there is one, are each rounded to the nearest half, ties to even, finite
    // ones beyond its range to +-65504; sums are fp32. The identity rounds nothing.
    virtual std::unique_ptr<Transform> prepare_transform(const linalg::Mixer& mixer, int64_t inner,
                                                         DType storage = DType::F32) = 0;
    virtual std::unique_ptr<KvStore> make_kv_store(const KvDescriptor& descriptor,
                                                   int64_t n_pages) = 0;
    // Bytes that make_kv_store takes, codes in their containers; nothing if they do not fit the
    // type. Errors as make_kv_store's for a form the backend cannot hold.
    virtual std::optional<int64_t> kv_bytes(const KvDescriptor& descriptor,
                                            int64_t n_pages) const = 0;

    // What weights and cache may still take: of the host's memory, unless the device has its own;
    // nothing if the system does not say.
    virtual std::optional<int64_t> available_bytes() const;
    // The same for each of n ranks with such a backend, which share the host's memory.
    std::optional<int64_t> available_to_each(int n_ranks) const;

    // Memory for the quantized form of rows x cols, and the operand standing in it.
    virtual int64_t quantized_bytes(int64_t rows, int64_t cols,
                                    const ActivationFormat& format) const;
    virtual QuantizedRows place_quantized(void* memory, int64_t rows, int64_t cols,
                                          const ActivationFormat& format) const;
    // Waits; for tests and tools.
    virtual HostCodes read_codes(const QuantizedRows& rows);

    // Plain operations.
    virtual void embed(const EmbedArgs& args) = 0;
    virtual void norm(const NormArgs& args) = 0;
    virtual void transform(const Transform& transform, Rows rows) = 0;  // in place
    virtual void add(Rows to, Rows from) = 0;                           // to += from, F32
    virtual void scale(const ScaleArgs& args) = 0;
    virtual void quantize(Rows in, QuantizedRows out, SiteNote note) = 0;
    virtual void linear(const LinearArgs& args) = 0;
    virtual void rope(const RopeArgs& args) = 0;
    virtual void append_kv(const AppendKvArgs& args) = 0;
    virtual void attention(const AttentionArgs& args) = 0;
    virtual void activate(const ActivateArgs& args) = 0;
    virtual void gather_rows(Rows in, const int32_t* row_indices, Rows out) = 0;
    virtual void find_non_finite(Rows in, SiteNote note) = 0;
    // out = scale * (code - offset), or scale * code + base.
    virtual void dequantize(const QuantizedRows& in, Rows out);
    // out[r][j] = in[r][columns[j]]; columns are in backend memory and were checked when loaded.
    // out may not overlap in.
    virtual void gather_columns(Rows in, const int32_t* columns, Rows out) = 0;
    // gram += in^T in. gram is [cols, cols] fp64, row-major in backend memory, symmetric before and
    // after, bit for bit. Sums may be fp32 over at most 256 rows, counted from the first row of the
    // call; the sums of such runs are added in order.
    virtual void accumulate_gram(Rows in, double* gram) = 0;
    // gram += a^T b of as many rows: [a.cols, b.cols] fp64, row-major in backend memory. Sums as in
    // accumulate_gram. The default is for backends whose traits lack it: Error{Unsupported}.
    virtual void accumulate_cross_gram(Rows a, Rows b, double* gram);

    // Mixtures of experts. The defaults are for backends whose traits have none:
    // Error{Unsupported}.
    virtual void route(const RouteArgs& args);
    // out[r] = in[rows[r]], codes and all that belongs to them; of the same format and columns.
    virtual void gather_codes(const QuantizedRows& in, const int32_t* rows,
                              const QuantizedRows& out);
    virtual void expert_group(const ExpertGroupArgs& args);
    virtual void combine_experts(const CombineArgs& args);

    // Looks at logits. Rows with a NaN or Inf give any number, and ids below the vocabulary.
    virtual void log_probabilities(const LogProbabilityArgs& args) = 0;
    virtual void top_k(const TopKArgs& args) = 0;
    virtual void divergence(const DivergenceArgs& args) = 0;

    // Operations per site. The default bodies compose the plain ones; a backend overrides what
    // profits. `out` holds Rows (then it is only the float result) or QuantizedRows; `scratch` has
    // the shape of the float result and may be overwritten.
    virtual void norm_quantize(const NormArgs& args, const Operand& out, SiteNote note);
    virtual void add_norm_quantize(const AddNormArgs& args, const Operand& out, SiteNote note);
    virtual void transform_quantize(const Transform* transform, Rows scratch, const Operand& out,
                                    SiteNote note);
    virtual void rope_transform_append_kv(const RopeTransformAppendArgs& args);
    virtual void linear_group(const LinearGroupArgs& args);
    // activate -> transform -> quantize; args.out is scratch.
    virtual void activate_transform_quantize(const ActivateArgs& args, const Transform* transform,
                                             const Operand& out, SiteNote note);
};

}  // namespace quarot::kernels
