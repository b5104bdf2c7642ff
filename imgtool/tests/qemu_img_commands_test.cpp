// compare, rebase, commit, dd, bench and convert against qemu-img: what they say, and what they
// leave behind.
#include "imgtool/tests/duel.hpp"

using img::test::Duel;
using img::test::has_qemu_img;

namespace {

/// A chain base <- mid <- top with holes, zeroes and data in each, and other bases.
constexpr const char* kChains =
    "qemu-img create -q -f qcow2 base.qcow2 2M && "
    "qemu-io -c 'write -P 1 0 1M' -c 'write -P 2 1536k 64k' base.qcow2 && "
    "qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 mid.qcow2 3M && "
    "qemu-io -c 'write -P 3 64k 100k' -c 'write -z 512k 64k' -c 'write -P 4 2560k 4k' mid.qcow2 && "
    "qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2 4M && "
    "qemu-io -c 'write -P 5 128k 128k' -c 'write -z 768k 64k' -c 'write -P 6 3M 4k' top.qcow2 && "
    "qemu-img create -q -f qcow2 other.qcow2 1M && "
    "qemu-io -c 'write -P 1 0 512k' -c 'write -P 9 512k 512k' other.qcow2 && "
    "qemu-img convert -O raw top.qcow2 top.raw && "
    "cp top.raw near.raw && printf x | dd of=near.raw bs=1 seek=3000001 conv=notrunc && "
    "cp top.raw long.raw && truncate -s 5M long.raw && "
    "cp long.raw long2.raw && printf x >> long2.raw";

void same_of_all(Duel& duel, std::initializer_list<const char*> all)
{
    for (const char* arguments : all) {
        duel.same(arguments);
    }
}

} // namespace

TEST_CASE("against qemu-img: compare says the same, with the same exit code")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup(kChains);
    same_of_all(duel, {"compare top.raw top.qcow2", "compare -s top.raw top.qcow2",
                       "compare -s top.qcow2 top.qcow2", "compare top.raw near.raw",
                       "compare near.raw top.qcow2", "compare top.raw long.raw",
                       "compare -s top.raw long.raw", "compare long2.raw top.qcow2",
                       "compare -q near.raw top.raw", "compare -f raw -F raw top.raw top.qcow2",
                       "compare top.raw nope", "compare -f foo top.raw top.raw",
                       "compare -T foo top.raw top.raw", "compare --output=json top.raw top.raw",
                       "compare top.raw", "compare -p top.raw top.qcow2"});
}

TEST_CASE("against qemu-img: rebase keeps what is read and changes what is referred to")
{
    if (!has_qemu_img()) {
        return;
    }
    for (const char* arguments :
         {"rebase -b base.qcow2 -F qcow2 top.qcow2", "rebase -b other.qcow2 -F qcow2 top.qcow2",
          "rebase -b '' top.qcow2", "rebase -b long2.raw -F raw top.qcow2",
          "rebase -b other.qcow2 -F qcow2 mid.qcow2", "rebase -b top.raw -F raw base.qcow2",
          "rebase -u -b other.qcow2 -F qcow2 top.qcow2", "rebase -u -b nope -F raw top.qcow2",
          "rebase -b nope -F raw top.qcow2", "rebase -b other.qcow2 top.qcow2",
          "rebase -b other.qcow2 -F foo top.qcow2", "rebase top.qcow2", "rebase -b '' top.raw"}) {
        Duel duel;
        duel.setup(kChains);
        duel.same(arguments);
        duel.same("info top.qcow2");
        if (std::string{arguments}.find("mid.qcow2") == std::string::npos) {
            duel.same("compare top.raw top.qcow2");
        }
        duel.same("map --output=json base.qcow2");
        duel.same("check top.qcow2");
    }
}

TEST_CASE("against qemu-img: commit fills the base and empties the image")
{
    if (!has_qemu_img()) {
        return;
    }
    for (const char* arguments :
         {"commit top.qcow2", "commit -d top.qcow2", "commit -q -b base.qcow2 top.qcow2",
          "commit -b mid.qcow2 top.qcow2", "commit -b other.qcow2 top.qcow2", "commit base.qcow2",
          "commit -t foo top.qcow2", "commit -r x top.qcow2", "commit -r 100M top.qcow2"}) {
        Duel duel;
        duel.setup(kChains);
        duel.same(arguments);
        for (const char* image : {"base.qcow2", "mid.qcow2", "top.qcow2"}) {
            duel.same(std::string{"info "} + image);
            duel.same(std::string{"check -q "} + image);
        }
        duel.same("compare -f raw -F qcow2 top.raw mid.qcow2");
        duel.same("compare -f raw -F qcow2 top.raw base.qcow2");
        // qemu-img commits several stretches at a time; which cluster is whose is chance.
        duel.same_but("\"offset\": [0-9]+", "map --output=json top.qcow2");
    }
}

TEST_CASE("against qemu-img: dd copies and refuses the same")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup(kChains);
    for (const char* arguments :
         {"if=top.raw of=out.raw", "if=top.raw of=out.raw bs=700 count=9",
          "if=top.qcow2 of=out.raw bs=1M skip=1 count=3", "-f raw if=top.raw of=out.raw skip=99999",
          "-O qcow2 if=top.raw of=out.raw bs=64k", "-O foo if=top.raw of=out.raw",
          "if=top.raw of=out.raw bs=0", "if=top.raw of=out.raw count=x", "if=top.raw", "what=1",
          "if=nope of=out.raw"}) {
        duel.same(std::string{"dd "} + arguments);
        duel.same("info out.raw");
    }
    duel.same("compare -f raw -F qcow2 top.raw out.raw");
}

TEST_CASE("against qemu-img: convert checks its options in the same order and words")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup(kChains);
    duel.setup("qemu-img snapshot -c one base.qcow2 && qemu-io -c 'write -P 8 0 64k' base.qcow2");
    for (const char* arguments : {"-C -c -O qcow2 a.raw o",
                                  "-C -S 4k a.raw o",
                                  "-C --salvage a.raw o",
                                  "--salvage a.raw o",
                                  "--target-is-zero a.raw o",
                                  "--target-image-opts a.raw o",
                                  "-n -o size=1 a.raw o",
                                  "-n a.raw nope",
                                  "-n long.raw top.raw",
                                  "-O foo a.raw o",
                                  "-O qcow2 -o foo=1 a.raw o",
                                  "-o help, a.raw o",
                                  "-r x a.raw o",
                                  "-r 1G a.raw o",
                                  "-m 17 a.raw o",
                                  "-S 1000 a.raw o",
                                  "-B a.raw -O raw a.raw o",
                                  "-B a.raw -O qcow2 a.raw o",
                                  "-B a.raw -F raw -O qcow2 a.raw top.raw o",
                                  "-F raw -O qcow2 a.raw o",
                                  "-c a.raw o",
                                  "-c -O qcow2 -o preallocation=metadata a.raw o",
                                  "-l one base.qcow2 o",
                                  "-l snapshot.id=1 base.qcow2 o",
                                  "-l snapshot.id=one base.qcow2 o",
                                  "-l snapshot.foo=1 base.qcow2 o",
                                  "-l nope base.qcow2 o",
                                  "-l one a.raw o",
                                  "-l one base.qcow2 a.raw o",
                                  "--skip-broken-bitmaps base.qcow2 o",
                                  "--bitmaps a.raw o",
                                  "a.raw"}) {
        duel.same(std::string{"convert "} + arguments);
    }
    duel.same("convert -l one -O raw base.qcow2 o");
    duel.same("compare o base.qcow2");
    duel.same("convert -O qcow2 a.raw top.raw both.qcow2");
    duel.same("map --output=json both.qcow2");
}

TEST_CASE("against qemu-img: bench says what it does and refuses the same")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    for (const char* arguments :
         {"-c x a.raw", "-d x a.raw", "-i foo a.raw", "-i native a.raw", "-o x a.raw", "-s x a.raw",
          "-S x a.raw", "-t foo a.raw", "--pattern=256 -w a.raw", "--flush-interval=4 a.raw",
          "--flush-interval=4 -w a.raw", "a.raw b.raw", ""}) {
        duel.same(std::string{"bench "} + arguments);
    }
}

TEST_CASE("against qemu-img: options of the host file are those of all formats")
{
    if (!has_qemu_img()) {
        return;
    }
    const std::string format =
        GENERATE("raw", "qcow2", "qcow", "qed", "vmdk", "vdi", "vpc", "vhdx", "parallels", "bochs");
    Duel duel;
    for (const char* arguments :
         {"create -f FMT -o help", "create -f FMT -o help x", "convert -O FMT -o help a.raw x",
          "create -f FMT -o preallocation=bogus x 3M", "create -f FMT -o preallocation=full x 3M",
          "create -f FMT -o nocow=on,extent_size_hint=1M x 3M", "check x",
          "create -f FMT -o extent_size_hint=much x 3M"}) {
        duel.same(std::regex_replace(std::string{arguments}, std::regex{"FMT"}, format));
    }
}
