// Which merge goes next: the one of the lowest rank, the leftmost among equals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace quarot::tokenizer {

struct MergeCandidate {
    int32_t rank;      // each rank has one id
    int32_t position;  // of the left symbol
    int32_t id;        // what it becomes
};

// For few symbols a heap. For many, a bucket for each rank in which positions stand in the order of
// their coming as long as that is ascending: it mostly is, and then memory is walked through
// rather than jumped about in. Either way O(log n) for one candidate.
class CandidateQueue {
  public:
    void clear(size_t symbols);
    bool empty() const { return bucketed_ ? buckets_.empty() : heap_.empty(); }
    void push(const MergeCandidate& candidate);
    MergeCandidate pop();

  private:
    struct Bucket {
        int32_t id;
        std::vector<int32_t> run;  // ascending
        size_t run_begin = 0;
        std::vector<int32_t> strays;  // heap, lowest first
    };

    bool bucketed_ = false;
    std::vector<MergeCandidate> heap_;
    std::map<int32_t, Bucket> buckets_;  // by rank, none is empty
};

}  // namespace quarot::tokenizer
