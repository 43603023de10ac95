// A whole folder rotated and quantized: what stands in it, that it reads back, that it repeats.
#include "quantize/quantize_model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "folder/source_model.h"
#include "io/hash.h"
#include "quantize/folder_fixture_for_tests.h"
#include "quantize/rounding/rtn.h"
#include "rotate/rotation.h"

namespace quarot::quantize {
namespace {

namespace fs = std::filesystem;
using folder::SourceModel;
using model::LinearId;
using model::LinearRole;

using QuantizeModel = FolderTest;

// ---- the same bytes

TEST_F(QuantizeModel, ThreadsAndRepetitionChangeNoByte) {
    write({.vocab = 9000, .attention_bias = true, .dtype = DType::BF16});  // several blocks
    Recipe random = named_recipe("quarot-rtn");
    random.rotation.residual = ResidualRotation::Random;
    const std::vector<Recipe> recipes = {named_recipe("quarot-rtn"), random, named_recipe("rtn")};
    for (const Recipe& recipe : recipes) {
        std::vector<Files> runs;
        for (const int n_threads : {1, 3, 1}) {
            QuantizeOptions options = with_recipe(recipe, n_threads);
            options.overwrite = true;
            quantize_model(in, out, options);
            runs.push_back(files_of(out));
        }
        EXPECT_EQ(runs[0].size(), runs[1].size());
        for (const auto& [name, content] : runs[0]) {
            EXPECT_TRUE(content == runs[1][name]) << recipe.name << ": three threads, " << name;
            EXPECT_TRUE(content == runs[2][name]) << recipe.name << ": second run, " << name;
        }
    }
}

TEST_F(QuantizeModel, ProvenanceHashesEveryFileAndTensor) {
    write({});
    quantize_model(in, out, with_recipe("quarot-rtn"));
    const io::Json json = io::Json::parse_file(out + "/quarot.json");
    EXPECT_EQ(json.at("schema").as_string(), "quarot.provenance/1");
    EXPECT_EQ(json.at("recipe").at("quant_method").as_string(), "quarot");
    EXPECT_EQ(json.at("rotation").at("R1").at("order").as_int(), 32);
    EXPECT_EQ(json.at("rotation").at("R4").at("decomposition").as_string(), "Hadamard 12 x 2^2");

    const auto& outputs = json.at("outputs").as_object();
    EXPECT_EQ(outputs.size(), files_of(out).size() - 1);  // all but quarot.json itself
    for (const auto& [name, hash] : outputs) {
        EXPECT_EQ(hash.as_string(), io::sha256_of_file(out + "/" + name)) << name;
    }
    EXPECT_EQ(json.at("inputs").as_object().size(), files_of(in).size());
    for (const auto& [name, hash] : json.at("inputs").as_object()) {
        EXPECT_EQ(hash.as_string(), io::sha256_of_file(in + "/" + name)) << name;
    }
    const io::Checkpoint checkpoint = io::Checkpoint::open(out);
    EXPECT_EQ(json.at("tensors").as_object().size(), checkpoint.names().size());
    for (const auto& [name, hash] : json.at("tensors").as_object()) {
        const Tensor tensor = checkpoint.read(name);
        const auto size = static_cast<size_t>(tensor.bytes());
        EXPECT_EQ(hash.as_string(), io::xxh3_128({tensor.data(), size})) << name;
    }
}

// ---- what is in the folder

TEST_F(QuantizeModel, UnrotatedCodesAreThoseOfTheStoredWeights) {
    write({});
    quantize_model(in, out, with_recipe("rtn"));
    const SourceModel source = SourceModel::open(in);
    const SourceModel result = SourceModel::open(out);
    EXPECT_TRUE(result.is_quantized());
    for (const LinearId& id : linears_of(source.config(), 1)) {
        const Tensor weight = source.dense(id);
        const std::vector<float> values = floats_of(weight);
        const QuantizedMatrix expected =
            quantize_rtn({values, weight.rows(), weight.cols()}, result.recipe().weights);
        const QuantizedMatrix found = result.quantized(id);
        ASSERT_EQ(found.packed.bytes(), expected.packed.bytes());
        EXPECT_EQ(std::memcmp(found.packed.data(), expected.packed.data(), found.packed.bytes()),
                  0);
        EXPECT_EQ(floats_of(found.scales), floats_of(expected.scales));
    }
    EXPECT_EQ(tensor_of(out, "model.norm.weight"), tensor_of(in, "model.norm.weight"));
    EXPECT_EQ(tensor_of(out, "lm_head.weight"), tensor_of(in, "lm_head.weight"));
}

TEST_F(QuantizeModel, RotatedCodesAreThoseOfTheWholeWeightRotatedAtOnce) {
    write({.ffn = 172});
    quantize_model(in, out, with_recipe("quarot-rtn", 2));
    const SourceModel source = SourceModel::open(in);
    const SourceModel result = SourceModel::open(out);
    const auto rotation = rotate::make_rotation(result.recipe().rotation, source.config());
    for (const LinearId& id : linears_of(source.config(), 0)) {
        const model::RoleRule rule = rule_of(id, source.config());
        const Tensor weight = source.dense(id);
        std::vector<float> values = floats_of(weight);
        std::vector<double> w(values.begin(), values.end());
        std::vector<double> gain;
        if (rule.folded_norm != model::NormRole::None) {
            const auto stored = source.norm_gain(rule.folded_norm, 0);
            gain.assign(stored.begin(), stored.end());
        }
        rotate_input(rotation, rule.input, source.config(), gain, w, weight.rows());
        rotate_output(rotation, rule.output, source.config(), w, weight.cols());
        values.assign(w.begin(), w.end());
        const QuantizedMatrix expected =
            quantize_rtn({values, weight.rows(), weight.cols()}, result.recipe().weights);
        const QuantizedMatrix found = result.quantized(id);
        EXPECT_EQ(std::memcmp(found.packed.data(), expected.packed.data(), found.packed.bytes()), 0)
            << rule.name;
    }
}

TEST_F(QuantizeModel, EveryWidthAndSymmetryReadsBack) {
    write({.ffn = 44});
    for (int bits = 2; bits <= 8; ++bits) {
        for (const bool symmetric : {true, false}) {
            Recipe recipe = named_recipe("quarot-rtn");
            recipe.weights.bits = bits;
            recipe.weights.symmetric = symmetric;
            recipe.down_bits = 8;
            recipe.head_bits = 6;
            QuantizeOptions options = with_recipe(recipe);
            options.overwrite = true;
            const QuantizeReport report = quantize_model(in, out, options);
            const SourceModel result = SourceModel::open(out);
            EXPECT_EQ(result.quantized({LinearRole::Q, 0}).bits, bits);
            EXPECT_EQ(result.quantized({LinearRole::Down, 0}).bits, 8);
            EXPECT_EQ(result.quantized({LinearRole::LmHead}).bits, 6);
            EXPECT_EQ(result.quantized({LinearRole::LmHead}).symmetric, symmetric);
            EXPECT_EQ(report.layers.size(), 15u);
            EXPECT_EQ(report.layers.back().name, "lm_head");
        }
    }
}

TEST_F(QuantizeModel, ReportTellsBitsAndErrorsOfEachLinear) {
    write({.hidden = 64, .ffn = 128, .n_layers = 1, .n_heads = 4, .n_kv_heads = 4, .head_dim = 16});
    double last_error = 1.0;
    for (const std::string recipe : {"quarot-rtn", "w6a6kv6", "w8a8kv8"}) {
        const QuantizeReport report = quantize_model(in, dir / recipe, with_recipe(recipe));
        const int bits = report.layers.front().bits;
        EXPECT_EQ(report.layers.front().name, "model.layers.0.self_attn.q_proj");
        EXPECT_EQ(report.layers.front().method, "rtn");
        EXPECT_LT(report.layers.front().relative_error, last_error);
        last_error = report.layers.front().relative_error;
        // Six of seven matrices have 64 inputs, down_proj 128; a row has one scale of 32 bits.
        const double rows = 4 * 64 + 2 * 128 + 64;
        const double weights = 6.0 * 64 * 64 + 3.0 * 64 * 128 - 2.0 * 64 * 64;
        EXPECT_NEAR(report.bits_per_weight, bits + 32.0 * rows / weights, 1e-12);
        EXPECT_EQ(report.layers.back().bits, 16);
        EXPECT_EQ(report.layers.back().method, "none");
    }
}

TEST_F(QuantizeModel, TheFolderReadsBackTheBitsOfTheReport) {
    write({.ffn = 44});
    struct Case {
        const char* what;
        int weight_bits, down_bits, head_bits;
        bool symmetric;
    };
    for (const Case& c :
         {Case{"all at 4", 4, 0, 16, true}, Case{"head at 8", 4, 0, 8, true},
          Case{"dense down_proj", 4, 16, 16, true}, Case{"zero points", 4, 8, 8, false},
          Case{"only the head", 16, 0, 8, true}, Case{"nothing", 16, 0, 16, true}}) {
        SCOPED_TRACE(c.what);
        Recipe recipe = named_recipe("quarot-rtn");
        recipe.weights.bits = c.weight_bits;
        recipe.weights.symmetric = c.symmetric;
        recipe.down_bits = c.down_bits;
        recipe.head_bits = c.head_bits;
        QuantizeOptions options = with_recipe(recipe);
        options.overwrite = true;
        const QuantizeReport report = quantize_model(in, out, options);
        EXPECT_DOUBLE_EQ(SourceModel::open(out).bits_per_weight(), report.bits_per_weight);
    }
}

TEST_F(QuantizeModel, ProvenanceCallsAnIdentityAnIdentity) {
    write({.n_heads = 1, .n_kv_heads = 1, .head_dim = 32});
    quantize_model(in, out, with_recipe("quarot-rtn"));
    const io::Json rotated = io::Json::parse_file(out + "/quarot.json");
    EXPECT_EQ(rotated.at("rotation").at("head_mix").at("kind").as_string(), "identity");
    EXPECT_EQ(rotated.at("rotation").at("R2").at("kind").as_string(), "hadamard");
    quantize_model(in, dir / "plain", with_recipe("rtn"));
    const io::Json plain = io::Json::parse_file(dir / "plain/quarot.json");
    EXPECT_EQ(plain.at("rotation").at("head_mix").at("kind").as_string(), "none");
}

TEST_F(QuantizeModel, NormsBecomeOnesOnlyWhenFolded) {
    write({.dtype = DType::BF16});
    quantize_model(in, out, with_recipe("quarot-rtn"));
    for (const std::string& name : io::Checkpoint::open(out).names()) {
        if (!name.ends_with("norm.weight")) continue;
        EXPECT_EQ(io::Checkpoint::open(out).info(name).dtype, DType::BF16) << name;
        EXPECT_EQ(tensor_of(out, name), std::vector<float>(32, 1.0f)) << name;
        EXPECT_NE(tensor_of(in, name), std::vector<float>(32, 1.0f)) << name;
    }
}

TEST_F(QuantizeModel, CompanionFilesAndConfigKeysArePreserved) {
    test::TinyModel tiny = test::make_tiny_model({});
    tiny.config.set("made_by", "a test");
    tiny.text_files["chat_template.jinja"] = "{{ messages }}";
    tiny.text_files["notes.txt"] = "not ours to copy";
    test::write_model(tiny, in);
    quantize_model(in, out, with_recipe("quarot-rtn"));
    const Files before = files_of(in);
    const Files after = files_of(out);
    EXPECT_EQ(after.at("tokenizer.json"), before.at("tokenizer.json"));
    EXPECT_EQ(after.at("chat_template.jinja"), "{{ messages }}");
    EXPECT_FALSE(after.contains("notes.txt"));
    const io::Json config = io::Json::parse_file(out + "/config.json");
    for (const auto& [key, value] : tiny.config.as_object()) {
        EXPECT_EQ(config.at(key).dump(), value.dump()) << key;
    }
    EXPECT_EQ(config.at("quantization_config").at("quant_method").as_string(), "quarot");
}

// ---- shards

TEST_F(QuantizeModel, ShardsKeepTheirLimitAndHoldTheSameTensors) {
    write({.vocab = 300, .attention_bias = true});
    quantize_model(in, dir / "one", with_recipe("quarot-rtn"));
    EXPECT_TRUE(fs::exists(dir / "one/model.safetensors"));
    QuantizeOptions options = with_recipe("quarot-rtn");
    options.shard_bytes = 8000;
    quantize_model(in, out, options);

    EXPECT_FALSE(fs::exists(out + "/model.safetensors"));
    const io::Checkpoint one = io::Checkpoint::open(dir / "one");
    const io::Checkpoint many = io::Checkpoint::open(out);
    EXPECT_GT(many.files().size(), 3u);
    int64_t total = 0;
    std::map<std::string, int64_t> bytes_in_file;
    ASSERT_EQ(one.names(), many.names());
    for (const std::string& name : one.names()) {
        const Tensor a = one.read(name);
        const Tensor b = many.read(name);
        ASSERT_EQ(a.bytes(), b.bytes()) << name;
        EXPECT_EQ(std::memcmp(a.data(), b.data(), a.bytes()), 0) << name;
        bytes_in_file[many.file_of(name)] += b.bytes();
        total += b.bytes();
    }
    for (const auto& [file, bytes] : bytes_in_file) {
        EXPECT_TRUE(bytes <= 8000 || bytes == 300 * 32 * 4) << file << " " << bytes;
    }
    const io::Json index = io::Json::parse_file(out + "/model.safetensors.index.json");
    EXPECT_EQ(index.at("metadata").at("total_size").as_int(), total);
    EXPECT_EQ(SourceModel::open(out).quantized({LinearRole::O, 1}).rows, 32);
}

}  // namespace
}  // namespace quarot::quantize
