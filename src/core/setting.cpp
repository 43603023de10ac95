#include "core/setting.h"

namespace quarot {

std::string respelled(std::string_view message, const SettingWord& word_of) {
    std::string result;
    for (;;) {
        const size_t open = message.find('`');
        const size_t close = open == message.npos ? open : message.find('`', open + 1);
        if (close == message.npos) return result.append(message);
        const std::string word = word_of(message.substr(open + 1, close - open - 1));
        if (word.empty()) {
            result += message.substr(0, close);  // this backquote may open the next name
            message.remove_prefix(close);
        } else {
            result.append(message.substr(0, open)).append(word);
            message.remove_prefix(close + 1);
        }
    }
}

}  // namespace quarot
