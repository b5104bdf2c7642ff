#include "imgtool/nbd/tls.hpp"

#include "base/host_library.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <unistd.h>

namespace img::nbd {

namespace {

using base::Errc;
using base::fail;
using base::Result;
using base::Status;
using base::u8;

/// What is used of libssl and libcrypto.
struct Library {
    decltype(&::TLS_server_method) server_method;
    decltype(&::SSL_CTX_new) context_new;
    decltype(&::SSL_CTX_free) context_free;
    decltype(&::SSL_CTX_ctrl) context_control;
    decltype(&::SSL_CTX_set_options) context_options;
    decltype(&::SSL_CTX_set_default_passwd_cb) set_password;
    decltype(&::SSL_CTX_use_certificate_chain_file) use_certificate;
    decltype(&::SSL_CTX_use_PrivateKey_file) use_key;
    decltype(&::SSL_CTX_check_private_key) check_key;
    decltype(&::SSL_CTX_load_verify_file) load_authority;
    decltype(&::SSL_load_client_CA_file) load_authority_names;
    decltype(&::SSL_CTX_set_client_CA_list) set_authority_names;
    decltype(&::SSL_CTX_set_verify) set_verify;
    decltype(&::SSL_new) session_new;
    decltype(&::SSL_free) session_free;
    decltype(&::SSL_set_fd) set_fd;
    decltype(&::SSL_accept) accept;
    decltype(&::SSL_read) read;
    decltype(&::SSL_write) write;
    decltype(&::SSL_pending) pending;
    decltype(&::SSL_shutdown) shutdown;
    decltype(&::SSL_get_error) get_error;
    decltype(&::ERR_get_error) next_error;
    decltype(&::ERR_clear_error) clear_errors;
    decltype(&::ERR_reason_error_string) reason_of;
};

Result<Library> load_library()
{
    auto ssl = base::HostLibrary::load("libssl.so.3", "libssl3");
    if (!ssl) {
        return std::move(ssl).error();
    }
    auto crypto = base::HostLibrary::load("libcrypto.so.3", "libssl3");
    if (!crypto) {
        return std::move(crypto).error();
    }
    Library library{};
    base::HostLibrary& lib = ssl.value();
    lib.find("TLS_server_method", library.server_method);
    lib.find("SSL_CTX_new", library.context_new);
    lib.find("SSL_CTX_free", library.context_free);
    lib.find("SSL_CTX_ctrl", library.context_control);
    lib.find("SSL_CTX_set_options", library.context_options);
    lib.find("SSL_CTX_set_default_passwd_cb", library.set_password);
    lib.find("SSL_CTX_use_certificate_chain_file", library.use_certificate);
    lib.find("SSL_CTX_use_PrivateKey_file", library.use_key);
    lib.find("SSL_CTX_check_private_key", library.check_key);
    lib.find("SSL_CTX_load_verify_file", library.load_authority);
    lib.find("SSL_load_client_CA_file", library.load_authority_names);
    lib.find("SSL_CTX_set_client_CA_list", library.set_authority_names);
    lib.find("SSL_CTX_set_verify", library.set_verify);
    lib.find("SSL_new", library.session_new);
    lib.find("SSL_free", library.session_free);
    lib.find("SSL_set_fd", library.set_fd);
    lib.find("SSL_accept", library.accept);
    lib.find("SSL_read", library.read);
    lib.find("SSL_write", library.write);
    lib.find("SSL_pending", library.pending);
    lib.find("SSL_shutdown", library.shutdown);
    lib.find("SSL_get_error", library.get_error);
    base::HostLibrary& errors = crypto.value();
    errors.find("ERR_get_error", library.next_error);
    errors.find("ERR_clear_error", library.clear_errors);
    errors.find("ERR_reason_error_string", library.reason_of);
    for (const base::HostLibrary* loaded : {&lib, &errors}) {
        if (auto complete = loaded->complete(); !complete) {
            return std::move(complete).error();
        }
    }
    return library;
}

/// The first error of OpenSSL on this thread; forgets the others.
base::Error failed(const Library& library, const std::string& what)
{
    const unsigned long code = library.next_error();
    const char* reason = code != 0 ? library.reason_of(code) : nullptr;
    library.clear_errors();
    return fail(Errc::io, fmt::format("{}: {}", what, reason != nullptr ? reason : "it failed"));
}

class Session final : public TlsSession {
public:
    Session(const Library& library, SSL* ssl) : library_{library}, ssl_{ssl} {}
    ~Session() override { library_.session_free(ssl_); }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    Status handshake(const WaitForSocket& wait) override
    {
        const auto done = repeat(wait, [&] { return library_.accept(ssl_); });
        return done ? base::ok() : Status{done.error()};
    }

    Status read(std::span<u8> into, const WaitForSocket& wait) override
    {
        while (!into.empty()) {
            const int limit = static_cast<int>(std::min<std::size_t>(into.size(), INT_MAX));
            const auto n = repeat(wait, [&] { return library_.read(ssl_, into.data(), limit); });
            if (!n) {
                return n.error();
            }
            into = into.subspan(static_cast<std::size_t>(n.value()));
        }
        return base::ok();
    }

    Status write(std::span<const u8> from, const WaitForSocket& wait) override
    {
        while (!from.empty()) {
            const int limit = static_cast<int>(std::min<std::size_t>(from.size(), INT_MAX));
            const auto n = repeat(wait, [&] { return library_.write(ssl_, from.data(), limit); });
            if (!n) {
                return n.error();
            }
            from = from.subspan(static_cast<std::size_t>(n.value()));
        }
        return base::ok();
    }

    bool has_pending() const override { return library_.pending(ssl_) > 0; }

    void close() override
    {
        if (!broken_) {
            library_.clear_errors();
            (void)library_.shutdown(ssl_);
            library_.clear_errors();
        }
    }

private:
    /// Calls until it succeeds, waiting for the socket where it must. The result is positive.
    template <class Call>
    Result<int> repeat(const WaitForSocket& wait, Call call)
    {
        for (;;) {
            library_.clear_errors();
            const int result = call();
            if (result > 0) {
                return result;
            }
            const int why = library_.get_error(ssl_, result);
            if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
                broken_ = why == SSL_ERROR_SSL || why == SSL_ERROR_SYSCALL;
                return failed(library_, "TLS");
            }
            if (auto ready = wait(why == SSL_ERROR_WANT_WRITE); !ready) {
                return std::move(ready).error();
            }
        }
    }

    const Library& library_;
    SSL* ssl_;
    bool broken_ = false; // after which nothing may be sent
};

class Credentials final : public TlsCredentials {
public:
    Credentials(const Library& library, SSL_CTX* context) : library_{library}, context_{context} {}
    ~Credentials() override { library_.context_free(context_); }
    Credentials(const Credentials&) = delete;
    Credentials& operator=(const Credentials&) = delete;

    Status read_folder(const std::string& folder);

    bool verifies_clients() const override { return verifies_clients_; }

    Result<std::unique_ptr<TlsSession>> start(int fd) const override
    {
        SSL* ssl = library_.session_new(context_);
        if (ssl == nullptr) {
            return failed(library_, "TLS");
        }
        auto session = std::make_unique<Session>(library_, ssl);
        if (library_.set_fd(ssl, fd) != 1) {
            return failed(library_, "TLS");
        }
        return std::unique_ptr<TlsSession>{std::move(session)};
    }

private:
    Library library_;
    SSL_CTX* context_;
    bool verifies_clients_ = false;
};

Status Credentials::read_folder(const std::string& folder)
{
    const std::string certificate = folder + "/server-cert.pem";
    const std::string key = folder + "/server-key.pem";
    const std::string authority = folder + "/ca-cert.pem";
    for (const std::string& path : {certificate, key}) {
        if (::access(path.c_str(), R_OK) != 0) { // which OpenSSL tells less well
            return fail(Errc::io, fmt::format("cannot read '{}': {}", path, std::strerror(errno)));
        }
    }
    if (library_.use_certificate(context_, certificate.c_str()) != 1) {
        return failed(library_, "reading '" + certificate + "'");
    }
    if (library_.use_key(context_, key.c_str(), SSL_FILETYPE_PEM) != 1) {
        return failed(library_, "reading '" + key + "'");
    }
    if (library_.check_key(context_) != 1) {
        return failed(library_, "'" + key + "' does not belong to '" + certificate + "'");
    }
    if (::access(authority.c_str(), F_OK) != 0) {
        return base::ok();
    }
    if (library_.load_authority(context_, authority.c_str()) != 1) {
        return failed(library_, "reading '" + authority + "'");
    }
    // Clients with several certificates choose by these names; the list goes to the context.
    library_.set_authority_names(context_, library_.load_authority_names(authority.c_str()));
    library_.set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    verifies_clients_ = true;
    return base::ok();
}

/// There is nobody to ask for the password of a key.
int no_password(char*, int, int, void*)
{
    return -1;
}

} // namespace

Result<std::unique_ptr<TlsCredentials>> TlsCredentials::load(const std::string& folder)
{
    auto library = load_library();
    if (!library) {
        return std::move(library).error();
    }
    const Library& lib = library.value();
    SSL_CTX* context = lib.context_new(lib.server_method());
    if (context == nullptr) {
        return failed(lib, "TLS");
    }
    auto credentials = std::make_unique<Credentials>(lib, context);
    // "TLS versions"; SSL_CTX_set_min_proto_version() and SSL_CTX_set_mode() are macros of these.
    const long least =
        lib.context_control(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, nullptr);
    lib.context_control(context, SSL_CTRL_MODE,
                        SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER,
                        nullptr);
    // A session ends with its connection; there is nothing to take up again.
    lib.context_control(context, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, nullptr);
    lib.context_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    lib.set_password(context, no_password);
    if (least != 1) {
        return failed(lib, "TLS 1.2");
    }
    if (auto done = credentials->read_folder(folder); !done) {
        return std::move(done).error();
    }
    return std::unique_ptr<TlsCredentials>{std::move(credentials)};
}

} // namespace img::nbd
