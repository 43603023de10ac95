// What stops the work, what is said of it, and that nothing half-made stays behind.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/watch.h"
#include "folder/source_model.h"
#include "io/hash.h"
#include "io/seal.h"
#include "quantize/file_limit_for_tests.h"
#include "quantize/folder_fixture_for_tests.h"
#include "quantize/job/layer_file_for_tests.h"
#include "quantize/quantize_model.h"
#include "quantize/quantized_tensors.h"

namespace quarot::quantize {
namespace {

namespace fs = std::filesystem;
using folder::SourceModel;

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

using QuantizeFailures = FolderTest;

// Looks like ours, and is not of the job that is tested.
void write_folder_of_another(const std::string& path) {
    fs::create_directory(path);
    std::ofstream(path + "/config.json") << "theirs";
    std::ofstream(path + "/quarot.json") << "{}";
}

TEST_F(QuantizeFailures, ANanInTheLastWeightLeavesNothingBehind) {
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

TEST_F(QuantizeFailures, ATooLowLimitIsSeenBeforeTheFirstLayer) {
    write({.vocab = 4096});
    std::string message;
    {
        const FileLimit limit(100000);
        EXPECT_EQ(code_of(in, out, with_recipe("quarot-rtn", 2), &message), ErrorCode::Io);
    }
    EXPECT_NE(message.find("ulimit -f"), std::string::npos) << message;
    EXPECT_TRUE(left_behind().empty());
}

TEST_F(QuantizeFailures, AFullDiskKeepsFinishedLayersToGoOnWith) {
    write({.vocab = 4096});
    const std::string whole = dir / "whole";
    quantize_model(in, whole, with_recipe("quarot-rtn", 2));
    const Files expected = files_of(whole);
    std::string message;
    {
        const FileLimit limit(payload_bytes(whole + "/model.safetensors"));
        EXPECT_EQ(code_of(in, out, with_recipe("quarot-rtn", 2), &message), ErrorCode::Io);
    }
    EXPECT_NE(message.find("with `resume` goes on"), std::string::npos) << message;
    EXPECT_TRUE(std::filesystem::exists(out + ".work"));
    EXPECT_FALSE(std::filesystem::exists(out));

    QuantizeOptions options = with_recipe("quarot-rtn", 2);
    EXPECT_EQ(code_of(in, out, options), ErrorCode::Usage) << "only resuming goes on";
    options.resume = true;
    quantize_model(in, out, options);
    EXPECT_TRUE(files_of(out) == expected);
    EXPECT_FALSE(std::filesystem::exists(out + ".work"));
}

// All layers of a job are finished, and its folder is not: the file system's limit was too low.
class UnfinishedFolder : public FolderTest {
  protected:
    UnfinishedFolder() {
        write({.vocab = 4096});
        quantize_model(in, whole_, with_recipe("quarot-rtn"));
        const FileLimit limit(payload_bytes(whole_ + "/model.safetensors"));
        EXPECT_EQ(code_of(in, out, with_recipe("quarot-rtn")), ErrorCode::Io);
        options_.resume = true;
    }

    const std::string whole_ = dir / "whole";
    QuantizeOptions options_ = with_recipe("quarot-rtn");
};

TEST_F(UnfinishedFolder, ResumingReplacesNoFolderThatAppearedMeanwhile) {
    write_folder_of_another(out);
    const Files theirs = files_of(out);
    std::string message;
    EXPECT_EQ(code_of(in, out, options_, &message), ErrorCode::Usage);
    EXPECT_NE(message.find("`overwrite`"), std::string::npos) << message;
    EXPECT_TRUE(files_of(out) == theirs);
    EXPECT_TRUE(fs::exists(out + ".work/journal.jsonl")) << "the finished layers are kept";
    options_.overwrite = true;
    quantize_model(in, out, options_);
    EXPECT_TRUE(files_of(out) == files_of(whole_));
}

// The job is stopped after its folder appeared and before its work folder went.
TEST_F(UnfinishedFolder, ResumingKnowsTheFolderThatItMade) {
    const fs::path work = out + ".work";
    fs::copy(work, dir / "kept");
    quantize_model(in, out, options_);
    EXPECT_FALSE(fs::exists(work));
    fs::copy(dir / "kept", work);
    std::string message;
    EXPECT_EQ(code_of(in, out, options_, &message), ErrorCode::Usage) << "unknown to that folder";
    std::ofstream(work / "result.sha256") << io::sha256_of_file(out + "/quarot.json");
    quantize_model(in, out, options_);
    EXPECT_TRUE(files_of(out) == files_of(whole_));
    EXPECT_FALSE(fs::exists(work));
}

TEST_F(QuantizeFailures, AFolderThatAppearsWhileTheJobRunsCostsNoLayer) {
    write({});
    std::string message;
    const ProgressCallback appear = [&](const ProgressEvent& event) {
        if (event.what == "writing" && !fs::exists(out)) write_folder_of_another(out);
        return true;
    };
    {
        const Watch watch(appear);
        EXPECT_EQ(code_of(in, out, with_recipe("quarot-rtn"), &message), ErrorCode::Usage);
    }
    EXPECT_NE(message.find("finished layers are kept"), std::string::npos) << message;
    EXPECT_EQ(files_of(out).at("config.json"), "theirs");
    fs::remove_all(out);
    QuantizeOptions options = with_recipe("quarot-rtn");
    options.resume = true;
    quantize_model(in, out, options);
    EXPECT_FALSE(fs::exists(out + ".work"));
}

// The work folder with its first layer exchanged for `tensors`, all digests right.
void forge_layer(const std::string& work, const std::vector<NamedTensor>& tensors) {
    const std::string layer = work + "/layer-00000.safetensors";
    fs::remove(layer);
    write_layer_file(layer, tensors);
    std::istringstream lines(files_of(work).at("journal.jsonl"));
    std::string forged;
    for (std::string line; std::getline(lines, line);) {
        io::Json json = io::Json::parse(line, "journal");
        std::erase_if(json.as_object(), [](const auto& pair) { return pair.first == "digest"; });
        if (json.at("layer").as_int() == 0) {
            json.set("bytes", static_cast<int64_t>(fs::file_size(layer)));
            json.set("xxh3_128", digest_of_file(layer));
        }
        forged += io::sealed(json.dump(-1)) + "\n";
    }
    std::ofstream(work + "/journal.jsonl") << forged;
}

TEST_F(QuantizeFailures, AForgedLayerIsRefusedWhateverItHolds) {
    write({.vocab = 4096});
    const std::string work = out + ".work";
    quantize_model(in, dir / "whole", with_recipe("quarot-rtn"));
    {
        const FileLimit limit(payload_bytes(dir / "whole/model.safetensors"));
        EXPECT_EQ(code_of(in, out, with_recipe("quarot-rtn")), ErrorCode::Io);
    }
    const std::vector<NamedTensor> good =
        read_all(io::SafetensorsFile(work + "/layer-00000.safetensors"));
    const auto copy = [&](size_t begin) {
        std::vector<NamedTensor> tensors;
        for (size_t i = begin; i < good.size(); ++i) {
            tensors.push_back({good[i].name, copy_of(good[i].tensor)});
        }
        return tensors;
    };
    std::vector<NamedTensor> foreign = copy(0);
    foreign.push_back({"foreign", Tensor(DType::F32, {1})});
    std::vector<NamedTensor> reshaped = copy(1);
    reshaped.push_back({good[0].name, Tensor(DType::I32, {1, 1})});
    QuantizeOptions options = with_recipe("quarot-rtn");
    options.resume = true;
    std::vector<NamedTensor> incomplete = copy(1);
    fs::rename(work, dir / "kept");
    for (const auto* tensors : {&foreign, &reshaped, &incomplete}) {
        fs::remove_all(work);
        fs::copy(dir / "kept", work);
        forge_layer(work, *tensors);
        std::string message;
        EXPECT_EQ(code_of(in, out, options, &message), ErrorCode::Corrupt);
        EXPECT_NE(message.find("layer 0"), std::string::npos) << message;
    }
    fs::remove_all(work);
    fs::copy(dir / "kept", work);
    forge_layer(work, copy(0));
    quantize_model(in, out, options);
    EXPECT_TRUE(files_of(out) == files_of(dir / "whole"));
}

// As a kill leaves it between the output's appearance and the work folder's removal.
TEST_F(QuantizeFailures, ResumeEndsAJobWhoseOutputIsThereAlready) {
    write({.vocab = 4096});
    const std::string work = out + ".work";
    quantize_model(in, dir / "whole", with_recipe("quarot-rtn"));
    {
        const FileLimit limit(payload_bytes(dir / "whole/model.safetensors"));
        EXPECT_EQ(code_of(in, out, with_recipe("quarot-rtn")), ErrorCode::Io);
    }
    fs::copy(work, dir / "kept");
    QuantizeOptions options = with_recipe("quarot-rtn");
    options.resume = true;
    quantize_model(in, out, options);
    const Files expected = files_of(out);
    // As a kill between the output's appearance and the removal of the work leaves it.
    std::ofstream(dir / "kept/result.sha256") << io::sha256_of_file(out + "/quarot.json");
    fs::rename(dir / "kept", work);
    quantize_model(in, out, options);
    EXPECT_TRUE(files_of(out) == expected);
    EXPECT_FALSE(fs::exists(work));
    EXPECT_EQ(code_of(in, out, options), ErrorCode::Usage) << "nothing is left to end";
    EXPECT_TRUE(files_of(out) == expected);
}

TEST_F(QuantizeFailures, AValueBeyondTheStorageTypeIsNamed) {
    test::TinyModel tiny = test::make_tiny_model({});
    auto& embedding = tiny.tensors.at("model.embed_tokens.weight");
    std::vector<float> values = test::values_of(embedding);
    values[5] = 1e9f;
    embedding = test::make_stored_tensor(embedding.dtype, embedding.shape, values);
    test::write_model(tiny, in);
    Recipe recipe = rotated_only();
    recipe.storage = DType::F16;
    std::string message;
    EXPECT_EQ(code_of(in, out, with_recipe(recipe), &message), ErrorCode::Numeric);
    EXPECT_NE(message.find("model.embed_tokens.weight"), std::string::npos) << message;
    EXPECT_TRUE(left_behind().empty());
}

TEST_F(QuantizeFailures, RefusesItsOwnWork) {
    write({});
    quantize_model(in, out, with_recipe("rtn"));
    EXPECT_EQ(code_of(out, dir / "again", with_recipe("rtn")), ErrorCode::Unsupported);
    EXPECT_FALSE(fs::exists(dir / "again"));
}

TEST_F(QuantizeFailures, ReplacesAnOldOutputOnlyWhenTold) {
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

TEST_F(QuantizeFailures, RefusesSettingsThatMakeNoSense) {
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
