#include "quantize/layer_report.h"

namespace quarot::quantize {

namespace {

// Of which tokens an expert's Hessian is.
constexpr const char* kSharedHessian = "all tokens";
constexpr const char* kOwnHessian = "its tokens";

}  // namespace

io::Json to_json(const QuantizedLayerReport& report) {
    io::Json json;
    json.set("name", report.name);
    json.set("bits", report.bits);
    json.set("group_size", report.group_size);
    json.set("method", report.method);
    json.set("relative_error", report.relative_error);
    if (report.weighted_error) json.set("weighted_error", *report.weighted_error);
    if (report.nearest_weighted_error) {
        json.set("nearest_weighted_error", *report.nearest_weighted_error);
    }
    if (report.refit) json.set("refit", *report.refit);
    json.set("weights", report.weights);
    json.set("bytes", report.bytes);
    if (report.input_clip) json.set("input_clip", *report.input_clip);
    if (report.outliers > 0) json.set("outliers", report.outliers);
    if (report.tokens) {
        json.set("tokens", *report.tokens);
        json.set("hessian", report.of_all_tokens ? kSharedHessian : kOwnHessian);
    }
    return json;
}

QuantizedLayerReport layer_report_from_json(const io::Json& json) {
    constexpr int64_t kMax = int64_t{1} << 48;  // sums over a model stay within 63 bits
    QuantizedLayerReport report;
    report.name = json.at("name").as_string();
    report.bits = static_cast<int>(json.at("bits").as_int(2, 16));
    report.group_size = json.at("group_size").as_int(0, kMax);
    report.method = json.at("method").as_string();
    if (const io::Json* error = json.find("relative_error")) {
        report.relative_error = error->as_double();  // else it was not finite
    }
    if (json.find("weighted_error") != nullptr) {
        report.weighted_error = json.at("weighted_error").as_double();
        report.nearest_weighted_error = json.at("nearest_weighted_error").as_double();
    }
    if (const io::Json* refit = json.find("refit")) report.refit = refit->as_double();
    report.weights = json.at("weights").as_int(0, kMax);
    if (const io::Json* outliers = json.find("outliers")) {
        report.outliers = outliers->as_int(0, kMax);
    }
    report.bytes = json.at("bytes").as_int(0, kMax);
    if (const io::Json* clip = json.find("input_clip")) report.input_clip = clip->as_double();
    if (const io::Json* tokens = json.find("tokens")) {
        report.tokens = tokens->as_int(0, kMax);
        report.of_all_tokens = json.at("hessian").as_string() == kSharedHessian;
    }
    return report;
}

io::Json to_json(const std::vector<QuantizedLayerReport>& reports) {
    io::Json::Array array;
    for (const QuantizedLayerReport& report : reports) array.push_back(to_json(report));
    return array;
}

std::vector<QuantizedLayerReport> layer_reports_from_json(const io::Json& json) {
    std::vector<QuantizedLayerReport> reports;
    for (const io::Json& report : json.as_array()) {
        reports.push_back(layer_report_from_json(report));
    }
    return reports;
}

}  // namespace quarot::quantize
