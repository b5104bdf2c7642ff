#include "zoo/machine/overlay.hpp"

#include "imgtool/open.hpp"

namespace zoo {

base::Status make_overlay(const std::filesystem::path& overlay, const std::filesystem::path& base,
                          const std::string& base_format)
{
    img::Qcow2CreateOptions options;
    options.backing_file = base;
    options.backing_format = base_format;
    return img::create_qcow2(overlay, options);
}

} // namespace zoo
