// Names of images as an attacker would write them: parsing must neither crash nor hang.
#include "imgtool/node/node.hpp"
#include "imgtool/node/url.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    if (const auto value = img::node::parse_json(text)) {
        (void)img::node::write_json(value.value());
    }
    (void)img::node::parse_json_options(text);
    (void)img::node::parse_image_opts(text);
    (void)img::node::parse_url(text);
    (void)img::node::parse_name(text);
    return 0;
}
