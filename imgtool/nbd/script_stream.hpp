// A client whose bytes are all known beforehand, for tests and fuzzing.
#pragma once

#include "imgtool/nbd/protocol.hpp"
#include "imgtool/nbd/stream.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

namespace img::nbd {

class ScriptStream final : public Stream {
public:
    /// Of the answers `keep` bytes are kept; a longer one makes write() fail.
    ScriptStream(std::span<const u8> script, bool can_secure,
                 std::size_t keep = std::size_t{1} << 26)
        : script_{script}, can_secure_{can_secure}, keep_{keep}
    {}

    base::Status read(std::span<u8> into) override
    {
        if (into.size() > script_.size()) {
            return base::fail(base::Errc::io, "the script ends");
        }
        std::copy_n(script_.begin(), into.size(), into.begin());
        script_ = script_.subspan(into.size());
        return base::ok();
    }
    base::Status write(std::span<const u8> from) override
    {
        if (from.size() > keep_ - answer_.size()) {
            return base::fail(base::Errc::io, "the answers are too long");
        }
        answer_.insert(answer_.end(), from.begin(), from.end());
        return base::ok();
    }
    base::Status wait() override { return base::ok(); }
    void handshake_done() override {}
    bool can_secure() const override { return can_secure_; }
    bool secure() const override { return secure_; }
    base::Status start_tls() override
    {
        secure_ = true;
        return base::ok();
    }

    const std::vector<u8>& answer() const { return answer_; }
    std::size_t unread() const { return script_.size(); }

private:
    std::span<const u8> script_;
    bool can_secure_;
    std::size_t keep_;
    bool secure_ = false;
    std::vector<u8> answer_;
};

/// Bytes of a client, put together piece by piece.
class Script {
public:
    template <class T>
    Script& number(T value)
    {
        const std::size_t at = bytes_.size();
        bytes_.resize(at + sizeof(T));
        base::store_be<T>(bytes_, at, value);
        return *this;
    }
    Script& text(std::string_view text)
    {
        bytes_.insert(bytes_.end(), text.begin(), text.end());
        return *this;
    }
    Script& data(std::span<const u8> data)
    {
        bytes_.insert(bytes_.end(), data.begin(), data.end());
        return *this;
    }
    /// The head of an option and its data.
    Script& option(u32 option, std::span<const u8> data = {})
    {
        return number<u64>(kOptionMagic)
            .number<u32>(option)
            .number<u32>(static_cast<u32>(data.size()))
            .data(data);
    }
    Script& option(u32 option, const Script& data) { return this->option(option, data.bytes()); }
    /// The head of a request; the cookie is 0x0102030405060708.
    Script& request(u16 command, u64 offset, u32 length, u16 flags = 0)
    {
        return number<u32>(kRequestMagic)
            .number<u16>(flags)
            .number<u16>(command)
            .number<u64>(0x0102030405060708)
            .number<u64>(offset)
            .number<u32>(length);
    }

    const std::vector<u8>& bytes() const { return bytes_; }

private:
    std::vector<u8> bytes_;
};

} // namespace img::nbd
