// What does the file of --config say about each flag?
#include "apps/config_file.h"

#include <CLI/CLI.hpp>
#include <fstream>

#include "core/error.h"
#include "io/text.h"

namespace quarot::apps {

ConfigFile read_config_file(const std::string& path) {
    std::ifstream text(path);
    if (!text) fail(ErrorCode::NotFound, "--config: cannot read {}", path);
    return parse_config_file(text, path);
}

ConfigFile parse_config_file(std::istream& text, const std::string& path) {
    ConfigFile values;
    try {
        for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(text)) {
            if (!item.parents.empty()) {
                fail(ErrorCode::Usage, "{}: section [{}] is not known, expected keys alone", path,
                     io::printable(item.parents.front()));
            }
            values[item.name] = item.inputs;
        }
    } catch (const CLI::ParseError& error) {
        const std::string reason = error.what();
        fail(ErrorCode::Usage, "{}: {}", path, io::printable(reason.substr(0, reason.find('\n'))));
    }
    return values;
}

}  // namespace quarot::apps
