// Where does the order of methods differ from the paper's?
#pragma once

#include <string>
#include <vector>

namespace quarot::reproduce {

struct Method {
    std::string name;
    double paper = 0.0;  // perplexity
    double ours = 0.0;
    double bits_per_weight = 16.0;
    std::vector<double> window_nll;  // ours, one for each window of the text
};

// Could chance alone order the two so on other windows? True if the mean of their windows'
// differences is less than two of its standard errors from 0, or there are fewer than two windows.
bool is_too_close_to_call(const Method& a, const Method& b);

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
