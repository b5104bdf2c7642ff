// A disk on an NBD server, by libnbd, which is loaded when the first one is opened.
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <memory>
#include <string>

namespace img {

class NbdSource final : public ByteSource {
public:
    struct Address {
        std::string socket = {}; // path of a unix socket; empty: TCP
        std::string host = {};
        std::string port = "10809";
        std::string export_name = {};
        /// A metadata context of the server's that tells where a dirty bitmap is set
        /// ("qemu:dirty-bitmap:NAME"), to be asked in place of what is allocated; mostly empty.
        std::string dirty_bitmap = {};
    };

    /// Errors: `unsupported` when libnbd is not there; `io`, in qemu-img's words, when the server
    /// is not or does not have the export. The result takes any range, whatever blocks the server
    /// asks for.
    static Result<std::unique_ptr<ByteSource>> open(const Address& address, bool read_only);

    ~NbdSource() override;
    NbdSource(const NbdSource&) = delete;
    NbdSource& operator=(const NbdSource&) = delete;

    const std::string& name() const override { return name_; }
    u64 size() const override { return size_; }
    bool read_only() const override { return read_only_; }
    bool fixed_size() const override { return true; }
    Status read(FileOffset at, std::span<u8> into) override;
    Status write(FileOffset at, std::span<const u8> from) override;
    Status zero(FileOffset at, u64 length) override;
    Status resize(u64 size) override;
    Status reserve(FileOffset at, u64 length) override;
    Status flush() override;
    Result<Run> run_at(FileOffset at) override;
    u64 allocated() const override { return kUnknown; }

private:
    struct Connection;
    NbdSource(std::unique_ptr<Connection> connection, std::string name, u64 size, bool read_only);

    Status take_block_sizes();
    u64 request_length(u64 at, u64 length, u64 most) const;
    Status check_range(FileOffset at, u64 length) const;

    std::unique_ptr<Connection> connection_;
    std::string name_;
    u64 size_; // bytes
    bool read_only_;
    u64 block_ = 1;        // bytes of which offsets and lengths are to be multiples
    u64 preferred_ = 1;    // bytes on whose multiples requests are best cut
    u64 most_;             // bytes of a request
    bool limited_ = false; // the server said so
};

} // namespace img
