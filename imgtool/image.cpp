// What formats refuse unless they can do it.
#include "imgtool/image.hpp"

namespace img {

namespace {

Status refuse(Image& image, const std::string& what)
{
    return base::fail(base::Errc::unsupported,
                      "the " + image.info().format + " format does not support " + what);
}

} // namespace

Status Image::resize(u64, Preallocate)
{
    return base::fail(base::Errc::unsupported, "Image format driver does not support resize");
}

Status Image::set_backing(const std::string&, const std::string&)
{
    return refuse(*this, "changing the backing file");
}

Status Image::amend(const CreateSettings&, OpenContext&, bool)
{
    return refuse(*this, "option amendment");
}

Status Image::create_snapshot(const std::string&, const SnapshotTime&)
{
    return refuse(*this, "internal snapshots");
}

Status Image::apply_snapshot(const std::string&)
{
    return refuse(*this, "internal snapshots");
}

Status Image::delete_snapshot(const std::string&)
{
    return refuse(*this, "internal snapshots");
}

Status Image::view_snapshot(const std::string&)
{
    return refuse(*this, "internal snapshots");
}

} // namespace img
