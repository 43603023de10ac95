// Log-probabilities from logits.
#pragma once

#include <span>

namespace quarot {

// log(sum(exp(logits))), fp64; the same bits on every machine.
double log_sum_exp(std::span<const float> logits);

// KL(p || q) in nats of the distributions given by two rows of logits and their log_sum_exp.
double kl_divergence(std::span<const float> p, double p_log_sum, std::span<const float> q,
                     double q_log_sum);

}  // namespace quarot
