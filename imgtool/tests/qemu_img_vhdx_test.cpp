// VHDX images against qemu-img, where that is installed.
#include "imgtool/tests/duel.hpp"

using namespace img;
using img::test::Duel;
using img::test::has_qemu_img;
using img::test::tool;

TEST_CASE("against qemu-img: vhdx, what is said and refused")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    for (const char* arguments : {
             "create -f vhdx x 10M",
             "info x",
             "info --output=json x",
             "check x",
             "check --output=json x",
             "create -f vhdx -o block_size=1M,subformat=fixed,log_size=3M x 10M",
             "info x",
             "create -f vhdx -o block_state_zero=off x 200G",
             "info x",
             "create -f vhdx -o help",
             "create -f vhdx -o subformat=foo y 10M",
             "create -f vhdx -o block_size=3M y 10M",
             "create -f vhdx -o log_size=0 y 10M",
             "create -f vhdx -o log_size=4G y 10M",
             "create -f vhdx y 65T",
             "create -f vhdx -b x -F vhdx y",
         }) {
        duel.same(arguments);
    }
}

TEST_CASE("against qemu-img: vhdx, each reads what the other writes")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    for (const char* options : {"", "-o subformat=fixed,block_state_zero=off", "-o block_size=1M",
                                "-S 0 -o log_size=2M"}) {
        INFO(options);
        duel.same(std::string{"convert -f raw -O vhdx "} + options + " a.raw x");
        for (const std::string& image : {duel.ours("x"), duel.theirs("x")}) {
            CHECK(test::run("qemu-img convert -f vhdx -O raw " + image + " " + duel.ours("1") +
                            " && " + tool() + " convert -f vhdx -O raw " + image + " " +
                            duel.ours("2") + " && cmp " + duel.ours("1") + " " + duel.ours("2") +
                            " && cmp " + duel.ours("1") + " " + duel.ours("a.raw"))
                      .output.empty());
            CHECK(test::run("qemu-img check " + image).code == 0);
            CHECK(test::run(tool() + " check " + image).code == 0);
        }
    }
}
