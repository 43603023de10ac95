// What is said to somebody who brings no folder, or a model in another format?
#include "io/model_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/expect_error.h"
#include "io/checkpoint.h"
#include "support/temp_dir.h"

namespace quarot::io {
namespace {

void touch(const std::string& path) {
    std::ofstream(path) << "x";
}

TEST(ModelFolder, WhatIsNoFolderIsNotFound) {
    const test::TempDir dir;
    touch(dir / "file");
    for (const char* name : {"missing", "file", "missing.gguf"}) {
        const std::string path = dir / name;
        expect_error(ErrorCode::NotFound, {path, "folder"}, [&] { expect_folder(path); });
        expect_error(ErrorCode::NotFound, {path, "folder"}, [&] { Checkpoint::open(path); });
    }
    expect_folder(dir.path());
}

TEST(ModelFolder, AFileOfWeightsIsUnsupportedWithAdvice) {
    const test::TempDir dir;
    touch(dir / "m.bin");
    expect_error(ErrorCode::Unsupported, {dir / "m.bin", "folder", "convert"},
                 [&] { expect_folder(dir / "m.bin"); });
    touch(dir / "m.safetensors");
    expect_error(ErrorCode::Unsupported, {dir / "m.safetensors", "folder that it is in"},
                 [&] { expect_folder(dir / "m.safetensors"); });
}

TEST(ModelFolder, OtherWeightFormatsAreUnsupportedWithAdvice) {
    for (const char* name : {"pytorch_model.bin", "pytorch_model-00001-of-00002.bin",
                             "consolidated.00.pth", "model.pt"}) {
        const test::TempDir dir;
        refuse_other_weights(dir.path());
        touch(dir / name);
        expect_error(ErrorCode::Unsupported, {dir.path(), name, "safetensors", "convert"},
                     [&] { refuse_other_weights(dir.path()); });
        expect_error(ErrorCode::Unsupported, {name}, [&] { Checkpoint::open(dir.path()); });
        touch(dir / kWeightsName);
        refuse_other_weights(dir.path());
    }
}

TEST(ModelFolder, AGgufFileIsToBeGivenItself) {
    const test::TempDir dir;
    touch(dir / "llama.Q4_0.gguf");
    touch(dir / "imatrix.bin");
    expect_error(ErrorCode::Unsupported, {dir.path(), "llama.Q4_0.gguf", "in place of the folder"},
                 [&] { Checkpoint::open(dir.path()); });
    touch(dir / kWeightsName);
    refuse_other_weights(dir.path());
}

TEST(ModelFolder, SafetensorsUnderOtherNamesAreNamedRatherThanWhatLiesBesideThem) {
    const test::TempDir dir;
    touch(dir / "training_args.bin");
    refuse_other_weights(dir.path());
    touch(dir / "optimizer.bin.bin");
    touch(dir / "consolidated.safetensors");
    expect_error(ErrorCode::NotFound, {"consolidated.safetensors", kWeightsName},
                 [&] { refuse_other_weights(dir.path()); });
}

TEST(ModelFolder, AdaptersAreToBeMerged) {
    for (const char* weights : {"adapter_model.safetensors", "adapter_model.bin"}) {
        const test::TempDir dir;
        touch(dir / weights);
        touch(dir / "adapter_config.json");
        expect_error(ErrorCode::Unsupported, {dir.path(), "adapter", "merge_and_unload"},
                     [&] { refuse_other_weights(dir.path()); });
        expect_error(ErrorCode::Unsupported, {"merge_and_unload"},
                     [&] { Checkpoint::open(dir.path()); });
        touch(dir / kWeightsName);
        refuse_other_weights(dir.path());
    }
}

TEST(ModelFolder, ACacheOfTheHubIsNoModel) {
    const test::TempDir dir;
    std::filesystem::create_directories(dir / "snapshots/12ab");
    expect_error(ErrorCode::NotFound, {dir.path(), "snapshots"},
                 [&] { refuse_other_weights(dir.path()); });
}

}  // namespace
}  // namespace quarot::io
