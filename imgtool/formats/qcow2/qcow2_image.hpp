// A qcow2 image: mapping, allocation and the order of metadata writes.
#pragma once

#include "imgtool/format.hpp"
#include "imgtool/formats/qcow2/bitmaps.hpp"
#include "imgtool/formats/qcow2/encryption.hpp"
#include "imgtool/formats/qcow2/l2_entry.hpp"
#include "imgtool/formats/qcow2/layout.hpp"
#include "imgtool/formats/qcow2/offset_table.hpp"
#include "imgtool/formats/qcow2/refcounts.hpp"
#include "imgtool/formats/shared/slice_cache.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace img::qcow2 {

class Qcow2Image final : public Image {
public:
    static Result<std::unique_ptr<Image>> open(std::unique_ptr<ByteSource> file,
                                               OpenContext& context);
    ~Qcow2Image() override;

    u64 size() const override { return header_.size; }
    ByteSource& file() override { return *file_; }
    Result<Extent> map(GuestOffset from, u64 limit, MapDetail detail) override;
    Result<Placement> place(GuestOffset from, u64 length) override;
    Status publish(const Placement& placement) override;
    void abandon(const Placement& placement) override;
    Result<u64> place_zeroes(GuestOffset from, u64 length) override;
    Result<u64> place_own_zeroes(GuestOffset from, u64 length) override;
    std::optional<Packing> packing() const override;
    Status write_packed(GuestOffset block, std::span<const u8> packed) override;
    Status flush() override;
    ImageInfo info() override;
    u64 allocated() override
    {
        return file_->allocated() + (data_file_ ? data_file_->allocated() : 0);
    }
    /// Tables that were made ahead lead to what is not encrypted zeroes.
    bool is_zero_when_new() const override;
    Status set_backing(const std::string& name, const std::string& format) override;
    Result<bool> make_empty() override;
    Status resize(u64 size, Preallocate how) override;
    Status create_snapshot(const std::string& name, const SnapshotTime& now) override;
    Status apply_snapshot(const std::string& id_or_name) override;
    Status delete_snapshot(const std::string& id_or_name) override;
    Status view_snapshot(const std::string& id_or_name) override;
    Status amend(const CreateSettings& settings, OpenContext& context, bool force) override;
    BitmapStore* bitmaps() override;
    Result<CheckReport> check(Repair repair, const ProblemSink& problem) override;

private:
    friend class Bitmaps; // a part of the image in a class of its own

    Qcow2Image(std::unique_ptr<ByteSource> file, std::unique_ptr<ByteSource> data_file,
               Header header, std::vector<u64> l1, SnapshotTable snapshots, Encryption encryption);

    Status prepare_for_writing(OpenFor purpose);
    Status check_l1_entry(u64 l1_entry, u64 l1_index) const;
    bool is_metadata(u64 cluster) const;
    /// How the data at `host` (in the file that has data) of the guest offset is encrypted: the
    /// sectors of LUKS are counted in the file, those of AES on the disk.
    Sealing sealing_at(u64 host, u64 guest) const
    {
        const bool by_file = header_.encryption == encryption_method::luks;
        return {encryption_.cipher.get(),
                encryption_.cipher == nullptr ? 0 : (by_file ? host : guest)};
    }
    ByteSource& data_file() { return data_file_ ? *data_file_ : *file_; }
    bool is_preallocated();
    Status look_for_hole(Extent& extent);

    /// The slice of an L2 table that has the entry for `guest`, and the entry's index in it.
    struct L2Place {
        u64 slice; // file offset; 0: there is no table
        u64 index;
        u64 left; // entries from `index` to the end of the slice
    };
    Result<L2Place> l2_place(u64 guest) const;
    Result<L2Place> l2_place_for_write(u64 guest);
    Status make_l2_table(u64 l1_index);
    /// How many bytes from `guest` on, up to `limit`, are of one kind and side by side in the file;
    /// where `own`, in clusters that nothing else refers to.
    Result<u64> run_length(const L2Place& at, u64 guest, u64 limit, bool own);
    Result<Placement> find_place(u64 guest, u64 length);
    Result<Placement> place_in_own(const L2Place& at, u64 guest, u64 length);
    Result<Placement> place_in_new(const L2Place& at, u64 guest, u64 length);
    Result<u64> count_not_own(const L2Place& at, u64 guest, u64 wanted);
    Status check_own_clusters(const ClusterRun& run, u64 guest);
    std::optional<L2Entry> zero_entry(const L2Entry& old, u32 first, u32 count) const;
    Result<u64> zero_entries(const L2Place& at, u64 guest, u64 length);
    Result<u64> place_packed(u64 length);
    Result<L2Entry> load_entry(const L2Place& at, u64 ahead);
    /// The same, and it is known to make sense.
    Result<L2Entry> load_good_entry(const L2Place& at, u64 ahead, u64 guest);
    Status store_entry(const L2Place& at, u64 ahead, const L2Entry& l2_entry);

    /// Gives back what `l2_entry` referred to, once no table on stable storage has it any more.
    void free_later(const L2Entry& l2_entry);
    Status mark_corrupt(base::Error error);
    Status write_incompatible_features();
    Status relieve_caches();
    Status write_l1();
    Status flush_counts();
    Status flush_maps();

    // Whole trees of tables (qcow2_tree.cpp). They read and write the file: the caches must have
    // been flushed.
    using TableVisitor = std::function<Status(u64 l1_index, u64 at, std::span<u8> table)>;
    enum class CountChange { up, down };
    Status visit_tables(std::span<const u64> l1, const TableVisitor& visit);
    ClusterRun clusters_of(const L2Entry& l2_entry) const;
    Status change_counts(const ClusterRun& run, CountChange change);
    Status visit_runs(std::span<const u8> table,
                      const std::function<Status(const ClusterRun&)>& visit);
    Status change_table_counts(u64 at, std::span<const u8> table, CountChange change);
    Status release_tables(std::span<const u64> l1);

    // Internal snapshots (qcow2_snapshot.cpp).
    /// Changed L2 tables that wait for a barrier.
    struct PendingTables {
        std::vector<std::pair<u64, std::vector<u8>>> tables = {};
        std::size_t bytes = 0;
        void add(u64 at, std::span<const u8> table);
    };
    Status write_pending(PendingTables& pending);
    Result<std::size_t> find_snapshot(const std::string& id_or_name) const;
    Result<std::vector<u64>> read_snapshot_l1(const Snapshot& snapshot);
    Status check_shareable(u64 at, std::span<const u8> table);
    Status share_tables(std::span<const u64> l1);
    Status own_entries(u64 l1_index, u64 at, std::span<const u8> table, PendingTables& pending);
    Status release_snapshot(std::span<const u64> l1);
    Status drop_all_tables();
    Status while_dirty(const std::function<Status()>& change);
    Status add_snapshot(const std::string& name, const SnapshotTime& now);
    Status switch_tables(std::vector<u64> l1, u64 size);
    Status drop_snapshot(const Snapshot& gone, std::span<const u64> l1, std::vector<Snapshot> left);
    Status free_snapshot(const Snapshot& gone, std::span<const u64> l1);
    Status store_snapshots(std::vector<Snapshot> snapshots, Header header);

    // The disk's size (qcow2_resize.cpp).
    Status set_size(u64 size);
    Status shrink(u64 size);
    Status grow(u64 size);
    Status clear_beyond_end();
    Status drop_entries(u64 begin, u64 end);
    Status zero_tail();
    Status move_l1(u64 entries);
    Status grow_data_file(u64 size);
    Status hide_backing(u64 begin, u64 end);
    Status hide_backing_in_last(u64 begin);
    Result<u64> preallocate_last(u64 begin, u64 end, Preallocate how);
    Status preallocate_range(u64 begin, u64 end, Preallocate how);

    // Another version or refcount width (qcow2_amend.cpp).
    using Progress = std::function<void(u64 done, u64 total)>;
    Status upgrade();
    Status downgrade(const Progress& progress);
    Status expand_zeroes(const Progress& progress);
    Status amend_data_file(const std::optional<std::string>& name, bool raw);
    Status write_zero_cluster(u64 host, u64 guest);
    Status expand_table(u64 guest, u64 at, std::span<u8> table, std::vector<ClusterRun>& freed);
    Status set_lazy_refcounts(bool on);
    Status change_refcount_bits(u32 bits, const Progress& progress);
    Status check_counts_fit(u64 max, u32 bits, u64& end);

    Status repair_snapshots();

    // The image as a whole (qcow2_manage.cpp).
    Status load_bitmaps();
    Status note_write(u64 offset, u64 length);
    Status put_header(Header header);
    Result<u64> write_new(std::span<const u8> bytes);
    ClusterRun run_of(u64 at, u64 bytes) const;
    Status settle_counts();
    Status write_header(Header header);
    Status shrink_file();
    Status punch_free_clusters();

    std::unique_ptr<ByteSource> file_;
    std::unique_ptr<ByteSource> data_file_; // null: guest data is in file_ (or is not looked at)
    Header header_;
    Geometry geometry_;
    L2Rules rules_;
    SnapshotTable snapshots_;
    SnapshotRepair snapshot_repair_; // what is wrong with them, for a check
    Encryption encryption_;
    OffsetTable l1_;
    std::vector<u64> dirty_l1_; // indices
    SliceCache l2_cache_;
    Refcounts refcounts_;
    std::optional<bool> preallocated_; // unset: not looked at yet
    std::vector<ClusterRun> to_free_;
    u64 packed_end_ = 0;        // where the next compressed cluster may go; 0: in a new cluster
    bool wrote_data_ = false;   // since the last flush
    bool wrote_packed_ = false; // likewise
    std::unique_ptr<Bitmaps> bitmaps_; // null until it is known that there may be some
    bool own_zeroes_ = false;          // zeroes are stored even where nothing would show through
};

/// Opens the external data file, if the header says that there is one (and it is to be used).
Result<std::unique_ptr<ByteSource>> open_data_file(const Header& header, OpenContext& context);

/// The refcount check and repair (qcow2_check.cpp). Leaves the file's tables changed under the
/// image, which must then be opened anew.
Result<CheckReport> check_file(ByteSource& file, const Header& header,
                               const SnapshotTable& snapshots, Repair repair,
                               const ProblemSink& problem);

/// The first bytes of the file, as parse_header() wants them.
Result<Header> read_header(ByteSource& file);

} // namespace img::qcow2
