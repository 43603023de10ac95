#include "support/plain_network.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace quarot::test {

namespace {

using Values = std::vector<double>;  // row-major

class PlainNetwork {
  public:
    PlainNetwork(const TinyModel& model, const TinyModelOptions& options)
        : model_(model), options_(options) {}

    PlainRun run(std::span<const int32_t> ids) {
        n_tokens_ = std::ssize(ids);
        PlainRun result;
        Values residual = embed(ids);
        for (int64_t layer = 0; layer < options_.n_layers; ++layer) {
            prefix_ = "model.layers." + std::to_string(layer) + ".";
            result.layers.push_back(run_layer(residual));
        }
        const Values hidden = rms_norm(residual, "model.norm.weight");
        result.logits = linear(hidden, "lm_head");
        return result;
    }

  private:
    Values stored(const std::string& name) const {
        const auto found = model_.tensors.find(name);
        if (found == model_.tensors.end()) return {};
        const std::vector<float> values = values_of(found->second);
        return {values.begin(), values.end()};
    }

    Values embed(std::span<const int32_t> ids) const {
        const Values table = stored("model.embed_tokens.weight");
        Values out;
        for (const int32_t id : ids) {
            const auto row = table.begin() + id * options_.hidden;
            out.insert(out.end(), row, row + options_.hidden);
        }
        return out;
    }

    PlainRun::SiteInputs run_layer(Values& residual) const {
        PlainRun::SiteInputs inputs;
        inputs[0] = rms_norm(residual, prefix_ + "input_layernorm.weight");
        inputs[1] = attention(inputs[0]);
        add(residual, linear(inputs[1], prefix_ + "self_attn.o_proj"));
        inputs[2] = rms_norm(residual, prefix_ + "post_attention_layernorm.weight");
        inputs[3] = linear(inputs[2], prefix_ + "mlp.up_proj");
        const Values gate = linear(inputs[2], prefix_ + "mlp.gate_proj");
        for (size_t i = 0; i < gate.size(); ++i) {
            inputs[3][i] *= gate[i] / (1.0 + std::exp(-gate[i]));
        }
        add(residual, linear(inputs[3], prefix_ + "mlp.down_proj"));
        return inputs;
    }

    static void add(Values& to, const Values& what) {
        for (size_t i = 0; i < to.size(); ++i) to[i] += what[i];
    }

    Values rms_norm(const Values& in, const std::string& name) const {
        const Values gain = stored(name);
        const auto n = std::ssize(gain);
        Values out(in.size());
        for (int64_t t = 0; t < n_tokens_; ++t) {
            double sum = 0.0;
            for (int64_t c = 0; c < n; ++c) sum += in[t * n + c] * in[t * n + c];
            const double size = std::sqrt(sum / static_cast<double>(n) + options_.rms_eps);
            for (int64_t c = 0; c < n; ++c) out[t * n + c] = in[t * n + c] / size * gain[c];
        }
        return out;
    }

    Values linear(const Values& in, const std::string& name) const {
        const Values weight = stored(name + ".weight"), bias = stored(name + ".bias");
        const int64_t n_in = std::ssize(in) / n_tokens_, n_out = std::ssize(weight) / n_in;
        Values out(n_tokens_ * n_out);
        for (int64_t t = 0; t < n_tokens_; ++t) {
            for (int64_t o = 0; o < n_out; ++o) {
                double sum = bias.empty() ? 0.0 : bias[o];
                for (int64_t i = 0; i < n_in; ++i) sum += in[t * n_in + i] * weight[o * n_in + i];
                out[t * n_out + o] = sum;
            }
        }
        return out;
    }

    // Turns the pairs (i, i + head_dim / 2) of every head by its token's angle.
    void rope(Values& rows, int64_t n_heads) const {
        const int64_t dim = options_.head_dim, half = dim / 2;
        for (int64_t t = 0; t < n_tokens_; ++t) {
            for (int64_t h = 0; h < n_heads; ++h) {
                double* head = rows.data() + (t * n_heads + h) * dim;
                for (int64_t i = 0; i < half; ++i) {
                    const double frequency =
                        std::pow(options_.rope_theta,
                                 -2.0 * static_cast<double>(i) / static_cast<double>(dim));
                    const double angle = static_cast<double>(t) * frequency;
                    const double a = head[i], b = head[i + half];
                    head[i] = a * std::cos(angle) - b * std::sin(angle);
                    head[i + half] = b * std::cos(angle) + a * std::sin(angle);
                }
            }
        }
    }

    // Causal; several query heads share a head of keys and values.
    Values attention(const Values& in) const {
        const int64_t dim = options_.head_dim;
        const int64_t n_heads = options_.n_heads, n_kv = options_.n_kv_heads;
        Values q = linear(in, prefix_ + "self_attn.q_proj");
        Values k = linear(in, prefix_ + "self_attn.k_proj");
        const Values v = linear(in, prefix_ + "self_attn.v_proj");
        rope(q, n_heads);
        rope(k, n_kv);
        Values out(q.size(), 0.0);
        for (int64_t t = 0; t < n_tokens_; ++t) {
            for (int64_t h = 0; h < n_heads; ++h) {
                const int64_t kv_head = h / (n_heads / n_kv), at = (t * n_heads + h) * dim;
                Values weights(t + 1);
                double sum = 0.0;
                for (int64_t s = 0; s <= t; ++s) {
                    double score = 0.0;
                    for (int64_t i = 0; i < dim; ++i) {
                        score += q[at + i] * k[(s * n_kv + kv_head) * dim + i];
                    }
                    weights[s] = std::exp(score / std::sqrt(static_cast<double>(dim)));
                    sum += weights[s];
                }
                for (int64_t s = 0; s <= t; ++s) {
                    for (int64_t i = 0; i < dim; ++i) {
                        out[at + i] += weights[s] / sum * v[(s * n_kv + kv_head) * dim + i];
                    }
                }
            }
        }
        return out;
    }

    const TinyModel& model_;
    const TinyModelOptions& options_;
    int64_t n_tokens_ = 0;
    std::string prefix_;  // of the tensors of the present layer
};

}  // namespace

PlainRun run_plain(const TinyModel& model, const TinyModelOptions& options,
                   std::span<const int32_t> ids) {
    return PlainNetwork(model, options).run(ids);
}

}  // namespace quarot::test
