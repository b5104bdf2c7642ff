#include "imgtool/formats/qcow2/qcow2_image.hpp"
#include "imgtool/tests/qcow2_support.hpp"

using namespace img;
using namespace img::qcow2;
using namespace img::test;

TEST_CASE("qcow2: emptied, an image has no clusters, no leaks and a short file")
{
    CreateParameters p{.size = 3'000'000, .cluster_size = 512};
    p.refcount_bits = GENERATE(1u, 16u, 64u);
    const Bytes bytes = make_qcow2(p);
    const std::size_t new_size = bytes->size();
    {
        auto disk = open_qcow2(bytes);
        (void)scribble(*disk, 5, 200, 90000);
    }
    REQUIRE(bytes->size() > 1'000'000);
    {
        auto disk = open_qcow2(bytes);
        CHECK(need(disk->layers()[0].image->make_empty()));
        CHECK(read_all(*disk) == std::vector<u8>(3'000'000));
        REQUIRE(disk->write(1000, std::vector<u8>(100, 7)));
    }
    const CheckReport report = check_qcow2(bytes);
    CHECK(report.corruptions == 0);
    CHECK(report.leaks == 0);
    CHECK(report.allocated_clusters == 2);
    CHECK(bytes->size() < new_size + 100'000);
}

TEST_CASE("qcow2: the backing file's name is changed in place, or refused when too long")
{
    const Bytes bytes = make_qcow2({.size = 1 << 20, .cluster_size = 1024});
    {
        auto image = open_qcow2_image(bytes);
        REQUIRE(image->set_backing("some/base.img", "raw"));
        const auto too_long = image->set_backing(std::string(920, 'x'), "raw");
        REQUIRE_FALSE(too_long);
        CHECK(too_long.error().message == "No space left in the file header");
        CHECK_FALSE(image->set_backing(std::string(1024, 'x'), "raw"));
        CHECK(image->info().backing_name == "some/base.img");
    }
    auto image = open_qcow2_image(bytes);
    CHECK(image->info().backing_name == "some/base.img");
    CHECK(image->info().backing_format == "raw");
    REQUIRE(image->set_backing("", ""));
    CHECK(open_qcow2_image(bytes)->info().backing_name.empty());
}
