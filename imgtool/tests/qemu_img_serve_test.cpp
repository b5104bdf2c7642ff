// imgtool serve against the clients of QEMU and libnbd, where they are installed.
#include "imgtool/tests/duel.hpp"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <thread>

using namespace img;
using img::test::Outcome;
using img::test::run;
using img::test::TempDir;
using img::test::tool;

namespace {

bool wait_until(const std::function<bool()>& reached)
{
    for (int i = 0; i < 1000; ++i) {
        if (reached()) {
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{20});
    }
    return false;
}

/// A folder with a server for one of its images.
class Serving {
public:
    /// In the folder, before the server is started.
    explicit Serving(const std::string& setup) { here(setup); }
    ~Serving() { stop(SIGTERM); }

    void start(const std::string& arguments)
    {
        const auto started = run("cd " + folder_.path() + " && $(realpath -s " +
                                 std::filesystem::absolute(tool()).string() +
                                 ") serve --fork --pid-file pid " + arguments);
        INFO(started.output);
        REQUIRE(started.code == 0);
        announced_ = started.output;
        std::ifstream{folder_ / "pid"} >> pid_;
        REQUIRE(pid_ > 0);
    }
    /// Returns when the process has ended.
    void stop(int signal)
    {
        if (pid_ > 0) {
            ::kill(pid_, signal);
            CHECK(ended());
        }
        pid_ = 0;
    }
    /// Whether the process ends. It may stay a zombie for a while where nobody cares for orphans.
    bool ended()
    {
        return wait_until([&] {
            std::ifstream file{"/proc/" + std::to_string(pid_) + "/stat"};
            std::string id, name, state;
            return !(file >> id >> name >> state) || state == "Z" || state == "X";
        });
    }
    void forget() { pid_ = 0; }
    int pid() const { return pid_; }

    /// Runs a command in the folder. $U is the server's URL.
    Outcome try_here(const std::string& command) const
    {
        return run("cd " + folder_.path() + " || exit 9\nU='nbd+unix:///?socket=" + folder_.path() +
                   "/s'\nT=" + std::filesystem::absolute(tool()).string() + "\n" + command);
    }
    std::string here(const std::string& command) const
    {
        const auto done = try_here(command);
        INFO(command << "\n" << done.output);
        CHECK(done.code == 0);
        return done.output;
    }
    bool has_file(const std::string& name) const { return std::filesystem::exists(folder_ / name); }
    const std::string& announced() const { return announced_; }
    std::string path() const { return folder_.path(); }

private:
    TempDir folder_;
    std::string announced_;
    int pid_ = 0;
};

/// 8 MiB with data here and there.
const std::string kMakeImage = "qemu-img create -q -f qcow2 a.qcow2 8M && "
                               "qemu-io -c 'write -P 3 1M 1M' -c 'write -z 3M 1M' -c 'write -P 9 "
                               "5000000 5000' a.qcow2 >/dev/null";

/// A client of one version of TLS; says which version it got.
const std::string kTlsClient = R"('
import socket, ssl, sys, warnings
warnings.simplefilter("ignore")
link = socket.socket(socket.AF_UNIX)
link.connect("s")
link.recv(18, socket.MSG_WAITALL)
link.sendall(b"\0\0\0\3" + b"IHAVEOPT" + b"\0\0\0\5" + b"\0\0\0\0")
link.recv(20, socket.MSG_WAITALL)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.set_ciphers("ALL:@SECLEVEL=0")
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, sys.argv[1])
try:
    print(context.wrap_socket(link).version())
except (ssl.SSLError, ConnectionError):
    print("refused")
')";

} // namespace

TEST_CASE("serve: qemu-img reads the image over NBD as it is in the file")
{
    if (!test::has_qemu_img() || !test::has_program("qemu-io")) {
        return;
    }
    Serving server{kMakeImage};
    server.start("-k s a.qcow2");
    CHECK(server.announced() == "Serving 'a.qcow2' (8388608 bytes, read-only) at "
                                "nbd+unix:///?socket=" +
                                    server.path() + "/s\n");
    server.here("qemu-img compare -f raw -F qcow2 $U a.qcow2");
    server.here("qemu-img convert -f raw -O qcow2 $U b.qcow2 && qemu-img compare a.qcow2 b.qcow2");
    server.here("$T convert -f raw -O raw $U c.raw && qemu-img compare -F raw a.qcow2 c.raw");
    CHECK(server.here("qemu-img info -f raw $U").find("8 MiB (8388608 bytes)") !=
          std::string::npos);
    // The same holes and data, wherever they are stored.
    const std::string rows = "| grep -o '\"start\": [0-9]*, \"length\": [0-9]*\\|\"data\": [a-z]*'";
    CHECK(server.here("qemu-img map --output=json -f raw $U " + rows) ==
          "\"start\": 0, \"length\": 1048576\n\"data\": false\n"
          "\"start\": 1048576, \"length\": 1048576\n\"data\": true\n"
          "\"start\": 2097152, \"length\": 2883584\n\"data\": false\n"
          "\"start\": 4980736, \"length\": 65536\n\"data\": true\n"
          "\"start\": 5046272, \"length\": 3342336\n\"data\": false\n");
    CHECK(server.try_here("qemu-io -f raw -c 'write 0 512' $U").code != 0);
    server.stop(SIGTERM);
    CHECK_FALSE(server.has_file("s"));
    CHECK_FALSE(server.has_file("pid"));
}

TEST_CASE("serve: qemu-io writes over NBD, and the image is whole")
{
    if (!test::has_qemu_img() || !test::has_program("qemu-io")) {
        return;
    }
    for (const std::string format : {"qcow2", "raw"}) {
        INFO(format);
        Serving server{"qemu-img create -q -f " + format + " a 16M"};
        server.start("-q --writable -k s -f " + format + " a");
        CHECK(server.announced().empty());
        const auto out = server.here(
            "qemu-io -f raw -c 'write -P 7 0 10M' -c 'write -z 1M 1M' -c 'write -zu 3M 1M' -c "
            "'discard 5M 1M' -c 'write -f -P 8 6M 100' -c 'read -P 7 0 1M' -c 'read -P 0 1M 1M' -c "
            "'read -P 0 3M 1M' -c 'read -P 8 6M 100' -c flush $U");
        CHECK(out.find("failed") == std::string::npos);
        server.stop(SIGINT);
        const auto after = server.here(
            "qemu-io -f " + format +
            " -c 'read -P 7 0 1M' -c 'read -P 0 1M 1M' -c 'read -P 7 2M 1M' -c 'read -P 0 3M 1M' "
            "-c 'read -P 8 6M 100' -c 'read -P 7 9M 1M' -c 'read -P 0 10M 6M' a");
        CHECK(after.find("failed") == std::string::npos);
        if (format == "qcow2") {
            server.here("qemu-img check a");
        }
    }
}

TEST_CASE("serve: libnbd's programs see what the server offers, and copy both ways")
{
    if (!test::has_qemu_img() || !test::has_program("qemu-io") || !test::has_program("nbdinfo") ||
        !test::has_program("nbdcopy")) {
        return;
    }
    Serving server{kMakeImage + " && qemu-img create -q -f qcow2 b.qcow2 8M"};
    server.start("-k s --export-name disk --description 'a test' a.qcow2");
    const std::string named = "\"nbd+unix:///disk?socket=$PWD/s\"";
    const auto info = server.here("nbdinfo --list " + named);
    for (const std::string line :
         {"newstyle-fixed without TLS", "export=\"disk\"", "description: a test",
          "export-size: 8388608", "base:allocation", "is_read_only: true", "can_multi_conn: true",
          "block_size_maximum: 33554432"}) {
        INFO(line << "\n" << info);
        CHECK(info.find(line) != std::string::npos);
    }
    CHECK(server.try_here("nbdinfo $U").code != 0); // another name
    server.here("nbdcopy " + named + " o.raw && qemu-img compare -F raw a.qcow2 o.raw");
    server.stop(SIGTERM);

    server.start("--writable -f qcow2 -k s b.qcow2");
    server.here("nbdcopy --flush o.raw $U && nbdcopy $U - | cmp - o.raw");
    server.stop(SIGTERM);
    server.here("qemu-img compare a.qcow2 b.qcow2 && qemu-img check b.qcow2");
}

TEST_CASE("serve: two clients write at once")
{
    if (!test::has_qemu_img() || !test::has_program("qemu-io")) {
        return;
    }
    Serving server{"qemu-img create -q -f qcow2 -o cluster_size=4k a.qcow2 16M"};
    server.start("--writable -f qcow2 -k s a.qcow2");
    std::string first = "qemu-io -f raw";
    std::string second = "qemu-io -f raw";
    for (int i = 0; i < 64; ++i) {
        const std::string at = std::to_string(i * 256);
        first += " -c 'write -P 1 " + at + "k 100k'";
        second += " -c 'write -P 2 " + std::to_string(i * 256 + 100) + "k 100k'";
    }
    server.here(first + " $U >one & " + second + " $U >two & wait; ! grep -i fail one two");
    server.stop(SIGTERM);
    std::string reads = "qemu-io -r";
    for (int i = 0; i < 64; ++i) {
        reads += " -c 'read -P 1 " + std::to_string(i * 256) + "k 100k' -c 'read -P 2 " +
                 std::to_string(i * 256 + 100) + "k 100k'";
    }
    CHECK(server.here(reads + " a.qcow2").find("failed") == std::string::npos);
    server.here("qemu-img check a.qcow2");
}

TEST_CASE("serve: a server that is killed leaves the image whole, with what was flushed")
{
    if (!test::has_qemu_img() || !test::has_program("qemu-io")) {
        return;
    }
    for (const std::string format : {"qcow2", "vdi", "vpc"}) {
        INFO(format);
        Serving server{"qemu-img create -q -f " + format + " a 64M"};
        server.start("--writable -k s -f " + format + " a");
        server.here("qemu-io -f raw -c 'write -P 5 1M 1M' -c flush $U");
        server.here("(seq 0 899 | awk '{print \"write -q -P 6 \" 2048 + $1 * 64 \"k 70k\"}' | "
                    "qemu-io -f raw $U >/dev/null 2>&1; touch over) & "
                    "while [ $(stat -c %s a) -lt 3500000 ]; do :; done; kill -9 " +
                    std::to_string(server.pid()) + "; wait; test -e over");
        CHECK(server.ended());
        const int code = server.try_here("$T check -f " + format + " a").code;
        CHECK((code == 0 || code == 3 || code == 63)); // 3: leaks; 63: nothing to check
        server.forget();
        // Another server takes the place of the dead one's socket.
        server.start("-k s -f " + format + " a");
        CHECK(server.here("qemu-io -r -f raw -c 'read -P 5 1M 1M' -c 'read 2M 30M' $U")
                  .find("failed") == std::string::npos);
    }
}

TEST_CASE("serve: a client that is killed leaves the server for others")
{
    if (!test::has_qemu_img() || !test::has_program("qemu-io")) {
        return;
    }
    Serving server{"qemu-img create -q -f qcow2 a.qcow2 64M"};
    server.start("--writable -f qcow2 --max-clients 1 -k s a.qcow2");
    server.here(
        "for i in 1 2 3; do qemu-img bench -w -f raw -c 100000 -d 16 -s 1M $U >/dev/null 2>&1 "
        "& sleep 0.2; kill -9 $!; wait; done");
    server.here("qemu-io -f raw -c 'write -P 4 0 1M' -c 'read -P 4 0 1M' $U");
    server.stop(SIGTERM);
    server.here("qemu-img check a.qcow2");
}

TEST_CASE("serve: --once ends with its client, and writers keep others out")
{
    if (!test::has_qemu_img() || !test::has_program("qemu-io")) {
        return;
    }
    Serving server{"qemu-img create -q -f qcow2 a.qcow2 1M"};
    server.start("--writable -f qcow2 --once -k s a.qcow2");
    const auto second = server.try_here("$T serve --fork --writable -f qcow2 -k s2 a.qcow2");
    CHECK(second.code == 1);
    CHECK(second.output.find("lock") != std::string::npos);
    CHECK_FALSE(server.has_file("s2"));
    server.here("qemu-io -f raw -c 'write -P 4 0 64k' $U");
    CHECK(server.ended());
    server.forget();
    CHECK_FALSE(server.has_file("s"));
    server.here("qemu-io -c 'read -P 4 0 64k' a.qcow2");
}

TEST_CASE("serve: TLS, with and without certificates of clients")
{
    if (!test::has_qemu_img() || !test::has_program("openssl") || !test::has_program("nbdinfo") ||
        !test::has_program("qemu-io")) {
        return;
    }
    const std::string key = " -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes ";
    Serving server{
        kMakeImage + " && mkdir tls other && cd tls && openssl req -x509" + key +
        "-keyout ca-key.pem -out ca-cert.pem -days 2 -subj /CN=test "
        "-addext keyUsage=critical,keyCertSign && for w in server client; do openssl req" +
        key +
        "-keyout $w-key.pem -out $w.csr -subj /CN=localhost && "
        "printf 'subjectAltName=DNS:localhost\\nextendedKeyUsage=%sAuth\\n' $w >$w.ext && "
        "openssl x509 -req -in $w.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -days 2 "
        "-extfile $w.ext -out $w-cert.pem; done && cp server-*.pem ../other && "
        "mkdir ../no_client && cp ca-cert.pem ../no_client"};
    const std::string secure = "\"nbds+unix://localhost/?socket=$PWD/s&tls-certificates=$PWD/";

    server.start("-k s --tls-certs tls a.qcow2"); // with ca-cert.pem
    CHECK(server.here("nbdinfo " + secure + "tls\"").find("with TLS") != std::string::npos);
    CHECK(server.try_here("nbdinfo " + secure + "no_client\"").code != 0);
    CHECK(server.try_here("nbdinfo $U").code != 0);
    CHECK(server.try_here("nbdinfo --list $U").code != 0);
    server.here("qemu-img compare --object tls-creds-x509,id=t,dir=tls,endpoint=client "
                "--image-opts driver=nbd,path=s,tls-creds=t,tls-hostname=localhost "
                "driver=qcow2,file.filename=a.qcow2");
    server.stop(SIGTERM);

    server.start("-k s --tls-certs other a.qcow2"); // without
    CHECK(server.here("nbdinfo " + secure + "no_client\"").find("with TLS") != std::string::npos);
    CHECK(server.here("nbdinfo $U").find("without TLS") != std::string::npos);
    server.stop(SIGTERM);

    server.start("-k s --tls-certs other --tls-required a.qcow2");
    CHECK(server.here("nbdinfo " + secure + "no_client\"").find("with TLS") != std::string::npos);
    CHECK(server.try_here("nbdinfo $U").code != 0);
    if (test::has_program("python3")) {
        const std::string client = "printf '%s' " + kTlsClient + " | python3 - ";
        CHECK(server.try_here(client + "TLSv1_2").output == "TLSv1.2\n");
        CHECK(server.try_here(client + "TLSv1_3").output == "TLSv1.3\n");
        CHECK(server.try_here(client + "TLSv1_1").output == "refused\n");
    }
    server.stop(SIGTERM);

    server.start("-k s a.qcow2"); // no TLS at all
    CHECK(server.try_here("nbdinfo " + secure + "tls\"").code != 0);
}

TEST_CASE("serve: what is wrong with the command line is said")
{
    const auto refused = [](const std::string& arguments) {
        const auto done = run(tool() + " serve " + arguments);
        CHECK(done.code == 1);
        return done.output;
    };
    TempDir folder;
    test::write_file(folder / "a", std::vector<test::u8>(4096));
    const std::string image = " -f raw " + (folder / "a");
    CHECK(refused("") == "imgtool: Expecting one image file name\n"
                         "Try 'imgtool --help' for more information\n");
    CHECK(refused("nope") == "imgtool: Could not open 'nope': Could not open 'nope': No such file "
                             "or directory\n");
    CHECK(refused("--fork nope").find("No such file or directory") != std::string::npos);
    CHECK(refused("--port 70000" + image) ==
          "imgtool: The port must be a number from 0 to 65535\n");
    CHECK(refused("--port 1x" + image) == "imgtool: The port must be a number from 0 to 65535\n");
    CHECK(refused("-e 0" + image) == "imgtool: --max-clients must be a number from 1 to 1024\n");
    CHECK(refused("-k s --port 1" + image) ==
          "imgtool: --socket cannot be used together with --port or --bind\n");
    CHECK(refused("--tls-required" + image) == "imgtool: --tls-required needs --tls-certs\n");
    CHECK(refused("--tls-certs /nonexistent" + image) ==
          "imgtool: cannot read '/nonexistent/server-cert.pem': No such file or directory\n");
    CHECK(refused("-k /nonexistent/s" + image) ==
          "imgtool: Failed to listen on '/nonexistent/s': No such file or directory\n");
    CHECK(refused("--pid-file /nonexistent/p -k " + (folder / "s") + image) ==
          "imgtool: cannot create PID file '/nonexistent/p': No such file or directory\n");
    CHECK(refused("-x " + std::string(4097, 'x') + image) ==
          "imgtool: The export's name is longer than 4096 bytes\n");
    CHECK(run(tool() + " serve --help").output.find("Examples:") != std::string::npos);
}
