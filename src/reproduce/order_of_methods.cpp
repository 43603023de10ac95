#include "reproduce/order_of_methods.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace quarot::reproduce {

namespace {

std::vector<std::string> names_by(const std::vector<Method>& methods, double Method::*perplexity) {
    std::vector<std::pair<double, size_t>> keys;
    for (size_t i = 0; i < methods.size(); ++i) keys.emplace_back(methods[i].*perplexity, i);
    std::sort(keys.begin(), keys.end());
    std::vector<std::string> names;
    for (const auto& [value, i] : keys) names.push_back(methods[i].name);
    return names;
}

}  // namespace

bool is_too_close_to_call(const Method& a, const Method& b) {
    const size_t n = std::min(a.window_nll.size(), b.window_nll.size());
    if (n < 2) return true;
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < n; ++i) {
        const double difference = a.window_nll[i] - b.window_nll[i];
        sum += difference;
        squares += difference * difference;
    }
    const auto count = static_cast<double>(n);
    const double mean = sum / count;
    const double variance = std::max(0.0, squares / count - mean * mean) * count / (count - 1.0);
    return std::fabs(mean) < 2.0 * std::sqrt(variance / count);
}

MethodOrder compare_orders(const std::vector<Method>& methods) {
    MethodOrder order;
    order.paper = names_by(methods, &Method::paper);
    order.ours = names_by(methods, &Method::ours);
    for (const Method& a : methods) {
        for (const Method& b : methods) {
            if (a.paper < b.paper && a.ours > b.ours) order.swaps.push_back({a, b});
        }
    }
    return order;
}

}  // namespace quarot::reproduce
