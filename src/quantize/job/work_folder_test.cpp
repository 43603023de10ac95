#include "quantize/job/work_folder.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "core/expect_error.h"
#include "io/file.h"
#include "quantize/job/layer_file_for_tests.h"
#include "support/temp_dir.h"

namespace quarot::quantize {
namespace {

namespace fs = std::filesystem;
using io::Json;
using Names = std::vector<std::string>;

Json a_job(const std::string& recipe = "quarot") {
    Json weights;
    weights.set("bits", 4);
    weights.set("clip", 0.5);
    Json job;
    job.set("recipe", recipe);
    job.set("weights", weights);
    return job;
}

Json report_of(int64_t layer) {
    Json report;
    report.set("relative_error", 0.125 + static_cast<double>(layer) / 3.0);
    return report;
}

std::vector<NamedTensor> tensors_of(int64_t layer, int64_t rows = 3) {
    std::vector<NamedTensor> tensors;
    tensors.push_back({"codes", Tensor(DType::I32, {rows, 5})});
    tensors.push_back({"scales", Tensor(DType::F32, {rows, 1})});
    std::iota(tensors[0].tensor.as<int32_t>(), tensors[0].tensor.as<int32_t>() + rows * 5, layer);
    std::fill_n(tensors[1].tensor.as<float>(), rows, static_cast<float>(layer) + 0.5f);
    return tensors;
}

void finish_layer(WorkFolder& work, const std::vector<NamedTensor>& tensors,
                  const io::Json& report) {
    work.begin_layer(planned_of(tensors));
    for (const NamedTensor& tensor : tensors) work.put(tensor);
    work.finish_layer(report);
}

void expect_layer(const WorkFolder& work, int64_t layer) {
    SCOPED_TRACE(layer);
    const std::vector<NamedTensor> expected = tensors_of(layer);
    const std::vector<NamedTensor> found = read_all(work.open_layer(layer));
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i].name, expected[i].name);
        EXPECT_EQ(found[i].tensor.dtype(), expected[i].tensor.dtype());
        ASSERT_EQ(found[i].tensor.shape(), expected[i].tensor.shape());
        EXPECT_EQ(0, std::memcmp(found[i].tensor.data(), expected[i].tensor.data(),
                                 static_cast<size_t>(found[i].tensor.bytes())));
    }
    EXPECT_EQ(work.report(layer).dump(), report_of(layer).dump());
}

class WorkFolderTest : public testing::Test {
  protected:
    // A job that was stopped after n layers.
    void finish(int64_t n) {
        WorkFolder work(path, a_job(), true);
        while (work.finished_layers() < n) {
            const int64_t layer = work.finished_layers();
            finish_layer(work, tensors_of(layer), report_of(layer));
        }
    }
    // How many layers count on going on; each of them must be whole, and the job can be ended.
    int64_t resumed() {
        int64_t found = 0;
        {
            const WorkFolder work(path, a_job(), true);
            found = work.finished_layers();
            for (int64_t i = 0; i < found; ++i) expect_layer(work, i);
        }
        finish(5);
        const WorkFolder work(path, a_job(), true);
        for (int64_t i = 0; i < 5; ++i) expect_layer(work, i);
        return found;
    }
    Names names() const {
        Names found;
        for (const auto& item : fs::directory_iterator(path)) {
            found.push_back(item.path().filename().string());
        }
        std::sort(found.begin(), found.end());
        return found;
    }
    std::string layer_file(int64_t layer) const {
        return path + "/layer-0000" + std::to_string(layer) + ".safetensors";
    }
    std::string journal() const { return path + "/journal.jsonl"; }

    test::TempDir dir;
    std::string path = dir / "out.work";
};

std::string read(const std::string& path) {
    return io::read_text(path, 1 << 20);
}
void write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
}
// Changes one bit, in place.
void flip(const std::string& path, size_t at) {
    const char changed = static_cast<char>(read(path).at(at) ^ 1);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at)).put(changed);
}

TEST_F(WorkFolderTest, GoesOnWithTheRotationOfItsFinishedLayersAlone) {
    {
        WorkFolder work(path, a_job(), true);
        work.record_rotation("another");
        work.record_rotation("one");  // no layer has the other
        finish_layer(work, tensors_of(0), report_of(0));
    }
    {
        WorkFolder work(path, a_job(), true);
        work.record_rotation("one");
        expect_error(ErrorCode::Usage, {"another", path}, [&] { work.record_rotation("another"); });
    }
    fs::remove(path + "/rotation.sha256");
    WorkFolder work(path, a_job(), true);
    EXPECT_THROW(work.record_rotation("one"), Error) << "nobody knows what the layers have";
    work.remove();
    EXPECT_FALSE(fs::exists(path));
}

TEST_F(WorkFolderTest, KeepsFinishedLayersAcrossRuns) {
    finish(3);
    EXPECT_EQ(names(), (Names{"job.json", "journal.jsonl", "layer-00000.safetensors",
                              "layer-00001.safetensors", "layer-00002.safetensors"}));
    const WorkFolder work(path, a_job(), true);
    ASSERT_EQ(work.finished_layers(), 3);
    for (int64_t i = 0; i < 3; ++i) expect_layer(work, i);
}

TEST_F(WorkFolderTest, ADamagedLayerIsDroppedWithAllLaterOnes) {
    finish(4);
    flip(layer_file(2), read(layer_file(2)).size() - 1);
    EXPECT_EQ(resumed(), 2);
    fs::remove(layer_file(1));
    EXPECT_EQ(resumed(), 1);
    fs::resize_file(layer_file(3), 10);
    EXPECT_EQ(resumed(), 3);
    fs::remove(layer_file(0));
    fs::create_directory(layer_file(0));
    EXPECT_EQ(resumed(), 0);
}

TEST_F(WorkFolderTest, EveryTornJournalGivesTheLayersBeforeTheTear) {
    finish(3);
    const std::string whole = read(journal());
    for (size_t bytes = whole.size(); bytes-- > 0;) {
        fs::resize_file(journal(), bytes);
        const auto n_lines =
            std::count(whole.begin(), whole.begin() + static_cast<int64_t>(bytes), '\n');
        EXPECT_EQ(std::ssize(JobJournal(journal()).records()), n_lines) << bytes;
    }
}

TEST_F(WorkFolderTest, ATornJournalIsGoneOnWith) {
    finish(3);
    fs::resize_file(journal(), fs::file_size(journal()) - 1);
    EXPECT_EQ(resumed(), 2);
}

TEST_F(WorkFolderTest, EveryChangedByteOfTheJournalIsSeen) {
    finish(2);
    const std::string whole = read(journal());
    const size_t first_line = whole.find('\n') + 1;
    for (size_t at = 0; at < whole.size(); ++at) {
        flip(journal(), at);
        EXPECT_EQ(std::ssize(JobJournal(journal()).records()), at < first_line ? 0 : 1) << at;
        flip(journal(), at);
    }
}

TEST_F(WorkFolderTest, AJournalOfGarbageIsNoJournal) {
    for (const std::string& garbage : {std::string(300'000, '['), std::string("\0\0\0\n{}\n", 8),
                                       std::string("{\"layer\":0}\n"), std::string(100, '\n')}) {
        finish(2);
        write(journal(), garbage);
        EXPECT_EQ(resumed(), 0);
    }
}

TEST_F(WorkFolderTest, WhatNoRecordNamesIsRemovedButNotOtherPeoplesFiles) {
    finish(2);
    fs::copy_file(layer_file(0), layer_file(7));
    write(layer_file(2) + ".part", "half");
    write(path + "/job.json.part", "{");
    write(path + "/notes.txt", "mine");
    write(path + "/layer-x.safetensors", "mine");
    {
        WorkFolder work(path, a_job(), true);
        EXPECT_EQ(names(), (Names{"job.json", "journal.jsonl", "layer-00000.safetensors",
                                  "layer-00001.safetensors", "layer-x.safetensors", "notes.txt"}));
        work.remove();
    }
    EXPECT_EQ(names(), (Names{"layer-x.safetensors", "notes.txt"}));
}

TEST_F(WorkFolderTest, APathMayBeABareName) {
    const fs::path before = fs::current_path();
    fs::current_path(dir.path());
    EXPECT_NO_THROW({
        WorkFolder work("out.work", a_job(), false);
        finish_layer(work, tensors_of(0), report_of(0));
        EXPECT_TRUE(fs::equivalent(work.path(), path));
    });
    fs::current_path(before);
    EXPECT_EQ(names().size(), 3u);
}

TEST_F(WorkFolderTest, RemoveLeavesNothing) {
    finish(2);
    {
        WorkFolder work(path, a_job(), true);
        work.remove();
    }
    EXPECT_FALSE(fs::exists(path));
}

TEST_F(WorkFolderTest, AJobWithoutAFinishedLayerLeavesNothing) {
    { const WorkFolder work(path, a_job(), false); }
    EXPECT_FALSE(fs::exists(path));
    { const WorkFolder work(path, a_job(), true); }
    EXPECT_FALSE(fs::exists(path));
}

TEST_F(WorkFolderTest, AJobKilledBeforeItsFirstLayerHoldsNobodyUp) {
    fs::create_directory(path);
    write(path + "/job.json.part", "{\"sche");
    { const WorkFolder work(path, a_job(), false); }
    fs::create_directory(path);
    write(path + "/job.json", R"({"schema": "quarot.job/1", "job": {"recipe": "other"}})");
    WorkFolder work(path, a_job(), false);
    finish_layer(work, tensors_of(0), report_of(0));
    expect_layer(work, 0);
}

TEST_F(WorkFolderTest, FinishedLayersAreNotThrownAwayWithoutResume) {
    finish(2);
    expect_error(ErrorCode::Usage, {path, "2 finished layers", "`resume`"},
                 [&] { const WorkFolder work(path, a_job(), false); });
    EXPECT_EQ(resumed(), 2);
}

TEST_F(WorkFolderTest, TheFirstSettingThatDiffersIsNamed) {
    finish(2);
    expect_error(ErrorCode::Usage, {path, "recipe", "\"quarot\"", "\"rtn\""},
                 [&] { const WorkFolder work(path, a_job("rtn"), true); });
    Json other_bits = a_job();
    other_bits.set("weights", Json::parse(R"({"bits": 3, "clip": 0.5})", "test"));
    expect_error(ErrorCode::Usage, {"weights.bits = 4, and this run has 3"},
                 [&] { const WorkFolder work(path, other_bits, true); });
    Json one_more = a_job();
    one_more.set("seed", 7);
    expect_error(ErrorCode::Usage, {"seed = null, and this run has 7"},
                 [&] { const WorkFolder work(path, one_more, true); });
    Json one_less;
    one_less.set("recipe", "quarot");
    expect_error(ErrorCode::Usage, {"weights", "null"},
                 [&] { const WorkFolder work(path, one_less, true); });
    EXPECT_EQ(resumed(), 2);
}

TEST_F(WorkFolderTest, WhatIsNotOursIsNotTouched) {
    fs::create_directory(path);
    write(path + "/letters.txt", "dear");
    const auto expect_refused = [&](const std::string& mention) {
        for (const bool resume : {false, true}) {
            expect_error(ErrorCode::Usage, {path, mention},
                         [&] { const WorkFolder work(path, a_job(), resume); });
        }
    };
    expect_refused("letters.txt");
    EXPECT_EQ(names(), Names{"letters.txt"});
    for (const char* job : {"", "{", "[]", "{\"schema\": \"x\"}", "{\"schema\": 3}", "\xff"}) {
        write(path + "/job.json", job);
        expect_refused("job.json");
        EXPECT_EQ(read(path + "/job.json"), job);
    }
    fs::remove_all(path);
    write(path, "a file");
    expect_refused("no folder");
    EXPECT_EQ(read(path), "a file");
}

TEST_F(WorkFolderTest, OneProcessAtATime) {
    WorkFolder first(path, a_job(), false);
    finish_layer(first, tensors_of(0), report_of(0));
    expect_error(ErrorCode::Io, {path, "in use"},
                 [&] { const WorkFolder second(path, a_job(), true); });
    finish_layer(first, tensors_of(1), report_of(1));
    expect_layer(first, 1);
}

TEST_F(WorkFolderTest, ALayerThatChangesWhileTheJobRunsIsAnIoError) {
    WorkFolder work(path, a_job(), false);
    finish_layer(work, tensors_of(0), report_of(0));
    flip(layer_file(0), read(layer_file(0)).size() - 3);
    expect_error(ErrorCode::Io, {layer_file(0), "`resume`"}, [&] { work.open_layer(0); });
}

TEST_F(WorkFolderTest, APlaceThatCannotHoldItIsAnIoError) {
    write(dir / "file", "x");
    expect_error(ErrorCode::Io, {dir / "missing"},
                 [&] { const WorkFolder work(dir / "missing/work", a_job(), false); });
    expect_error(ErrorCode::Io, {dir / "file"},
                 [&] { const WorkFolder work(dir / "file/work", a_job(), false); });
    expect_error(ErrorCode::Usage, {}, [&] { const WorkFolder work("", a_job(), false); });
}

// Files longer than this cannot be written while it lives.
class FileSizeLimit {
  public:
    explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        getrlimit(RLIMIT_FSIZE, &old_);
        const rlimit limit{bytes, old_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() {
        setrlimit(RLIMIT_FSIZE, &old_);
        std::signal(SIGXFSZ, old_handler_);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

  private:
    rlimit old_{};
    void (*old_handler_)(int);
};

TEST_F(WorkFolderTest, AFullDiskCostsTheUnfinishedLayerOnly) {
    finish(2);
    const Names before = names();
    const auto journal_bytes = fs::file_size(journal());
    {
        WorkFolder work(path, a_job(), true);
        {
            const FileSizeLimit limit(4000);
            expect_error(ErrorCode::Io, {"layer-00002"},
                         [&] { finish_layer(work, tensors_of(2, 500), report_of(2)); });
        }
        EXPECT_EQ(names(), before);
        EXPECT_EQ(work.finished_layers(), 2);
        Json long_report;
        long_report.set("text", std::string(4000, 'r'));
        {
            const FileSizeLimit limit(4000);  // the layer fits, its record does not
            expect_error(ErrorCode::Io, {"journal"},
                         [&] { finish_layer(work, tensors_of(2), long_report); });
        }
        EXPECT_EQ(names(), before);
        EXPECT_EQ(fs::file_size(journal()), journal_bytes);
        EXPECT_EQ(work.finished_layers(), 2);
    }
    EXPECT_EQ(resumed(), 2);
}

TEST_F(WorkFolderTest, AFullDiskAtTheStartLeavesNothing) {
    const FileSizeLimit limit(20);
    expect_error(ErrorCode::Io, {"job.json"}, [&] { const WorkFolder work(path, a_job(), false); });
    EXPECT_FALSE(fs::exists(path));
}

}  // namespace
}  // namespace quarot::quantize
