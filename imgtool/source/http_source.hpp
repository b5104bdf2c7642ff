// A file on a web server, read in ranges by libcurl, which is loaded when the first one is opened.
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <list>
#include <memory>
#include <string>
#include <vector>

namespace img {

class HttpSource final : public ByteSource {
public:
    struct Request {
        std::string url;
        u64 read_ahead = u64{256} << 10; // bytes asked for at once
        long timeout_s = 5;              // without progress
        bool verify_tls = true;
        std::string cookie = {};
    };

    /// Errors: `unsupported` when libcurl is not there or the server cannot serve ranges.
    static Result<std::unique_ptr<HttpSource>> open(Request request);

    ~HttpSource() override;
    HttpSource(const HttpSource&) = delete;
    HttpSource& operator=(const HttpSource&) = delete;

    const std::string& name() const override { return request_.url; }
    u64 size() const override { return size_; }
    bool read_only() const override { return true; }
    Status read(FileOffset at, std::span<u8> into) override;
    Status write(FileOffset at, std::span<const u8> from) override;
    Status zero(FileOffset at, u64 length) override;
    Status resize(u64 size) override;
    Status reserve(FileOffset at, u64 length) override;
    Status flush() override { return base::ok(); }
    Result<Run> run_at(FileOffset at) override
    {
        return Run{.data = true, .length = size_ - at.bytes};
    }
    u64 allocated() const override { return kUnknown; }

private:
    struct Client;
    struct Block {
        u64 index; // in units of read_ahead
        std::vector<u8> bytes;
    };

    HttpSource(Request request, std::unique_ptr<Client> client);
    Status start();
    Result<const Block*> block(u64 index);

    Request request_;
    std::unique_ptr<Client> client_;
    u64 size_ = 0;          // bytes
    std::string version_;   // of the file, as the server names it (ETag or Last-Modified)
    std::list<Block> kept_; // the last blocks read, newest first
};

} // namespace img
