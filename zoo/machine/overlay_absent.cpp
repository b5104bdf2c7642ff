// Stands in where imgtool's library is not part of the build: drives are refused.
#include "zoo/machine/overlay.hpp"

namespace zoo {

base::Status make_overlay(const std::filesystem::path&, const std::filesystem::path&,
                          const std::string&)
{
    return base::fail(base::Errc::unsupported, "this zoo was built without imgtool's library");
}

} // namespace zoo
