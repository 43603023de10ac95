// Folders that are not all there: broken sets of shards, indexes that lie about them, links to
// nowhere, an adapter alone.
#include <filesystem>

#include "e2e/broken_model.h"
#include "e2e/model_surgery.h"

namespace quarot::test {
namespace {

const std::string kIndexed = "model.layers.0.self_attn.q_proj.weight";

std::string index_file(const std::string& folder) {
    return folder + "/model.safetensors.index.json";
}

// The model in three shards with an index, one thing changed after.
Damage sharded(Damage change) {
    return [=](const std::string& folder) {
        std::filesystem::remove_all(folder);
        write_tiny_model(folder, {}, 3);
        change(folder);
    };
}

Damage weight_map(std::function<void(io::Json&)> change) {
    return sharded([=](const std::string& folder) {
        edit_json(index_file(folder), [&](io::Json& json) {
            io::Json map = json.at("weight_map");
            change(map);
            json.set("weight_map", map);
        });
    });
}

const std::vector<BrokenModel> kBrokenShards = {
    {"ShardMissing",
     sharded([](const std::string& f) { remove_file(f + "/model-00002-of-00003.safetensors"); }),
     kNotFound,
     {"model-00002-of-00003.safetensors"}},
    {"ShardLinkToNowhere",
     sharded(link_to_nowhere("model-00002-of-00003.safetensors")),
     kNotFound,
     {"model-00002-of-00003.safetensors", "link to ../../blobs/12ab"}},
    {"GenerationConfigLinkToNowhere",
     sharded(link_to_nowhere("generation_config.json")),
     kNotFound,
     {"generation_config.json", "link to ../../blobs/12ab"}},
    {"ConfigLinkToNowhere",
     link_to_nowhere("config.json"),
     kNotFound,
     {"config.json", "link to ../../blobs/12ab"}},
    {"Adapter",
     [](const std::string& f) {
         std::filesystem::remove_all(f);
         std::filesystem::create_directory(f);
         write_bytes(f + "/adapter_config.json", "{}");
         write_bytes(f + "/adapter_model.safetensors", "");
     },
     kUnsupported,
     {"adapter", "merge_and_unload"}},
    {"ShardCutOff",
     sharded([](const std::string& f) { truncate_by(f + "/model-00003-of-00003.safetensors", 9); }),
     kCorrupt,
     {"model-00003-of-00003.safetensors"}},
    {"IndexNotJson",
     sharded(text_file("model.safetensors.index.json", "{")),
     kCorrupt,
     {"model.safetensors.index.json"}},
    {"IndexWithoutMap",
     sharded(text_file("model.safetensors.index.json", "{}")),
     kCorrupt,
     {"model.safetensors.index.json", "weight_map"}},
    {"IndexMapIsAList",
     sharded(text_file("model.safetensors.index.json", R"({"weight_map": []})")),
     kCorrupt,
     {"weight_map"}},
    {"IndexLeavesTheFolder",
     weight_map([](io::Json& map) { map.set(kIndexed, "../model-00001-of-00003.safetensors"); }),
     kCorrupt,
     {"../model-00001-of-00003.safetensors"}},
    {"IndexNamesANumber",
     weight_map([](io::Json& map) { map.set(kIndexed, 7); }),
     kCorrupt,
     {kIndexed}},
    {"IndexNamesATensorNobodyHas",
     weight_map(
         [](io::Json& map) { map.set("model.extra.weight", "model-00001-of-00003.safetensors"); }),
     kCorrupt,
     {"model.extra.weight"}},
    {"IndexForgetsATensor",
     weight_map([](io::Json& map) { erase_member(map, kIndexed); }),
     kCorrupt,
     {kIndexed}},
};

class BrokenShardsTest : public BrokenModelTest {};

TEST_P(BrokenShardsTest, IsRefused) {
    expect_refusal_by_quantize_and_logits();
}

INSTANTIATE_TEST_SUITE_P(Shards, BrokenShardsTest, testing::ValuesIn(kBrokenShards), case_name);

}  // namespace
}  // namespace quarot::test
