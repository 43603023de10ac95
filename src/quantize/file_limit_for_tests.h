// A disk that is full for files of more than some bytes.
#pragma once

#include <sys/resource.h>

#include <csignal>
#include <cstdint>
#include <fstream>
#include <string>

namespace quarot::quantize {

class FileLimit {
  public:
    explicit FileLimit(int64_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        getrlimit(RLIMIT_FSIZE, &old_);
        const rlimit low{static_cast<rlim_t>(bytes), old_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &low);
    }
    ~FileLimit() {
        setrlimit(RLIMIT_FSIZE, &old_);
        std::signal(SIGXFSZ, old_handler_);
    }
    FileLimit(const FileLimit&) = delete;
    FileLimit& operator=(const FileLimit&) = delete;

  private:
    rlimit old_{};
    sighandler_t old_handler_;
};

// Bytes of all tensors of a safetensors file, its header left out. A job's plan counts tensors
// only, so a limit of this size lets it begin and stops it when it writes the file.
inline int64_t payload_bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    const int64_t size = file.tellg();
    int64_t header = 0;
    file.seekg(0);
    file.read(reinterpret_cast<char*>(&header), sizeof(header));
    return size - header - static_cast<int64_t>(sizeof(header));
}

}  // namespace quarot::quantize
