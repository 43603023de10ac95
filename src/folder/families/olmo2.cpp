// OLMo 2: norms behind attention and MLP and none before them, and norms of all of q and k.
#include "core/error.h"
#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"

namespace quarot::folder {

namespace {

using model::NormRole;

constexpr std::array<std::string_view, 1> kArchitectures = {"Olmo2ForCausalLM"};

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(completed(config, {{"rms_norm_eps", 1e-5}}));
    model.family = "olmo2";
    model.norms = {NormRole::AttentionOut, NormRole::MlpOut, NormRole::Final};
    model.qk_norm = model::QkNormSpan::Width;
    if (bool_or(config, "attention_bias", false)) model.bias = kAttentionLinears;
    return model;
}

void refuse_olmo3(const io::GgufFile& file, io::Json&) {
    if (!has_gguf_window(file.metadata())) return;
    fail(ErrorCode::Unsupported, "{} is set (OLMo 3), and this version reads OLMo 2",
         GgufFields(file).place("attention.sliding_window"));
}

}  // namespace

extern constinit const Family kOlmo2Family = {
    .name = "olmo2",
    .architectures = kArchitectures,
    .read_config = read_config,
    .gguf = {.architecture = "olmo2", .add_fields = refuse_olmo3}};

}  // namespace quarot::folder
