// Folders that tests write, open as a source and expect to be refused.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/error.h"
#include "folder/quarot_folder_for_tests.h"
#include "folder/source_model.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::folder {

class SourceModelTest : public testing::Test {
  protected:
    SourceModel open(const test::TinyModel& model, int n_shards = 1) {
        const std::string folder = directory_ / std::to_string(n_folders_++);
        test::write_model(model, folder, n_shards);
        return SourceModel::open(folder);
    }

    // The error of opening and reading everything.
    void expect_refused(const test::TinyModel& model, ErrorCode code,
                        const std::vector<std::string>& words) {
        try {
            read_everything(open(model));
            ADD_FAILURE() << "accepted";
        } catch (const Error& error) {
            const std::string message = error.what();
            EXPECT_EQ(error.code(), code) << message;
            for (const std::string& word : words) {
                EXPECT_NE(message.find(word), std::string::npos) << word << " in: " << message;
            }
        }
    }

    static void read_everything(const SourceModel& source) {
        source.dense({model::LinearRole::Embedding});
        source.norm_gain(model::NormRole::Final, 0);
        read_linear(source, {model::LinearRole::LmHead});
        for (int64_t layer = 0; layer < source.config().n_layers; ++layer) {
            source.norm_gain(model::NormRole::AttentionIn, layer);
            source.norm_gain(model::NormRole::MlpIn, layer);
        }
        for (const model::LinearId& id : linears_of(source.config())) read_linear(source, id);
    }

    static void read_linear(const SourceModel& source, const model::LinearId& id) {
        if (source.is_dense(id)) {
            source.dense(id);
        } else {
            source.quantized(id);
        }
        source.bias(id);
    }

    test::TempDir directory_;
    int n_folders_ = 0;
};

template <typename T>
void set_element(test::StoredTensor& tensor, size_t index, T value) {
    ASSERT_LE((index + 1) * sizeof(T), tensor.bytes.size());
    std::memcpy(tensor.bytes.data() + index * sizeof(T), &value, sizeof(T));
}

}  // namespace quarot::folder
