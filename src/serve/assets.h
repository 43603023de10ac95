// Files that are part of the program.
#pragma once

#include <string>

namespace quarot::serve::assets {

std::string page();     // src/serve/page.html
std::string openapi();  // src/serve/openapi.json
// The Content-Security-Policy of the page: its own script and style by their digests, requests to
// this server, nothing else.
std::string page_policy();

}  // namespace quarot::serve::assets
