// Names of images against qemu-img: the same output, the same bytes.
#include "imgtool/tests/duel.hpp"

using namespace img;
using img::test::has_qemu_img;
using img::test::TempDir;

namespace {

/// Runs both tools in the same folder.
class Both {
public:
    explicit Both(const TempDir& dir) : dir_{dir}
    {
        REQUIRE(test::run("mkdir " + (dir / "bin") + " && ln -s $(realpath " + test::tool() + ") " +
                          (dir / "bin/qemu-img"))
                    .code == 0);
    }

    void same(const std::string& arguments) const
    {
        INFO("qemu-img " << arguments);
        const auto ours = test::run("cd " + dir_.path() + " && bin/qemu-img " + arguments);
        const auto theirs = test::run("cd " + dir_.path() + " && qemu-img " + arguments);
        CHECK(ours.output == theirs.output);
        CHECK(ours.code == theirs.code);
    }

private:
    const TempDir& dir_;
};

constexpr const char* kSetUp =
    "mkdir files && seq 9 >files/a && qemu-img create -q -f qcow2 a.qcow2 10M && head -c 1M "
    "/dev/urandom > r.raw && "
    "qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 o.qcow2 && "
    "qemu-img create -q -f qcow2 -u -F raw -b 'json:{\"driver\":\"raw\",\"offset\":512,"
    "\"file\":{\"driver\":\"file\",\"filename\":\"r.raw\"}}' j.qcow2 1M";

} // namespace

TEST_CASE("qemu-img: images named by options are shown alike")
{
    if (!has_qemu_img()) {
        return;
    }
    const TempDir dir;
    const Both both{dir};
    REQUIRE(test::run("cd " + dir.path() + " && " + kSetUp).code == 0);
    for (const char* options :
         {"driver=qcow2,file.driver=file,file.filename=a.qcow2", "file.filename=a.qcow2",
          "driver=qcow2,file.filename=a.qcow2,x=3", "driver=qcow2,file.filename=a.qcow2,file.x=3",
          "filename=a.qcow2", "a.qcow2", "driver=qcow2", "driver=foo,file.filename=a.qcow2",
          "driver=raw,offset=512,size=1024,file.filename=r.raw",
          "driver=raw,offset=x,file.filename=r.raw", "driver=null-co,size=1M",
          "driver=qcow2,lazy-refcounts=on,l2-cache-size=1M,file.filename=o.qcow2",
          "driver=qcow2,cache-size=1,l2-cache-size=65536,file.filename=o.qcow2",
          "driver=qcow2,backing.driver=qcow2,file.filename=o.qcow2",
          "driver=qcow2,file.driver=blkdebug,file.image.filename=a.qcow2",
          "driver=raw,file.filename=r.raw,file.locking=off,cache.direct=off,discard=unmap"}) {
        both.same(std::string{"info --image-opts "} + options);
        both.same(std::string{"info --output=json --image-opts "} + options);
    }
    both.same("info -f raw --image-opts driver=qcow2,file.filename=a.qcow2");
    both.same(R"(map --output=json 'json:{"driver":"qcow2","backing":null,)"
              R"("file":{"filename":"o.qcow2"}}')");
    both.same("map --output=json --image-opts driver=qcow2,backing.driver=raw,"
              "backing.file.filename=r.raw,file.filename=o.qcow2");
}

TEST_CASE("qemu-img: json: names and protocols are shown alike")
{
    if (!has_qemu_img()) {
        return;
    }
    const TempDir dir;
    const Both both{dir};
    REQUIRE(test::run("cd " + dir.path() + " && " + kSetUp).code == 0);
    for (const char* name :
         {R"(json:{"driver":"qcow2","file":{"driver":"file","filename":"a.qcow2"}})",
          R"(json:{"file":{"filename":"a.qcow2"}})", R"(json:{)", R"(json:[1])",
          R"(json:{"driver":"raw","size":1024,"file":{"driver":"file","filename":"r.raw"}})",
          R"(json:{"driver":"qcow2","backing":null,"file":{"filename":"o.qcow2"}})",
          R"(json:{"driver":"file","filename":"a.qcow2"})", R"(json:{"driver":"nbd"})",
          "file:a.qcow2", "nbd:127.0.0.1:1", "foo:bar", "null-co://", "blkdebug::a.qcow2",
          "j.qcow2", "fat:files", "fat:floppy:files", "fat:12:/nonexistent"}) {
        both.same("info '" + std::string{name} + "'");
    }
    both.same("info --backing-chain j.qcow2");
    both.same("info --backing-chain --output=json j.qcow2");
    both.same("map --output=json j.qcow2");
}
