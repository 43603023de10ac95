// What a step that is refused leaves behind: nothing.
#include "runtime/engine.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/error.h"
#include "kernels/backend.h"
#include "support/model_weights.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::runtime {

namespace {

class EngineTest : public testing::Test {
  protected:
    static model::Weights load(const std::string& folder, kernels::Backend& backend) {
        test::write_tiny_model(folder);
        return test::load_model(folder, 16, backend);
    }

    void expect_refused(const std::vector<int32_t>& second) {
        const SequenceId a = engine_.add_sequence(), b = engine_.add_sequence();
        const std::vector<int32_t> first = {1, 2, 3};
        const std::vector<Chunk> chunks = {{a, first, LogitsWanted::Last},
                                           {b, second, LogitsWanted::Last}};
        try {
            engine_.step(chunks);
            ADD_FAILURE() << "no error";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Usage) << error.what();
        }
        EXPECT_EQ(engine_.length(a), 0) << "the sound chunk must not have grown its sequence";
        EXPECT_EQ(engine_.length(b), 0);
        const Chunk good = {a, first, LogitsWanted::Last};
        EXPECT_EQ(engine_.step({&good, 1}), 1);
        EXPECT_EQ(engine_.length(a), 3);
    }

    test::TempDir dir_;
    std::unique_ptr<kernels::Backend> backend_ = kernels::make_backend("cpu", {.n_threads = 1});
    model::Weights weights_ = load(dir_ / "model", *backend_);
    Engine engine_{weights_, *backend_, 16, 2};
};

}  // namespace

TEST_F(EngineTest, ATokenOutsideTheVocabularyGrowsNoSequence) {
    expect_refused({4, 272});
}

TEST_F(EngineTest, AChunkBeyondTheContextGrowsNoSequence) {
    expect_refused(std::vector<int32_t>(17, 1));
}

TEST_F(EngineTest, OneSequenceTwiceInAStepIsACallersMistake) {
    const SequenceId a = engine_.add_sequence();
    const std::vector<int32_t> tokens = {1, 2};
    const std::vector<Chunk> chunks = {{a, tokens, LogitsWanted::Last},
                                       {a, tokens, LogitsWanted::Last}};
    EXPECT_DEATH(engine_.step(chunks), "sequence 0 twice");
}

}  // namespace quarot::runtime
