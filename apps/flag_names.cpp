// How are a flag, its variable in the environment and its key in a file called?
#include "apps/flag_names.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace quarot::apps {

std::vector<std::string> split_names(const std::string& names) {
    std::vector<std::string> parts;
    for (size_t start = 0; start <= names.size();) {
        const size_t comma = std::min(names.find(',', start), names.size());
        const std::string name = names.substr(start, comma - start);
        parts.push_back(name.starts_with("!") ? name.substr(1) : name);
        start = comma + 1;
    }
    return parts;
}

std::string long_name(const std::string& names) {
    const std::vector<std::string> parts = split_names(names);
    for (const std::string& part : parts) {
        if (part.starts_with("--")) return part;
    }
    return parts.front();
}

std::string config_key(const std::string& names) {
    const std::string name = long_name(names);
    return name.substr(std::min(name.find_first_not_of('-'), name.size()));
}

std::string environment_name(const std::string& names) {
    if (!long_name(names).starts_with("-")) return "";
    std::string variable = "QUAROT_";
    for (const char c : config_key(names)) {
        variable += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    return variable;
}

std::string environment(const std::string& variable) {
    const char* value = variable.empty() ? nullptr : std::getenv(variable.c_str());
    return value == nullptr ? "" : value;
}

}  // namespace quarot::apps
