// Nothing is allocated on the word of the file alone: every count is held against the bytes that
// are left.
#include "io/gguf_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/checked_math.h"
#include "core/decimal.h"
#include "core/error.h"
#include "io/limits.h"
#include "io/text.h"

namespace quarot::io {

namespace {

constexpr uint32_t kGgufMagic = 0x46554747;  // "GGUF"
constexpr int64_t kDefaultAlignment = 32;
constexpr int64_t kMaxAlignment = int64_t{1} << 20;
constexpr std::string_view kAlignmentKey = "general.alignment";
constexpr size_t kMaxRank = 4;

enum class Kind : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, Text, Array, U64, I64, F64 };
constexpr uint32_t kKinds = 13;

// Bytes that an element takes at least.
int64_t least_bytes(Kind kind) {
    switch (kind) {
        case Kind::U8:
        case Kind::I8:
        case Kind::Bool:
            return 1;
        case Kind::U16:
        case Kind::I16:
            return 2;
        case Kind::U32:
        case Kind::I32:
        case Kind::F32:
            return 4;
        case Kind::Text:
        case Kind::Array:
        case Kind::U64:
        case Kind::I64:
        case Kind::F64:
            break;
    }
    return 8;
}

// Reads from the front of the file, in large pieces; refuses to go beyond its end.
class Reader {
  public:
    explicit Reader(const GgufBytes& bytes) : bytes_(bytes) {}

    int64_t position() const { return position_; }
    int64_t left() const { return std::min(bytes_.size, limits::kGgufHeaderBytes) - position_; }
    const std::string& source() const { return bytes_.source; }

    // Fails unless n bytes are left; `what` begins the message.
    void expect(int64_t n, std::string_view what) const {
        if (n <= left()) return;
        if (bytes_.size > limits::kGgufHeaderBytes && n <= bytes_.size - position_) {
            fail(ErrorCode::Corrupt, "{} has a header of more than {} bytes, which are accepted",
                 source(), limits::kGgufHeaderBytes);
        }
        fail(ErrorCode::Corrupt, "{}: {} takes {} bytes at byte {}, found {}; is the file cut?",
             source(), what, n, position_, bytes_.size - position_);
    }

    template <typename T>
    T number(std::string_view what) {
        expect(sizeof(T), what);
        using Bits = std::conditional_t<
            sizeof(T) == 8, uint64_t,
            std::conditional_t<sizeof(T) == 4, uint32_t,
                               std::conditional_t<sizeof(T) == 2, uint16_t, uint8_t>>>;
        Bits bits = 0;
        const std::byte* from = take(sizeof(T));
        for (size_t i = sizeof(T); i-- > 0;) {
            bits = static_cast<Bits>(static_cast<uint64_t>(bits) << 8 |
                                     std::to_integer<uint64_t>(from[i]));
        }
        return std::bit_cast<T>(bits);
    }

    // A count that the file gives; at most `most`.
    int64_t count(std::string_view what, int64_t most) {
        const auto stored = number<uint64_t>(what);
        if (stored <= static_cast<uint64_t>(most)) return static_cast<int64_t>(stored);
        fail(ErrorCode::Corrupt, "{}: {} is {}, at most {} are accepted", source(), what, stored,
             most);
    }

    std::string text(std::string_view what, int64_t most) {
        const auto length = number<uint64_t>(what);
        if (length > static_cast<uint64_t>(most)) {
            fail(ErrorCode::Corrupt, "{}: {} has {} bytes, at most {} are accepted", source(), what,
                 length, most);
        }
        expect(static_cast<int64_t>(length), what);
        const std::byte* from = take(static_cast<int64_t>(length));
        return {reinterpret_cast<const char*>(from), static_cast<size_t>(length)};
    }

  private:
    // The next n bytes, which must be left; good until the next call.
    const std::byte* take(int64_t n) {
        if (position_ + n > piece_start_ + std::ssize(piece_)) {
            const int64_t size = std::max(n, std::min(kPiece, bytes_.size - position_));
            piece_.resize(static_cast<size_t>(size));
            bytes_.read(position_, piece_);
            piece_start_ = position_;
        }
        const std::byte* from = piece_.data() + (position_ - piece_start_);
        position_ += n;
        return from;
    }

    static constexpr int64_t kPiece = int64_t{1} << 20;
    const GgufBytes& bytes_;
    int64_t position_ = 0;
    std::vector<std::byte> piece_;
    int64_t piece_start_ = 0;
};

Kind read_kind(Reader& in, const std::string& key) {
    const auto kind = in.number<uint32_t>(key);
    if (kind < kKinds) return static_cast<Kind>(kind);
    fail(ErrorCode::Corrupt, "{}: {} is of kind {}, expected one from 0 to {}", in.source(), key,
         kind, kKinds - 1);
}

bool read_flag(Reader& in, const std::string& key) {
    const auto stored = in.number<uint8_t>(key);
    if (stored <= 1) return stored == 1;
    fail(ErrorCode::Corrupt, "{}: {} is the truth value {}, expected 0 or 1", in.source(), key,
         stored);
}

bool is_integer(Kind kind) {
    return kind != Kind::F32 && kind != Kind::F64 && kind != Kind::Text && kind != Kind::Array;
}

// Those beyond 63 bits are none that a model needs; they become the largest number.
int64_t read_integer(Reader& in, Kind kind, const std::string& key) {
    switch (kind) {
        case Kind::U8:
            return in.number<uint8_t>(key);
        case Kind::I8:
            return in.number<int8_t>(key);
        case Kind::U16:
            return in.number<uint16_t>(key);
        case Kind::I16:
            return in.number<int16_t>(key);
        case Kind::U32:
            return in.number<uint32_t>(key);
        case Kind::I32:
            return in.number<int32_t>(key);
        case Kind::U64:
            return static_cast<int64_t>(
                std::min<uint64_t>(in.number<uint64_t>(key), std::numeric_limits<int64_t>::max()));
        case Kind::Bool:
            return read_flag(in, key) ? 1 : 0;
        default:
            return in.number<int64_t>(key);
    }
}

// Counts what the arrays of a file hold together, so that many cannot do what one may not.
class ArrayReader {
  public:
    GgufValue read(Reader& in, const std::string& key) {
        const Kind kind = read_kind(in, key);
        if (kind == Kind::Array) {
            fail(ErrorCode::Unsupported, "{}: {} is a list of lists, which is not read",
                 in.source(), key);
        }
        const int64_t n = in.count(key, limits::kGgufElements - n_elements_);
        in.expect(n * least_bytes(kind), key);
        n_elements_ += n;
        if (kind == Kind::Text) {
            return list<std::string>(n, [&] { return in.text(key, limits::kGgufTextBytes); });
        }
        if (is_integer(kind)) return list<int64_t>(n, [&] { return read_integer(in, kind, key); });
        return list<double>(n, [&] {
            return kind == Kind::F32 ? static_cast<double>(in.number<float>(key))
                                     : in.number<double>(key);
        });
    }

  private:
    template <typename T, typename Next>
    static std::vector<T> list(int64_t n, const Next& next) {
        std::vector<T> values;
        values.reserve(static_cast<size_t>(n));
        for (int64_t i = 0; i < n; ++i) values.push_back(next());
        return values;
    }

    int64_t n_elements_ = 0;
};

GgufValue read_value(Reader& in, ArrayReader& arrays, const std::string& key) {
    const Kind kind = read_kind(in, key);
    switch (kind) {
        case Kind::Bool:
            return read_flag(in, key);
        case Kind::F32:
            return as_written(in.number<float>(key));
        case Kind::F64:
            return in.number<double>(key);
        case Kind::Text:
            return in.text(key, limits::kGgufTextBytes);
        case Kind::Array:
            return arrays.read(in, key);
        default:
            return read_integer(in, kind, key);
    }
}

void read_values(Reader& in, int64_t n, GgufMetadata& metadata) {
    ArrayReader arrays;
    for (int64_t i = 0; i < n; ++i) {
        std::string key = in.text("a key", limits::kGgufKeyBytes);
        if (key.empty() || has_control_characters(key)) {
            fail(ErrorCode::Corrupt, "{} has the key \"{}\", expected 1 byte or more and no {}",
                 in.source(), printable(key), "control characters");
        }
        const std::string shown = printable(key);
        metadata.add(std::move(key), read_value(in, arrays, shown));
    }
}

// One tensor's entry while it is judged.
struct TensorEntry {
    const std::string& source;
    std::string name;

    template <typename... Args>
    [[noreturn]] void reject(ErrorCode code, fmt::format_string<Args...> format,
                             Args&&... args) const {
        fail(code, "{}: tensor {} {}", source, printable(name),
             fmt::format(format, std::forward<Args>(args)...));
    }
};

Shape read_dimensions(Reader& in, const TensorEntry& entry) {
    const auto rank = in.number<uint32_t>("a tensor's rank");
    if (rank < 1 || rank > kMaxRank) {
        entry.reject(ErrorCode::Corrupt, "has {} dimensions, expected 1 to {}", rank, kMaxRank);
    }
    Shape shape(rank);
    for (auto dimension = shape.rbegin(); dimension != shape.rend(); ++dimension) {
        const auto stored = in.number<uint64_t>("a tensor's dimension");
        if (stored < 1 || stored > static_cast<uint64_t>(limits::kTensorDimension)) {
            entry.reject(ErrorCode::Corrupt, "has a dimension of {}, expected 1 to {}", stored,
                         limits::kTensorDimension);
        }
        *dimension = static_cast<int64_t>(stored);
    }
    return shape;
}

const GgmlType& read_ggml_type(Reader& in, const TensorEntry& entry) {
    const auto id = in.number<uint32_t>("a tensor's type");
    if (const GgmlType* type = find_ggml_type(id)) return *type;
    entry.reject(ErrorCode::Unsupported, "is of {}, which is not read; the types read are {}",
                 name_of_ggml_type(id), known_ggml_types());
}

int64_t stored_bytes(const TensorEntry& entry, const GgmlType& type, const Shape& shape) {
    if (shape.back() % type.block_elements != 0) {
        entry.reject(ErrorCode::Corrupt, "has rows of {} elements, expected a multiple of {} of {}",
                     shape.back(), type.block_elements, type.name);
    }
    if (shape.size() == 1 && type.widen != nullptr) {
        entry.reject(ErrorCode::Unsupported, "is a vector of {}, expected F32, F16 or BF16",
                     type.name);
    }
    // As it is read it may be the larger, and must be counted, too.
    const auto elements = checked_product(shape);
    const auto read = elements ? checked_mul(*elements, size_of(DType::F32)) : std::nullopt;
    const auto bytes =
        read ? checked_mul(*elements / type.block_elements, type.block_bytes) : std::nullopt;
    if (!bytes) entry.reject(ErrorCode::Corrupt, "has more bytes than 63 bits can count");
    return *bytes;
}

// Offsets still count from the beginning of the data.
void read_tensor(Reader& in, std::map<std::string, GgufTensor>& tensors) {
    const TensorEntry entry{in.source(), in.text("a tensor's name", limits::kTensorNameBytes)};
    if (entry.name.empty() || has_control_characters(entry.name)) {
        entry.reject(ErrorCode::Corrupt, "has a name of {} bytes, expected 1 to {} and no {}",
                     entry.name.size(), limits::kTensorNameBytes, "control characters");
    }
    GgufTensor tensor;
    tensor.shape = read_dimensions(in, entry);
    tensor.type = &read_ggml_type(in, entry);
    tensor.bytes = stored_bytes(entry, *tensor.type, tensor.shape);
    const auto offset = in.number<uint64_t>("a tensor's offset");
    if (offset > static_cast<uint64_t>(std::numeric_limits<int64_t>::max() - tensor.bytes)) {
        entry.reject(ErrorCode::Corrupt, "begins at data byte {}, which no file has", offset);
    }
    tensor.offset = static_cast<int64_t>(offset);
    if (!tensors.emplace(entry.name, std::move(tensor)).second) {
        entry.reject(ErrorCode::Corrupt, "is there twice");
    }
}

int64_t alignment_of(const GgufMetadata& metadata) {
    const int64_t alignment =
        metadata.find_integer(kAlignmentKey, 1, kMaxAlignment).value_or(kDefaultAlignment);
    if (std::has_single_bit(static_cast<uint64_t>(alignment))) return alignment;
    fail(ErrorCode::Corrupt, "{} is {}, expected a power of two", metadata.place(kAlignmentKey),
         alignment);
}

struct DataPlace {
    int64_t start;
    int64_t bytes;  // from there to the end of the file
    int64_t alignment;
};

// The tensors follow each other, each at the first aligned byte behind the one before, up to the
// end of the file.
void check_gguf_layout(const GgufHeader& header, const DataPlace& data) {
    using Named = std::map<std::string, GgufTensor>::value_type;
    std::vector<const Named*> order;
    order.reserve(header.tensors.size());
    for (const Named& tensor : header.tensors) order.push_back(&tensor);
    std::sort(order.begin(), order.end(),
              [](const Named* a, const Named* b) { return a->second.offset < b->second.offset; });
    const std::string& source = header.metadata.source();
    int64_t covered = 0;
    for (const Named* named : order) {
        const auto& [name, tensor] = *named;
        const int64_t expected = round_up(covered, data.alignment);
        if (tensor.offset != expected) {
            fail(ErrorCode::Corrupt,
                 "{}: tensor {} begins at data byte {}, expected {}: tensors {}", source,
                 printable(name), tensor.offset, expected,
                 tensor.offset < expected ? "overlap" : "leave a gap");
        }
        if (tensor.bytes > data.bytes - tensor.offset) {
            fail(
                ErrorCode::Corrupt,
                "{}: tensor {} ends at data byte {}, found only {} bytes of data; is the file cut?",
                source, printable(name), tensor.offset + tensor.bytes,
                std::max<int64_t>(data.bytes, 0));
        }
        covered = tensor.offset + tensor.bytes;
    }
    if (order.empty() || data.bytes <= round_up(covered, data.alignment)) return;
    fail(ErrorCode::Corrupt, "{} has {} bytes of data, its tensors cover only {}", source,
         data.bytes, covered);
}

void check_version(Reader& in) {
    const auto magic = in.number<uint32_t>("the magic number");
    if (magic != kGgufMagic) {
        fail(ErrorCode::Corrupt, "{} begins with {:#010x}, expected the bytes \"GGUF\"",
             in.source(), magic);
    }
    const auto version = in.number<uint32_t>("the version");
    if (version == 2 || version == 3) return;
    const bool is_big_endian = version != 0 && (version & 0xffffu) == 0;
    fail(ErrorCode::Unsupported, "{} is {}, and versions 2 and 3, little-endian, are read",
         in.source(),
         is_big_endian ? "a big-endian file" : fmt::format("of version {} of GGUF", version));
}

}  // namespace

GgufHeader read_gguf_header(const GgufBytes& bytes) {
    Reader in(bytes);
    check_version(in);
    const int64_t n_tensors = in.count("the number of tensors", limits::kGgufTensors);
    const int64_t n_values = in.count("the number of keys", limits::kGgufKeys);
    GgufHeader header;
    header.metadata.set_source(bytes.source);
    read_values(in, n_values, header.metadata);
    for (int64_t i = 0; i < n_tensors; ++i) read_tensor(in, header.tensors);
    const int64_t alignment = alignment_of(header.metadata);
    const int64_t start = round_up(in.position(), alignment);
    check_gguf_layout(header, {start, bytes.size - start, alignment});
    for (auto& [name, tensor] : header.tensors) tensor.offset += start;
    return header;
}

}  // namespace quarot::io
