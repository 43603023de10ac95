#include "reproduce/measurement.h"

#include <utility>

#include "core/error.h"
#include "core/setting.h"

namespace quarot::reproduce {

io::Json to_json(const Measurement& measurement) {
    io::Json::Array window_nll;
    for (const double nll : measurement.window_nll) window_nll.emplace_back(nll);
    return io::Json::Object{{"perplexity", io::or_null(measurement.perplexity)},
                            {"reason", measurement.reason},
                            {"window_nll", std::move(window_nll)},
                            {"kl", io::or_null(measurement.kl)},
                            {"same_top1", io::or_null(measurement.same_top1)},
                            {"bits_per_weight", measurement.bits_per_weight},
                            {"bits_per_activation", measurement.bits_per_activation},
                            {"bits_per_kv", measurement.bits_per_kv},
                            {"tokens_per_second", measurement.tokens_per_second},
                            {"quantize_seconds", measurement.quantize_seconds},
                            {"perplexity_seconds", measurement.perplexity_seconds},
                            {"peak_rss_bytes", io::or_null(measurement.peak_rss_bytes)}};
}

Measurement measurement_from_json(const io::Json& json) {
    Measurement measurement;
    if (const io::Json* value = json.find("perplexity")) {
        measurement.perplexity = value->as_double();
        if (!(*measurement.perplexity > 0.0)) {
            fail(ErrorCode::Corrupt, "{} is {}, expected more than 0; {} measures anew",
                 value->place(), *measurement.perplexity, Setting{"overwrite"});
        }
    }
    measurement.reason = json.at("reason").as_string();
    for (const io::Json& nll : json.at("window_nll").as_array()) {
        measurement.window_nll.push_back(nll.as_double());
    }
    if (const io::Json* value = json.find("kl")) measurement.kl = value->as_double();
    if (const io::Json* value = json.find("same_top1")) measurement.same_top1 = value->as_double();
    measurement.bits_per_weight = json.at("bits_per_weight").as_double();
    measurement.bits_per_activation = json.at("bits_per_activation").as_double();
    measurement.bits_per_kv = json.at("bits_per_kv").as_double();
    if (const io::Json* value = json.find("tokens_per_second")) {
        measurement.tokens_per_second = value->as_double();
    }
    measurement.quantize_seconds = json.at("quantize_seconds").as_double();
    measurement.perplexity_seconds = json.at("perplexity_seconds").as_double();
    if (const io::Json* bytes = json.find("peak_rss_bytes")) {
        measurement.peak_rss_bytes = bytes->as_int();
    }
    return measurement;
}

}  // namespace quarot::reproduce
