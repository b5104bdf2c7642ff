// VDI, Parallels and QED images against qemu-img, where that is installed.
#include "imgtool/tests/duel.hpp"

using namespace img;
using img::test::Duel;
using img::test::has_qemu_img;
using img::test::tool;

TEST_CASE("against qemu-img: vdi, parallels and qed, what is said and refused")
{
    if (!has_qemu_img()) {
        return;
    }
    const std::string format = GENERATE("vdi", "parallels", "qed");
    Duel duel;
    for (const char* arguments :
         {"create -f FMT -o help", "create -f FMT x 10M", "create -f FMT y 0", "info y",
          "create -f FMT y 1000", "info y", "create -f FMT y 9000P", "create -f FMT -o foo=1 y 1M",
          "info x", "info --output=json x", "map x", "map --output=json x", "check x",
          "check --output=json x", "info -f FMT a.raw", "convert -c -O FMT a.raw c",
          "convert -O FMT a.raw z", "info z", "check -q z"}) {
        duel.same(std::regex_replace(std::string{arguments}, std::regex{"FMT"}, format));
    }
}

TEST_CASE("against qemu-img: vdi, parallels and qed, their own options")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    for (const char* arguments : {
             "create -f vdi -o static=on s 3500k",
             "info s",
             "check s",
             "create -f vdi bad 600T",
             "create -f parallels -o cluster_size=1000 p 1M",
             "info p",
             "create -f parallels -o cluster_size=0 bad 1M",
             "create -f parallels -o cluster_size=4G bad 1M",
             "create -f qed -b a.raw -F raw q",
             "info q",
             "info --output=json q",
             "map --output=json q",
             "create -f qed -o cluster_size=3k bad 1M",
             "create -f qed -o table_size=32 bad 1M",
             "create -f qed -o cluster_size=4k,table_size=1 bad 2G",
         }) {
        duel.same(arguments);
    }
    // qemu-img takes the end of a table that is longer than a cluster for leaked space.
    CHECK(test::run(tool() + " check " + duel.ours("p")).code == 0);
}

TEST_CASE("against qemu-img: vdi, parallels and qed, each reads what the other writes")
{
    if (!has_qemu_img()) {
        return;
    }
    const std::string options =
        GENERATE("vdi", "vdi -o static=on", "parallels", "parallels -o cluster_size=4k", "qed",
                 "qed -o cluster_size=4k,table_size=2", "qed -S 0");
    const std::string format = options.substr(0, options.find(' '));
    Duel duel;
    duel.same("convert -f raw -O " + options + " a.raw x");
    for (const std::string& image : {duel.ours("x"), duel.theirs("x")}) {
        CHECK(test::run("qemu-img compare -f " + format + " -F raw " + image + " " +
                        duel.ours("a.raw"))
                  .code == 0);
        CHECK(test::run(tool() + " convert -f " + format + " -O raw " + image + " " +
                        duel.ours("back") + " && cmp " + duel.ours("back") + " " +
                        duel.ours("a.raw"))
                  .output.empty());
        CHECK(test::run("qemu-img check " + image).code == 0);
        CHECK(test::run(tool() + " check " + image).code == 0);
    }
}

TEST_CASE("against qemu-img: parallels, the same is said of the same damage")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup("qemu-img convert -O parallels -o cluster_size=64k a.raw good && "
               "cp good open && printf 'Ynot' | dd of=open bs=1 seek=44 conv=notrunc 2>&1 && "
               "cp good far && printf '\\377\\0\\0\\0' | dd of=far bs=1 seek=72 conv=notrunc 2>&1 "
               "&& cp open open2 && cp far far2 && cp good long && truncate -s +300k long");
    // With "-r leaks", qemu-img also marks the image as closed and makes its file as long as the
    // entries outside it ask for, so that it finds nothing of that later; we repair only leaks.
    for (const char* arguments :
         {"check good", "check open", "info open", "check -r leaks open", "check -r all open2",
          "check open2", "check far", "check -r leaks far", "check -r all --output=json far2",
          "check long", "check --output=json long", "check -r leaks long", "check long"}) {
        duel.same(arguments);
    }
}
