#include "imgtool/node/protocols.hpp"

#include "imgtool/formats/all.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::node {

namespace {

using base::Errc;
using base::fail;

constexpr std::array kProtocols{
    &kFileProtocol,   &kHostDeviceProtocol, &kNullCoProtocol, &kNullAioProtocol, &kFaultProtocol,
    &kQuorumProtocol, &kNbdProtocol,        &kHttpProtocol,   &kHttpsProtocol,   &kFatProtocol,
};

/// What QEMU has besides; named so that the message is not about a spelling mistake.
constexpr auto kRefused = std::to_array<std::string_view>({"blklogwrites",
                                                           "blkreplay",
                                                           "blkverify",
                                                           "compress",
                                                           "copy-before-write",
                                                           "copy-on-read",
                                                           "ftp",
                                                           "ftps",
                                                           "gluster",
                                                           "gluster+rdma",
                                                           "gluster+tcp",
                                                           "gluster+unix",
                                                           "host_cdrom",
                                                           "io_uring",
                                                           "iscsi",
                                                           "iser",
                                                           "nfs",
                                                           "nvme",
                                                           "nvme-io_uring",
                                                           "preallocate",
                                                           "rbd",
                                                           "replication",
                                                           "sheepdog",
                                                           "snapshot-access",
                                                           "ssh",
                                                           "throttle",
                                                           "virtio-blk-vfio-pci",
                                                           "virtio-blk-vhost-user",
                                                           "virtio-blk-vhost-vdpa",
                                                           "vxhs",
                                                           "fd"});

bool is_refused(std::string_view name)
{
    return std::ranges::find(kRefused, name) != kRefused.end();
}

} // namespace

const Protocol* find_protocol(std::string_view driver)
{
    const auto found = std::ranges::find(kProtocols, driver, &Protocol::name);
    return found != kProtocols.end() ? *found : nullptr;
}

base::Error unknown_driver(std::string_view driver)
{
    return is_refused(driver)
               ? fail(Errc::unsupported, fmt::format("the driver '{}' is not supported", driver))
               : fail(Errc::invalid_argument, fmt::format("Unknown driver '{}'", driver));
}

namespace {

const Protocol* find_by_prefix(std::string_view prefix)
{
    const auto found = std::ranges::find_if(kProtocols, [prefix](const Protocol* protocol) {
        return std::ranges::find(protocol->prefixes, prefix) != protocol->prefixes.end();
    });
    return found != kProtocols.end() ? *found : nullptr;
}

} // namespace

bool takes_images(const std::string& name)
{
    const Protocol* protocol =
        has_protocol(name) ? find_by_prefix(name.substr(0, name.find(':'))) : nullptr;
    return protocol != nullptr && protocol->takes_images;
}

Result<Options> parse_name(std::string_view name)
{
    const std::string_view prefix = name.substr(0, name.find(':'));
    if (prefix.size() == name.size()) {
        return fail(Errc::invalid_argument, fmt::format("'{}' names no protocol", name));
    }
    if (prefix == "json") {
        return parse_json_options(name.substr(prefix.size() + 1));
    }
    if (const Protocol* protocol = find_by_prefix(prefix)) {
        auto parsed = protocol->parse(name);
        if (!parsed) {
            return parsed;
        }
        Options options;
        options.set("file.driver", std::string{protocol->name});
        for (const auto& [key, value] : parsed.value().entries()) {
            options.set("file." + key, value);
        }
        return options;
    }
    if (is_refused(prefix)) {
        return fail(Errc::unsupported, fmt::format("the protocol '{}' is not supported", prefix));
    }
    return fail(Errc::invalid_argument, fmt::format("Unknown protocol '{}'", prefix));
}

} // namespace img::node
