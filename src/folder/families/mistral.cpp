// Mistral with full attention: Llama's tensors, never a bias, and a window that must not bite.
#include "core/error.h"
#include "folder/families/config_fields.h"
#include "folder/families/llama.h"

namespace quarot::folder {

namespace {

constexpr std::array<std::string_view, 1> kArchitectures = {"MistralForCausalLM"};
constexpr IntRange kWindow = {1, int64_t{1} << 40};

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config);
    model.family = "mistral";
    const int64_t window = int_or(config, "sliding_window", kWindow, model.max_positions);
    if (window >= model.max_positions) return model;
    fail(ErrorCode::Unsupported,
         "{} is {}, and this version attends to the whole context only (null, or at least "
         "max_position_embeddings, which is {})",
         config.at("sliding_window").place(), window, model.max_positions);
}

}  // namespace

constinit const Family kMistralFamily = {.name = "mistral",
                                         .architectures = kArchitectures,
                                         .read_config = read_config,
                                         .linear = llama_linear,
                                         .norm = llama_norm,
                                         .embedding = kLlamaEmbedding};

}  // namespace quarot::folder
