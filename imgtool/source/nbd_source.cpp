#include "imgtool/source/nbd_source.hpp"

#include "base/host_library.hpp"
#include "imgtool/source/aligned_source.hpp"

#include <libnbd.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <vector>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kMaxRequest = u64{8}
                            << 20;       // bytes read or written at once; every server takes 32 MiB
constexpr u64 kMaxZero = u64{1} << 30;   // bytes made zero, or asked about, at once: below 2^32
constexpr u64 kMaxBlock = u64{64} << 10; // bytes; the NBD protocol's limit for the least block
constexpr u64 kMaxExport = u64{1} << 62; // bytes

struct Api {
    decltype(&::nbd_create) create;
    decltype(&::nbd_close) close;
    decltype(&::nbd_get_error) get_error;
    decltype(&::nbd_get_errno) get_errno;
    decltype(&::nbd_connect_unix) connect_unix;
    decltype(&::nbd_connect_tcp) connect_tcp;
    decltype(&::nbd_set_export_name) set_export_name;
    decltype(&::nbd_add_meta_context) add_meta_context;
    decltype(&::nbd_can_meta_context) can_meta_context;
    decltype(&::nbd_get_size) get_size;
    decltype(&::nbd_get_block_size) get_block_size;
    decltype(&::nbd_is_read_only) is_read_only;
    decltype(&::nbd_can_flush) can_flush;
    decltype(&::nbd_can_zero) can_zero;
    decltype(&::nbd_pread) pread;
    decltype(&::nbd_pwrite) pwrite;
    decltype(&::nbd_zero) zero;
    decltype(&::nbd_flush) flush;
    decltype(&::nbd_block_status) block_status;
    decltype(&::nbd_shutdown) shutdown;
};

Result<Api> load_api()
{
    auto library = base::HostLibrary::load("libnbd.so.0", "libnbd0");
    if (!library) {
        return std::move(library).error();
    }
    Api api{};
    base::HostLibrary& lib = library.value();
    lib.find("nbd_create", api.create);
    lib.find("nbd_close", api.close);
    lib.find("nbd_get_error", api.get_error);
    lib.find("nbd_get_errno", api.get_errno);
    lib.find("nbd_connect_unix", api.connect_unix);
    lib.find("nbd_connect_tcp", api.connect_tcp);
    lib.find("nbd_set_export_name", api.set_export_name);
    lib.find("nbd_add_meta_context", api.add_meta_context);
    lib.find("nbd_can_meta_context", api.can_meta_context);
    lib.find("nbd_get_size", api.get_size);
    lib.find("nbd_get_block_size", api.get_block_size);
    lib.find("nbd_is_read_only", api.is_read_only);
    lib.find("nbd_can_flush", api.can_flush);
    lib.find("nbd_can_zero", api.can_zero);
    lib.find("nbd_pread", api.pread);
    lib.find("nbd_pwrite", api.pwrite);
    lib.find("nbd_zero", api.zero);
    lib.find("nbd_flush", api.flush);
    lib.find("nbd_block_status", api.block_status);
    lib.find("nbd_shutdown", api.shutdown);
    if (auto good = lib.complete(); !good) {
        return std::move(good).error();
    }
    return api;
}

/// The last error of libnbd on this thread.
base::Error failed(const Api& api, const std::string& what)
{
    const int error = api.get_errno();
    const char* text = error != 0 ? std::strerror(error) : api.get_error();
    text = text != nullptr ? text : "unknown error";
    return fail(Errc::io, what.empty() ? text : fmt::format("{}: {}", what, text));
}

std::string url_of(const NbdSource::Address& address)
{
    if (!address.socket.empty()) {
        return fmt::format("nbd+unix://{}{}?socket={}", address.export_name.empty() ? "" : "/",
                           address.export_name, address.socket);
    }
    return fmt::format("nbd://{}:{}{}{}", address.host, address.port,
                       address.export_name.empty() ? "" : "/", address.export_name);
}

/// What block_status told of the range that begins at `at`.
struct Answer {
    u64 at;
    const std::string& context;
    bool is_bitmap;
    bool known = false;
    bool marked = false;
    bool data = true;
    u64 length = 0;
};

int take_extents(void* user, const char* context, std::uint64_t offset, std::uint32_t* entries,
                 std::size_t count, int*)
{
    auto& answer = *static_cast<Answer*>(user);
    if (answer.context != context || offset != answer.at) {
        return 0;
    }
    for (std::size_t i = 0; i + 1 < count; i += 2) { // pairs of length and flags
        constexpr u32 kDirty = 1; // NBD_STATE_DIRTY of QEMU's contexts (docs/interop/nbd.txt)
        const bool marked = answer.is_bitmap && (entries[i + 1] & kDirty) != 0;
        const bool data = answer.is_bitmap || (entries[i + 1] & LIBNBD_STATE_ZERO) == 0;
        if (answer.known && (data != answer.data || marked != answer.marked)) {
            break;
        }
        answer.known = true;
        answer.data = data;
        answer.marked = marked;
        answer.length += entries[i];
    }
    return 0;
}

} // namespace

struct NbdSource::Connection {
    Api api;
    nbd_handle* handle = nullptr;
    std::string context; // that says where data is
    bool is_bitmap = false;
    bool has_map = false;
    bool can_zero = false;
    bool can_flush = false;

    ~Connection()
    {
        if (handle != nullptr) {
            api.shutdown(handle, 0); // polite; whether it worked is all the same
            api.close(handle);
        }
    }
};

NbdSource::NbdSource(std::unique_ptr<Connection> connection, std::string name, u64 size,
                     bool read_only)
    : connection_{std::move(connection)}, name_{std::move(name)}, size_{size},
      read_only_{read_only}, most_{kMaxRequest}
{}

NbdSource::~NbdSource() = default;

Result<std::unique_ptr<ByteSource>> NbdSource::open(const Address& address, bool read_only)
{
    auto api = load_api();
    if (!api) {
        return std::move(api).error();
    }
    auto connection = std::make_unique<Connection>();
    connection->api = api.value();
    const Api& nbd = connection->api;
    connection->handle = nbd.create();
    nbd_handle* handle = connection->handle;
    connection->is_bitmap = !address.dirty_bitmap.empty();
    connection->context =
        connection->is_bitmap ? address.dirty_bitmap : LIBNBD_CONTEXT_BASE_ALLOCATION;
    if (handle == nullptr || nbd.set_export_name(handle, address.export_name.c_str()) != 0 ||
        nbd.add_meta_context(handle, connection->context.c_str()) != 0) {
        return failed(nbd, "");
    }
    const bool is_unix = !address.socket.empty();
    const int connected = is_unix
                              ? nbd.connect_unix(handle, address.socket.c_str())
                              : nbd.connect_tcp(handle, address.host.c_str(), address.port.c_str());
    if (connected != 0) {
        if (nbd.get_errno() == ENOENT && nbd.get_error() != nullptr &&
            std::strstr(nbd.get_error(), "export") != nullptr) {
            return fail(Errc::io, fmt::format("Requested export not available\nserver reported: "
                                              "export '{}' not present",
                                              address.export_name));
        }
        return failed(nbd,
                      fmt::format("Failed to connect to '{}'",
                                  is_unix ? address.socket : address.host + ':' + address.port));
    }
    const std::int64_t size = nbd.get_size(handle);
    if (size < 0 || static_cast<u64>(size) > kMaxExport) {
        return size < 0 ? failed(nbd, "") : fail(Errc::unsupported, "the NBD export is too large");
    }
    connection->has_map = nbd.can_meta_context(handle, connection->context.c_str()) > 0;
    if (connection->is_bitmap && !connection->has_map) {
        return fail(Errc::invalid_argument,
                    fmt::format("requested x-dirty-bitmap {} not found", address.dirty_bitmap));
    }
    connection->can_zero = nbd.can_zero(handle) > 0;
    connection->can_flush = nbd.can_flush(handle) > 0;
    if (!read_only && nbd.is_read_only(handle) != 0) {
        return fail(Errc::io, "request on write denied without write permission");
    }
    std::unique_ptr<NbdSource> source{
        new NbdSource{std::move(connection), url_of(address), static_cast<u64>(size), read_only}};
    if (auto taken = source->take_block_sizes(); !taken) {
        return std::move(taken).error();
    }
    const u64 block = source->block_;
    if (block == 1) {
        return std::unique_ptr<ByteSource>{std::move(source)};
    }
    return std::unique_ptr<ByteSource>{std::make_unique<AlignedSource>(std::move(source), block)};
}

/// NBD protocol, "Block size constraints". A server that says none takes any range of up to 32 MiB.
Status NbdSource::take_block_sizes()
{
    const auto size_of = [this](int kind) {
        return std::max<std::int64_t>(0,
                                      connection_->api.get_block_size(connection_->handle, kind));
    };
    const auto least = static_cast<u64>(size_of(LIBNBD_SIZE_MINIMUM));
    const auto preferred = static_cast<u64>(size_of(LIBNBD_SIZE_PREFERRED));
    const auto most = static_cast<u64>(size_of(LIBNBD_SIZE_MAXIMUM));
    block_ = std::max<u64>(1, least);
    if (!std::has_single_bit(block_) || block_ > kMaxBlock) {
        return fail(Errc::unsupported,
                    fmt::format("the NBD server asks for blocks of {} bytes", block_));
    }
    if (size_ % block_ != 0) {
        return fail(
            Errc::unsupported,
            fmt::format("export size {} is not multiple of minimum block size {}", size_, block_));
    }
    if (most != 0) {
        most_ = std::min(most_, most / block_ * block_);
    }
    if (most_ == 0) {
        return fail(Errc::unsupported,
                    fmt::format("the NBD server takes no more than {} bytes, but only whole "
                                "blocks of {}",
                                most, block_));
    }
    preferred_ = std::has_single_bit(preferred) ? std::clamp(preferred, block_, most_) : block_;
    limited_ = most != 0;
    return base::ok();
}

/// How much of [at, at + length) the next request is for, of at most `most` bytes. Where more
/// follow it ends on a multiple of the preferred size.
u64 NbdSource::request_length(u64 at, u64 length, u64 most) const
{
    if (length <= most) {
        return length;
    }
    const u64 past = (at + most) % preferred_;
    return past < most ? most - past : most;
}

Status NbdSource::check_range(FileOffset at, u64 length) const
{
    return at.bytes <= size_ && length <= size_ - at.bytes
               ? base::ok()
               : Status{fail(Errc::io, "access past the end of the NBD export")};
}

Status NbdSource::read(FileOffset at, std::span<u8> into)
{
    if (auto good = check_range(at, into.size()); !good) {
        return good;
    }
    while (!into.empty()) {
        const std::size_t n = request_length(at.bytes, into.size(), most_);
        if (connection_->api.pread(connection_->handle, into.data(), n, at.bytes, 0) != 0) {
            return failed(connection_->api, "");
        }
        at.bytes += n;
        into = into.subspan(n);
    }
    return base::ok();
}

Status NbdSource::write(FileOffset at, std::span<const u8> from)
{
    if (auto good = check_range(at, from.size()); !good) {
        return good;
    }
    while (!from.empty()) {
        const std::size_t n = request_length(at.bytes, from.size(), most_);
        if (connection_->api.pwrite(connection_->handle, from.data(), n, at.bytes, 0) != 0) {
            return failed(connection_->api, "");
        }
        at.bytes += n;
        from = from.subspan(n);
    }
    return base::ok();
}

Status NbdSource::zero(FileOffset at, u64 length)
{
    if (auto good = check_range(at, length); !good) {
        return good;
    }
    const std::vector<u8> zeroes(connection_->can_zero ? 0 : std::min(length, most_));
    const u64 most = connection_->can_zero && !limited_ ? kMaxZero : most_;
    while (length != 0) {
        const u64 n = request_length(at.bytes, length, most);
        if (!connection_->can_zero) {
            if (auto done = write(at, std::span{zeroes}.first(n)); !done) {
                return done;
            }
        } else if (connection_->api.zero(connection_->handle, n, at.bytes, 0) != 0) {
            return failed(connection_->api, "");
        }
        at.bytes += n;
        length -= n;
    }
    return base::ok();
}

Status NbdSource::resize(u64 size)
{
    // Exports have the size that they have.
    return size <= size_ ? base::ok() : Status{fail(Errc::unsupported, "Cannot grow NBD nodes")};
}

Status NbdSource::reserve(FileOffset at, u64 length)
{
    return check_range(at, length);
}

Status NbdSource::flush()
{
    if (!read_only_ && connection_->can_flush &&
        connection_->api.flush(connection_->handle, 0) != 0) {
        return failed(connection_->api, "");
    }
    return base::ok();
}

Result<ByteSource::Run> NbdSource::run_at(FileOffset at)
{
    const u64 rest = size_ - at.bytes;
    if (!connection_->has_map) {
        return Run{.data = true, .length = rest};
    }
    Answer answer{
        .at = at.bytes, .context = connection_->context, .is_bitmap = connection_->is_bitmap};
    const nbd_extent_callback callback{
        .callback = take_extents, .user_data = &answer, .free = nullptr};
    if (connection_->api.block_status(connection_->handle, std::min(rest, kMaxZero), at.bytes,
                                      callback, 0) != 0) {
        return failed(connection_->api, "");
    }
    if (!answer.known || answer.length == 0) {
        return fail(Errc::io, "the NBD server sent no block status");
    }
    return Run{
        .data = answer.data, .length = std::min(rest, answer.length), .marked = answer.marked};
}

} // namespace img
