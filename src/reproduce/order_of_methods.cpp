#include "reproduce/order_of_methods.h"

#include <algorithm>

namespace quarot::reproduce {

namespace {

std::vector<std::string> names_by(std::vector<Method> methods, double Method::*perplexity) {
    std::stable_sort(
        methods.begin(), methods.end(),
        [perplexity](const Method& a, const Method& b) { return a.*perplexity < b.*perplexity; });
    std::vector<std::string> names;
    for (const Method& method : methods) names.push_back(method.name);
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
