// A folder for what is made to be measured and then thrown away.
#pragma once

#include <string>

namespace quarot::search {

// Beside `path`, under a name that nothing has; gone with all that is in it when the object is.
class ScratchFolder {
  public:
    explicit ScratchFolder(const std::string& path);  // Error{Io}
    ~ScratchFolder();
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;

    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

}  // namespace quarot::search
