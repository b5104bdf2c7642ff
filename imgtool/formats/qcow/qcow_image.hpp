// A qcow image: mapping, allocation and the order of metadata writes.
#pragma once

#include "imgtool/filter/cipher.hpp"
#include "imgtool/format.hpp"
#include "imgtool/formats/qcow/layout.hpp"
#include "imgtool/formats/shared/slice_cache.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace img::qcow {

class QcowImage final : public Image {
public:
    static Result<std::unique_ptr<Image>> open(std::unique_ptr<ByteSource> file,
                                               OpenContext& context);
    ~QcowImage() override;

    u64 size() const override { return header_.size / 512 * 512; }
    ByteSource& file() override { return *file_; }
    Result<Extent> map(GuestOffset from, u64 limit, MapDetail detail) override;
    Result<Placement> place(GuestOffset from, u64 length) override;
    Status publish(const Placement& placement) override;
    void abandon(const Placement& placement) override;
    Result<u64> place_zeroes(GuestOffset from, u64 length) override;
    std::optional<Packing> packing() const override;
    Status write_packed(GuestOffset block, std::span<const u8> packed) override;
    Status flush() override;
    ImageInfo info() override;
    Result<bool> make_empty() override;
    Result<CheckReport> check(Repair repair, const ProblemSink& problem) override;
    bool checks_by_default() const override { return false; }

private:
    QcowImage(std::unique_ptr<ByteSource> file, Header header, std::string backing_name,
              std::unique_ptr<SectorCipher> cipher);

    /// The slice of an L2 table that has the entry for a guest offset, and the entry's index in it.
    struct L2Place {
        u64 slice; // file offset; 0: there is no table
        u64 index;
        u64 left; // entries from `index` to the end of the slice, or of the table that is not there
    };
    Result<u64> l1_entry(u64 index);
    Result<L2Place> l2_place(u64 guest);
    Result<L2Place> l2_place_for_write(u64 guest);
    Result<u64> load_entry(const L2Place& at, u64 ahead);
    Status store_entry(const L2Place& at, u64 ahead, u64 entry);
    Result<u64> checked_entry(const L2Place& at, u64 guest);
    Result<u64> count_alike(const L2Place& at, u64 first, u64 wanted);
    Status check_own_clusters(u64 host, u64 guest) const;
    Result<u64> allocate(u64 bytes, u64 alignment);
    Status relieve_caches();
    Status write_l1();
    u64 clusters(u64 bytes) const
    {
        return (bytes >> header_.cluster_bits) + ((bytes & header_.within()) != 0);
    }
    Sealing sealing_at(u64 guest) const { return {cipher_.get(), cipher_ ? guest : 0}; }

    std::unique_ptr<ByteSource> file_;
    Header header_;
    std::string backing_name_;
    std::unique_ptr<SectorCipher> cipher_; // null: not encrypted, or opened without its key
    SliceCache l1_cache_;                  // never dirty
    SliceCache l2_cache_;
    std::map<u64, u64> dirty_l1_; // index and entry, until they are written
    u64 next_;                    // where the file's free end begins
    bool wrote_data_ = false;     // since the last flush
};

/// Calls `visit` with the entries of a table in the file that are not 0, until that fails
/// (qcow_end.cpp).
using EntryVisitor = std::function<Status(u64 index, u64 entry)>;
Status each_entry(ByteSource& file, u64 table, u64 entries, const EntryVisitor& visit);

/// Where what the tables refer to ends (qcow_end.cpp), for files whose own end does not tell.
Result<u64> find_end(ByteSource& file, const Header& header);

/// The check (qcow_check.cpp). Leaves the file's tables changed under the image when it repairs.
Result<CheckReport> check_file(ByteSource& file, const Header& header, Repair repair,
                               const ProblemSink& problem);

} // namespace img::qcow
