// Calibration text on its way through the layers of the model being quantized.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "comm/comm.h"
#include "kernels/ops.h"
#include "model/layer_steps.h"
#include "model/roles.h"
#include "quantize/calibration/calibration_windows.h"
#include "quantize/calibration/expert_calibration.h"
#include "quantize/hessian.h"
#include "quantize/rotated_weight.h"

namespace quarot::quantize {

// The Hessian of one expert, and how many tokens of the text were routed to it. With fewer than the
// site has inputs it would have no full rank: then it is of all tokens of the text, as if each of
// them were routed to the expert.
struct ExpertHessian {
    Hessian hessian;
    int64_t n_routed = 0;
    bool of_all_tokens = false;
};

// Holds the residual stream of all windows in fp32, and the inputs of o_proj as the backend works:
// n_tokens * (hidden + q_dim) values. Each layer goes: hessian(Attention), set q k v,
// hessian(Output), set o, hessian(Mlp), set gate up, hessian(Down), set down, finish_layer;
// in a mixture, after o: set the
// router, then for each expert in order hessian_of(expert, Mlp), set its gate up,
// hessian_of(expert, Down), set its down, finish_expert.
// Hessians may be left out, or be any look at a site's inputs. What has been set is what the
// windows run through, so every Hessian sees the layers and linears before it as the finished model
// will have them. Used by one thread.
class Calibration {
  public:
    // recipe: says what is quantized on the way if its calibration carries quantized activations.
    // name: of the model, for messages. The backend must outlive it. n_positions of the windows
    // must be within the model's.
    Calibration(const model::ModelConfig& config, const Recipe& recipe, const std::string& name,
                TokenWindows windows, kernels::Backend& backend);

    // Fills the residual stream from rows of the embedding. as_stored: makes them what the finished
    // model reads.
    void embed(const RotatedWeight& embedding,
               const std::function<void(std::span<float> rows)>& as_stored);

    // Adds rows of learned positions [tokens of a window, hidden] to the stream of all windows.
    void add_positions(std::span<const float> rows);

    // bias: empty for none.
    void set_norm(model::NormRole role, const std::vector<float>& gain,
                  const std::vector<float>& bias = {});
    void set_linear(const model::LinearId& id, kernels::LinearWeights weights);
    // Are the inputs of this role halves? Then a matrix of halves is multiplied by cuBLAS, tens of
    // times faster than codes are by the kernels for a floating-point side.
    bool multiplies_halves(model::LinearRole role) const;
    // For sites whose columns have an order; after what is asked about their inputs.
    void set_columns(model::InputSite site, const std::vector<int32_t>& order, int64_t n_outliers);
    void set_outliers(model::LinearRole role, kernels::LinearWeights weights);

    // Calls visit with what the site's linears read, window after window, [n_tokens of a window, n]
    // each, valid until it returns; Error{Numeric} naming layer and site if a NaN or Inf arises.
    void for_inputs(model::InputSite site, const std::function<void(const kernels::Rows&)>& visit);
    // The same with what they read in another stream of the same windows on the same backend, whose
    // layer stands at the same site.
    using VisitBoth =
        std::function<void(int64_t window, const kernels::Rows& own, const kernels::Rows& other)>;
    void for_inputs_beside(Calibration& other, model::InputSite site, const VisitBoth& visit);
    // Where the recipe searches clip ratios, a place of the layer is not quantized before it has
    // one, so what is asked about its inputs comes after. The ratio that changes least what these
    // weights of all its linears, without biases, give; from so many tokens as tell it well.
    float search_clip(model::InputSite site, std::vector<kernels::LinearWeights> weights);
    void set_clip(model::InputSite site, float clip);
    // Mean of x x^T over all tokens.
    Hessian hessian(model::InputSite site);
    ExpertHessian hessian_of(int64_t expert, model::InputSite site);
    // Takes what the expert gives, drops its weights.
    void finish_expert(int64_t expert);
    // Brings the windows behind this layer. Weights are dropped.
    void finish_layer();

    int64_t n_windows() const { return static_cast<int64_t>(windows_.size()); }

  private:
    // Where all windows stand in the layer.
    enum class Stand { Start, Attended, Added };

    // Brings all windows to where a site's linears read.
    void reach(model::InputSite site);
    // What they read in one window; valid until the next call.
    kernels::Rows inputs(model::InputSite site, int64_t index);
    kernels::Rows window(const kernels::Rows& all, int64_t index) const;
    // What a linear reads, quantized values as floats; valid until the next call.
    kernels::Rows floats(const kernels::Operand& in);
    void check_finite();
    template <typename Run>
    void for_windows(const Run& run) {
        for_windows(n_windows(), run);
    }
    template <typename Run>
    void for_windows(int64_t n, const Run& run);
    void for_inputs(int64_t n_windows, model::InputSite site,
                    const std::function<void(const kernels::Rows&)>& visit);
    void enter_layer();
    void quantize_attended();
    void attend();
    void add_output();
    void add_output_of(int64_t index, model::Residual& residual);
    void run_mlp();
    // The experts of the layer at hand, with all tokens routed.
    ExpertCalibration& experts();

    TokenWindows windows_;
    Recipe recipe_;  // of the finished model
    kernels::Backend& backend_;
    model::Weights weights_;            // of one layer, number 0
    std::unique_ptr<comm::Comm> comm_;  // of a group of one
    std::unique_ptr<kernels::KvStore> kv_;
    model::StepMemory memory_;
    kernels::BatchView batch_;
    std::unique_ptr<model::LayerSteps> steps_;
    kernels::Buffer residual_memory_, attended_memory_, floats_memory_;
    kernels::Rows residual_, attended_;  // [n_tokens, hidden], [n_tokens, q_dim]
    kernels::Rows floats_;               // [tokens of a window, widest input]
    Stand stand_ = Stand::Start;
    std::unique_ptr<ExpertCalibration> experts_;  // of a model with mixtures
    int64_t layer_ = 0;
    std::vector<model::LayerConfig> layers_;  // the model's; weights_ has that of layer_
};

}  // namespace quarot::quantize
