// A whole folder rotated and quantized: what stands in it, that it reads back, that it repeats.
#include "quantize/quantize_model.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/hash.h"
#include "linalg/mixer.h"
#include "model/source_model.h"
#include "quantize/rtn.h"
#include "rotate/rotation.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {
namespace {

namespace fs = std::filesystem;
using model::LinearRole;
using model::SourceModel;
using test::TempDir;
using test::TinyModelOptions;

using Files = std::map<std::string, std::string>;  // content by name

Files files_of(const std::string& folder) {
    Files files;
    for (const auto& entry : fs::directory_iterator(folder)) {
        std::ifstream stream(entry.path(), std::ios::binary);
        std::ostringstream text;
        text << stream.rdbuf();
        files[entry.path().filename().string()] = text.str();
    }
    return files;
}

// Everything rotated, nothing quantized.
model::Recipe rotated_only() {
    model::Recipe recipe = model::named_recipe("quarot-rtn");
    recipe.weights.bits = recipe.activations.bits = recipe.k.bits = recipe.v.bits = 16;
    return recipe;
}

QuantizeOptions with_recipe(const model::Recipe& recipe, int n_threads = 1) {
    QuantizeOptions options;
    options.recipe = recipe;
    options.n_threads = n_threads;
    return options;
}

QuantizeOptions with_recipe(const std::string& name, int n_threads = 1) {
    return with_recipe(model::named_recipe(name), n_threads);
}

std::vector<float> floats_of(const Tensor& tensor) {
    std::vector<float> values(element_count(tensor.shape()));
    widen(tensor.dtype(), tensor.data(), values);
    return values;
}

std::vector<float> tensor_of(const std::string& folder, const std::string& name) {
    return floats_of(io::Checkpoint::open(folder).read(name));
}

double dot(std::span<const float> a, std::span<const float> b) {
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
    return sum;
}

// a b^T of row-major [.., n] matrices.
std::vector<double> times_transposed(const std::vector<float>& a, const std::vector<float>& b,
                                     size_t n) {
    std::vector<double> product;
    for (size_t i = 0; i < a.size(); i += n) {
        for (size_t j = 0; j < b.size(); j += n) {
            product.push_back(dot(std::span(a).subspan(i, n), std::span(b).subspan(j, n)));
        }
    }
    return product;
}

void scale_columns(std::vector<float>& w, const std::vector<float>& gain) {
    for (size_t i = 0; i < w.size(); ++i) w[i] *= gain[i % gain.size()];
}

void expect_near(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << i;
}

ErrorCode code_of(const std::string& in, const std::string& out, const QuantizeOptions& options,
                  std::string* message = nullptr) {
    try {
        quantize_model(in, out, options);
    } catch (const Error& error) {
        if (message != nullptr) *message = error.what();
        return error.code();
    }
    return ErrorCode::Internal;
}

// One model folder, `in`, and room for outputs beside it.
class QuantizeModel : public testing::Test {
  protected:
    void write(const TinyModelOptions& options) { test::write_tiny_model(in, options); }

    // Names of what lies beside the input.
    std::vector<std::string> left_behind() const {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(dir.path())) {
            if (entry.path() != in) names.push_back(entry.path().filename().string());
        }
        return names;
    }

    TempDir dir;
    std::string in = dir / "in";
    std::string out = dir / "out";
};

// ---- the same bytes

TEST_F(QuantizeModel, ThreadsAndRepetitionChangeNoByte) {
    write({.vocab = 9000, .attention_bias = true, .dtype = DType::BF16});  // several blocks
    model::Recipe random = model::named_recipe("quarot-rtn");
    random.rotation.residual = model::ResidualRotation::Random;
    const std::vector<model::Recipe> recipes = {model::named_recipe("quarot-rtn"), random,
                                                model::named_recipe("rtn")};
    for (const model::Recipe& recipe : recipes) {
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
    for (const LinearRole role : model::kLayerRoles) {
        const Tensor weight = source.dense({role, 1});
        const std::vector<float> values = floats_of(weight);
        const QuantizedMatrix expected =
            quantize_rtn({values, weight.rows(), weight.cols()}, {}, result.recipe().weights);
        const QuantizedMatrix found = result.quantized({role, 1});
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
    for (const model::RoleRule& rule : model::kRoleRules) {
        if (rule.role == LinearRole::LmHead) continue;
        const Tensor weight = source.dense({rule.role, 0});
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
            quantize_rtn({values, weight.rows(), weight.cols()}, {}, result.recipe().weights);
        const QuantizedMatrix found = result.quantized({rule.role, 0});
        EXPECT_EQ(std::memcmp(found.packed.data(), expected.packed.data(), found.packed.bytes()), 0)
            << rule.name;
    }
}

TEST_F(QuantizeModel, EveryWidthAndSymmetryReadsBack) {
    write({.ffn = 44});
    for (int bits = 2; bits <= 8; ++bits) {
        for (const bool symmetric : {true, false}) {
            model::Recipe recipe = model::named_recipe("quarot-rtn");
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

// ---- rotated, not quantized

// Seven heads have no head mix, so that o_proj after v_proj is free of online transforms.
TEST_F(QuantizeModel, RotationAloneCancelsThroughTheNetwork) {
    write({.hidden = 40, .ffn = 44, .n_heads = 7, .n_kv_heads = 7, .head_dim = 12, .tied = true});
    const QuantizeReport report = quantize_model(in, out, with_recipe(rotated_only(), 2));
    EXPECT_EQ(report.bits_per_weight, 32.0);
    const SourceModel a = SourceModel::open(in);
    const SourceModel b = SourceModel::open(out);
    EXPECT_TRUE(b.is_quantized());  // the forward pass must know the online transforms

    const std::vector<float> embedding = floats_of(a.embedding());
    const std::vector<float> rotated = floats_of(b.embedding());
    const auto compare_readers = [&](const model::LinearId& id, model::NormRole norm) {
        std::vector<float> plain = floats_of(a.dense(id));
        scale_columns(plain, a.norm_gain(norm, 0));
        expect_near(times_transposed(floats_of(b.dense(id)), rotated, 40),
                    times_transposed(plain, embedding, 40), 1e-4);
    };
    compare_readers({LinearRole::Q, 0}, model::NormRole::Attention);
    compare_readers({LinearRole::Gate, 0}, model::NormRole::Mlp);
    compare_readers({LinearRole::LmHead}, model::NormRole::Final);

    // Rows of E o_proj, before and after: both are in the basis of single heads.
    const auto transposed = [](const std::vector<float>& w, size_t cols) {
        std::vector<float> t;
        for (size_t c = 0; c < cols; ++c) {
            for (size_t r = c; r < w.size(); r += cols) t.push_back(w[r]);
        }
        return t;
    };
    const auto through_values = [&](const SourceModel& m, const std::vector<float>& e,
                                    const std::vector<float>& gain) {
        const std::vector<float> o = transposed(floats_of(m.dense({LinearRole::O, 0})), 84);
        const auto eo = times_transposed(e, o, 40);  // [vocab, 84]
        std::vector<float> v = floats_of(m.dense({LinearRole::V, 0}));
        scale_columns(v, gain);
        const auto ve = times_transposed(e, v, 40);  // [vocab, 84]
        return times_transposed({eo.begin(), eo.end()}, {ve.begin(), ve.end()}, 84);
    };
    const std::vector<float> ones(40, 1.0f);
    expect_near(through_values(b, rotated, ones),
                through_values(a, embedding, a.norm_gain(model::NormRole::Attention, 0)), 1e-3);
}

TEST_F(QuantizeModel, BiasesFollowTheirOutputs) {
    write({.attention_bias = true, .mlp_bias = true, .dtype = DType::F16});
    quantize_model(in, out, with_recipe(rotated_only()));
    const SourceModel a = SourceModel::open(in);
    const SourceModel b = SourceModel::open(out);
    EXPECT_EQ(a.bias({LinearRole::Q, 1}), b.bias({LinearRole::Q, 1}));

    const std::vector<float> stored = a.bias({LinearRole::V, 1});
    std::vector<double> expected(stored.begin(), stored.end());
    const linalg::Mixer mixer = linalg::make_mixer(8);
    for (size_t head = 0; head < expected.size(); head += 8) {
        linalg::apply(mixer, std::span(expected).subspan(head, 8));
    }
    const std::vector<float> found = b.bias({LinearRole::V, 1});
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-6);

    const std::vector<float> before = a.bias({LinearRole::Down, 1});
    const std::vector<float> after = b.bias({LinearRole::Down, 1});
    EXPECT_NE(before, after);
    EXPECT_NEAR(dot(before, before), dot(after, after), 1e-5);
    const io::Checkpoint checkpoint = io::Checkpoint::open(out);
    EXPECT_EQ(checkpoint.info("model.layers.1.self_attn.v_proj.bias").dtype, DType::F32);
    EXPECT_EQ(checkpoint.info("model.layers.1.self_attn.q_proj.bias").dtype, DType::F16);
}

TEST_F(QuantizeModel, StorageTypeIsThatOfTheRecipeOrTheStoredOne) {
    write({.dtype = DType::BF16});
    const std::vector<std::pair<std::optional<DType>, DType>> cases = {
        {std::nullopt, DType::BF16}, {DType::F32, DType::F32}, {DType::F16, DType::F16}};
    for (const auto& [storage, expected] : cases) {
        model::Recipe recipe = rotated_only();
        recipe.storage = storage;
        QuantizeOptions options = with_recipe(recipe);
        options.overwrite = true;
        const QuantizeReport report = quantize_model(in, out, options);
        EXPECT_EQ(report.bits_per_weight, 8.0 * static_cast<double>(size_of(expected)));
        const SourceModel result = SourceModel::open(out);
        EXPECT_EQ(result.embedding_dtype(), expected);
        EXPECT_EQ(result.dense_dtype({LinearRole::Down, 0}), expected);
    }
}

// ---- tied heads

TEST_F(QuantizeModel, ATiedHeadIsWrittenOutWhenTheRotationPartsIt) {
    write({.tied = true, .dtype = DType::BF16});
    quantize_model(in, out, with_recipe("quarot-rtn"));
    EXPECT_FALSE(io::Json::parse_file(out + "/config.json").at("tie_word_embeddings").as_bool());
    EXPECT_EQ(io::Checkpoint::open(out).info("lm_head.weight").dtype, DType::F32);
    EXPECT_FALSE(SourceModel::open(out).config().tied_embeddings);
}

TEST_F(QuantizeModel, ATiedHeadStaysTiedWithoutRotation) {
    write({.tied = true, .dtype = DType::BF16});
    quantize_model(in, out, with_recipe("rtn"));
    EXPECT_TRUE(SourceModel::open(out).config().tied_embeddings);
    EXPECT_FALSE(io::Checkpoint::open(out).contains("lm_head.weight"));
    EXPECT_EQ(SourceModel::open(out).embedding_dtype(), DType::BF16);
}

TEST_F(QuantizeModel, ATiedHeadIsPartedByQuantizingIt) {
    write({.tied = true});
    model::Recipe recipe = model::named_recipe("rtn");
    recipe.head_bits = 8;
    quantize_model(in, out, with_recipe(recipe));
    const SourceModel result = SourceModel::open(out);
    EXPECT_EQ(result.quantized({LinearRole::LmHead}).bits, 8);
    EXPECT_EQ(tensor_of(out, "model.embed_tokens.weight"),
              tensor_of(in, "model.embed_tokens.weight"));
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

// ---- failures

TEST_F(QuantizeModel, ANanInTheLastWeightLeavesNothingBehind) {
    test::TinyModel tiny = test::make_tiny_model({});
    auto& head = tiny.tensors.at("lm_head.weight");
    std::vector<float> values = test::values_of(head);
    values.back() = std::numeric_limits<float>::quiet_NaN();
    head = test::make_stored_tensor(head.dtype, head.shape, values);
    test::write_model(tiny, in);
    std::string message;
    EXPECT_EQ(code_of(in, out, with_recipe("quarot-rtn", 2), &message), ErrorCode::Corrupt);
    EXPECT_NE(message.find("lm_head.weight"), std::string::npos) << message;
    EXPECT_TRUE(left_behind().empty());
}

TEST_F(QuantizeModel, AFullDiskLeavesNothingBehind) {
    write({.vocab = 4096});
    rlimit old{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit low{100000, old.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
    const ErrorCode code = code_of(in, out, with_recipe("quarot-rtn", 2));
    setrlimit(RLIMIT_FSIZE, &old);
    std::signal(SIGXFSZ, old_handler);
    EXPECT_EQ(code, ErrorCode::Io);
    EXPECT_TRUE(left_behind().empty());
}

TEST_F(QuantizeModel, AValueBeyondTheStorageTypeIsNamed) {
    test::TinyModel tiny = test::make_tiny_model({});
    auto& embedding = tiny.tensors.at("model.embed_tokens.weight");
    std::vector<float> values = test::values_of(embedding);
    values[5] = 1e9f;
    embedding = test::make_stored_tensor(embedding.dtype, embedding.shape, values);
    test::write_model(tiny, in);
    model::Recipe recipe = rotated_only();
    recipe.storage = DType::F16;
    std::string message;
    EXPECT_EQ(code_of(in, out, with_recipe(recipe), &message), ErrorCode::Numeric);
    EXPECT_NE(message.find("model.embed_tokens.weight"), std::string::npos) << message;
    EXPECT_TRUE(left_behind().empty());
}

TEST_F(QuantizeModel, RefusesItsOwnWork) {
    write({});
    quantize_model(in, out, with_recipe("rtn"));
    EXPECT_EQ(code_of(out, dir / "again", with_recipe("rtn")), ErrorCode::Unsupported);
    EXPECT_FALSE(fs::exists(dir / "again"));
}

TEST_F(QuantizeModel, ReplacesAnOldOutputOnlyWhenTold) {
    write({});
    quantize_model(in, out, with_recipe("rtn"));
    const Files before = files_of(out);
    EXPECT_EQ(code_of(in, out, with_recipe("quarot-rtn")), ErrorCode::Usage);
    EXPECT_EQ(files_of(out), before);
    QuantizeOptions options = with_recipe("quarot-rtn");
    options.overwrite = true;
    quantize_model(in, out, options);
    EXPECT_EQ(SourceModel::open(out).recipe().name, "quarot-rtn");
    EXPECT_EQ(code_of(in, in, options), ErrorCode::Usage);
    EXPECT_EQ(left_behind(), std::vector<std::string>{"out"});
}

TEST_F(QuantizeModel, RefusesSettingsThatMakeNoSense) {
    write({});
    QuantizeOptions no_shard = with_recipe("rtn");
    no_shard.shard_bytes = 0;
    EXPECT_EQ(code_of(in, out, no_shard), ErrorCode::Usage);
    QuantizeOptions one_bit = with_recipe("rtn");
    one_bit.recipe.weights.bits = 1;
    EXPECT_EQ(code_of(in, out, one_bit), ErrorCode::Usage);
    QuantizeOptions block = with_recipe("quarot-rtn");
    block.recipe.rotation.residual_block = 24;
    EXPECT_EQ(code_of(in, out, block), ErrorCode::Usage);
    EXPECT_EQ(code_of(dir / "nothing", out, with_recipe("rtn")), ErrorCode::NotFound);
    EXPECT_TRUE(left_behind().empty());
}

}  // namespace
}  // namespace quarot::quantize
