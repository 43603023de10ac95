#include "comm/thread_comm.h"

#include <algorithm>
#include <cstring>

namespace quarot::comm {

void ThreadGroup::meet() {
    std::unique_lock lock(mutex_);
    const int64_t meeting = n_meetings_;
    if (++n_waiting_ == size()) {
        n_waiting_ = 0;
        ++n_meetings_;
        all_came_.notify_all();
    }
    all_came_.wait(lock, [&] { return n_meetings_ != meeting || broken_; });
    if (n_meetings_ == meeting) throw RankLeft();
}

void ThreadGroup::leave() {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    all_came_.notify_all();
}

template <typename Read>
void ThreadComm::exchange(void* own, const Read& read) {
    group_->place(rank_) = static_cast<std::byte*>(own);
    group_->meet();
    read();
    group_->meet();
}

namespace {

// The sum of n elements of ranks [first, first + count) into `to`; parts gives a rank's elements.
template <typename Part>
void add_tree(const Part& parts, int first, int count, int64_t n, float* to, float* scratch) {
    if (count == 1) {
        std::copy_n(parts(first), n, to);
        return;
    }
    const int half = (count + 1) / 2;
    add_tree(parts, first, half, n, to, scratch);
    add_tree(parts, first + half, count - half, n, scratch, scratch + n);
    for (int64_t i = 0; i < n; ++i) to[i] += scratch[i];
}

}  // namespace

void ThreadComm::sum(Rows rows) {
    const int64_t n = rows.cols;
    const auto whole = static_cast<size_t>(rows.rows * n);
    sums_.resize(whole + static_cast<size_t>(n * size()));
    exchange(rows.f32(), [&] {
        for (int64_t r = 0; r < rows.rows; ++r) {
            const auto part = [&](int rank) {
                return reinterpret_cast<const float*>(group_->place(rank)) + r * rows.stride;
            };
            add_tree(part, 0, size(), n, sums_.data() + r * n, sums_.data() + whole);
        }
    });
    for (int64_t r = 0; r < rows.rows; ++r) std::copy_n(sums_.data() + r * n, n, rows.f32(r));
}

void ThreadComm::gather_columns(Rows part, Rows whole) {
    QUAROT_CHECK(part.rows == whole.rows && part.cols * size() == whole.cols, "{} {}", part.cols,
                 whole.cols);
    exchange(part.f32(), [&] {
        for (int64_t r = 0; r < part.rows; ++r) {
            for (int rank = 0; rank < size(); ++rank) {
                const auto* from = reinterpret_cast<const float*>(group_->place(rank));
                std::copy_n(from + r * part.stride, part.cols, whole.f32(r) + rank * part.cols);
            }
        }
    });
}

void ThreadComm::gather_rows(Rows rows) {
    exchange(rows.f32(), [&] {
        for (int rank = 0; rank < size(); ++rank) {
            if (rank == rank_) continue;
            const auto* from = reinterpret_cast<const float*>(group_->place(rank));
            const RowShare share = row_share(rows.rows, rank, size());
            for (int64_t r = share.first; r < share.first + share.count; ++r) {
                std::copy_n(from + r * rows.stride, rows.cols, rows.f32(r));
            }
        }
    });
}

void ThreadComm::maximum(float* values, int64_t n) {
    sums_.assign(values, values + n);
    exchange(values, [&] {
        for (int rank = 0; rank < size(); ++rank) {
            const auto* from = reinterpret_cast<const float*>(group_->place(rank));
            for (int64_t i = 0; i < n; ++i) {
                float& most = sums_[static_cast<size_t>(i)];
                most = std::max(most, from[i]);
            }
        }
    });
    std::copy_n(sums_.data(), n, values);
}

void ThreadComm::broadcast(void* data, int64_t bytes) {
    exchange(data, [&] {
        if (rank_ != 0) std::memcpy(data, group_->place(0), static_cast<size_t>(bytes));
    });
}

std::vector<std::unique_ptr<Comm>> thread_comms(int size) {
    QUAROT_CHECK(size >= 1, "{}", size);
    std::vector<std::unique_ptr<Comm>> comms;
    if (size == 1) {
        comms.push_back(std::make_unique<SingleComm>());
        return comms;
    }
    const auto group = std::make_shared<ThreadGroup>(size);
    for (int rank = 0; rank < size; ++rank) {
        comms.push_back(std::make_unique<ThreadComm>(group, rank));
    }
    return comms;
}

}  // namespace quarot::comm
