#include "bench/paper_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <utility>

#include "bench/operation.h"
#include "bench/random_weights.h"
#include "core/checked_math.h"

namespace quarot::bench {

namespace {

using model::InputSite;
using model::Weights;

using Parts = std::function<void(SampleStep&, int64_t layer)>;

StepShape prompt_step(const PaperSizes& sizes, int64_t batch, int64_t step_tokens) {
    const int64_t fitting = std::max<int64_t>(1, step_tokens / sizes.prompt_tokens);
    return {.sequences = std::min(batch, fitting), .tokens = sizes.prompt_tokens, .depth = 0};
}

StepShape decode_step(const PaperSizes& sizes, int64_t batch) {
    return {.sequences = batch, .tokens = 1, .depth = sizes.depth};
}

// The paper's figures hold for its own prompts and caches alone.
bool has_paper_prompts(const PaperSizes& sizes) {
    return sizes.prompt_tokens == 2048;
}
bool has_paper_depth(const PaperSizes& sizes) {
    return sizes.depth == 2047;
}

class Measurer {
  public:
    Measurer(const PaperSizes& sizes, const Weights& dense, const Weights& quantized,
             int64_t n_samples, kernels::Backend& backend, const Clock& clock)
        : sizes_(sizes),
          dense_(dense),
          quantized_(quantized),
          n_samples_(n_samples),
          backend_(backend),
          clock_(clock) {}

    // Tables 14 and 16.
    void add_prompts(int64_t batch) {
        const StepShape shape = prompt_step(sizes_, batch, backend_.traits().step_tokens);
        const double n_steps = static_cast<double>(batch) / static_cast<double>(shape.sequences);
        for (PaperRow row : prompt_rows(shape)) {
            row.batch = batch;
            row.dense *= n_steps;
            row.quantized *= n_steps;
            if (row.rotated) *row.rotated *= n_steps;
            if (has_paper_prompts(sizes_)) add_paper_prompt(row);
            rows_.push_back(row);
        }
    }

    // Table 15, and decoding.
    void add_decoding(int64_t batch) {
        const StepShape shape = decode_step(sizes_, batch);
        SampleStep dense(dense_, shape, backend_), quantized(quantized_, shape, backend_);
        PaperRow row = new_row(15, attention_name(), batch, shape);
        row.dense = milliseconds(dense, attention(Rotated::No));
        row.quantized = milliseconds(quantized, attention(Rotated::No));
        row.rotated = milliseconds(quantized, attention(Rotated::Yes));
        if (has_paper_depth(sizes_)) row.paper = paper_attention(dense_.config.n_heads, batch);
        rows_.push_back(row);
        row = new_row(std::nullopt, "decoding of a block", batch, shape);
        row.dense = milliseconds(dense, whole_layer);
        row.quantized = milliseconds(quantized, whole_layer);
        rows_.push_back(row);
    }

    // Table 17.
    void add_memory(int64_t batch, int64_t depth) {
        PaperRow row = new_row(17, "memory of a block", batch, {batch, 1, depth});
        row.dense = gigabytes(dense_, batch, depth);
        row.quantized = gigabytes(quantized_, batch, depth);
        if (const auto paper = paper_memory(sizes_.shape, batch, depth)) {
            row.paper = {paper->dense, paper->quantized, paper->quantized};
        }
        rows_.push_back(row);
    }

    std::vector<PaperRow> rows() && { return std::move(rows_); }

  private:
    // Of one step; batches that run in equal steps are measured once.
    const std::vector<PaperRow>& prompt_rows(const StepShape& shape) {
        std::vector<PaperRow>& rows = prompt_rows_[shape.sequences];
        if (!rows.empty()) return rows;
        SampleStep dense(dense_, shape, backend_), quantized(quantized_, shape, backend_);
        for (const InputSite site : {InputSite::Output, InputSite::Down}) {
            PaperRow row = new_row(14, linear_name(site), shape.sequences, shape);
            row.dense = milliseconds(
                dense, [site](SampleStep& step, int64_t layer) { step.linears(layer, site); });
            row.quantized = milliseconds(quantized, after_quantizing(site, Rotated::No));
            row.rotated = milliseconds(quantized, after_quantizing(site, Rotated::Yes));
            row.columns = width(site);
            rows.push_back(row);
        }
        rows.push_back(new_row(16, "prefill of a block", shape.sequences, shape));
        rows.back().dense = milliseconds(dense, whole_layer);
        rows.back().quantized = milliseconds(quantized, whole_layer);
        return rows;
    }
    void add_paper_prompt(PaperRow& row) const {
        if (row.table == 14) row.paper = paper_linear(dense_.config.hidden, row.columns, row.batch);
        if (row.table == 16) row.paper_ratio = paper_prefill_ratio(sizes_.shape, row.batch);
    }
    static PaperRow new_row(std::optional<int> table, std::string what, int64_t batch,
                            const StepShape& shape) {
        PaperRow row;
        row.table = table;
        row.what = std::move(what);
        row.batch = batch;
        row.tokens = shape.tokens;
        row.depth = shape.depth;
        return row;
    }
    int64_t width(InputSite site) const {
        return in_features(model::rule_of(site).roles.front(), dense_.config);
    }
    std::string linear_name(InputSite site) const {
        return fmt::format("{} x {}", dense_.config.hidden, width(site));
    }
    std::string attention_name() const {
        return fmt::format("{} heads of {}", dense_.config.n_heads, dense_.config.head_dim);
    }

    static void whole_layer(SampleStep& step, int64_t layer) { step.layer(layer); }
    static Parts after_quantizing(InputSite site, Rotated rotated) {
        return [=](SampleStep& step, int64_t layer) {
            site == InputSite::Output ? step.mix_heads(rotated) : step.quantize_ffn(rotated);
            step.linears(layer, site);
        };
    }
    static Parts attention(Rotated rotated) {
        return [=](SampleStep& step, int64_t layer) {
            step.append(layer, rotated);
            step.attention(layer);
        };
    }
    double milliseconds(SampleStep& step, const Parts& parts) {
        return 1e3 * seconds_of([&](int64_t layer) { parts(step, layer); },
                                step.weights().config.n_layers, n_samples_, backend_, clock_);
    }
    double gigabytes(const Weights& weights, int64_t batch, int64_t depth) const {
        kernels::KvDescriptor kv = weights.kv_descriptor(batch);
        kv.n_layers = 1;
        const int64_t pages = batch * ceil_div(depth, kv.page_tokens);
        int64_t bytes = backend_.kv_bytes(kv, pages).value_or(0);
        for (const model::LinearId& id : linears_of(weights.config, 0)) {
            bytes += linear_bytes(id, weights.config, weights.recipe);
        }
        return 1e-9 * static_cast<double>(bytes);
    }

    const PaperSizes& sizes_;
    const Weights& dense_;
    const Weights& quantized_;
    int64_t n_samples_;
    kernels::Backend& backend_;
    const Clock& clock_;
    std::map<int64_t, std::vector<PaperRow>> prompt_rows_;  // by sequences of a step
    std::vector<PaperRow> rows_;
};

// Decoding a block, which is in none, follows its prompts.
std::vector<PaperRow> by_table(const std::vector<PaperRow>& rows) {
    constexpr std::array<std::optional<int>, 5> kTables = {14, 15, 16, std::nullopt, 17};
    std::vector<PaperRow> sorted;
    for (const std::optional<int>& table : kTables) {
        for (const PaperRow& row : rows) {
            if (row.table == table) sorted.push_back(row);
        }
    }
    return sorted;
}

}  // namespace

std::vector<StepShape> paper_steps(const PaperSizes& sizes, int64_t step_tokens) {
    std::vector<StepShape> steps;
    for (const int64_t batch : sizes.batches) {
        if (sizes.prompt_tokens > 0) steps.push_back(prompt_step(sizes, batch, step_tokens));
        steps.push_back(decode_step(sizes, batch));
    }
    return steps;
}

std::vector<PaperRow> paper_rows(const PaperSizes& sizes, const Weights& dense,
                                 const Weights& quantized, int64_t n_samples,
                                 kernels::Backend& backend, const Clock& clock) {
    Measurer measurer(sizes, dense, quantized, n_samples, backend, clock);
    for (const int64_t batch : sizes.batches) {
        if (sizes.prompt_tokens > 0) measurer.add_prompts(batch);
    }
    for (const int64_t batch : sizes.batches) measurer.add_decoding(batch);
    for (const int64_t batch : sizes.memory_batches) {
        for (const int64_t depth : sizes.memory_depths) measurer.add_memory(batch, depth);
    }
    return by_table(std::move(measurer).rows());
}

}  // namespace quarot::bench
