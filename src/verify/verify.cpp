// Checks go from the outside in: files, then headers, then tensors, then what a model makes of
// them. What rests on something that failed is left out, since it would only repeat the failure.
#include "verify/verify.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <new>
#include <set>
#include <utility>

#include "chat/chat_template.h"
#include "core/error.h"
#include "core/host_memory.h"
#include "core/process.h"
#include "core/progress.h"
#include "core/setting.h"
#include "folder/gguf_model.h"
#include "folder/settle_checkpoint.h"
#include "folder/source_model.h"
#include "folder/tensor_plan.h"
#include "folder/value_checks.h"
#include "io/checkpoint.h"
#include "io/file_listing.h"
#include "io/file_names.h"
#include "io/gguf_metadata.h"
#include "io/hash.h"
#include "io/limits.h"
#include "io/model_folder.h"
#include "io/shard_index.h"
#include "io/text.h"
#include "model/role_formats.h"
#include "tokenizer/added_beyond.h"
#include "tokenizer/tokenizer.h"
#include "verify/problem_list.h"
#include "verify/recorded_files.h"

namespace quarot::verify {

namespace {

namespace fs = std::filesystem;

constexpr int64_t kStepBytes = int64_t{1} << 20;  // of progress

std::string in_folder(const std::string& folder, const std::string& name) {
    return (fs::path(folder) / name).string();
}

int64_t steps_of(int64_t bytes) {
    return bytes / kStepBytes + 1;
}

int64_t file_bytes(const std::string& path) {
    std::error_code error;
    const uintmax_t bytes = fs::file_size(path, error);
    return error ? 0 : static_cast<int64_t>(bytes);
}

// And links that lead nowhere, so that they are found out.
std::vector<std::string> regular_files(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        std::error_code unknown;
        const bool leads_nowhere = it->is_symlink(unknown) && !it->exists(unknown);
        if (leads_nowhere || it->is_regular_file(unknown)) {
            names.push_back(it->path().filename().string());
        }
    }
    if (error) fail(ErrorCode::NotFound, "cannot list {}: {}", folder, error.message());
    std::sort(names.begin(), names.end());
    return names;
}

// What is no fault of the folder. One check that runs out of memory or work is: it ends alone.
bool ends_the_work(ErrorCode code) {
    return code == ErrorCode::Interrupted || code == ErrorCode::Terminated ||
           code == ErrorCode::Internal;
}

class Verifier {
  public:
    // Of a GGUF file, nothing that lies beside it belongs to the model.
    explicit Verifier(const std::string& model)
        : model_(model),
          is_gguf_(io::is_gguf_file(model)),
          folder_(is_gguf_ ? fs::path(model).parent_path().string() : model),
          names_(is_gguf_ ? std::vector{fs::path(model).filename().string()}
                          : regular_files(model)),
          progress_("verifying " + model, total_steps()) {}

    Findings run() {
        const bool has_record = !is_gguf_ && try_to([&] { read_record(); });
        hash_files(has_record);
        is_gguf_ ? open_gguf() : open_folder();
        check_tensors();
        check_model();
        check_tokenizer();
        check_chat_template();
        findings_.problems = problems_.sentences();
        findings_.n_more_problems = problems_.n_more();
        return std::move(findings_);
    }

  private:
    // True if nothing failed; else the failure is a problem.
    template <typename Check>
    bool try_to(const Check& check) {
        throw_if_interrupted();
        try {
            check();
            return true;
        } catch (const Error& error) {
            if (ends_the_work(error.code())) throw;
            problems_.add(error.what());
        } catch (const std::bad_alloc&) {
            problems_.add(fmt::format("a check of {} needs more memory than there is", model_));
        }
        return false;
    }

    std::string path_of(const std::string& name) const { return in_folder(folder_, name); }

    // Every file is read whole once, weights once more by tensor.
    int64_t total_steps() const {
        int64_t steps = 0;
        for (const std::string& name : names_) {
            const int64_t own = steps_of(file_bytes(path_of(name)));
            steps += is_gguf_ || name.ends_with(".safetensors") ? 2 * own : own;
        }
        return steps;
    }

    void open_folder() {
        read_config();
        read_generation_config();
        open_checkpoint();
    }

    void open_gguf() {
        try_to([&] {
            folder::GgufModel gguf = folder::open_gguf_model(model_);
            config_ = folder::read_folder_config(gguf.config);
            checkpoint_ = std::move(gguf.checkpoint);
            settle_checkpoint();
        });
    }

    void settle_checkpoint() {
        folder::settle_checkpoint(*checkpoint_, *config_->family, config_->recipe, config_->model);
    }

    void read_record() {
        const std::string path = path_of(io::kProvenanceFile);
        if (!io::is_listed(path)) {
            findings_.notes.push_back(fmt::format(
                "there is no {}, so no digests are recorded to compare with", io::kProvenanceFile));
            return;
        }
        recorded_ = read_recorded_files(path);
    }

    void hash_files(bool has_record) {
        std::set<std::string> all(names_.begin(), names_.end());
        if (has_record) {
            for (const auto& [name, digest] : recorded_) all.insert(name);
        }
        for (const std::string& name : all) {
            FileState state{.name = name, .sha256 = {}, .recorded = {}};
            const auto recorded = recorded_.find(name);
            if (recorded != recorded_.end()) state.recorded = recorded->second;
            try_to([&] { state.sha256 = io::sha256_of_file(path_of(name)); });
            if (state.recorded && !state.sha256.empty() && *state.recorded != state.sha256) {
                problems_.add(
                    fmt::format("{} has SHA-256 {}, expected {} from {}; it has changed since it "
                                "was written",
                                path_of(name), state.sha256, io::printable(*state.recorded),
                                io::kProvenanceFile));
            }
            findings_.files.push_back(std::move(state));
            progress_.advance(steps_of(file_bytes(path_of(name))));
        }
    }

    void read_config() {
        try_to([&] {
            config_json_ = io::Json::parse_file(path_of("config.json"));
            folder::FolderConfig config = folder::read_folder_config(config_json_);
            folder::check_recipe_fits(config.recipe, config.model, config_json_);
            config_ = std::move(config);
        });
        const bool is_ours = config_ && config_->recipe.name != "none";
        if (is_ours && !io::is_listed(path_of(io::kProvenanceFile))) {
            problems_.add(fmt::format("{} is missing, which every quantized folder has",
                                      path_of(io::kProvenanceFile)));
        }
    }

    void read_generation_config() {
        const std::string path = path_of("generation_config.json");
        if (!io::is_listed(path)) return;
        try_to([&] {
            model::ModelConfig end_tokens;
            folder::add_end_tokens(io::Json::parse_file(path), end_tokens);
        });
    }

    // Each shard by itself, so that one that is broken does not hide the next.
    void open_checkpoint() {
        bool all_good = true;
        for (const std::string& shard : shards()) {
            all_good = try_to([&] { io::SafetensorsFile file(path_of(shard)); }) && all_good;
        }
        if (!all_good) return;
        try_to([&] {
            checkpoint_ = io::Checkpoint::open(folder_);
            if (!config_) return;
            settle_checkpoint();
        });
    }

    std::vector<std::string> shards() {
        std::vector<std::string> shards;
        if (io::reads_single_file(folder_)) return shards;
        if (!io::is_listed(path_of(io::kShardIndexName))) return shards;
        try_to([&] {
            const io::ShardIndex index =
                io::parse_shard_index(io::Json::parse_file(path_of(io::kShardIndexName),
                                                           {.max_bytes = limits::kIndexBytes}),
                                      path_of(io::kShardIndexName));
            shards.assign(index.shards.begin(), index.shards.end());
        });
        return shards;
    }

    void check_tensors() {
        if (!checkpoint_) return;
        if (config_) {
            for (std::string& problem : folder::tensor_problems(
                     folder::plan_tensors(*config_->family, config_->model, config_->recipe),
                     *checkpoint_)) {
                problems_.add(std::move(problem));
            }
        }
        if (!is_gguf_) try_to([&] { digests_ = folder::TensorHashes::of_folder(folder_); });
        const std::vector<std::string> names = checkpoint_->names();
        const int64_t share =
            steps_of(file_bytes(model_)) / std::max<int64_t>(std::ssize(names), 1);
        for (const std::string& name : names) {
            try_to([&] { check_tensor(name); });
            // A GGUF file's tensors are larger when they are read.
            progress_.advance(is_gguf_ ? share : steps_of(checkpoint_->info(name).bytes));
        }
    }

    void check_tensor(const std::string& name) {
        // A file may be larger than memory without a byte of it stored.
        require_host_bytes({.weights = checkpoint_->info(name).bytes}, available_host_bytes(),
                           io::printable(name));
        const Tensor tensor = checkpoint_->read(name);
        const std::string& file = checkpoint_->file_of(name);
        digests_.verify(name, file, {tensor.data(), static_cast<size_t>(tensor.bytes())});
        if (is_float_weight(tensor.dtype())) folder::check_finite(tensor, {file, name});
    }

    // Codes, scales, zero points and orders mean something only in a folder that is else in order.
    void check_model() {
        if (!config_ || !checkpoint_ || !problems_.empty()) return;
        std::optional<folder::SourceModel> source;
        if (!try_to([&] { source = folder::SourceModel::open(model_); })) return;
        for (const model::LinearId& id : linears_of(config_->model)) check_linear(*source, id);
        check_linear(*source, {model::LinearRole::Embedding});
        if (!config_->model.tied_embeddings) check_linear(*source, {model::LinearRole::LmHead});
    }

    void check_linear(const folder::SourceModel& source, const model::LinearId& id) {
        if (source.is_dense(id)) return;
        try_to([&] { source.quantized(id); });
        try_to([&] { source.outliers(id); });
        if (!model::has_column_order(source.recipe(), id.role)) return;
        try_to([&] { source.column_order(id); });
    }

    void check_tokenizer() {
        if (is_gguf_ && !checkpoint_) return;
        const bool has_pieces = !is_gguf_ && io::is_listed(path_of("tokenizer.model"));
        if (!tokenizer::Tokenizer::is_there(model_) && !has_pieces) {
            findings_.notes.emplace_back("there is no tokenizer, so the model runs on ids alone");
            return;
        }
        try_to([&] {
            const auto tokenizer = tokenizer::Tokenizer::load(model_);
            if (!config_) return;
            std::string note = tokenizer::note_of_added_beyond(tokenizer, config_->model.vocab);
            if (!note.empty()) findings_.notes.push_back(std::move(note));
        });
    }

    // A template that asks for what only other programs have is their template still.
    void check_chat_template() {
        if (is_gguf_ && !checkpoint_) return;
        try_to([&] {
            if (!chat::ChatTemplate::folder_has_template(model_)) return;
            try {
                chat::ChatTemplate::load(model_);
            } catch (const Error& error) {
                const bool is_ours_to_lack =
                    error.code() == ErrorCode::Unsupported || error.code() == ErrorCode::Usage;
                if (!is_ours_to_lack) throw;
                findings_.notes.push_back(fmt::format("generate {} cannot use this {}: {}",
                                                      Setting{"chat"}, is_gguf_ ? "file" : "folder",
                                                      error.what()));
            }
        });
    }

    const std::string& model_;
    const bool is_gguf_;
    const std::string folder_;  // that its files are in
    std::vector<std::string> names_;
    Progress progress_;
    Findings findings_;
    ProblemList problems_;
    std::map<std::string, std::string> recorded_;
    io::Json config_json_;
    std::optional<folder::FolderConfig> config_;
    std::optional<io::Checkpoint> checkpoint_;
    folder::TensorHashes digests_;
};

}  // namespace

Findings verify_model(const std::string& model) {
    std::error_code error;
    if (!io::is_gguf_file(model) && !fs::is_directory(model, error)) {
        fail(ErrorCode::NotFound,
             "{} is not a folder that can be read, expected a model folder or a GGUF file", model);
    }
    return Verifier(model).run();
}

}  // namespace quarot::verify
