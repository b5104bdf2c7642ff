// Disks on servers that the test starts itself: NBD by qemu-nbd, HTTP by a few lines of Python.
#include "imgtool/node/name.hpp"
#include "imgtool/tests/support.hpp"

#include <chrono>
#include <csignal>
#include <thread>
#include <unistd.h>

using namespace img;
using img::test::need;
using img::test::noise;
using img::test::read_all;
using img::test::TempDir;

namespace {

std::string tool()
{
    const char* bin = std::getenv("MENAGERIE_BIN");
    return (bin != nullptr ? std::string{bin} : "build/bin") + "/imgtool";
}

/// A program in the background that has come up when a file is there.
class Server {
public:
    Server(const TempDir& dir, const std::string& command, const std::string& ready_file)
        : pid_file_{dir / "pid"}
    {
        const auto started =
            test::run("(" + command + " >" + (dir / "log") + " 2>&1 & echo $! >" + pid_file_ + ")");
        REQUIRE(started.code == 0);
        for (int i = 0; i < 200 && !std::filesystem::exists(ready_file); ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds{50});
        }
        INFO(test::run("cat " + (dir / "log")).output);
        REQUIRE(std::filesystem::exists(ready_file));
    }
    ~Server() { test::run("kill $(cat " + pid_file_ + ")"); }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

private:
    std::string pid_file_;
};

OpenOptions named(const std::string& name)
{
    OpenOptions options;
    const auto used = node::use_name(options, name);
    if (!used) {
        FAIL(used.error().message);
    }
    return options;
}

std::string nbd_command(const TempDir& dir, const std::string& more)
{
    return "exec qemu-nbd -t -k " + (dir / "s") + " -x disk " + more;
}

std::string nbd_url(const TempDir& dir, const std::string& name = "disk")
{
    return "nbd+unix:///" + name + "?socket=" + (dir / "s");
}

/// Serves the folder on a port of its own, which it writes to "port"; without ranges when asked.
constexpr const char* kHttpServer = R"(
import http.server, os, re, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *args): pass
    def do_GET(self):
        path = '.' + self.path
        if self.path == '/moved':
            self.send_response(302)
            self.send_header('Location', '/r')
            self.send_header('Content-Length', '0')
            return self.end_headers()
        if self.path == '/away':
            self.send_response(302)
            self.send_header('Location', 'file://' + os.getcwd() + '/r')
            self.send_header('Content-Length', '0')
            return self.end_headers()
        if not os.path.exists(path):
            self.send_response(404)
            self.send_header('Content-Length', '0')
            return self.end_headers()
        data = open(path, 'rb').read()
        m = re.fullmatch(r'bytes=(\d+)-(\d+)', self.headers.get('Range', ''))
        if m and 'noranges' not in sys.argv:
            first, last = int(m[1]), min(int(m[2]), len(data) - 1)
            self.send_response(206)
            self.send_header('Content-Range', f'bytes {first}-{last}/{len(data)}')
            body = data[first:last + 1]
        else:
            self.send_response(200)
            body = data
        self.send_header('ETag', '"%d"' % os.stat(path).st_mtime_ns)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
open('port.new', 'w').write(str(server.server_port))
os.rename('port.new', 'port')
server.serve_forever()
)";

std::string http_command(const TempDir& dir, const std::string& more = "")
{
    std::ofstream{dir / "server.py"} << kHttpServer;
    return "cd " + dir.path() + " && exec python3 server.py " + more;
}

std::string http_url(const TempDir& dir, const std::string& name)
{
    std::ifstream file{dir / "port"};
    std::string port;
    file >> port;
    return "http://127.0.0.1:" + port + "/" + name;
}

} // namespace

TEST_CASE("nbd: an export is read, written and zeroed")
{
    if (!test::has_program("qemu-nbd")) {
        return;
    }
    const TempDir dir;
    std::vector<u8> bytes = noise(3 << 20, 1);
    test::write_file(dir / "r", bytes);
    const Server server{dir, nbd_command(dir, "-f raw " + (dir / "r")), dir / "s"};
    OpenOptions options = named(nbd_url(dir));

    auto reader = need(open_chain(options));
    CHECK(reader->layers()[0].path == nbd_url(dir));
    CHECK(read_all(*reader) == bytes);
    CHECK_FALSE(reader->write(0, std::vector<u8>(1)));
    reader.reset();

    options.read_only = false;
    options.format = "raw";
    auto writer = need(open_chain(options));
    const std::vector<u8> some = noise(100000, 2);
    CHECK(writer->write(777, some));
    CHECK(writer->write_zeroes(1 << 20, 1 << 20));
    CHECK(writer->flush());
    std::copy(some.begin(), some.end(), bytes.begin() + 777);
    std::fill_n(bytes.begin() + (1 << 20), 1 << 20, u8{0});
    CHECK(read_all(*writer) == bytes);
    CHECK(read_all(*need(open_disk({.path = dir / "r", .format = "raw", .share = true}))) == bytes);
}

TEST_CASE("nbd: holes are seen, and formats are read over it")
{
    if (!test::has_program("qemu-nbd")) {
        return;
    }
    const TempDir dir;
    test::write_file(dir / "r", noise(65536, 1));
    std::filesystem::resize_file(dir / "r", 10 << 20);
    const Server server{dir, nbd_command(dir, "-f raw " + (dir / "r")), dir / "s"};

    auto disk = need(open_chain(named(nbd_url(dir))));
    const auto data = need(disk->find(0, disk->size(), MapDetail::exact));
    CHECK(data.extent.kind == Extent::Kind::data);
    CHECK(data.extent.length == 65536);
    const auto hole = need(disk->find(65536, disk->size() - 65536, MapDetail::exact));
    CHECK(hole.extent.kind == Extent::Kind::zero);
    CHECK(hole.extent.length == (10 << 20) - 65536);
}

TEST_CASE("nbd: what is wrong with a server is said in qemu-img's words")
{
    if (!test::has_program("qemu-nbd")) {
        return;
    }
    const TempDir dir;
    const auto refusal = [](const std::string& name) {
        const auto chain = open_chain(named(name));
        REQUIRE_FALSE(chain);
        return chain.error().message;
    };
    CHECK(refusal(nbd_url(dir)) ==
          "Failed to connect to '" + (dir / "s") + "': No such file or directory");
    test::write_file(dir / "r", noise(65536, 1));
    const Server server{dir, nbd_command(dir, "-r -f raw " + (dir / "r")), dir / "s"};
    CHECK(refusal(nbd_url(dir, "no")) ==
          "Requested export not available\nserver reported: export 'no' not present");
    OpenOptions options = named(nbd_url(dir));
    options.read_only = false;
    CHECK_FALSE(open_chain(options)); // the export is read-only
}

TEST_CASE("nbd: imgtool converts from one server to another")
{
    if (!test::has_program("qemu-nbd")) {
        return;
    }
    const TempDir from;
    const TempDir to;
    const std::vector<u8> bytes = noise(1 << 20, 5);
    test::write_file(from / "r", bytes);
    test::write_file(to / "r", std::vector<u8>(1 << 20, 9));
    const Server first{from, nbd_command(from, "-f raw " + (from / "r")), from / "s"};
    const Server second{to, nbd_command(to, "-f raw " + (to / "r")), to / "s"};

    const auto done =
        test::run(tool() + " convert -n -O raw '" + nbd_url(from) + "' '" + nbd_url(to) + "'");
    INFO(done.output);
    CHECK(done.code == 0);
    CHECK(read_all(*need(open_disk({.path = to / "r", .format = "raw", .share = true}))) == bytes);
}

TEST_CASE("nbd: a server's smallest and largest requests are obeyed")
{
    if (!test::has_program("nbdkit")) {
        return;
    }
    const TempDir dir;
    std::vector<u8> bytes = noise(3 << 20, 1);
    test::write_file(dir / "r", bytes);
    const Server server{dir,
                        "exec nbdkit -f -U " + (dir / "s") + " --filter=blocksize-policy file " +
                            (dir / "r") +
                            " blocksize-minimum=4096 blocksize-preferred=8192"
                            " blocksize-maximum=65536 blocksize-error-policy=error",
                        dir / "s"};
    OpenOptions options = named(nbd_url(dir, ""));
    options.read_only = false;
    options.format = "raw";

    auto disk = need(open_chain(options));
    CHECK(read_all(*disk) == bytes);
    const std::vector<u8> some = noise(300'001, 2);
    CHECK(disk->write(777, some));
    CHECK(disk->write_zeroes(1'000'001, 1'000'000));
    CHECK(disk->flush());
    std::copy(some.begin(), some.end(), bytes.begin() + 777);
    std::fill_n(bytes.begin() + 1'000'001, 1'000'000, u8{0});
    CHECK(read_all(*disk) == bytes);
    CHECK(read_all(*need(open_disk({.path = dir / "r", .format = "raw", .share = true}))) == bytes);
}

TEST_CASE("nbd: an export of no whole number of blocks is refused")
{
    if (!test::has_program("nbdkit")) {
        return;
    }
    const TempDir dir;
    test::write_file(dir / "r", noise(10'000, 1));
    const Server server{dir,
                        "exec nbdkit -f -U " + (dir / "s") + " --filter=blocksize-policy file " +
                            (dir / "r") + " blocksize-minimum=4096",
                        dir / "s"};

    const auto chain = open_chain(named(nbd_url(dir, "")));

    REQUIRE_FALSE(chain);
    CHECK(chain.error().message == "export size 10000 is not multiple of minimum block size 4096");
}

TEST_CASE("nbd: images are made in an export that is there")
{
    if (!test::has_program("qemu-nbd")) {
        return;
    }
    const TempDir dir;
    const std::vector<u8> bytes = noise(1 << 20, 5);
    test::write_file(dir / "source", bytes);
    for (const std::string format : {"raw", "qcow2", "qed", "vmdk", "vdi", "vpc", "vhdx"}) {
        INFO(format);
        test::write_file(dir / "r", std::vector<u8>(24 << 20, 0xa5));
        const Server server{dir, nbd_command(dir, "-f raw " + (dir / "r")), dir / "s"};
        const auto copied = test::run(tool() + " convert -f raw -O " + format + " " +
                                      (dir / "source") + " '" + nbd_url(dir) + "'");
        CHECK(copied.output == "");
        CHECK(copied.code == 0);
        OpenOptions options = named(nbd_url(dir));
        options.format = format;
        std::vector<u8> there = read_all(*need(open_chain(options)));
        there.resize(bytes.size());
        CHECK(there == bytes);

        const auto made =
            test::run(tool() + " create -q -f " + format + " '" + nbd_url(dir) + "' 2M && " +
                      tool() + " check -q --full -f " + format + " '" + nbd_url(dir) + "'");
        CHECK((made.code == 0 || format == "raw"));
        std::filesystem::remove(dir / "s");
    }
}

TEST_CASE("nbd: an image that does not fit in an export is refused")
{
    if (!test::has_program("qemu-nbd")) {
        return;
    }
    const TempDir dir;
    test::write_file(dir / "r", std::vector<u8>(1 << 20, 0xa5));
    const Server server{dir, nbd_command(dir, "-f raw " + (dir / "r")), dir / "s"};

    const auto raw = test::run(tool() + " create -q -f raw '" + nbd_url(dir) + "' 2M");
    const auto full =
        test::run(tool() + " create -q -f qcow2 -o preallocation=full '" + nbd_url(dir) + "' 2M");

    CHECK(raw.code == 1);
    CHECK(raw.output.ends_with("Cannot grow NBD nodes\n"));
    CHECK(full.code == 1);
    CHECK(full.output.ends_with("No space left on device\n"));
}

TEST_CASE("http: a file is read in ranges, past the cache and through redirections")
{
    if (!test::has_program("python3")) {
        return;
    }
    const TempDir dir;
    const std::vector<u8> bytes = noise(5 << 20, 1);
    test::write_file(dir / "r", bytes);
    const Server server{dir, http_command(dir), dir / "port"};

    auto disk = need(open_chain(named(http_url(dir, "r"))));
    CHECK(disk->read_only());
    CHECK(read_all(*disk) == bytes);
    std::vector<u8> part(1000);
    CHECK(disk->read(300000, part));
    CHECK(part == std::vector<u8>(bytes.begin() + 300000, bytes.begin() + 301000));
    CHECK(read_all(*need(open_chain(named(http_url(dir, "moved"))))) == bytes);
}

TEST_CASE("http: an image there has its backing file beside it, if that is allowed")
{
    if (!test::has_program("python3")) {
        return;
    }
    const TempDir dir;
    const std::vector<u8> bytes = noise(65536, 1);
    test::write_file(dir / "base", bytes);
    REQUIRE(create_qcow2(dir / "o", {.backing_file = "base", .backing_format = "raw"}));
    const Server server{dir, http_command(dir), dir / "port"};
    OpenOptions options = named(http_url(dir, "o"));

    CHECK_FALSE(open_chain(options));
    options.backing.nodes = true;
    CHECK(read_all(*need(open_chain(options))) == bytes);
}

TEST_CASE("http: missing files, other protocols and servers without ranges are errors")
{
    if (!test::has_program("python3")) {
        return;
    }
    const TempDir dir;
    test::write_file(dir / "r", noise(65536, 1));
    const auto refusal = [](const std::string& name) {
        const auto chain = open_chain(named(name));
        REQUIRE_FALSE(chain);
        return chain.error().message;
    };
    {
        const Server server{dir, http_command(dir), dir / "port"};
        CHECK(refusal(http_url(dir, "missing")) == "The requested URL returned error: 404");
        CHECK_FALSE(refusal(http_url(dir, "away")).empty()); // to file://
    }
    std::filesystem::remove(dir / "port");
    const Server server{dir, http_command(dir, "noranges"), dir / "port"};
    CHECK(refusal(http_url(dir, "r")) == "Server does not support 'range' (byte ranges).");
}

TEST_CASE("http: a file that changes while it is read is an error, not a mixture")
{
    if (!test::has_program("python3")) {
        return;
    }
    const TempDir dir;
    test::write_file(dir / "r", noise(1 << 20, 1));
    const Server server{dir, http_command(dir), dir / "port"};
    auto disk = need(open_chain(named(http_url(dir, "r"))));
    std::vector<u8> part(512);
    REQUIRE(disk->read(0, part));

    test::write_file(dir / "r", noise(1 << 20, 2));
    const auto done = disk->read(700000, part);
    REQUIRE_FALSE(done);
    CHECK(done.error().message == "'" + http_url(dir, "r") + "' changed on the server");
}
