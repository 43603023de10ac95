// Folders that are made of a model to be measured and then thrown away.
#pragma once

#include <memory>
#include <string>

#include "folder/source_model.h"
#include "quantize/options.h"
#include "search/held_out.h"
#include "search/scratch_folder.h"

namespace quarot::search {

class Trial {
  public:
    virtual ~Trial() = default;
    // A folder of that name, which a later one of the same name replaces.
    virtual std::string made(const Recipe& recipe, const std::string& name) = 0;
    // What HeldOut::kl_of says of it.
    virtual double kl_of(const std::string& folder, const SettingChanges& changes) = 0;
};

class FolderTrial final : public Trial {
  public:
    // options: of a job; its recipe is not read. Both must outlive it. What is made stands beside
    // `out` until it ends.
    FolderTrial(const folder::SourceModel& source, const quantize::QuantizeOptions& options,
                HeldOutText text, const std::string& out);

    std::string made(const Recipe& recipe, const std::string& name) override;
    double kl_of(const std::string& folder, const SettingChanges& changes) override {
        return held_out_.kl_of(folder, changes);
    }

  private:
    const folder::SourceModel& source_;
    const quantize::QuantizeOptions& options_;
    ScratchFolder scratch_;
    std::shared_ptr<kernels::Backend> backend_;
    HeldOut held_out_;
};

}  // namespace quarot::search
