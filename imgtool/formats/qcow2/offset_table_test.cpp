#include "imgtool/formats/qcow2/offset_table.hpp"

#include <catch2/catch.hpp>

using namespace img::qcow2;

TEST_CASE("offset table: knows where its entries lead, whatever flags they have")
{
    const OffsetTable table{{0, 0x8000'0000'0003'0000, 0x5'0000}};

    CHECK(table.leads_to(0x3'0000));
    CHECK(table.leads_to(0x5'0000));
    CHECK_FALSE(table.leads_to(0x4'0000));
}

TEST_CASE("offset table: a place is led to until the last entry for it has changed")
{
    OffsetTable table{{0x1'0000, 0x1'0000}};
    CHECK(table.leads_to(0x1'0000));

    table.set(0, 0x2'0000);
    CHECK(table.leads_to(0x1'0000));
    CHECK(table.leads_to(0x2'0000));
    table.set(1, 0);
    CHECK_FALSE(table.leads_to(0x1'0000));
    table.set(5, 0x1'0000);
    CHECK(table.leads_to(0x1'0000));
    CHECK(table.size() == 6);
}

TEST_CASE("offset table: many changes are kept as well as few")
{
    OffsetTable table{{0x1'0000}};
    CHECK(table.leads_to(0x1'0000));

    for (u64 i = 0; i < 5000; ++i) {
        table.set(i, (i + 2) << 16);
    }
    CHECK_FALSE(table.leads_to(0x1'0000));
    CHECK(table.leads_to(u64{5001} << 16));
    CHECK_FALSE(table.leads_to(u64{5002} << 16));
    CHECK(table.replace({0x7'0000}).size() == 5000);
    CHECK_FALSE(table.leads_to(u64{5001} << 16));
    CHECK(table.leads_to(0x7'0000));
}
