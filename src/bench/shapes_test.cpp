#include "bench/shapes.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "model/roles.h"

namespace quarot::bench {
namespace {

using model::ModelConfig;

int64_t parameters(const ModelConfig& config) {
    int64_t count = config.vocab * config.hidden * (config.tied_embeddings ? 1 : 2);
    for (const model::LinearId& id : linears_of(config)) {
        count += out_features(id.role, config) * in_features(id.role, config);
    }
    return count;
}

// Matrices alone: what the model cards say, less norms and biases.
TEST(Shapes, HaveAsManyParametersAsTheModelsTheyAreNamedAfter) {
    const std::vector<std::pair<std::string, int64_t>> expected = {
        {"smollm2-135m", 134'479'872},     {"qwen2.5-0.5b", 493'961'216},
        {"tinyllama-1.1b", 1'099'956'224}, {"llama-3.2-1b", 1'235'746'816},
        {"llama-2-7b", 6'738'149'376},     {"llama-3-8b", 8'029'995'008},
        {"llama-2-13b", 13'015'449'600},   {"llama-2-70b", 68'975'329'280},
    };
    ASSERT_EQ(shape_names().size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(shape_names()[i], expected[i].first);
        EXPECT_EQ(parameters(shape_of(expected[i].first)), expected[i].second) << expected[i].first;
    }
}

TEST(Shapes, AnUnknownOneIsRefusedByNameWithAllThereAre) {
    try {
        shape_of("llama-9");
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Usage);
        const std::string message = error.what();
        EXPECT_NE(message.find("llama-9"), std::string::npos) << message;
        for (const std::string& name : shape_names()) {
            EXPECT_NE(message.find(name), std::string::npos) << message;
        }
    }
}

}  // namespace
}  // namespace quarot::bench
