// convert and dd against qemu-img: many command lines, right and wrong, on images of many formats.
#include "imgtool/tests/duel.hpp"

using namespace img;
using img::test::Duel;
using img::test::has_qemu_img;

namespace {

/// The same disk in many formats, parts of disks, snapshots, bitmaps, an overlay, and targets that
/// are there already.
constexpr const char* kImages = R"(
head -c 65536 /dev/zero | tr '\0' A > s.raw; head -c 1000 /dev/zero | tr '\0' B > odd.raw
truncate -s 3M z.raw; head -c 4194304 /dev/zero | tr '\0' C > full.raw
qemu-img convert -O qcow2 a.raw a.qcow2; qemu-img convert -O vmdk a.raw a.vmdk
qemu-img convert -O vdi a.raw a.vdi; qemu-img convert -O vpc a.raw a.vpc
qemu-img convert -O vhdx a.raw a.vhdx; qemu-img convert -O qcow a.raw a.qcow
qemu-img convert -O parallels a.raw a.par; qemu-img convert -O qed a.raw a.qed
qemu-img convert -c -O qcow2 a.raw c.qcow2
qemu-img create -q -f qcow2 b.qcow2 4M
qemu-io -c 'write -P 1 0 1M' -c 'write -P 2 2M 100k' -c 'write -z 3M 64k' b.qcow2
qemu-img snapshot -c one b.qcow2; qemu-io -c 'write -P 3 512k 1M' b.qcow2
qemu-img snapshot -c two b.qcow2; qemu-img snapshot -c 1 b.qcow2
qemu-img bitmap --add b.qcow2 x; qemu-img bitmap --add -g 128k --disable b.qcow2 y
qemu-io -c 'write -P 9 1M 64k' b.qcow2
qemu-img create -q -f qcow2 -b b.qcow2 -F qcow2 t.qcow2 5M
qemu-io -c 'write -P 7 64k 64k' -c 'write -z 128k 64k' -c 'write -P 8 4500k 4k' t.qcow2
for i in 1 2 3 5; do qemu-img create -q -f qcow2 n$i.qcow2 4M; done
qemu-img create -q -f raw n.raw 4M; qemu-img create -q -f vmdk n.vmdk 4M
qemu-img create -q -f vdi n.vdi 4M; qemu-img create -q -f vpc n.vpc 4M
qemu-img create -q -f qcow2 small.qcow2 64k
)";

constexpr const char* kConvert[] = {
    "-O qcow2 --bitmaps b.qcow2 o",
    "-O qcow2 --bitmaps -o compat=0.10 b.qcow2 o",
    "-O raw --bitmaps b.qcow2 o",
    "-O vmdk --bitmaps b.qcow2 o",
    "-O qcow2 --bitmaps a.vmdk o",
    "-O qcow2 --bitmaps b.qcow2 t.qcow2 o",
    "-O qcow2 --bitmaps t.qcow2 o",
    "-O qcow2 --bitmaps -B b.qcow2 -F qcow2 t.qcow2 o",
    "-O qcow2 --bitmaps --skip-broken-bitmaps b.qcow2 o",
    "-O qcow2 --bitmaps -l one b.qcow2 o",
    "-O qcow2 --bitmaps -c b.qcow2 o",
    "-W -O qcow2 a.raw o",
    "-W -m 4 -O qcow2 a.raw o",
    "-m 0 -O qcow2 a.raw o",
    "-m 1 -O qcow2 a.raw o",
    "-m x -O qcow2 a.raw o",
    "-m -1 -O qcow2 a.raw o",
    "-W -r 100M -O qcow2 a.raw o",
    "-r 0 -O qcow2 a.raw o",
    "-r -1 a.raw o",
    "-r 10Mx a.raw o",
    "-n --target-is-zero a.raw n.raw",
    "-n -O raw -S 0 z.raw full.raw",
    "-n -O qcow2 a.raw n2.qcow2",
    "-n -O qcow2 --target-is-zero b.qcow2 n3.qcow2",
    "-n -O qcow2 z.raw n3.qcow2",
    "-n -O qcow2 a.raw small.qcow2",
    "-n -O vmdk a.raw n.vmdk",
    "-n -O vdi a.raw n.vdi",
    "-n -O vpc a.raw n.vpc",
    "-n -O vpc -f raw a.raw n.vdi",
    "-n -c -O vdi a.raw n.vdi",
    "-n -B b.qcow2 -F qcow2 t.qcow2 n5.qcow2",
    "-n -O qcow2 -B b.qcow2 -F qcow2 t.qcow2 n5.qcow2",
    "-n -O qcow2 nope n5.qcow2",
    "-n a.raw nope",
    "-n --target-image-opts a.raw driver=qcow2,file.filename=n5.qcow2",
    "-n --target-image-opts a.raw driver=raw,file.filename=nope",
    "-n --target-image-opts a.raw nope=1",
    "-n --target-image-opts -O qcow2 a.raw driver=qcow2,file.filename=n5.qcow2",
    "--image-opts -O qcow2 driver=raw,file.filename=a.raw o",
    "--image-opts -f raw -O qcow2 driver=raw,file.filename=a.raw o",
    "--image-opts -O qcow2 a.raw o",
    "-S 0 -O raw a.raw o",
    "-S 0 -O qcow2 a.raw o",
    "-S 512 -O qcow2 a.raw o",
    "-S 512 -O raw a.raw o",
    "-S 64k -O raw a.raw o",
    "-S 64k -O qcow2 a.raw o",
    "-S 1M -O qcow2 a.raw o",
    "-S 16M -O qcow2 a.raw o",
    "-S 32M -O qcow2 a.raw o",
    "-S x -O qcow2 a.raw o",
    "-S -512 -O qcow2 a.raw o",
    "-S 4095 -O qcow2 a.raw o",
    "-S 0 -c -O qcow2 a.raw o",
    "-S 0 -O vmdk z.raw o",
    "-S 0 -O vdi z.raw o",
    "-S 0 -O vpc z.raw o",
    "-S 0 -B b.qcow2 -F qcow2 -O qcow2 t.qcow2 o",
    "--salvage -O raw a.raw o",
    "--salvage -O qcow2 -c a.raw o",
    "--salvage -C a.raw o",
    "--salvage -O raw a.raw s.raw z.raw o",
    "--salvage -q --image-opts "
    "driver=raw,file.driver=blkdebug,file.image.filename=a.raw,file.inject-error.0.event=none,file."
    "inject-error.0.iotype=read,file.inject-error.0.sector=3 -O raw o",
    "--image-opts "
    "driver=raw,file.driver=blkdebug,file.image.filename=a.raw,file.inject-error.0.event=none,file."
    "inject-error.0.iotype=read,file.inject-error.0.sector=3 -O raw o",
    "--salvage --image-opts "
    "driver=raw,file.driver=blkdebug,file.image.filename=a.raw,file.inject-error.0.event=none,file."
    "inject-error.0.iotype=read,file.inject-error.0.sector=3 -O raw o",
    "a.raw s.raw o",
    "a.raw s.raw odd.raw z.raw o",
    "odd.raw odd.raw odd.raw o",
    "-O qcow2 odd.raw odd.raw odd.raw o",
    "-O qcow2 -c s.raw odd.raw s.raw o",
    "-f raw -O qcow2 s.raw a.qcow2 o",
    "-f qcow2 -O qcow2 s.raw a.qcow2 o",
    "-O qcow2 a.raw a.qcow2 a.vmdk a.vdi a.vpc a.vhdx a.qcow a.par a.qed o",
    "-O vmdk a.qcow2 c.qcow2 z.raw o",
    "-O vdi b.qcow2 t.qcow2 o",
    "-O vpc b.qcow2 z.raw o",
    "-O vhdx b.qcow2 z.raw o",
    "-O parallels b.qcow2 z.raw o",
    "-O qed b.qcow2 z.raw o",
    "-O qcow b.qcow2 z.raw o",
    "a.raw nope o",
    "a.raw a.raw",
    "-O qcow2 b.qcow2 b.qcow2",
    "-B b.qcow2 -F qcow2 -O qcow2 t.qcow2 b.qcow2 o",
    "-B b.qcow2 -F qcow2 -O qcow2 t.qcow2 o",
    "-B nope -F qcow2 -O qcow2 t.qcow2 o",
    "-B b.qcow2 -F foo -O qcow2 t.qcow2 o",
    "-B small.qcow2 -F qcow2 -O qcow2 t.qcow2 o",
    "-o backing_file=b.qcow2,backing_fmt=qcow2 -O qcow2 t.qcow2 o",
    "-o backing_file=b.qcow2 -O qcow2 t.qcow2 o",
    "-l one -O raw b.qcow2 o",
    "-l 1 -O raw b.qcow2 o",
    "-l 2 -O raw b.qcow2 o",
    "-l snapshot.id=1 -O raw b.qcow2 o",
    "-l snapshot.id=2 -O raw b.qcow2 o",
    "-l snapshot.name=two -O raw b.qcow2 o",
    "-l snapshot.id=2,snapshot.name=two -O raw b.qcow2 o",
    "-l snapshot.id=1,snapshot.name=two -O raw b.qcow2 o",
    "-l snapshot.name=nope -O raw b.qcow2 o",
    "-l snapshot. -O raw b.qcow2 o",
    "-l snapshot.id -O raw b.qcow2 o",
    "-l snapshot.id= -O raw b.qcow2 o",
    "-l '' -O raw b.qcow2 o",
    "-l one -O raw t.qcow2 o",
    "-l one -O raw a.vdi o",
    "-l one -l two -O raw b.qcow2 o",
    "-l one -n -O raw b.qcow2 n.raw",
    "-l snapshot.id=1 -O raw b.qcow2 a.raw o",
    "-t none -T none -O raw a.raw o",
    "-t directsync -O raw a.raw o",
    "-T foo -O raw a.raw o",
    "-U -O qcow2 a.raw o",
    "-C -O raw a.raw o",
    "-C -O qcow2 a.raw o",
    "-C -O raw a.qcow2 o",
    "-C -c -O raw a.raw o",
    "-c -O vmdk a.raw o",
    "-c -O vpc -o subformat=fixed a.raw o",
    "-c -O luks a.raw o",
    "-o '' -O qcow2 a.raw o",
    "-o size=1M -O qcow2 a.raw o",
    "-O '' a.raw o",
    "a.raw ''",
    "",
    "-O qcow2",
    "-O bochs a.raw o",
    "-O qcow2 -o cluster_size=1k a.raw o",
    "-O qcow2 -o cluster_size=1000 a.raw o",
    "-O qcow2 -o preallocation=full a.raw o",
    "-O qcow2 -o preallocation=metadata a.raw o",
    "-O raw -o preallocation=full a.raw o",
    "-O raw -o preallocation=falloc z.raw o",
    "-O qcow2 -o data_file=o-d,data_file_raw=on a.raw o",
    "-O qcow2 -o extended_l2=on,cluster_size=32k a.raw o",
    "--foo a.raw o",
};

constexpr const char* kDd[] = {
    "if=a.raw of=o",
    "if=a.raw of=o bs=1",
    "if=a.raw of=o bs=1k count=3",
    "if=a.raw of=o bs=1k count=3 skip=2",
    "if=a.raw of=o bs=1k count=2 skip=3",
    "if=a.raw of=o bs=1000 count=3 skip=1",
    "-O qcow2 if=a.qcow2 of=o bs=333 count=1000",
    "-O vmdk if=a.vdi of=o bs=64k skip=3",
    "-O vdi if=a.vpc of=o bs=1M count=1",
    "-O vpc if=a.raw of=o bs=1M count=1",
    "-O vhdx if=a.raw of=o bs=1M count=1",
    "-O parallels if=a.raw of=o bs=1M count=1",
    "-O qed if=a.raw of=o bs=1M count=1",
    "-O qcow if=a.raw of=o bs=1M count=1",
    "if=a.raw of=o bs=1T",
    "if=a.raw of=o bs=2147483648",
    "if=a.raw of=o bs=2147483647 count=1",
    "if=a.raw of=o bs=-1",
    "if=a.raw of=o count=0",
    "if=a.raw of=o count=-1",
    "if=a.raw of=o skip=-1",
    "if=a.raw of=o skip=x",
    "if=a.raw of=o skip=3026",
    "if=a.raw of=o skip=3027",
    "if=a.raw of=o bs=1M skip=2",
    "if=a.raw of=o bs=1M skip=9223372036854775807",
    "if=a.raw of=o count=9223372036854775807",
    "if=a.raw of=o count=",
    "if=a.raw of=o bs",
    "if=a.raw of=",
    "of=o",
    "-f qcow2 if=a.raw of=o",
    "-f raw if=a.qcow2 of=o bs=1k count=1",
    "-U if=a.raw of=o",
    "--image-opts if=driver=raw,file.filename=a.raw of=o",
    "--image-opts -f raw if=driver=raw,file.filename=a.raw of=o",
    "if=a.raw if=s.raw of=o",
    "-O foo if=a.raw of=o",
    "-O bochs if=a.raw of=o",
    "-q if=a.raw of=o",
    "if=odd.raw of=o bs=600",
};

/// That the outcome, where there is one, is the same disk. Ours leaves none where it failed.
void same_outcome(Duel& duel, const std::string& command)
{
    if (std::filesystem::exists(duel.theirs("o")) && !std::filesystem::exists(duel.ours("o"))) {
        CHECK(test::run("cd " + duel.ours("") + " && ../bin/qemu-img " + command).code == 1);
        std::filesystem::remove(duel.theirs("o"));
    }
    const auto content = [](const std::string& folder) {
        return test::run("cd " + folder +
                         " && { [ ! -e o ] || { qemu-img convert -O raw o o-raw 2>/dev/null && "
                         "sha256sum < o-raw; }; rm -f o o-raw; }");
    };
    CHECK(content(duel.ours("")).output == content(duel.theirs("")).output);
}

} // namespace

TEST_CASE("against qemu-img: convert, in very many ways", "[slow]")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup(std::string{"{ "} + kImages + "} > log 2>&1 || { cat log; exit 1; }");
    for (const char* arguments : kConvert) {
        INFO(arguments);
        duel.same(std::string{"convert "} + arguments);
        same_outcome(duel, std::string{"convert "} + arguments);
    }
    for (const char* image : {"n2.qcow2", "n3.qcow2", "n5.qcow2", "n.vdi", "n.vpc", "n.raw"}) {
        duel.same(std::string{"compare a.raw "} + image);
    }
}

TEST_CASE("against qemu-img: dd, in very many ways", "[slow]")
{
    if (!has_qemu_img()) {
        return;
    }
    Duel duel;
    duel.setup(std::string{"{ "} + kImages + "} > log 2>&1 || { cat log; exit 1; }");
    for (const char* arguments : kDd) {
        INFO(arguments);
        duel.same(std::string{"dd "} + arguments);
        same_outcome(duel, std::string{"dd "} + arguments);
    }
}

TEST_CASE("convert: what the host copies is not looked at for zeroes")
{
    const test::TempDir dir;
    const std::string at = "cd " + (dir / "") + " && ";
    REQUIRE(test::run(at + "head -c 3000000 /dev/zero > r && printf x >> r && sync r").code == 0);
    const std::string imgtool =
        test::run("realpath " + test::tool() + " | tr -d '\\n'").output + " convert -f raw -O raw ";
    for (const std::string how : {"", "-C ", "-S 0 "}) {
        INFO(how);
        REQUIRE(test::run(at + imgtool + how + "r o && truncate -s %512 r && cmp r o").code == 0);
        const auto stored = std::stoull(test::run(at + "stat -c %b o").output) * 512;
        CHECK((stored > 2'900'000) == !how.empty());
    }
    if (test::run("strace --version").code != 0) {
        suite::skip("strace is not installed: not looked at whether the host is asked");
        return;
    }
    const std::string calls =
        test::run(at + "strace -f -e trace=copy_file_range,pwrite64 " + imgtool + "-C r o").output;
    const std::size_t first = calls.find("copy_file_range(");
    REQUIRE(first != std::string::npos);
    CHECK(calls.find("pwrite64(", first) == std::string::npos); // before it: the new file's start
}
