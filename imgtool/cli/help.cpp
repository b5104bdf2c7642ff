// The help pages: all commands at once, or one with its options, examples and exit codes.
#include "imgtool/cli/help.hpp"

#include "base/output.hpp"
#include "imgtool/cli/command.hpp"
#include "imgtool/formats/all.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>

namespace img::cli {

namespace {

constexpr const char* kVersion = "0.1.0";

struct Page {
    std::string_view command;
    std::string_view about;
    std::string_view options;  // of its own
    std::string_view common;   // which of kCommonLines it has too
    std::string_view examples; // after the program's name, one a line; the first is for all
    std::string_view exits = "0, or 1 when something went wrong";
};

struct CommonLine {
    char key;
    std::string_view text;
};

constexpr std::array kCommonLines{
    CommonLine{'f', "  -f, --format fmt       the image's format; it is looked at when not given"},
    CommonLine{'F', "  -f fmt                 the image's format; it is looked at when not given"},
    CommonLine{'t',
               "  -t, --cache cache      cache mode of what is written: writeback, unsafe, ..."},
    CommonLine{'T', "  -T, --cache cache      cache mode of what is read"},
    CommonLine{'j', "      --output ofmt      human or json"},
    CommonLine{'i', "      --image-opts       the image's name is a list of options: driver=...,"
                    "file.filename=..."},
    CommonLine{'o',
               "      --object objdef    a secret: secret,id=s,file=path or secret,id=s,data=..."},
    CommonLine{'U', "  -U, --force-share      take no lock"},
    CommonLine{'q', "  -q, --quiet            say nothing but errors"},
    CommonLine{'p', "  -p, --progress         show progress"},
};

constexpr std::string_view kInsidePath =
    R"(  [N:]path               a file or folder; N: is the number of the partition it is on, 0 the whole
                         disk. Without N the whole disk's file system is meant, or the only
                         partition that has one)";

constexpr std::array kPages{
    Page{"amend", "Changes options of an image, as far as its format can.",
         R"(  -o, --options options  name=value,...; -o help lists them
      --force            also what may lose access to the data)",
         "ftioqp", "amend -o compat=1.1 disk.qcow2"},
    Page{"bench", "Reads, or writes, again and again and tells how long it took.",
         R"(  -c, --count count      requests (75000)
  -d, --depth depth      at a time (64)
  -o, --offset offset    where the first one is (0)
  -s, --buffer-size size bytes of each (4096)
  -S, --step-size step   bytes from one to the next (size)
  -w, --write            write
      --pattern n        byte to write (0)
      --flush-interval n flush after so many writes
      --no-drain         do not wait for other requests before flushing
  -i, --aio aio; -n, --native
                         taken and without effect)",
         "ftioUq", "bench -c 100000 disk.qcow2\nbench -w --flush-interval=64 scratch.qcow2"},
    Page{"bitmap", "Changes the persistent dirty bitmaps of an image.",
         R"(      --add, --remove, --clear, --enable, --disable
                         what to do with the bitmap; in the order given
      --merge source     take over what is set in that bitmap
  -b, --source-file source_file  the image that has it, if it is another
  -F, --source-format source_fmt  the format of that
  -g, --granularity granularity  bytes for each bit of a new bitmap)",
         "fio", "bitmap --add -g 64k disk.qcow2 backup"},
    Page{"cat", "Writes a file that is on a disk to the standard output.", kInsidePath, "fioU",
         "cat disk.qcow2 1:/etc/fstab\ncat install.iso /boot/grub/grub.cfg"},
    Page{"check", "Looks for errors in an image's own tables; its content is not looked at.",
         R"(  -r, --repair what      leaks: give back lost clusters; all: put right all that can be
      --full             also formats that qemu-img does not check)",
         "fTjioUq", "check disk.qcow2\ncheck -r leaks disk.qcow2\ncheck --full disk.vdi",
         "0: no errors, 1: not checked, 2: corruption, 3: only leaked space, 63: the format has no "
         "check"},
    Page{"commit", "Writes what an overlay has into its backing file and empties the overlay.",
         R"(  -b, --base base        into this file of the chain (the next one)
  -d, --drop             leave the overlay as it is
  -r, --rate rate        bytes a second, at most)",
         "ftioqp", "commit overlay.qcow2\ncommit -b base.qcow2 -p overlay.qcow2"},
    Page{"compare", "Tells whether two disks have the same content, whatever their formats.",
         R"(  -f, --a-format fmt, -F, --b-format fmt
                         the formats of the first and the second image; they are looked at when not
                         given
  -s, --strict           sizes and what is allocated must be the same too)",
         "TioUqp", "compare disk.raw disk.qcow2",
         "0: the same, 1: different, 2: could not be opened, 3: its map could not be read, 4: "
         "could not be read"},
    Page{"convert", "Copies disks, one after the other, into an image of another format.",
         R"(  -f, --source-format fmt  the format of the sources; they are looked at when not given
      --source-image-opts    short for --image-opts, which is of the sources
  -t, --target-cache, -T, --source-cache cache
                         cache modes of what is written and what is read
  -O, --target-format fmt  the format to write (raw)
  -o, --target-options options  for making the image: name=value,...; -o help lists them
  -B, --backing file     make an overlay of this backing file, which has what it has
  -F, --backing-format fmt  the format of that
  -c, --compress         compress
  -S, --sparse-size size leave out runs of that many zero bytes (4k); 0: write all
  -n, --no-create        the target is there already
      --target-is-zero   and reads as zero
      --target-image-opts    the target's name is a list of options
  -l, --source-snapshot snapshot  copy this internal snapshot: its ID or name, or snapshot.id=...
      --bitmaps          copy persistent bitmaps too
      --skip-broken-bitmaps  but not those that are inconsistent
      --salvage          go on where the source cannot be read
      --reproducible     the same input always gives the same bytes
  -m, --parallel n       at most so many threads
  -r, --rate rate        bytes a second, at most
  -C, --copy-range-offloading  let the host copy from file to file (to raw; so does -S 0): blocks
                         are shared where the file system can, and zeroes are not looked for
  -W, --oob-writes       taken and without effect)",
         "ioUqp",
         "convert -O qcow2 disk.raw disk.qcow2\n"
         "convert -c -O qcow2 -o compression_type=zstd disk.raw disk.qcow2\n"
         "convert -O raw -l before disk.qcow2 before.raw"},
    Page{"create", "Makes an empty image, or an overlay of another.",
         R"(  -f, --format fmt       the format to make (raw)
  -o, --options options  name=value,...; -o help lists them
  -b, --backing file     its backing file; the size is that one's when not given
  -F, --backing-format fmt  the format of that
  -u, --backing-unsafe   do not look at the backing file)",
         "oq",
         "create -f qcow2 disk.qcow2 10G\n"
         "create -f qcow2 -b base.qcow2 -F qcow2 overlay.qcow2\n"
         "create -f vmdk -o help"},
    Page{"dd", "Copies a part of a disk into a new image.",
         R"(  -O, --output-format fmt  the format to write (raw)
  if=file, of=file       from, to
  bs=size                bytes of a block (512)
  count=n, skip=n        blocks to copy (all), and to leave out before)",
         "fioU", "dd -O qcow2 bs=1M count=100 if=disk.raw of=start.qcow2"},
    Page{
        "diff",
        "Prints where the second disk is not as the first: offset, length, and whether the second "
        "has\n"
        "data or zeroes there. What only one of them has, being longer, differs.",
        R"(  -f fmt, -F fmt         the formats of the first and the second image; they are looked at when not
                         given
  -o delta               write a delta file instead, with which 'patch' makes the second disk from
                         the first
      --json             short for --output=json)",
        "jioUqp",
        "diff monday.qcow2 tuesday.qcow2\n"
        "diff --output=json -f raw -F qcow2 disk.raw disk.qcow2\n"
        "diff -o day.delta monday.qcow2 tuesday.qcow2",
        "0: the same, 1: different, 2: something went wrong"},
    Page{"extract",
         "Copies a file or a folder with all that is in it out of a disk. When the destination is "
         "a folder\n"
         "that is there, it is copied into that, under its own name; of '/' and of 'folder/.' all "
         "that is in\n"
         "it is. Folders that are there are added to; nothing that is there is replaced.\n"
         "Links are made as they are and never followed; devices, pipes and sockets are left out "
         "with a\n"
         "message. Modes and times are kept, owners and set-user-ID bits are not.",
         kInsidePath, "fioUqp", "extract disk.qcow2 1:/etc etc-of-disk\nextract floppy.img / files",
         "0: all was copied, 1: something could not be or was left out"},
    Page{
        "hash",
        "Prints a digest of what is on the disk: the same for the same content, whatever the "
        "image's\n"
        "format, cluster size, compression or holes. Holes take no time.",
        R"(      --algorithm name   sha256 (when not given), sha384 or sha512; with --flat also sha1, md5, ...
      --block-size size  cut the disk into blocks of this size: 4k to 16M, 1M when not given. Digests
                         with different block sizes are different
      --tree             print the digest of each block too (offset, length, digest; runs of zero
                         blocks as one line)
      --flat             the plain digest of all bytes: what sha256sum says of the raw image
      --json             short for --output=json)",
        "fjioUp",
        "hash disk.qcow2\n"
        "hash before.vmdk after.vhdx\n"
        "hash --tree --block-size=64k --output=json disk.qcow2\n"
        "hash --flat disk.qcow2"},
    Page{"help", "Tells how the program is called, or a command.",
         "  command                the one to tell of; all when not given", "",
         "help convert\nhelp"},
    Page{"info", "Tells an image's format, size, backing file and snapshots.",
         R"(  -b, --backing-chain    and those of its backing files)", "fjioU",
         "info --backing-chain overlay.qcow2\ninfo --output=json disk.qcow2"},
    Page{
        "ls",
        "Lists the partitions of a disk, or the files of a folder on it. A disk that is one file "
        "system,\n"
        "without partitions, has its top folder listed.\n\n"
        "File systems: ISO 9660 with Joliet and Rock Ridge; FAT12, FAT16, FAT32; ext2, ext3, ext4 "
        "(the\n"
        "journal is not replayed). Nothing is mounted, and nothing on the image is changed.",
        R"(  -l                     kind, mode, owner, size and time too; of a CD also what it can be started
                         with
  -R, --recursive        folders in the folder too
      --json             short for --output=json
  [N:]path               a file or folder; N: is the number of the partition it is on, 0 the whole
                         disk. Without N the whole disk's file system is meant, or the only
                         partition that has one)",
        "fjioU", "ls disk.qcow2\nls -l disk.qcow2 1:/etc\nls -R --output=json install.iso /"},
    Page{"map", "Tells which parts of a disk are data and where in which file they are.",
         R"(  -s, --start-offset n   from here on
  -l, --max-length n     for so many bytes)",
         "fjioU", "map --output=json disk.qcow2"},
    Page{"measure", "Tells how long the file of a new image would be.",
         R"(  -O, --target-format fmt  the format of that image (raw)
  -o, --options options  as it would be made
  -s, --size n           of an empty disk of that size, not of an image's content
  -l, --snapshot snapshot  of an internal snapshot: its ID or name, or snapshot.id=...)",
         "fjioU", "measure -O qcow2 disk.raw\nmeasure -O qcow2 --size 10G"},
    Page{"patch",
         "Makes the disk that a delta file (of 'diff -o') leads to. The image must hold just the "
         "disk that\n"
         "the delta was made from, in whatever format; that is checked first, and the outcome is "
         "checked too.",
         R"(  -o output_filename     make a new image; it appears when it is complete, or not at all
  -O fmt                 its format; the first image's when it is not given
      --in-place         change the image itself, once it has been found to be the right one. If that
                         is interrupted, the image is neither the old disk nor the new)",
         "FioUqp",
         "patch -o tuesday.qcow2 monday.qcow2 day.delta\n"
         "patch -o tuesday.vmdk -O vmdk monday.raw day.delta\n"
         "patch --in-place monday.qcow2 day.delta"},
    Page{"rebase", "Gives an overlay another backing file; what is read stays the same.",
         R"(  -b, --backing file     the new backing file; '' for none
  -F, --backing-format fmt  the format of that
  -u, --backing-unsafe   only change the name: what is read changes with it
  -c, --compress         what is copied, where that makes it smaller
  -T, --backing-cache cache  cache mode of what is read)",
         "ftioUqp", "rebase -b new-base.qcow2 -F qcow2 overlay.qcow2\nrebase -b '' overlay.qcow2"},
    Page{"resize", "Makes a disk longer or shorter.",
         R"(      --shrink           yes, give up what is behind the new end
      --preallocation how    of what is added: off, metadata, falloc, full)",
         "fioq", "resize disk.qcow2 +10G\nresize --shrink disk.qcow2 5G"},
    Page{"serve", "Offers an image over NBD (fixed newstyle), read-only, until it is interrupted.",
         R"(  -k, --socket path      listen on a unix socket
      --port port        listen on TCP (10809; 0 takes any that is free)
  -b, --bind address     of TCP (127.0.0.1)
      --writable         clients may write
  -r, --read-only        they may not (as when nothing is said)
  -x, --export-name name      what clients must ask for (nothing)
  -D, --description text      told to clients that ask
  -e, --max-clients n    at once (16); others wait
  -t, --persistent       until it is interrupted (as when nothing is said)
      --once             until the last client has left
      --fork             in the background; returns when clients can connect
      --pid-file path    holds the server's process ID while it runs
      --tls-certs dir    with server-cert.pem and server-key.pem. When ca-cert.pem is
                         there, clients need a certificate signed with it, and TLS
      --tls-required     nobody is served without TLS)",
         "fioUq",
         "serve --socket /tmp/disk.sock disk.qcow2\n"
         "serve --writable -f raw --once --fork -k /tmp/disk.sock disk.raw\n"
         "serve --bind 0.0.0.0 --port 10809 --tls-certs /etc/pki/qemu --tls-required d.vmdk"},
    Page{"snapshot", "Lists, takes, restores and deletes snapshots inside an image.",
         R"(  -l, --list             list them (as when nothing is said)
  -c, --create name      take one
  -a, --apply snapshot   make the disk what it was then
  -d, --delete snapshot  delete it)",
         "fioUq", "snapshot -c before disk.qcow2\nsnapshot -l disk.qcow2"},
};

void print_examples(std::string_view lines)
{
    while (!lines.empty()) {
        const std::size_t end = std::min(lines.find('\n'), lines.size());
        base::print("  {} {}\n", program_name(), lines.substr(0, end));
        lines.remove_prefix(std::min(end + 1, lines.size()));
    }
}

} // namespace

void print_version()
{
    // Callers of "qemu-img" look for its version, to know what options it has.
    base::print("{} version {} (Menagerie imgtool {})\n", program_name(),
                has_later_members() ? kVersion : kQemuImgVersion, kVersion);
}

void print_help()
{
    print_version();
    base::print("usage: {0} [standard options] command [command options]\n"
                "Disk image utility\n\n"
                "    '-h', '--help'       display this help and exit\n"
                "    '-V', '--version'    output version information and exit\n"
                "    '-T', '--trace'      taken for qemu-img's sake; there are no trace events\n\n"
                "Command syntax ('{0} command --help' tells what the options mean):\n",
                program_name());
    for (const Command& command : all_commands()) {
        base::print("  {} {}\n", command.name, command.synopsis);
    }
    base::print("\nSizes are in bytes, or with a suffix k, M, G, T, P or E (1024, 1024k, ...).\n\n"
                "Examples:\n");
    for (const Page& page : kPages) {
        print_examples(page.examples.substr(0, page.examples.find('\n')));
    }
    base::print("\nSupported formats:");
    for (const FormatDriver* format : all_formats()) {
        base::print(" {}", format->name);
    }
    base::print("\n");
}

void print_command_help(std::string_view name)
{
    const auto page = std::ranges::find(kPages, name, &Page::command);
    const auto command = std::ranges::find(all_commands(), name, &Command::name);
    if (page == kPages.end() || command == all_commands().end()) {
        return; // each command has both
    }
    base::print("usage: {} {} {}\n{}\n\nOptions:\n{}\n", program_name(), name, command->synopsis,
                page->about, page->options);
    for (const CommonLine& line : kCommonLines) {
        if (page->common.find(line.key) != std::string_view::npos) {
            base::print("{}\n", line.text);
        }
    }
    base::print("  -h, --help             display this help and exit\n\nExamples:\n");
    print_examples(page->examples);
    base::print("\nExit codes: {}.\n", page->exits);
}

int run_help(int argc, char** argv)
{
    static constexpr std::array<option, 2> kLong{{{"help", no_argument, nullptr, 'h'}, {}}};
    OptionReader reader{argc, argv, "h", kLong.data()};
    if (reader.next() != OptionReader::kEnd) {
        return kFailure;
    }
    const auto operands = reader.operands();
    if (operands.empty()) {
        print_help();
        return kSuccess;
    }
    const std::string_view name = operands.front();
    if (operands.size() > 1) {
        return misuse("Expecting one command");
    }
    if (std::ranges::find(all_commands(), name, &Command::name) == all_commands().end()) {
        return misuse(fmt::format("Command not found: {}", name));
    }
    print_command_help(name);
    return kSuccess;
}

} // namespace img::cli
