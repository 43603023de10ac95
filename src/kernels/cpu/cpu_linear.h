// Weight matrices in the cpu backend's layouts, and the products with them.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/cpu/cpu_context.h"
#include "kernels/cpu/segments.h"
#include "kernels/ops.h"

namespace quarot::kernels::cpu {

// Of a quantized matrix in panels, outputs padded to whole ones.
struct PanelSizes {
    int64_t code_bytes = 0;
    int64_t n_scales = 0, n_zeros = 0, n_sums = 0;  // of 4 bytes each

    int64_t bytes() const { return code_bytes + 4 * (n_scales + n_zeros + n_sums); }
};
PanelSizes panel_sizes(const CodesForm& form);

// Dense matrices stay as they are stored; quantized ones stand in panels of 32 outputs.
class CpuLinear final : public Linear {
  public:
    CpuLinear(LinearWeights weights, CpuContext& context);

    bool is_dense() const { return dense_ != nullptr; }

    // Dense.
    int64_t panel_outputs() const { return panel_outputs_; }
    DensePanel dense_panel(int64_t first_output, float* widened) const;

    // Quantized.
    int64_t n_panels() const { return ceil_div(out_features(), kPanelOutputs); }
    int64_t steps() const { return ceil_div(in_features(), int64_t{4}); }
    int64_t panel_bytes() const;
    IntPanel panel(int64_t index) const;
    // The part of a panel that lies in one segment, bias left out; the segment may begin and end
    // inside a step.
    IntPanel panel(int64_t index, const Segment& segment) const;
    const float* bias(int64_t index) const {
        return bias_.empty() ? nullptr : bias_.data() + index * kPanelOutputs;
    }
    // Inputs that share a scale; all if there are no groups.
    int64_t group_inputs() const { return group_inputs_; }
    // The groups of activations whose zero points the sums of codes can correct for.
    int64_t activation_group() const { return activation_group_; }
    // That the codes stand in, with what belongs to them; of a dense matrix 0.
    int64_t bytes() const;
    // The largest |q - zero|.
    int64_t largest_code() const { return largest_code_; }
    // scale * (q - zero) of one output, [in_features].
    void read_row(int64_t output, float* values) const;

  private:
    static size_t place_of(int64_t output, int64_t i, int64_t n);
    void pack(const QuantizedMatrix& matrix, CpuContext& context);
    void pack_panel(const QuantizedMatrix& matrix, int64_t index);
    void pack_output(const QuantizedMatrix& matrix, int64_t output, std::span<uint8_t> codes);
    int64_t n_groups() const { return in_features() / group_inputs_; }
    int64_t n_zeros() const { return zeros_stride_ == 0 ? 1 : n_groups(); }  // of an output

    std::shared_ptr<const Tensor> dense_;
    FloatFormat format_ = FloatFormat::F32;
    int64_t panel_outputs_ = 0;
    bool nibbles_ = false;
    int64_t largest_code_ = 0;
    int64_t group_inputs_ = 0, activation_group_ = 0, n_segments_ = 0;
    MappedMemory codes_;
    // What belongs to a panel stands together, so that one token reads it in order. Outputs are
    // padded to whole panels.
    std::vector<float> scales_, bias_;  // [n_panels, n_groups, 32], [outputs]
    std::vector<int32_t> zeros_;        // [n_panels, n_groups, 32]; [n_panels, 32] if symmetric
    std::vector<int32_t> code_sums_;    // [n_panels, n_segments, 32]
    int64_t zeros_stride_ = 0;          // from one group to the next
};

inline const CpuLinear& as_cpu(const Linear& linear) {
    return static_cast<const CpuLinear&>(linear);
}

FloatFormat float_format(DType dtype);

// outs[i] = in weights[i]^T + bias (+ outs[i]). All weights have the same number of inputs.
void multiply(CpuContext& context, const Operand& in, std::span<const Linear* const> weights,
              std::span<const Rows> outs, bool accumulate);

}  // namespace quarot::kernels::cpu
