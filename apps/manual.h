// The manual page.
#pragma once

#include <string>

namespace quarot::apps {

// quarot(1) in the language of man: every command and flag as declared.
std::string manual_page();

}  // namespace quarot::apps
