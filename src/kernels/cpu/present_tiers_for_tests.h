// The instruction sets that this machine has.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/backend.h"
#include "kernels/cpu/isa_choice.h"

namespace quarot::kernels {

inline std::vector<std::string> present_tiers() {
    std::vector<std::string> present;
    for (const std::string& tier : compiled_isa_tiers()) {
        try {
            cpu::choose_kernels(tier);
            present.push_back(tier);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Device);
        }
    }
    return present;
}

}  // namespace quarot::kernels
