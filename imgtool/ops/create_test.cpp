#include "imgtool/ops/create.hpp"

#include "imgtool/formats/all.hpp"

#include "imgtool/tests/support.hpp"

using namespace img;

namespace {

u64 size_of(const std::string& text)
{
    const auto size = parse_size(text);
    return size ? size.value() : ~u64{0};
}

std::string complaint(const CreateSettings& settings)
{
    const auto completed = complete_settings(*find_format("qcow2"), settings);
    return completed ? "accepted" : completed.error().message;
}

} // namespace

TEST_CASE("sizes: numbers with suffixes and fractions")
{
    CHECK(size_of("0") == 0);
    CHECK(size_of("1001") == 1001);
    CHECK(size_of("1k") == 1024);
    CHECK(size_of("1.5K") == 1536);
    CHECK(size_of("3M") == 3145728);
    CHECK(size_of("2g") == 2147483648);
    CHECK(size_of("7E") == 8070450532247928832);
    CHECK(size_of("9223372036854775807") == 9223372036854775807);
}

TEST_CASE("sizes: what is none is refused")
{
    for (const char* text : {"", "x", "-1", "1Q", "1kk", "1.5", " 1", "k", "1 M"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_size(text));
    }
    CHECK(parse_size("8E").error().code == base::Errc::unsupported);
    CHECK(parse_size("99999999999999999999").error().code == base::Errc::unsupported);
}

TEST_CASE("create settings: defaults are filled in, in the order they are printed")
{
    const auto completed = complete_settings(*find_format("qcow2"), {{"size", "1M"}});

    REQUIRE(completed);
    CHECK(completed.value() == CreateSettings{{"cluster_size", "65536"},
                                              {"extended_l2", "off"},
                                              {"compression_type", "zlib"},
                                              {"size", "1048576"},
                                              {"lazy_refcounts", "off"},
                                              {"refcount_bits", "16"}});
}

TEST_CASE("create: an image that is there survives settings that make no sense")
{
    const img::test::TempDir dir;
    img::test::write_file(dir / "x", std::vector<u8>(512, 1));
    const auto settings =
        complete_settings(*find_format("qcow2"), {{"size", "1M"}, {"cluster_size", "5k"}});
    REQUIRE(settings);

    CHECK_FALSE(create_image(*find_format("qcow2"), dir / "x", settings.value()));
    CHECK_FALSE(create_image(*find_format("qcow2"), dir / "y", settings.value()));

    CHECK(std::filesystem::file_size(dir / "x") == 512);
    CHECK_FALSE(std::filesystem::exists(dir / "y"));
}

TEST_CASE("create settings: wrong ones are named")
{
    CHECK(complaint({{"foo", "1"}}) == "Invalid parameter 'foo'");
    CHECK(complaint({{"lazy_refcounts", "maybe"}}) ==
          "Parameter 'lazy_refcounts' expects 'on' or 'off'");
    CHECK(complaint({{"refcount_bits", "x"}}) == "Parameter 'refcount_bits' expects a number");
}
