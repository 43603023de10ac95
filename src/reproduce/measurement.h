// What was found out about one recipe on one model and text, and how it stands in a file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"

namespace quarot::reproduce {

struct Measurement {
    std::optional<double> perplexity;  // empty: it could not be measured
    std::string reason;                // then
    std::vector<double> window_nll;    // mean negative log-likelihood of each window
    // From full precision's predictions of the same text; empty: not asked for, or no perplexity.
    std::optional<double> kl;         // mean KL(full precision || this), nats
    std::optional<double> same_top1;  // share of positions with the same likeliest token
    // Mean bits of a value; scales, zero points and outliers counted. 16: not quantized.
    double bits_per_weight = 16.0;
    double bits_per_activation = 16.0;
    double bits_per_kv = 16.0;
    double tokens_per_second = 0.0;  // of the text, through the model alone; 0: not measured
    double quantize_seconds = 0.0;   // of the weights, also where several recipes share them
    double perplexity_seconds = 0.0;
    std::optional<int64_t> peak_rss_bytes;  // of quantizing and measuring; empty: not known here

    int64_t windows() const { return std::ssize(window_nll); }
    double seconds() const { return quantize_seconds + perplexity_seconds; }
};

io::Json to_json(const Measurement& measurement);
// Error{Corrupt} naming a key that is missing or of another type.
Measurement measurement_from_json(const io::Json& json);

}  // namespace quarot::reproduce
