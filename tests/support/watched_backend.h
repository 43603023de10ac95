// A backend that passes everything on to another one and can be told to refuse allocations, to fail
// or to say that it records.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "kernels/ops.h"

namespace quarot::test {

class WatchedBackend : public kernels::Backend {
  public:
    explicit WatchedBackend(std::unique_ptr<kernels::Backend> inner) : inner_(std::move(inner)) {}

    bool refuses_allocation = false;  // then allocate and make_kv_store throw
    bool records = false;             // what traits say; recordings are replayed by calling again
    int64_t n_linears_left = -1;      // the linear after so many throws; -1: none does
    std::function<void()> on_linear;  // called before each
    int64_t n_recordings = 0;         // made so far
    int64_t n_synchronized = 0;       // calls so far

    kernels::BackendInfo info() const override { return inner_->info(); }
    kernels::BackendTraits traits() const override {
        kernels::BackendTraits traits = inner_->traits();
        traits.records = records;
        return traits;
    }
    kernels::Buffer allocate(int64_t bytes) override {
        require_allocation();
        return inner_->allocate(bytes);
    }
    kernels::Buffer allocate_host(int64_t bytes) override {
        require_allocation();
        return inner_->allocate_host(bytes);
    }
    void upload(void* to, const void* host, int64_t bytes) override {
        inner_->upload(to, host, bytes);
    }
    void download(void* host, const void* from, int64_t bytes) override {
        inner_->download(host, from, bytes);
    }
    void synchronize() override {
        ++n_synchronized;
        inner_->synchronize();
    }
    void reserve(const kernels::StepLimits& limits) override {
        require_allocation();
        inner_->reserve(limits);
    }
    std::unique_ptr<kernels::Recording> record(std::function<void()> enqueue) override {
        ++n_recordings;
        return inner_->record(std::move(enqueue));
    }
    std::vector<std::unique_ptr<comm::Comm>> join(
        std::span<kernels::Backend* const> others) override {
        return inner_->join(others);
    }
    std::unique_ptr<kernels::Linear> prepare_linear(kernels::LinearWeights weights) override {
        return inner_->prepare_linear(std::move(weights));
    }
    std::unique_ptr<kernels::Embedding> prepare_embedding(kernels::HostMatrix table) override {
        return inner_->prepare_embedding(std::move(table));
    }
    kernels::TiedMatrix prepare_tied(kernels::LinearWeights weights) override {
        return inner_->prepare_tied(std::move(weights));
    }
    std::unique_ptr<kernels::Transform> prepare_transform(const linalg::Mixer& mixer, int64_t inner,
                                                          DType storage) override {
        return inner_->prepare_transform(mixer, inner, storage);
    }
    std::unique_ptr<kernels::KvStore> make_kv_store(const kernels::KvDescriptor& descriptor,
                                                    int64_t n_pages) override {
        require_allocation();
        return inner_->make_kv_store(descriptor, n_pages);
    }
    std::optional<int64_t> available_bytes() const override { return inner_->available_bytes(); }
    std::optional<int64_t> kv_bytes(const kernels::KvDescriptor& descriptor,
                                    int64_t n_pages) const override {
        return inner_->kv_bytes(descriptor, n_pages);
    }
    int64_t quantized_bytes(int64_t rows, int64_t cols,
                            const kernels::ActivationFormat& format) const override {
        return inner_->quantized_bytes(rows, cols, format);
    }
    kernels::QuantizedRows place_quantized(void* memory, int64_t rows, int64_t cols,
                                           const kernels::ActivationFormat& format) const override {
        return inner_->place_quantized(memory, rows, cols, format);
    }
    kernels::HostCodes read_codes(const kernels::QuantizedRows& rows) override {
        return inner_->read_codes(rows);
    }

    void embed(const kernels::EmbedArgs& args) override { inner_->embed(args); }
    void norm(const kernels::NormArgs& args) override { inner_->norm(args); }
    void transform(const kernels::Transform& transform, kernels::Rows rows) override {
        inner_->transform(transform, rows);
    }
    void add(kernels::Rows to, kernels::Rows from) override { inner_->add(to, from); }
    void scale(const kernels::ScaleArgs& args) override { inner_->scale(args); }
    void quantize(kernels::Rows in, kernels::QuantizedRows out, kernels::SiteNote note) override {
        inner_->quantize(in, out, note);
    }
    void linear(const kernels::LinearArgs& args) override {
        if (n_linears_left == 0) fail(ErrorCode::Device, "the device fell off its bus");
        if (n_linears_left > 0) --n_linears_left;
        if (on_linear) on_linear();
        inner_->linear(args);
    }
    void rope(const kernels::RopeArgs& args) override { inner_->rope(args); }
    void append_kv(const kernels::AppendKvArgs& args) override { inner_->append_kv(args); }
    void attention(const kernels::AttentionArgs& args) override { inner_->attention(args); }
    void activate(const kernels::ActivateArgs& args) override { inner_->activate(args); }
    void gather_rows(kernels::Rows in, const int32_t* indices, kernels::Rows out) override {
        inner_->gather_rows(in, indices, out);
    }
    void find_non_finite(kernels::Rows in, kernels::SiteNote note) override {
        inner_->find_non_finite(in, note);
    }
    void dequantize(const kernels::QuantizedRows& in, kernels::Rows out) override {
        inner_->dequantize(in, out);
    }
    void gather_columns(kernels::Rows in, const int32_t* columns, kernels::Rows out) override {
        inner_->gather_columns(in, columns, out);
    }
    void accumulate_gram(kernels::Rows in, double* gram) override {
        inner_->accumulate_gram(in, gram);
    }
    void accumulate_cross_gram(kernels::Rows a, kernels::Rows b, double* gram) override {
        inner_->accumulate_cross_gram(a, b, gram);
    }
    void route(const kernels::RouteArgs& args) override { inner_->route(args); }
    void gather_codes(const kernels::QuantizedRows& in, const int32_t* rows,
                      const kernels::QuantizedRows& out) override {
        inner_->gather_codes(in, rows, out);
    }
    void expert_group(const kernels::ExpertGroupArgs& args) override { inner_->expert_group(args); }
    void combine_experts(const kernels::CombineArgs& args) override {
        inner_->combine_experts(args);
    }
    void log_probabilities(const kernels::LogProbabilityArgs& args) override {
        inner_->log_probabilities(args);
    }
    void top_k(const kernels::TopKArgs& args) override { inner_->top_k(args); }
    void divergence(const kernels::DivergenceArgs& args) override { inner_->divergence(args); }
    void norm_quantize(const kernels::NormArgs& args, const kernels::Operand& out,
                       kernels::SiteNote note) override {
        inner_->norm_quantize(args, out, note);
    }
    void add_norm_quantize(const kernels::AddNormArgs& args, const kernels::Operand& out,
                           kernels::SiteNote note) override {
        inner_->add_norm_quantize(args, out, note);
    }
    void transform_quantize(const kernels::Transform* transform, kernels::Rows scratch,
                            const kernels::Operand& out, kernels::SiteNote note) override {
        inner_->transform_quantize(transform, scratch, out, note);
    }
    void rope_transform_append_kv(const kernels::RopeTransformAppendArgs& args) override {
        inner_->rope_transform_append_kv(args);
    }
    void linear_group(const kernels::LinearGroupArgs& args) override { inner_->linear_group(args); }
    void activate_transform_quantize(const kernels::ActivateArgs& args,
                                     const kernels::Transform* transform,
                                     const kernels::Operand& out, kernels::SiteNote note) override {
        inner_->activate_transform_quantize(args, transform, out, note);
    }

  private:
    void require_allocation() const {
        if (refuses_allocation) fail(ErrorCode::OutOfMemory, "memory was asked for in a step");
    }
    std::unique_ptr<kernels::Backend> inner_;
};

}  // namespace quarot::test
