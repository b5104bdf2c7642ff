// The expected values were computed with 400 bits by an arbitrary-precision library and rounded to
// nearest; those of the trigonometric functions after exact reduction by the 66-bit pi.
#include "emulator/cpu/fpu/transcendental.hpp"

#include <catch2/catch.hpp>

using namespace emu::fpu;

namespace {

struct Unary {
    F80 operand;
    F80 expected;
};

struct Binary {
    F80 y;
    F80 x;
    F80 expected;
};

constexpr Unary kSines[] = {
    {{0x8000'0000'0000'0000, 0x3fff}, {0xd76a'a478'4867'7021, 0x3ffe}},
    {{0xc90f'daa2'2168'c235, 0x4000}, {0x8000'0000'0000'0000, 0xbfbf}},
    {{0xc90f'daa2'2168'c235, 0x3fff}, {0x8000'0000'0000'0000, 0x3fff}},
    {{0xffff'ffff'ffff'ffff, 0x403d}, {0xe0ab'9300'da6d'2684, 0x3ffe}},
    {{0xd351'd228'6513'270e, 0x401c}, {0xb097'27ba'dbbe'5b05, 0x3ffd}},
    {{0x8c0c'7408'892f'902b, 0xbff9}, {0x8c0a'b4f5'a6f0'4e1c, 0xbff9}},
    {{0xc0f3'a77a'e8e2'5d94, 0x4021}, {0xf8ba'be25'be64'bff0, 0x3ff8}},
    {{0xb586'aa4d'6f03'675a, 0xc00e}, {0xe62b'6c5b'b307'f7f0, 0xbffc}},
    {{0xb656'a513'8d11'6ece, 0xbffb}, {0xb619'002f'f132'abb4, 0xbffb}},
    {{0xf946'082e'1fb1'7c23, 0x3ffa}, {0xf91e'a5f0'bfee'4fd2, 0x3ffa}},
    {{0xf94e'86d4'953f'48f1, 0x400f}, {0xd71a'abfc'482c'99cc, 0x3ffe}},
    {{0x8658'f14e'658c'da14, 0x3ffa}, {0x8652'c6b3'7676'1cc8, 0x3ffa}},
    {{0x910b'df56'dbc4'96cb, 0xc00f}, {0xb63b'592a'edec'a8c6, 0xbffd}},
    {{0x8f13'd0e0'8a6a'63ec, 0xc018}, {0x88b5'290c'58f9'697c, 0x3ffe}},
    {{0xd74b'dd4a'd0ed'a82f, 0xc03c}, {0xc049'48bd'5cea'e9f3, 0xbffe}},
    {{0xd1c7'eaa3'923a'7369, 0xc00a}, {0xf4cb'6a13'9810'0cec, 0xbffe}},
};

constexpr Unary kCosines[] = {
    {{0x8000'0000'0000'0000, 0x3fff}, {0x8a51'407d'a834'5c92, 0x3ffe}},
    {{0xc90f'daa2'2168'c235, 0x4000}, {0x8000'0000'0000'0000, 0xbfff}},
    {{0xc90f'daa2'2168'c235, 0x3fff}, {0x8000'0000'0000'0000, 0xbfbe}},
    {{0xffff'ffff'ffff'ffff, 0x403d}, {0xf56e'c1e0'a37c'4176, 0x3ffd}},
    {{0xdb26'7211'8c38'fb29, 0xc00b}, {0xb7a0'27ee'a6f8'77af, 0x3ffe}},
    {{0x9a5c'daef'9e77'69b1, 0x3ffb}, {0xff45'eedc'5973'22c0, 0x3ffe}},
    {{0xe37c'3b8c'6d76'b07e, 0x4032}, {0xffc4'52d3'9cb9'57c4, 0xbffe}},
    {{0xba01'f218'ec66'a787, 0xc01b}, {0xf3ca'99e0'5a75'930b, 0xbffb}},
    {{0x9702'98cd'cb5c'7427, 0xc021}, {0xfff7'3fda'db4f'9cfd, 0xbffe}},
    {{0xc339'a390'4cdd'2055, 0xc012}, {0xff37'8264'0f83'e4a3, 0x3ffe}},
    {{0xb973'661d'babc'ed20, 0x4032}, {0xf9cd'c410'183a'38f0, 0x3ffe}},
    {{0x8f1c'c788'12bd'4ace, 0x4017}, {0xaaed'fa39'd6fe'edcd, 0xbffe}},
    {{0xabc8'7c17'c1d3'fcff, 0xc034}, {0xba7d'c4a8'7b71'e7f7, 0x3ffd}},
    {{0x8504'be4b'6bf4'6c69, 0x4006}, {0xf516'8481'b8f2'62e0, 0x3ffd}},
    {{0xe501'09af'92b1'd3f2, 0x3ffc}, {0xf99f'facc'1c6c'295f, 0x3ffe}},
    {{0xcc14'4fe6'59a5'4a7b, 0xc01b}, {0x976e'6395'ae63'b0dd, 0xbffa}},
};

constexpr Unary kTangents[] = {
    {{0x8000'0000'0000'0000, 0x3fff}, {0xc759'22e5'f71d'2dc5, 0x3fff}},
    {{0xc90f'daa2'2168'c235, 0x4000}, {0x8000'0000'0000'0000, 0x3fbf}},
    {{0xc90f'daa2'2168'c235, 0x3fff}, {0x8000'0000'0000'0000, 0xc040}},
    {{0xffff'ffff'ffff'ffff, 0x403d}, {0xea57'f75b'8bfe'bb70, 0x3fff}},
    {{0x88cd'3968'74c9'df6a, 0x4032}, {0xf790'1fce'7878'029c, 0xbff9}},
    {{0xd938'aca2'795e'8229, 0x3ffe}, {0x9145'cfef'a8d8'825b, 0x3fff}},
    {{0xa7a1'36e5'b394'fb36, 0xbffb}, {0xa801'4de5'7b7c'0fe3, 0xbffb}},
    {{0xb90a'c1b8'd269'a9a5, 0x403c}, {0xaae8'dc0f'e4cb'7353, 0xc000}},
    {{0xd596'698f'e315'1288, 0x4017}, {0xf55c'6efe'4736'5ecb, 0xbffe}},
    {{0xad7f'd914'7631'a992, 0xc01f}, {0x9380'935e'1cbf'bcea, 0xbfff}},
    {{0x878b'd180'7e62'aa0a, 0x4008}, {0xf0a6'8b38'eaab'16be, 0xc000}},
    {{0xde82'b0f3'211c'70cf, 0x400e}, {0xc97b'18b3'30a4'859f, 0xbffe}},
    {{0xef8a'c158'eab4'77d2, 0xc012}, {0xdecf'cba5'5181'3095, 0xbffe}},
    {{0xb369'143b'72fd'f202, 0xc032}, {0xeeb2'615b'c3c9'e061, 0xbffd}},
    {{0xe8de'296c'230d'977e, 0xc039}, {0x9d09'6330'f66b'8be4, 0xc004}},
    {{0xda6b'351d'4746'9a4d, 0x402a}, {0x974d'3b2c'1deb'8c12, 0xbffe}},
};

constexpr Unary kPowers[] = {
    {{0xffff'ffff'ffff'ffff, 0x3ffe}, {0xffff'ffff'ffff'ffff, 0x3ffe}},
    {{0xffff'ffff'ffff'ffff, 0xbffe}, {0xffff'ffff'ffff'ffff, 0xbffd}},
    {{0xffff'ffff'ffff'ffff, 0x3fbe}, {0xb172'17f7'd1cf'79ab, 0x3fbe}},
    {{0xf12d'3b02'aec6'f024, 0x3fee}, {0xa72b'f91a'c628'21ce, 0x3fee}},
    {{0x8a9f'3e15'26a2'c0bd, 0x3fed}, {0xc02b'd5a9'c0ac'3ea4, 0x3fec}},
    {{0x9ddd'f4f5'a894'8c89, 0xbfe6}, {0xdad9'a3ca'9f25'a594, 0xbfe5}},
    {{0x9757'02e7'96d0'cc5f, 0xbfe1}, {0xd1cd'37d8'216c'327a, 0xbfe0}},
    {{0xb5a0'09f7'254b'0c4e, 0xbfe9}, {0xfbc9'3063'bfb7'42f1, 0xbfe8}},
    {{0xa8c8'447a'90fb'bd11, 0xbff2}, {0xe9f8'0943'2ec9'7d67, 0xbff1}},
    {{0xf9a0'f03d'83f7'3f16, 0x3fe5}, {0xad07'8741'dce1'f82d, 0x3fe5}},
    {{0x86e9'3d32'bd62'8881, 0x3ff4}, {0xbb0f'520e'd21f'42b5, 0x3ff3}},
    {{0xf9d7'685b'c7ac'1491, 0x3fef}, {0xad2d'bd9e'94b0'37df, 0x3fef}},
    {{0xb239'78d1'8f2c'6ec8, 0x3ffc}, {0x834b'e33b'6c57'6ed4, 0x3ffc}},
    {{0xbda2'8a2e'1a81'682c, 0xbfed}, {0x8371'd4cd'2706'f845, 0xbfed}},
    {{0x889e'd8be'30cb'c97d, 0xbff5}, {0xbd53'ebfb'c27c'5209, 0xbff4}},
};

constexpr Binary kArctangents[] = {
    {{0x8000'0000'0000'0000, 0x3fff},
     {0x8000'0000'0000'0000, 0x3fff},
     {0xc90f'daa2'2168'c235, 0x3ffe}},
    {{0x8000'0000'0000'0000, 0x3fff},
     {0x8000'0000'0000'0001, 0x3fff},
     {0xc90f'daa2'2168'c234, 0x3ffe}},
    {{0x8000'0000'0000'0000, 0x3000},
     {0x8000'0000'0000'0000, 0xbfff},
     {0xc90f'daa2'2168'c235, 0x4000}},
    {{0x8000'0000'0000'0000, 0x3fbf},
     {0x8000'0000'0000'0000, 0x3fff},
     {0x8000'0000'0000'0000, 0x3fbf}},
    {{0xab86'e0ca'1c24'42f9, 0xbffc},
     {0xc88c'5d8b'000f'49c8, 0xc002},
     {0xc834'e9b6'bb7d'3cff, 0xc000}},
    {{0xae8a'c517'f2ee'4e45, 0x3ffb},
     {0x9a9e'318e'dfd4'3f37, 0xc002},
     {0xc87f'5d18'74cc'49fc, 0x4000}},
    {{0xa049'fb6f'a268'aa87, 0xc002},
     {0x8fb9'4b55'7961'fd92, 0x3ffe},
     {0xc1e5'6cc8'339a'7202, 0xbfff}},
    {{0xfd29'4dd1'fe3b'fada, 0x3ffa},
     {0x8afe'44cf'4fd5'8dbe, 0xc000},
     {0xc73d'b404'2aa4'd7ee, 0x4000}},
    {{0xdec3'd432'57b6'fb7e, 0xbffb},
     {0x94aa'0537'b12a'a1f6, 0xbffd},
     {0xb21f'5796'76e6'e095, 0xc000}},
    {{0xf9db'd286'f373'ca53, 0xc001},
     {0xc586'ac85'b0a8'44e5, 0xc001},
     {0x8f58'0ce3'5d93'dfbe, 0xc000}},
    {{0xfd3f'8755'4c4f'9b06, 0x3ff9},
     {0xec37'a07b'b239'f3c7, 0x4003},
     {0x893a'8120'57ca'67f8, 0x3ff5}},
    {{0x9561'a223'e883'a1d4, 0x3ffd},
     {0xc552'1246'8857'f9a4, 0x3ffe},
     {0xb945'55c8'ef98'fdce, 0x3ffd}},
    {{0x9c8c'a121'a2ed'dbbd, 0x4005},
     {0xe110'b581'fc24'1d0b, 0x4002},
     {0xb24d'5ff9'4d99'bacb, 0x3fff}},
    {{0xb349'a01b'd17e'4497, 0x3ffc},
     {0xc241'fc5c'332d'd331, 0x4004},
     {0xec45'5016'b628'f787, 0x3ff6}},
    {{0xfeab'5493'076b'3e36, 0xc000},
     {0xa12c'a029'78e4'b98d, 0x3ff9},
     {0xc86d'd6be'6295'40eb, 0xbfff}},
    {{0xac11'65bb'f4de'2c08, 0x3ffc},
     {0xfe78'07f6'b91e'e9e5, 0x4000},
     {0xad00'1629'f392'b9a9, 0x3ffa}},
    {{0x8a4f'12cd'5d58'c705, 0x3ffe},
     {0x992d'aaee'7857'2976, 0xbffc},
     {0xeba2'd7b6'b59b'3a95, 0x3fff}},
    {{0xfe1c'a392'9fc2'd0a1, 0xbffe},
     {0xf460'a3a1'7abe'c539, 0x4002},
     {0x84e9'68c4'ca4d'1d76, 0xbffb}},
    {{0x8ada'0575'a4a4'5eff, 0xc003},
     {0xe422'8038'6377'1407, 0xc003},
     {0xa611'f25b'72fb'4fa7, 0xc000}},
    {{0xf1cb'1cdf'7a60'5a91, 0x4004},
     {0xaa8f'ec7c'a2c6'8e45, 0xbffb},
     {0xc93c'fff9'ecb9'1d18, 0x3fff}},
};

constexpr Binary kLogarithms[] = {
    {{0x8000'0000'0000'0000, 0x3fff},
     {0x8000'0000'0000'0001, 0x3fff},
     {0xb8aa'3b29'5c17'f0bb, 0x3fc0}},
    {{0x8000'0000'0000'0000, 0x3fff},
     {0xffff'ffff'ffff'ffff, 0x3ffe},
     {0xb8aa'3b29'5c17'f0bc, 0xbfbf}},
    {{0xb172'17f7'd1cf'79ac, 0x4000},
     {0xa000'0000'0000'0000, 0x4000},
     {0xea92'0787'0703'bd04, 0x4000}},
    {{0xdc64'c0bd'f8be'8831, 0x3ffc},
     {0xb360'a4a7'7691'b06f, 0x3429},
     {0xa302'5348'b6c8'a2ad, 0xc008}},
    {{0x9455'6528'b98c'67c2, 0x4001},
     {0x9042'cb1a'fe3c'9c8f, 0x1741},
     {0xbcda'acbd'1f8f'0b03, 0xc00e}},
    {{0xbb90'b74f'e7a4'6309, 0xbffc},
     {0x92b5'd6fc'a7e6'529b, 0x68ba},
     {0xeebe'222a'cba2'eb84, 0xc009}},
    {{0xbcb7'ba56'faf5'5496, 0x4000},
     {0xacda'2749'effd'deea, 0x55a0},
     {0xff21'39f6'0fc5'0193, 0x400c}},
    {{0x82bd'2059'2188'287e, 0x3ffd},
     {0xfc46'2115'cca2'a92b, 0x0351},
     {0xf7e5'813d'adcd'5df3, 0xc00a}},
    {{0xdfef'7e0a'86ce'03f9, 0x4001},
     {0xb787'1144'23a5'ef88, 0x7900},
     {0xc776'9da6'e2d0'1460, 0x400f}},
    {{0x9b03'6f7e'dfb8'5c0d, 0xc002},
     {0x9b3c'5e46'4078'3f0a, 0x0514},
     {0x8eb3'a115'fada'0e5c, 0x4010}},
    {{0xcb10'5f86'c380'84a0, 0x3ffe},
     {0xc5ad'59f7'4265'bb31, 0x2b39},
     {0x83ce'b670'b5d0'7ce9, 0xc00b}},
};

constexpr Binary kLogarithmsNearOne[] = {
    {{0xf47b'705e'0f97'7044, 0x3fff},
     {0xbaa5'04e6'e5cf'edfa, 0x3fff},
     {0x8508'f48b'96d4'5157, 0x3fff}},
    {{0xc225'381a'e77f'fe48, 0x4001},
     {0xf577'e269'd3bf'6d01, 0x3fff},
     {0xb660'f905'8451'a583, 0x4001}},
    {{0xc302'438c'26de'bfdb, 0xc000},
     {0xb856'0356'df70'3017, 0x3ffe},
     {0xb8ca'f0f9'9f9c'003f, 0x3fff}},
    {{0xe355'3eaa'0101'b811, 0xc002},
     {0x921e'9ab8'2c1e'ea1f, 0x3ffe},
     {0xb7e9'41e4'd627'b5de, 0x4002}},
    {{0xc73a'97ef'1ece'615d, 0x3fff},
     {0xd756'a258'5373'90e5, 0x3ffe},
     {0xc6dc'5c8f'3843'14f6, 0xbffd}},
    {{0xe463'0a59'7b84'44d1, 0x4000},
     {0xc7b7'c8af'e21b'37ca, 0x3ffe},
     {0xa39b'76b3'3619'ab51, 0xbfff}},
    {{0x8566'c5f0'46e4'0990, 0xbffc},
     {0xb9e0'e696'81f9'8b52, 0x3ffe},
     {0xf669'16f4'a128'2e5a, 0x3ffa}},
    {{0xf4cc'6877'e4dd'f9b9, 0xc000},
     {0xa9ad'b521'7178'ba0a, 0x3ffe},
     {0x913f'a6cf'b28d'45c3, 0x4000}},
};

constexpr Binary kLogarithmsPlusOne[] = {
    {{0x8000'0000'0000'0000, 0x3fff},
     {0xd413'cccf'e779'9211, 0x3ffd},
     {0x8000'0000'0000'0000, 0x3ffe}},
    {{0x8000'0000'0000'0000, 0x3fff},
     {0x95f6'1998'0c43'36f7, 0xbffd},
     {0xffff'ffff'ffff'ffff, 0xbffd}},
    {{0xc18e'81df'9b2b'd6c0, 0x4000},
     {0xc10b'42c7'73cc'ef03, 0x3fd2},
     {0xd292'3adb'2280'acdd, 0x3fd4}},
    {{0xf883'1be7'81fc'069e, 0x4000},
     {0xf020'00ae'e064'a114, 0x3fd8},
     {0xa825'adae'7bbb'e58e, 0x3fdb}},
    {{0xf8bc'f969'e48b'9662, 0x3ffe},
     {0xb554'5cf0'231b'3e14, 0x3fd2},
     {0xfe2e'b650'4672'c21d, 0x3fd2}},
    {{0x8949'30c2'50e4'0d54, 0xbffc},
     {0xd5b1'4366'3672'd6ae, 0xbfd7},
     {0xa554'48c2'4d0b'62ea, 0x3fd5}},
    {{0xe372'86f9'e5a3'863e, 0x3ffe},
     {0xd483'4917'a4b9'a9c4, 0x3fcc},
     {0x8832'aec6'4ee6'9a32, 0x3fcd}},
    {{0x9191'8f0f'e201'5522, 0xbffe},
     {0x8c0c'4d7a'f3d7'4f82, 0xbff4},
     {0xe5d7'01aa'6315'5a80, 0x3ff3}},
    {{0xfeb4'1b9d'29ac'f1a5, 0x3fff},
     {0xff3d'c572'6e78'36a4, 0xbfd5},
     {0xb72f'6cb6'a6bf'd2db, 0xbfd7}},
    {{0x990e'294b'6bd8'c676, 0xc000},
     {0xaed7'8836'b8de'e081, 0xbfe6},
     {0x96cf'389c'4b97'a9cd, 0x3fe8}},
    {{0xb860'ee50'756b'7289, 0xbffc},
     {0xcfdc'd7a8'8476'8b8c, 0xbfbb},
     {0xd7fb'ea30'a591'235b, 0x3fb9}},
    {{0x8e71'de06'1075'5c97, 0x3ffe},
     {0x8ac2'8501'1ad2'd5f1, 0x3fd6},
     {0xdec7'83fd'6e83'1c2a, 0x3fd5}},
    {{0xe3b6'301f'e7e8'f9f6, 0xbffe},
     {0xe8ee'7629'212a'8d9b, 0xbfd0},
     {0x9575'26e2'7976'3ef3, 0x3fd1}},
    {{0xe8d4'4d9b'ad0c'9bb6, 0x3fff},
     {0xf5a7'6971'895e'8b6b, 0xbfda},
     {0xa129'c9f5'9106'0439, 0xbfdc}},
};

template <std::size_t kRows>
unsigned wrong_results(const Unary (&rows)[kRows], F80 (*f)(F80, Context&))
{
    unsigned wrong = 0;
    for (const Unary& row : rows) {
        Context ctx;
        wrong += f(row.operand, ctx) != row.expected || ctx.raised != sw::pe;
    }
    return wrong;
}

template <std::size_t kRows>
unsigned wrong_results(const Binary (&rows)[kRows], F80 (*f)(F80, F80, Context&))
{
    unsigned wrong = 0;
    for (const Binary& row : rows) {
        Context ctx;
        wrong += f(row.y, row.x, ctx) != row.expected || ctx.raised != sw::pe;
    }
    return wrong;
}

} // namespace

TEST_CASE("transcendental: sines are correctly rounded")
{
    CHECK(wrong_results(kSines, sine) == 0);
}

TEST_CASE("transcendental: cosines are correctly rounded")
{
    CHECK(wrong_results(kCosines, cosine) == 0);
}

TEST_CASE("transcendental: tangents are correctly rounded")
{
    CHECK(wrong_results(kTangents, tangent) == 0);
}

TEST_CASE("transcendental: arctangents are correctly rounded in every quadrant")
{
    CHECK(wrong_results(kArctangents, arctangent) == 0);
}

TEST_CASE("transcendental: 2^x - 1 is correctly rounded, also for tiny x")
{
    CHECK(wrong_results(kPowers, exp2_minus_1) == 0);
}

TEST_CASE("transcendental: y * log2(x) is correctly rounded, also near 1")
{
    CHECK(wrong_results(kLogarithms, y_log2) == 0);
    CHECK(wrong_results(kLogarithmsNearOne, y_log2) == 0);
}

TEST_CASE("transcendental: y * log2(x + 1) is correctly rounded, also for tiny x")
{
    CHECK(wrong_results(kLogarithmsPlusOne, y_log2_plus_1) == 0);
}

TEST_CASE("transcendental: the logarithm of a power of two is exact")
{
    Context ctx;
    const F80 one_half = make_f80(false, kF80Bias - 1, kIntegerBit);
    const F80 three = make_f80(false, kF80Bias + 1, 0xc000'0000'0000'0000);

    CHECK(y_log2(three, one_half, ctx) == negated(three));
    CHECK(ctx.raised == 0);
}

TEST_CASE("transcendental: rounding control applies")
{
    Context down;
    down.control = 0x077f;
    Context up;
    up.control = 0x0b7f;
    const F80 tiny = make_f80(false, kF80Bias - 100, kIntegerBit);

    CHECK(sine(tiny, down) == F80{~u64{0}, static_cast<u16>(kF80Bias - 101)}); // below x
    CHECK_FALSE(down.rounded_up);
    CHECK(sine(tiny, up) == tiny);
    CHECK(up.rounded_up);
}

TEST_CASE("transcendental: tangents of tiny angles lie above the angle, arctangents below")
{
    Context down;
    down.control = 0x077f;
    Context down_too = down;
    const F80 tiny = make_f80(false, kF80Bias - 100, kIntegerBit);

    CHECK(tangent(tiny, down) == tiny);
    CHECK(arctangent(tiny, kF80One, down_too) == F80{~u64{0}, static_cast<u16>(kF80Bias - 101)});
}

TEST_CASE("transcendental: the range of the trigonometric functions ends at 2^63")
{
    CHECK(is_out_of_trigonometric_range({kIntegerBit, kF80Bias + 63}));
    CHECK_FALSE(is_out_of_trigonometric_range({~u64{0}, kF80Bias + 62}));
    CHECK_FALSE(is_out_of_trigonometric_range(f80_infinity(false))); // invalid instead
}
