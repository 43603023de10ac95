// The size from which buckets pay is about that of a second-level cache in candidates.
#include "tokenizer/candidate_queue.h"

#include <algorithm>
#include <functional>

namespace quarot::tokenizer {
namespace {

constexpr size_t kMostInHeap = size_t{1} << 14;

bool later(const MergeCandidate& a, const MergeCandidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

}  // namespace

void CandidateQueue::clear(size_t symbols) {
    bucketed_ = symbols > kMostInHeap;
    heap_.clear();
    buckets_.clear();
}

void CandidateQueue::push(const MergeCandidate& candidate) {
    if (!bucketed_) {
        heap_.push_back(candidate);
        std::push_heap(heap_.begin(), heap_.end(), later);
        return;
    }
    Bucket& bucket = buckets_[candidate.rank];
    bucket.id = candidate.id;
    if (bucket.run.empty() || bucket.run.back() <= candidate.position) {
        bucket.run.push_back(candidate.position);
        return;
    }
    bucket.strays.push_back(candidate.position);
    std::push_heap(bucket.strays.begin(), bucket.strays.end(), std::greater<>());
}

MergeCandidate CandidateQueue::pop() {
    if (!bucketed_) {
        std::pop_heap(heap_.begin(), heap_.end(), later);
        const MergeCandidate top = heap_.back();
        heap_.pop_back();
        return top;
    }
    auto& [rank, bucket] = *buckets_.begin();
    auto& [id, run, run_begin, strays] = bucket;
    MergeCandidate top{.rank = rank, .position = 0, .id = id};
    const bool run_ended = run_begin == run.size();
    if (!strays.empty() && (run_ended || strays.front() < run[run_begin])) {
        std::pop_heap(strays.begin(), strays.end(), std::greater<>());
        top.position = strays.back();
        strays.pop_back();
    } else {
        top.position = run[run_begin++];
    }
    if (run_begin == run.size() && strays.empty()) buckets_.erase(buckets_.begin());
    return top;
}

}  // namespace quarot::tokenizer
