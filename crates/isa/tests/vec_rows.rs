//! Every vector instruction of the manual has a row, and every row does something on any operands.
#![forbid(unsafe_code)]

mod common;

use std::collections::HashMap;

use common::{BASE, Machine, Stop};
use isa::{Facility, Insn, Level, Program, ROWS};

/// VMX, VSX (without floating-point arithmetic) and MMA instructions of Power ISA 3.1B by the version that added them.
const INSTRUCTIONS: &[(Level, &str)] = &[
    (
        Level::V2_06,
        "lvebx lvehx lvewx lvsl lvsr lvx lvxl lxsdx lxvd2x lxvdsx lxvw4x mfvscr mtvscr stvebx \
         stvehx stvewx stvx stvxl stxsdx stxvd2x stxvw4x vaddcuw vaddsbs vaddshs vaddsws vaddubm \
         vaddubs vadduhm vadduhs vadduwm vadduws vand vandc vavgsb vavgsh vavgsw vavgub vavguh \
         vavguw vcmpequb vcmpequh vcmpequw vcmpgtsb vcmpgtsh vcmpgtsw vcmpgtub vcmpgtuh vcmpgtuw \
         vmaxsb vmaxsh vmaxsw vmaxub vmaxuh vmaxuw vmhaddshs vmhraddshs vminsb vminsh vminsw vminub \
         vminuh vminuw vmladduhm vmrghb vmrghh vmrghw vmrglb vmrglh vmrglw vmsummbm vmsumshm \
         vmsumshs vmsumubm vmsumuhm vmsumuhs vmulesb vmulesh vmuleub vmuleuh vmulosb vmulosh \
         vmuloub vmulouh vnor vor vperm vpkpx vpkshss vpkshus vpkswss vpkswus vpkuhum vpkuhus \
         vpkuwum vpkuwus vrlb vrlh vrlw vsel vsl vslb vsldoi vslh vslo vslw vspltb vsplth vspltisb \
         vspltish vspltisw vspltw vsr vsrab vsrah vsraw vsrb vsrh vsro vsrw vsubcuw vsubsbs vsubshs \
         vsubsws vsububm vsububs vsubuhm vsubuhs vsubuwm vsubuws vsum2sws vsum4sbs vsum4shs \
         vsum4ubs vsumsws vupkhpx vupkhsb vupkhsh vupklpx vupklsb vupklsh vxor xxland xxlandc \
         xxlnor xxlor xxlxor xxmrghw xxmrglw xxpermdi xxsel xxsldwi xxspltw",
    ),
    (
        Level::V2_07,
        "bcdadd. bcdsub. lxsiwax lxsiwzx lxsspx mfvsrd mfvsrwz mtvsrd mtvsrwa mtvsrwz stxsiwx \
         stxsspx vaddcuq vaddecuq vaddeuqm vaddudm vadduqm vbpermq vcipher vcipherlast vclzb vclzd \
         vclzh vclzw vcmpequd vcmpgtsd vcmpgtud veqv vgbbd vmaxsd vmaxud vminsd vminud vmrgew \
         vmrgow vmulesw vmuleuw vmulosw vmulouw vmuluwm vnand vncipher vncipherlast vorc vpermxor \
         vpksdss vpksdus vpkudum vpkudus vpmsumb vpmsumd vpmsumh vpmsumw vpopcntb vpopcntd vpopcnth \
         vpopcntw vrld vsbox vshasigmad vshasigmaw vsld vsrad vsrd vsubcuq vsubecuq vsubeuqm \
         vsubudm vsubuqm vupkhsw vupklsw xxleqv xxlnand xxlorc",
    ),
    (
        Level::V3_0,
        "bcdcfn. bcdcfsq. bcdcfz. bcdcpsgn. bcdctn. bcdctsq. bcdctz. bcds. bcdsetsgn. bcdsr. \
         bcdtrunc. bcdus. bcdutrunc. lxsd lxsibzx lxsihzx lxssp lxv lxvb16x lxvh8x lxvl lxvll \
         lxvwsx lxvx mfvsrld mtvsrdd mtvsrws stxsd stxsibx stxsihx stxssp stxv stxvb16x stxvh8x \
         stxvl stxvll stxvx vabsdub vabsduh vabsduw vbpermd vclzlsbb vcmpneb vcmpneh vcmpnew \
         vcmpnezb vcmpnezh vcmpnezw vctzb vctzd vctzh vctzlsbb vctzw vextractd vextractub \
         vextractuh vextractuw vextsb2d vextsb2w vextsh2d vextsh2w vextsw2d vextublx vextubrx \
         vextuhlx vextuhrx vextuwlx vextuwrx vinsertb vinsertd vinserth vinsertw vmsumudm vmul10cuq \
         vmul10ecuq vmul10euq vmul10uq vnegd vnegw vpermr vprtybd vprtybq vprtybw vrldmi vrldnm \
         vrlwmi vrlwnm vslv vsrv xxbrd xxbrh xxbrq xxbrw xxextractuw xxinsertw xxperm xxpermr \
         xxspltib",
    ),
    (
        Level::V3_1,
        "lxvkq lxvp lxvpx lxvrbx lxvrdx lxvrhx lxvrwx mtvsrbm mtvsrbmi mtvsrdm mtvsrhm mtvsrqm \
         mtvsrwm plxsd plxssp plxv plxvp pmxvbf16ger2 pmxvbf16ger2nn pmxvbf16ger2np pmxvbf16ger2pn \
         pmxvbf16ger2pp pmxvf16ger2 pmxvf16ger2nn pmxvf16ger2np pmxvf16ger2pn pmxvf16ger2pp \
         pmxvf32ger pmxvf32gernn pmxvf32gernp pmxvf32gerpn pmxvf32gerpp pmxvf64ger pmxvf64gernn \
         pmxvf64gernp pmxvf64gerpn pmxvf64gerpp pmxvi16ger2 pmxvi16ger2pp pmxvi16ger2s \
         pmxvi16ger2spp pmxvi4ger8 pmxvi4ger8pp pmxvi8ger4 pmxvi8ger4pp pmxvi8ger4spp pstxsd \
         pstxssp pstxv pstxvp stxvp stxvpx stxvrbx stxvrdx stxvrhx stxvrwx vcfuged vclrlb vclrrb \
         vclzdm vcmpequq vcmpgtsq vcmpgtuq vcmpsq vcmpuq vcntmbb vcntmbd vcntmbh vcntmbw vctzdm \
         vdivesd vdivesq vdivesw vdiveud vdiveuq vdiveuw vdivsd vdivsq vdivsw vdivud vdivuq vdivuw \
         vexpandbm vexpanddm vexpandhm vexpandqm vexpandwm vextddvlx vextddvrx vextdubvlx \
         vextdubvrx vextduhvlx vextduhvrx vextduwvlx vextduwvrx vextractbm vextractdm vextracthm \
         vextractqm vextractwm vextsd2q vgnb vinsblx vinsbrx vinsbvlx vinsbvrx vinsd vinsdlx \
         vinsdrx vinshlx vinshrx vinshvlx vinshvrx vinsw vinswlx vinswrx vinswvlx vinswvrx vmodsd \
         vmodsq vmodsw vmodud vmoduq vmoduw vmsumcud vmulesd vmuleud vmulhsd vmulhsw vmulhud \
         vmulhuw vmulld vmulosd vmuloud vpdepd vpextd vrlq vrlqmi vrlqnm vsldbi vslq vsraq vsrdbi \
         vsrq vstribl vstribr vstrihl vstrihr xvbf16ger2 xvbf16ger2nn xvbf16ger2np xvbf16ger2pn \
         xvbf16ger2pp xvf16ger2 xvf16ger2nn xvf16ger2np xvf16ger2pn xvf16ger2pp xvf32ger xvf32gernn \
         xvf32gernp xvf32gerpn xvf32gerpp xvf64ger xvf64gernn xvf64gernp xvf64gerpn xvf64gerpp \
         xvi16ger2 xvi16ger2pp xvi16ger2s xvi16ger2spp xvi4ger8 xvi4ger8pp xvi8ger4 xvi8ger4pp \
         xvi8ger4spp xvtlsbb xxblendvb xxblendvd xxblendvh xxblendvw xxeval xxgenpcvbm xxgenpcvdm \
         xxgenpcvhm xxgenpcvwm xxmfacc xxmtacc xxpermx xxsetaccz xxsplti32dx xxspltidp xxspltiw",
    ),
];

const CHAPTERS: [&str; 5] = ["vmx", "vmx_int", "vmx_bits", "vsx", "mma"];

#[test]
fn every_instruction_has_a_row() {
    let rows: HashMap<_, _> =
        ROWS.iter().filter(|r| CHAPTERS.contains(&r.chapter)).map(|r| (r.mnemonic, r.since)).collect();
    let mut named = 0;
    for (level, names) in INSTRUCTIONS {
        for name in names.split_whitespace() {
            assert_eq!(rows.get(name), Some(level), "{name}");
            named += 1;
        }
    }
    assert_eq!(rows.len(), named, "rows without an instruction");
}

/// The next number of a xorshift generator.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Random operand fields and operands, extreme ones among them: nothing panics, and only memory instructions, invalid
/// forms and rows without semantics stop.
#[test]
fn rows_are_total() {
    let mut seed = 0x1234_5678_9abc_def1;
    for row in ROWS.iter().filter(|r| CHAPTERS.contains(&r.chapter)) {
        for round in 0..300 {
            let mut m = Machine::new(round % 2 == 0);
            for k in 0..64 {
                m.vsr[k] = match next(&mut seed) % 8 {
                    0 => 0,
                    1 => u128::MAX,
                    2 => 1 << 127,
                    3 => u128::MAX / 255 * 0x80,
                    _ => u128::from(next(&mut seed)) << 64 | u128::from(next(&mut seed)),
                };
            }
            for k in 0..32 {
                m.gpr[k] = match next(&mut seed) % 4 {
                    0 => next(&mut seed),
                    1 => u64::MAX << (next(&mut seed) % 64),
                    2 => BASE + next(&mut seed) % 64,
                    _ => next(&mut seed) % 40,
                };
            }
            let i = Insn {
                raw: row.enc.value | next(&mut seed) as u32 & !row.enc.mask,
                prefix: if row.enc.pmask == 0 {
                    0
                } else {
                    row.enc.pvalue | next(&mut seed) as u32 & !row.enc.pmask
                },
            };
            match m.run(i) {
                Ok(()) | Err(Stop::Memory) => {}
                Err(Stop::Program(Program::Illegal)) => {
                    assert!(
                        i.prefix != 0 || row.chapter == "mma" || row.mnemonic.starts_with(['x', 'l']),
                        "{row:?}"
                    );
                }
                Err(e) => panic!("{}: {e:?}", row.mnemonic),
            }
        }
    }
}

fn run_off(word: u32, change: impl Fn(&mut Machine)) -> Result<(), Stop> {
    let mut m = Machine::new(false);
    m.gpr[4] = BASE;
    change(&mut m);
    m.run(Insn::new(word))
}

/// The facility that an instruction asks for depends on the register it names.
#[test]
fn facilities() {
    let vec_off = |m: &mut Machine| m.mode.vec = false;
    let vsx_off = |m: &mut Machine| m.mode.vsx = false;
    let fp_off = |m: &mut Machine| m.mode.fp = false;
    let (vec, vsx, fp) = (
        Err(Stop::Unavailable(Facility::Vec)),
        Err(Stop::Unavailable(Facility::Vsx)),
        Err(Stop::Unavailable(Facility::Fp)),
    );
    // lvx v2,r4,r0; vand; vsldoi
    for word in [0x7c44_00ce, 0x1043_2404, 0x1043_212c] {
        assert_eq!(run_off(word, vec_off), vec);
        assert_eq!(run_off(word, vsx_off), Ok(()));
        assert_eq!(run_off(word, fp_off), Ok(()));
    }
    // lxvd2x vs34,r4,r0; xxlor vs34,vs35,vs36
    for word in [0x7c44_0699, 0xf043_2497] {
        assert_eq!(run_off(word, vsx_off), vsx);
        assert_eq!(run_off(word, vec_off), Ok(()));
    }
    // lxv vs2,0(r4); lxv vs34,0(r4)
    assert_eq!((run_off(0xf444_0001, vsx_off), run_off(0xf444_0001, vec_off)), (vsx, Ok(())));
    assert_eq!((run_off(0xf444_0009, vsx_off), run_off(0xf444_0009, vec_off)), (Ok(()), vec));
    // lxsd v2,0(r4)
    assert_eq!((run_off(0xe444_0002, vsx_off), run_off(0xe444_0002, vec_off)), (Ok(()), vec));
    // mtvsrd vs2,r4; mtvsrd vs34,r4
    assert_eq!((run_off(0x7c44_0166, fp_off), run_off(0x7c44_0166, vsx_off)), (fp, Ok(())));
    assert_eq!((run_off(0x7c44_0167, fp_off), run_off(0x7c44_0167, vec_off)), (Ok(()), vec));
    // mtvsrdd vs2,r4,r5; mtvsrdd vs34,r4,r5
    assert_eq!((run_off(0x7c44_2b66, vsx_off), run_off(0x7c44_2b66, fp_off)), (vsx, Ok(())));
    assert_eq!((run_off(0x7c44_2b67, vsx_off), run_off(0x7c44_2b67, vec_off)), (Ok(()), vec));
}

/// Big-endian forms of the memory instructions whose little-endian results are recorded.
#[test]
fn big_endian_memory() {
    let mut m = Machine::new(false);
    for k in 0..32 {
        m.mem[k] = k as u8 + 1;
    }
    m.gpr[4] = BASE + 3;
    m.gpr[5] = 5 << 56;
    let mut run = |word| {
        m.run(Insn::new(word)).unwrap();
        m.vsr[34]
    };
    assert_eq!(run(0x7c44_00ce), 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10); // lvx v2,r4,r0
    assert_eq!(run(0x7c44_000e) >> 96 & 0xff, 4); // lvebx: byte 3 of the register
    assert_eq!(run(0x7c44_0699), 0x0405_0607_0809_0a0b_0c0d_0e0f_1011_1213); // lxvd2x
    assert_eq!(run(0x7c44_2a1b), 0x0405_0607_0800_0000_0000_0000_0000_0000); // lxvl vs34,r4,r5
    assert_eq!(run(0x7c44_2a5b), 0x0405_0607_0800_0000_0000_0000_0000_0000); // lxvll
    assert_eq!(run(0x7c44_000c), 0x0304_0506_0708_090a_0b0c_0d0e_0f10_1112); // lvsl
    assert_eq!(run(0x7c44_004c), 0x0d0e_0f10_1112_1314_1516_1718_191a_1b1c); // lvsr
    m.vsr[34] = 0x1112_1314_1516_1718_191a_1b1c_1d1e_1f20;
    m.run(Insn::new(0x7c44_010e)).unwrap(); // stvebx: byte 3
    assert_eq!(m.mem[..8], [1, 2, 3, 0x14, 5, 6, 7, 8]);
    m.run(Insn::new(0x7c44_018e)).unwrap(); // stvewx: word 0
    assert_eq!(m.mem[..8], [0x11, 0x12, 0x13, 0x14, 5, 6, 7, 8]);
    // lxvp vs34,0(r4): the first register first
    m.run(Insn::new(0x1864_0000 | 3 << 21)).unwrap();
    assert_eq!((m.vsr[34] >> 120, m.vsr[35] >> 120), (0x14, 0x14));
    // lxvkq vs34,4: quad-precision 4.0; 24: minus infinity
    m.run(Insn::new(0xf05f_22d1)).unwrap();
    assert_eq!(m.vsr[34], 0x4001 << 112);
    m.run(Insn::new(0xf05f_c2d1)).unwrap();
    assert_eq!(m.vsr[34], 0xffff << 112);
    m.run(Insn::new(0xf05f_3ad1)).unwrap();
    assert_eq!(m.vsr[34], 0x4001_c << 108);
    assert_eq!(m.run(Insn::new(0xf05f_52d1)), Err(Stop::Program(Program::Illegal)));
}

/// Comparisons with Rc record all and none in CR6.
#[test]
fn compares_record() {
    let mut m = Machine::new(true);
    (m.vsr[35], m.vsr[36]) = (5, 5);
    m.run(Insn::new(0x1043_2486)).unwrap(); // vcmpequw. v2,v3,v4
    assert_eq!((m.vsr[34], m.cr), (u128::MAX, 0x80));
    m.vsr[36] = u128::MAX;
    m.run(Insn::new(0x1043_2486)).unwrap();
    assert_eq!((m.vsr[34], m.cr), (0, 0x20));
    m.vsr[36] = 0;
    m.run(Insn::new(0x1043_2486)).unwrap();
    assert_eq!((m.vsr[34], m.cr), (u128::MAX << 32, 0));
}
