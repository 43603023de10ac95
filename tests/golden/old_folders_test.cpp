// Folders that earlier versions of the program wrote still load, and compute what they computed:
// tests/golden/version_1 was quantized by the last program that wrote version 1 of the format, and
// its logits are those of that program's reference backend.
#include "folder/source_model.h"
#include "golden/golden_support.h"
#include "io/safetensors.h"
#include "support/checkout.h"

namespace quarot::test {

TEST(OldFolders, OfVersion1KeepTheirKeysBiased) {
    const std::string folder = in_checkout("tests/golden/version_1");
    const auto source = folder::SourceModel::open(folder);
    EXPECT_EQ(source.recipe().k_bias, KeyBiasUse::Keep);
    ASSERT_TRUE(source.config().bias.contains(model::LinearRole::K));

    const io::SafetensorsFile file(folder + "/reference.safetensors");
    const io::TensorInfo& ids_info = file.tensors().at("input_ids");
    std::vector<int32_t> ids(static_cast<size_t>(ids_info.bytes) / sizeof(int32_t));
    file.read(ids_info, 0, std::as_writable_bytes(std::span(ids)));
    const io::TensorInfo& info = file.tensors().at("logits");
    std::vector<float> expected(static_cast<size_t>(info.bytes) / sizeof(float));
    file.read(info, 0, std::as_writable_bytes(std::span(expected)));

    LoadedModel model = load(folder, {.device = "reference", .context = 64});
    EXPECT_LE(max_abs_difference(all_logits(model, ids), expected), 1e-5);
}

}  // namespace quarot::test
