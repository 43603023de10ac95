// Where does the order of methods differ from the paper's?
#pragma once

#include <string>
#include <vector>

namespace quarot::reproduce {

struct Method {
    std::string name;
    double paper = 0.0;  // perplexity
    double ours = 0.0;
};

struct MethodOrder {
    std::vector<std::string> paper;  // names, best first; equal ones as they were given
    std::vector<std::string> ours;
    // Pairs that the paper orders one way and we the other; ties on either side count as agreement.
    struct Swap {
        Method paper_prefers;
        Method we_prefer;
    };
    std::vector<Swap> swaps;
};

MethodOrder compare_orders(const std::vector<Method>& methods);

}  // namespace quarot::reproduce
