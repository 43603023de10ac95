// quantization_config, then quarot.json: a recipe that was accepted is written as it was read, and
// digests are compared, whatever they say.
#include <array>
#include <cstddef>

#include "folder/recipe_json.h"
#include "folder/tensor_hashes.h"
#include "fuzz/target.h"
#include "quantize/layer_report.h"
#include "recipe/recipe.h"

namespace quarot::fuzz {
namespace {

void run_recipe(std::string_view text) {
    const Recipe recipe = folder::recipe_from_json(io::Json::parse(text, "quantization_config"));
    const std::string written = folder::to_json(recipe).dump(-1);
    const Recipe again = folder::recipe_from_json(io::Json::parse(written, "again"));
    expect(folder::to_json(again).dump(-1) == written, "a recipe reads back otherwise");
}

void run_provenance(std::string_view text) {
    const io::Json json = io::Json::parse(text, "quarot.json");
    if (const io::Json* layers = json.find("layers")) quantize::layer_reports_from_json(*layers);
    const folder::TensorHashes hashes = folder::TensorHashes::from_json(json);
    constexpr std::array<std::byte, 4> kData{};
    hashes.verify("w", "model.safetensors", kData);
}

void run(std::string_view input) {
    if (input.starts_with('p')) return run_provenance(input.substr(1));
    run_recipe(input);
}

std::vector<std::string> seeds() {
    std::vector<std::string> seeds;
    for (const std::string& name : known_recipes()) {
        seeds.push_back(folder::to_json(named_recipe(name)).dump(-1));
    }
    seeds.insert(
        seeds.end(),
        {R"({"quant_method":"quarot","format_version":99})",
         R"({"format_version":1,"recipe":"none"})", "{}",
         R"(p{"tensors":{"w":"00000000000000000000000000000000"}})", R"(p{"tensors":{"v":""}})",
         R"(p{"tensors":{}})", R"(p{"tensors":[]})", R"(p{"tensors":{"w":1}})",
         R"(p{"tensors":{"w":"\n"},"layers":[{"name":"a","bits":4,"group_size":0,"method":"rtn",)"
         R"("relative_error":0.1,"weights":16,"bytes":8}]})",
         R"(p{"layers":[{"name":"a","bits":40}]})", "p{}"});
    return seeds;
}

std::vector<std::string> words() {
    return {"\"quant_method\":",
            "\"format_version\":",
            "\"rotation\":",
            "\"weights\":",
            "\"outliers\":{\"share\":0.1,\"bits\":8,\"sorted\":true,\"measure\":\"energy\"}",
            "\"smoothing\":{\"alpha\":0.5}",
            "\"clip\":",
            "\"bits\":",
            "hadamard",
            "random",
            "none",
            "f16",
            "block-start",
            "true",
            "false",
            "16",
            "4294967295",
            "-1",
            "1e-320"};
}

}  // namespace

constinit const Target kRecipeTarget = {
    .name = "recipe", .run = run, .seeds = seeds, .words = words, .max_bytes = 2048};

}  // namespace quarot::fuzz
