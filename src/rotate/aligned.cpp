#include "rotate/aligned.h"

#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "core/check.h"
#include "core/process.h"
#include "linalg/mixer.h"
#include "linalg/symmetric_eigen.h"

namespace quarot::rotate {
namespace {

double dot(std::span<const double> a, std::span<const double> b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// x <- (I - 2 u u^T) x for unit normals u, one after the other.
void reflect(const std::vector<std::vector<double>>& normals, std::span<double> x) {
    for (const std::vector<double>& u : normals) {
        const double twice = 2.0 * dot(u, x);
        for (size_t i = 0; i < x.size(); ++i) x[i] -= twice * u[i];
    }
}

// Normals whose reflections, in order, send direction i to coordinate i * block. The sign is the
// one that loses no digits.
std::vector<std::vector<double>> normals_of(const std::vector<double>& directions,
                                            const Alignment& alignment) {
    std::vector<std::vector<double>> normals;
    for (int64_t i = 0; i < alignment.n_directions; ++i) {
        const auto from = directions.begin() + i * alignment.n;
        std::vector<double> u(from, from + alignment.n);
        reflect(normals, u);
        double& target = u[static_cast<size_t>(i * alignment.block)];
        target += std::copysign(std::sqrt(dot(u, u)), target);
        const double length = std::sqrt(dot(u, u));
        for (double& value : u) value /= length;
        normals.push_back(std::move(u));
    }
    return normals;
}

}  // namespace

std::vector<double> aligned_rotation(Alignment alignment, ThreadPool& pool) {
    const int64_t n = alignment.n, block = alignment.block;
    QUAROT_CHECK(block >= 1 && n % block == 0 && alignment.n_directions <= n / block);
    const std::vector<double> directions =
        linalg::leading_eigenvectors(std::move(alignment.second_moment), n, alignment.n_directions);
    const auto normals = normals_of(directions, alignment);
    const linalg::Mixer mixer = linalg::make_mixer(block);
    std::vector<double> q(static_cast<size_t>(n * n));
    pool.parallel_for(n, [&](int64_t row, int) {
        throw_if_interrupted();
        const std::span<double> x =
            std::span(q).subspan(static_cast<size_t>(row * n), static_cast<size_t>(n));
        x[static_cast<size_t>(row)] = 1.0;
        reflect(normals, x);
        for (int64_t start = 0; start < n; start += block) {
            linalg::apply(mixer, x.subspan(static_cast<size_t>(start), static_cast<size_t>(block)));
        }
    });
    return q;
}

}  // namespace quarot::rotate
