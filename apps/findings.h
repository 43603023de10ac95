// What quantize looks for on the end of the text before its job: where bits pay, and which settings
// hurt.
#pragma once

#include <optional>
#include <string>

#include "apps/args.h"
#include "apps/job_flags.h"
#include "folder/source_model.h"
#include "io/json.h"
#include "quantize/options.h"
#include "search/budget.h"
#include "search/guard.h"

namespace quarot::apps {

struct Findings {
    std::optional<search::GuardResult> guard;
    std::optional<search::BudgetPlan> budget;
};

// A table for each search that was asked for; may be empty.
std::string findings_text(const Findings& findings);
void add_findings(io::Json& json, const Findings& findings);

class SearchFlags {
  public:
    void declare(Args& args);
    // Reads the text of the job that will make `out`; its recipe becomes the one that was found.
    Findings find(const JobFlags& job, const folder::SourceModel& source, const std::string& out,
                  quantize::QuantizeOptions& options) const;

  private:
    std::optional<double> budget_;  // bits a value
    bool guard_ = false;
};

}  // namespace quarot::apps
