#include "imgtool/identity.hpp"

#include <algorithm>
#include <ctime>
#include <random>
#include <sys/random.h>

namespace img {

namespace {

using base::u64;
using base::u8;

class HostIdentity final : public Identity {
public:
    void random(std::span<u8> into) const override
    {
        const auto got = ::getrandom(into.data(), into.size(), 0);
        if (got != static_cast<ssize_t>(into.size())) { // no such call: a very old kernel
            std::random_device device;
            std::ranges::generate(into, [&] { return static_cast<u8>(device()); });
        }
    }
    u64 now() const override { return static_cast<u64>(std::time(nullptr)); }
};

class FixedIdentity final : public Identity {
public:
    void random(std::span<u8> into) const override
    {
        u8 next = 0x11;
        std::ranges::generate(into, [&] { return next = static_cast<u8>(next * 5 + 0x1d); });
    }
    u64 now() const override { return 946'684'800; } // 2000-01-01 00:00
};

} // namespace

const Identity& Identity::of_host()
{
    static const HostIdentity identity;
    return identity;
}

const Identity& Identity::reproducible()
{
    static const FixedIdentity identity;
    return identity;
}

} // namespace img
