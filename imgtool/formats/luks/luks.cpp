#include "imgtool/formats/luks/luks.hpp"

#include "imgtool/crypto/luks.hpp"
#include "imgtool/crypto/passphrase.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace img::luks {

namespace {

using base::Errc;
using base::fail;
using crypto::LuksPlace;
using crypto::luks::Header;
using crypto::luks::kSector;

constexpr const char* kKeySecret = "key-secret";

class LuksImage final : public Image {
public:
    LuksImage(std::unique_ptr<ByteSource> file, Header header, std::vector<u8> key,
              std::unique_ptr<SectorCipher> cipher)
        : file_{std::move(file)}, header_{std::move(header)}, key_{std::move(key)},
          cipher_{std::move(cipher)}, size_{(file_->size() -
                                             std::min(file_->size(), header_.payload_offset()) +
                                             kSector - 1) /
                                            kSector * kSector}
    {}

    u64 size() const override { return size_; }
    ByteSource& file() override { return *file_; }

    Result<Extent> map(GuestOffset from, u64 limit, MapDetail) override
    {
        if (from.bytes >= size_ || limit == 0) {
            return fail(Errc::invalid_argument, "offset beyond the end of the disk");
        }
        return Extent{.kind = Extent::Kind::data,
                      .length = std::min(limit, size_ - from.bytes),
                      .at = FileOffset{header_.payload_offset() + from.bytes},
                      .sealing = {cipher_.get(), from.bytes}};
    }
    Result<Placement> place(GuestOffset from, u64 length) override
    {
        if (from.bytes >= size_ || length == 0) {
            return fail(Errc::invalid_argument, "offset beyond the end of the disk");
        }
        if (cipher_ == nullptr) {
            return fail(Errc::invalid_argument, "the image was opened without its passphrase");
        }
        return Placement{.from = from,
                         .at = FileOffset{header_.payload_offset() + from.bytes},
                         .length = std::min(length, size_ - from.bytes),
                         .sealing = {cipher_.get(), from.bytes}};
    }
    Status publish(const Placement&) override { return base::ok(); }
    void abandon(const Placement&) override {}
    /// Nothing but their cipher text reads as zeroes.
    Result<u64> place_zeroes(GuestOffset, u64) override { return u64{0}; }
    bool is_zero_when_new() const override { return false; }
    Status flush() override { return file_->flush(); }

    ImageInfo info() override
    {
        return {.format = "luks",
                .size = size_,
                .encrypted = true,
                .specific = crypto::describe_luks(header_, false)};
    }

    /// What is new reads as noise, as what was never written does.
    Status resize(u64 size, Preallocate how) override
    {
        if (size > static_cast<u64>(INT64_MAX) - header_.payload_offset()) {
            return fail(Errc::invalid_argument, "The requested file size is too large");
        }
        if (auto done = resize_to(*file_, header_.payload_offset() + size, how); !done) {
            return done;
        }
        size_ = (size + kSector - 1) / kSector * kSector;
        return base::ok();
    }

    Status amend(const CreateSettings& settings, OpenContext& context, bool force) override
    {
        const LuksPlace place{*file_, 0, file_->size()};
        return crypto::amend_luks(place, header_, key_, settings, "", context.secrets, force);
    }

    /// The header was checked when it was opened; there is nothing else.
    Result<CheckReport> check(Repair, const ProblemSink&) override
    {
        return CheckReport{.image_end_offset = file_->size()};
    }
    bool checks_by_default() const override { return false; }

private:
    std::unique_ptr<ByteSource> file_;
    Header header_;
    std::vector<u8> key_; // empty when opened without the passphrase
    std::unique_ptr<SectorCipher> cipher_;
    u64 size_; // bytes
};

Probe probe(std::span<const u8> start, std::string_view)
{
    return crypto::luks::has_magic(start) ? Probe::certain : Probe::no;
}

Result<std::unique_ptr<Image>> open(std::unique_ptr<ByteSource> file, OpenContext& context)
{
    const LuksPlace place{*file, 0, file->size()};
    auto header = crypto::read_luks(place);
    if (!header) {
        return std::move(header).error();
    }
    std::vector<u8> key;
    std::unique_ptr<SectorCipher> cipher;
    const std::string secret = crypto::value_of(context.options, kKeySecret);
    const bool needs_key = !context.no_io && context.purpose == OpenFor::use;
    if (needs_key || (!context.no_io && !secret.empty())) {
        auto passphrase = crypto::find_passphrase(context.secrets, secret, kKeySecret);
        if (!passphrase) {
            return std::move(passphrase).error();
        }
        auto unlocked = crypto::unlock_luks(place, header.value(), passphrase.value());
        if (!unlocked) {
            return std::move(unlocked).error();
        }
        key = std::move(unlocked).value();
        auto made = crypto::luks_cipher(header.value(), key);
        if (!made) {
            return std::move(made).error();
        }
        cipher = std::move(made).value();
    }
    return std::unique_ptr<Image>{std::make_unique<LuksImage>(
        std::move(file), std::move(header).value(), std::move(key), std::move(cipher))};
}

using Type = CreateOption::Type;
constexpr std::array kCreateOptions{
    CreateOption{"size", Type::size, "Virtual disk size"},
    CreateOption{"key-secret", Type::text, "ID of the secret that provides the keyslot passphrase"},
    CreateOption{"cipher-alg", Type::text, "Name of encryption cipher algorithm"},
    CreateOption{"cipher-mode", Type::text, "Name of encryption cipher mode"},
    CreateOption{"ivgen-alg", Type::text, "Name of IV generator algorithm"},
    CreateOption{"ivgen-hash-alg", Type::text, "Name of IV generator hash algorithm"},
    CreateOption{"hash-alg", Type::text, "Name of encryption hash algorithm"},
    CreateOption{"iter-time", Type::number, "Time to spend in PBKDF in milliseconds"},
};
constexpr std::array kAmendOptions{
    CreateOption{"state", Type::text, "Select new state of affected keyslots (active/inactive)"},
    CreateOption{"keyslot", Type::number, "Select a single keyslot to modify explicitly"},
    CreateOption{"old-secret", Type::text, "Select all keyslots that match this password"},
    CreateOption{"new-secret", Type::text,
                 "New secret to set in the matching keyslots. Empty string to erase"},
    CreateOption{"iter-time", Type::number, "Time to spend in PBKDF in milliseconds"},
};

constexpr std::array kOpenOptions{
    CreateOption{"key-secret", Type::text, "ID of the secret with a passphrase"},
};

u64 size_of(const CreateSettings& settings)
{
    return std::strtoull(crypto::value_of(settings, "size").c_str(), nullptr, 10);
}

Result<Preallocate> preallocation_of(const CreateSettings& settings)
{
    const std::string how = crypto::value_of(settings, "preallocation");
    if (how.empty() || how == "off" || how == "metadata") {
        return Preallocate::none;
    }
    if (how == "falloc" || how == "full") {
        return how == "full" ? Preallocate::write : Preallocate::reserve;
    }
    return fail(Errc::invalid_argument, "invalid parameter value: " + how);
}

Status check_settings(const CreateSettings& settings)
{
    if (auto how = preallocation_of(settings); !how) {
        return std::move(how).error();
    }
    if (crypto::value_of(settings, kKeySecret).empty()) {
        return fail(Errc::invalid_argument, "Parameter 'key-secret' is required for cipher");
    }
    auto header = crypto::plan_luks(crypto::luks_parameters(settings, ""));
    if (!header) {
        return std::move(header).error();
    }
    if (size_of(settings) > static_cast<u64>(INT64_MAX) - header.value().payload_offset()) {
        return fail(Errc::invalid_argument, "The requested file size is too large");
    }
    return base::ok();
}

Status create(ByteSource& file, const CreateSettings& settings, CreateContext& context)
{
    if (auto good = check_settings(settings); !good) {
        return good;
    }
    auto how = preallocation_of(settings);
    auto passphrase = crypto::find_passphrase(context.secrets,
                                              crypto::value_of(settings, kKeySecret), kKeySecret);
    if (!how || !passphrase) {
        return how ? std::move(passphrase).error() : std::move(how).error();
    }
    const crypto::LuksParameters parameters = crypto::luks_parameters(settings, "");
    auto header = crypto::plan_luks(parameters);
    if (!header) {
        return std::move(header).error();
    }
    const u64 payload = header.value().payload_offset();
    if (auto done = file.resize(payload + size_of(settings)); !done) {
        return done;
    }
    if (auto done = preallocate(file, FileOffset{payload}, size_of(settings), how.value()); !done) {
        return done;
    }
    return crypto::create_luks({file, 0, payload}, parameters, passphrase.value());
}

Result<Measurement> measure(const CreateSettings& settings, const Content& content)
{
    if (auto good = check_settings(settings); !good) {
        return std::move(good).error();
    }
    auto header = crypto::plan_luks(crypto::luks_parameters(settings, ""));
    if (!header) {
        return std::move(header).error();
    }
    const std::string secret = crypto::value_of(settings, kKeySecret);
    if (auto found = crypto::find_passphrase(content.secrets, secret, kKeySecret); !found) {
        return std::move(found).error();
    }
    const u64 bytes = header.value().payload_offset() + content.size;
    return Measurement{.required = bytes, .fully_allocated = bytes};
}

} // namespace

const FormatDriver kDriver{
    .name = "luks",
    .probe = probe,
    .open = open,
    .check_settings = check_settings,
    .create = create,
    .create_options = kCreateOptions,
    .amend_options = kAmendOptions,
    .open_options = kOpenOptions,
    .has_backing = false,
    .measure = measure,
    .packs = false,
    .shows_old_bytes = true,
    .preallocates = true,
};

} // namespace img::luks
