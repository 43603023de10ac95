// What `quarot reproduce` prints for people: its rows beside the paper's, and where the report is.
#pragma once

#include <string>

#include "reproduce/report.h"

namespace quarot::apps {

std::string reproduction_text(const reproduce::ReportHeader& header,
                              const reproduce::Results& results, const std::string& folder);

}  // namespace quarot::apps
