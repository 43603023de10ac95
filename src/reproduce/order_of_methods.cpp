#include "reproduce/order_of_methods.h"

#include <algorithm>
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
