// The flags that several commands share.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/args.h"
#include "folder/source_model.h"
#include "io/json.h"
#include "kernels/group.h"
#include "recipe/settings.h"
#include "tokenizer/tokenizer.h"

namespace quarot::apps {

// How the result and the way to it are shown.
struct OutputFlags {
    bool json = false;
    void declare(Args& args);
    // After parsing: progress lines are for people, so --json leaves them out unless asked for.
    void apply() const;

  private:
    std::string progress_ = "auto";
};

void add_threads_flag(Args& args, int& n_threads);

// Where the model runs.
struct MachineFlags {
    std::string device = "auto";
    int n_threads = 1;
    int n_ranks = 1;
    void declare(Args& args);
    void declare_ranks(Args& args);  // for commands that make_group
    // Read QUAROT_ISA. Error{Usage, Device}; of several ranks Error{Unsupported} where the device
    // has no groups of so many. The threads are those of all ranks.
    std::unique_ptr<kernels::Backend> make_backend() const;
    std::vector<kernels::Rank> make_group() const;
};

void add_model_flag(Args& args, std::string& model);
// Error{Usage} if there is none, else as refuse_hub_name.
void require_model(const std::string& model);
// Error{NotFound} that says how to download it, if this is no folder but like "owner/model".
void refuse_hub_name(const std::string& folder);

// --a-bits, --k-clip and so on for a folder as it is.
struct ActivationFlags {
    SettingChanges changes;
    void declare(Args& args);
};

// --rope-scaling for a folder as it is.
struct RopeFlag {
    void declare(Args& args);
    folder::SourceModel open(const std::string& model) const;

  private:
    std::optional<io::Json> scaling_;
};

// Error{Usage}, "--overwrite `need`", for the first source that is a flag: what is asked for on the
// command line would have no effect. Variables and configuration files hold for many commands.
void require_none_on_command_line(const std::vector<std::string>& sources, const std::string& need);

void add_bos_flag(Args& args, tokenizer::AddBos& bos);

// -p/--prompt and a flag that names a file: a text, given in one of two ways.
struct TextFlags {
    void declare(Args& args, const std::string& file_flag);
    bool given() const { return text_ || file_; }
    // Error{Usage} for none or both.
    std::string read() const;

  private:
    std::string file_flag_;
    std::optional<std::string> text_;
    std::optional<std::string> file_;
};

}  // namespace quarot::apps
