// VHD images against qemu-img, where that is installed.
#include "imgtool/tests/duel.hpp"

using namespace img;
using img::test::Duel;
using img::test::has_qemu_img;
using img::test::tool;

TEST_CASE("against qemu-img: vpc, what is said and refused")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    for (const char* arguments : {
             "create -f vpc x 10M",
             "info x",
             "info --output=json x",
             "check x",
             "map --output=json x",
             "map x",
             "create -f vpc -o subformat=fixed x 10M",
             "info -f vpc x",
             "info -f vpc --output=json x",
             "create -f vpc -o force_size,subformat=dynamic x 1000",
             "info x",
             "create -f vpc -o help",
             "create -f vpc -o subformat=foo y 10M",
             "create -f vpc y 2040G",
             "info y",
             "create -f vpc y 2041G",
             "create -f vpc -b x -F vpc y",
             "info -f vpc a.raw",
         }) {
        duel.same(arguments);
    }
}

TEST_CASE("against qemu-img: vpc, each reads what the other writes")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    for (const char* options : {"", "-o subformat=fixed", "-o force_size", "-S 0"}) {
        INFO(options);
        duel.same(std::string{"convert -f raw -O vpc "} + options + " a.raw x");
        for (const std::string& image : {duel.ours("x"), duel.theirs("x")}) {
            CHECK(test::run("qemu-img convert -f vpc -O raw " + image + " " + duel.ours("1") +
                            " && " + tool() + " convert -f vpc -O raw " + image + " " +
                            duel.ours("2") + " && cmp " + duel.ours("1") + " " + duel.ours("2") +
                            " && cmp -n 1549312 " + duel.ours("1") + " " + duel.ours("a.raw"))
                      .output.empty());
        }
        CHECK(test::run(tool() + " check --full -f vpc " + duel.ours("x")).code == 0);
        CHECK(test::run(tool() + " check --full -f vpc " + duel.theirs("x")).code == 0);
    }
}
