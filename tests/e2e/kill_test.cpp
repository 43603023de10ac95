// A job that is stopped at any moment and resumed gives the bytes of one that was left alone.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <random>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/checkout.h"
#include "support/temp_dir.h"

namespace quarot::test {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;
using Files = std::map<std::string, std::string>;  // content by name
using Words = std::vector<std::string>;

const std::string kModel = in_checkout("models/tiny-novels");
constexpr int kLayers = 8;
constexpr Seconds kLongestGoodbye{5.0};

Files files_of(const std::string& folder) {
    Files files;
    for (const auto& entry : fs::directory_iterator(folder)) {
        files[entry.path().filename().string()] = read_bytes(entry.path().string());
    }
    return files;
}

// Names only, so that a failure prints no weights.
void expect_same_files(const Files& found, const Files& expected) {
    Words found_names, expected_names, different;
    for (const auto& [name, bytes] : found) {
        found_names.push_back(name);
        const auto other = expected.find(name);
        if (other != expected.end() && other->second != bytes) different.push_back(name);
    }
    for (const auto& [name, bytes] : expected) expected_names.push_back(name);
    EXPECT_EQ(found_names, expected_names);
    EXPECT_EQ(different, Words{});
}

Words lines_that_begin(const std::string& text, const std::string& prefix) {
    Words lines;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        const std::string line = text.substr(begin, end - begin);
        if (line.starts_with(prefix)) lines.push_back(line);
        begin = end + 1;
    }
    return lines;
}

// The exit code and one line of error that mentions all of this.
void expect_refusal(const Outcome& outcome, int exit_code, const Words& mentions) {
    SCOPED_TRACE(outcome.command + "\n" + outcome.err);
    EXPECT_EQ(outcome.exit_code, exit_code);
    const Words errors = lines_that_begin(outcome.err, "quarot: error: ");
    ASSERT_EQ(errors.size(), 1u);
    for (const std::string& mention : mentions) {
        EXPECT_NE(errors[0].find(mention), std::string::npos) << mention;
    }
}

class KillTest : public testing::Test {
  protected:
    void SetUp() override {
        if (!fs::exists(kModel + "/config.json")) GTEST_SKIP() << kModel << " is not there";
        const std::string alone = dir_ / "alone";
        const auto start = Clock::now();
        expect_success(run_program(command(alone)));
        duration_ = Clock::now() - start;
        expected_ = files_of(alone);
        fs::remove_all(alone);
        ASSERT_EQ(expected_.count("quarot.json"), 1u);
        ASSERT_GE(expected_.size(), 5u);
    }

    // GPTQ on two short windows, into several shards.
    static Words command(const std::string& out, const Words& more = {}) {
        Words words = {"quantize",   kModel, out,        "--calib", kModel + "/calib.txt",
                       "--nsamples", "2",    "--seqlen", "64",      "--shard-size",
                       "4M",         "-t",   "2",        "--json"};
        words.insert(words.end(), more.begin(), more.end());
        return words;
    }

    Outcome resume(const RunOptions& options = {}) const {
        Words more = {"--resume"};
        // Killed between the output's appearance and the work folder's removal.
        if (fs::exists(out_)) more.push_back("--overwrite");
        return run_program(command(out_, more), options);
    }

    // Goes on until `is_due`; true if the signal came before the end. Whatever happened, an output
    // that is there is whole.
    bool run_until(int signal, const std::function<bool()>& is_due) {
        std::optional<Clock::time_point> sent;
        RunOptions options;
        options.stop = Stop{signal, [&] {
                                if (!is_due()) return false;
                                sent = Clock::now();
                                return true;
                            }};
        const Outcome outcome = resume(options);
        const int code = outcome.exit_code;
        const bool stopped = code != 0;
        EXPECT_TRUE(!stopped || code == -signal || code == 128 + signal)
            << outcome.command << outcome.exit_code << "\n"
            << outcome.err;
        if (code == 128 + signal) ++polite_stops_;
        if (stopped) ++kills_;
        if (stopped && sent) {
            EXPECT_LT(Clock::now() - *sent, kLongestGoodbye);
        }
        if (fs::exists(out_)) expect_same_files(files_of(out_), expected_);
        return stopped;
    }

    // Ends the job and checks that nothing but the right output is left.
    void finish() {
        const Outcome outcome = resume();
        ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
        expect_finished();
    }
    void expect_finished() {
        expect_same_files(files_of(out_), expected_);
        fs::remove_all(out_);
        EXPECT_EQ(listing(dir_.path()), Words{});
    }

    int64_t records() const {
        if (!fs::exists(journal_)) return 0;
        const std::string text = read_bytes(journal_);
        return std::count(text.begin(), text.end(), '\n');
    }
    std::function<bool()> after_records(int64_t n) const {
        return [this, n] { return records() >= n; };
    }
    static std::function<bool()> after(Seconds delay) {
        return [end = Clock::now() + delay] { return Clock::now() >= end; };
    }
    // The output is being put together.
    bool is_assembling() const {
        for (const auto& entry : fs::directory_iterator(dir_.path())) {
            const bool partial = entry.path().filename().string().starts_with(".out.partial");
            std::error_code gone;
            if (partial && !fs::is_empty(entry.path(), gone) && !gone) return true;
        }
        return false;
    }

    const TempDir dir_;
    const std::string out_ = dir_ / "out";
    const std::string work_ = dir_ / "out.work";
    const std::string journal_ = work_ + "/journal.jsonl";
    Files expected_;
    Seconds duration_{};
    int kills_ = 0;
    int polite_stops_ = 0;
};

TEST_F(KillTest, AtRandomMoments) {
    constexpr int kWanted = 100;
    constexpr std::array kSignals = {SIGKILL, SIGKILL, SIGKILL, SIGTERM, SIGINT};
    constexpr uint32_t kSeed = 20240404;
    RecordProperty("seed", static_cast<int>(kSeed));
    std::mt19937 random(kSeed);
    int chains = 0;
    while (kills_ < kWanted && !HasFailure()) {
        const double part = static_cast<double>(random()) / 4294967296.0;
        const int signal = kSignals[static_cast<size_t>(kills_) % kSignals.size()];
        if (run_until(signal, after(part * duration_))) continue;
        expect_finished();
        ++chains;
    }
    finish();
    EXPECT_GT(chains, 3);
    EXPECT_GT(polite_stops_, kWanted / 5);
    std::printf("%d kills, %d of them asked politely, %d chains, %.2f s a job\n", kills_,
                polite_stops_, chains + 1, duration_.count());
}

TEST_F(KillTest, RightAfterEveryLayer) {
    for (const int signal : {SIGKILL, SIGTERM}) {
        for (int64_t n = 1; n <= kLayers; ++n) run_until(signal, after_records(n));
        finish();
    }
    EXPECT_GE(kills_, 2 * (kLayers - 1));
}

TEST_F(KillTest, WhileTheOutputIsPutTogether) {
    run_until(SIGKILL, after_records(kLayers));
    constexpr int kMoments = 12;
    for (int i = 0; i < kMoments; ++i) {
        std::optional<Clock::time_point> begin;
        const Seconds delay = duration_ * (0.004 * i);
        const bool stopped = run_until(SIGKILL, [&] {
            if (!begin && is_assembling()) begin = Clock::now();
            return begin && Clock::now() - *begin >= delay;
        });
        if (!stopped) fs::remove_all(out_);
    }
    finish();
    EXPECT_GE(kills_, 5);
}

class ResumeTest : public KillTest {
  protected:
    void SetUp() override {
        KillTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        ASSERT_TRUE(run_until(SIGKILL, after_records(3)));
        kept_ = files_of(work_);
        ASSERT_GE(records(), 3);
    }
    // Refused, naming this; nothing is lost, and the right command still goes on.
    void expect_kept(const Words& words, const Words& mentions) {
        expect_refusal(run_program(words), kUsage, mentions);
        expect_same_files(files_of(work_), kept_);
        EXPECT_FALSE(fs::exists(out_));
    }
    Files kept_;
};

TEST_F(ResumeTest, NeedsTheSameJob) {
    expect_kept(command(out_), {work_, "--resume"});
    expect_kept(command(out_, {"--resume", "--w-bits", "3"}), {work_, "recipe"});
    expect_kept(command(out_, {"--resume", "--seed", "5"}), {work_, "seed"});
    expect_kept(command(out_, {"--resume", "--damp", "0.02"}), {work_, "recipe"});
    expect_kept(command(out_, {"--resume", "--calib", kModel + "/eval.txt"}),
                {work_, "calibration"});
    expect_kept(command(out_, {"--resume", "--nsamples", "3"}), {work_});

    const std::string other = dir_ / "other";
    fs::copy(kModel, other);
    overwrite_tensor(other + "/model-00001-of-00002.safetensors",
                     "model.layers.0.self_attn.q_proj.weight", 0, std::string(4, '\0'));
    Words from_other = command(out_, {"--resume"});
    from_other[1] = other;
    expect_kept(from_other, {work_, "input model-00001-of-00002.safetensors"});
    fs::remove_all(other);
    finish();
}

TEST_F(ResumeTest, GoesOnAfterAFullDisk) {
    const auto layer_bytes =
        static_cast<int64_t>(fs::file_size(work_ + "/layer-00000.safetensors"));
    const int64_t before = records();
    RunOptions full;
    full.stop =
        Stop{.is_due = [&] { return records() > before; }, .max_file_bytes = layer_bytes - 1};
    expect_refusal(resume(full), kIo, {"out", "--resume"});
    EXPECT_GT(records(), before);
    EXPECT_LT(records(), kLayers);
    // The layers fit, the embedding does not.
    full.stop =
        Stop{.is_due = [&] { return records() == kLayers; }, .max_file_bytes = layer_bytes + 1};
    expect_refusal(resume(full), kIo, {"out"});
    EXPECT_FALSE(fs::exists(out_));
    finish();
}

TEST_F(ResumeTest, MakesDamagedLayersAnew) {
    truncate_by(work_ + "/layer-00001.safetensors", 1);
    finish();
}

// Questions of random syllables, so many that they take seconds.
std::string many_questions() {
    std::mt19937 random(7);
    const auto words = [&](int n) {
        std::string text;
        for (int i = 0; i < n; ++i) {
            text += i == 0 ? "" : " ";
            for (int j = 0; j < 4; ++j) text += static_cast<char>('a' + random() % 26);
        }
        return text;
    };
    std::string lines;
    for (int i = 0; i < 1200; ++i) {
        lines += R"({"goal": ")" + words(12) + R"(", "sol1": ")" + words(6) + R"(", "sol2": ")" +
                 words(7) + R"(", "label": )" + std::to_string(random() % 2) + "}\n";
    }
    return lines;
}

// Killed, then told to end, then left alone.
TEST(StoppedEval, GoesOnAndLogsWhatAnUndisturbedOneLogs) {
    const TempDir dir;
    const std::string model = dir / "model", log = dir / "log.jsonl", partial = log + ".partial";
    expect_success(run_program({"quantize", kModel, model, "--recipe", "quarot-rtn"}));
    write_bytes(dir / "piqa.jsonl", many_questions());
    const Words words = {"eval", model, "--tasks", "piqa", "--data", dir.path(), "--log-items"};
    const auto eval = [&](const std::string& file, const Words& more, const Stop& stop) {
        Words all = words;
        all.push_back(file);
        all.insert(all.end(), more.begin(), more.end());
        RunOptions options;
        if (stop.signal != 0) options.stop = stop;
        return run_program(all, options);
    };
    expect_success(eval(dir / "undisturbed", {}, {}));

    const Outcome killed =
        eval(log, {}, {.signal = SIGKILL, .is_due = [&] { return fs::exists(partial); }});
    EXPECT_EQ(killed.exit_code, -SIGKILL);
    EXPECT_FALSE(fs::exists(log));
    const auto kept = fs::file_size(partial);
    EXPECT_GT(kept, 100u);
    const Outcome told = eval(log, {"--resume"}, {.signal = SIGTERM, .is_due = [&] {
                                                      std::error_code ignored;
                                                      return fs::file_size(partial, ignored) > kept;
                                                  }});
    EXPECT_EQ(told.exit_code, 143) << told.err;
    EXPECT_NE(told.err.find("--resume goes on with them"), std::string::npos) << told.err;
    EXPECT_FALSE(fs::exists(log));
    EXPECT_EQ(eval(log, {"--resume", "--kv-bits", "8"}, {}).exit_code, 2) << "another job";
    const Outcome last = eval(log, {"--resume"}, {});
    expect_success(last);
    EXPECT_NE(last.err.find(" of 2400 requests were scored before"), std::string::npos) << last.err;
    EXPECT_EQ(last.err.find("quarot: 0 of 2400"), std::string::npos) << last.err;
    EXPECT_TRUE(read_bytes(log) == read_bytes(dir / "undisturbed"));
    EXPECT_FALSE(fs::exists(partial));
}

}  // namespace
}  // namespace quarot::test
