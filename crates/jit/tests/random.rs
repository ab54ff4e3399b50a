//! Random instructions of every row through both engines.

mod pair;

use arch::{CpuState, msr};
use isa::{Insn, Op, ROWS, Row};
use pair::{Pair, Rng, SC1};

/// Rows whose results depend on time, or that are asked for by number below.
fn excluded(op: Op) -> bool {
    matches!(op, Op::Mftb | Op::Mfspr | Op::Mtspr | Op::Darn)
}

const SPRS: [u32; 24] =
    [1, 8, 9, 256, 26, 27, 18, 19, 272, 273, 29, 815, 3, 512, 28, 48, 61, 152, 153, 157, 259, 787, 797, 896];

/// A number of a kind that programs meet.
fn value(r: &mut Rng) -> u64 {
    match r.below(10) {
        0 => 0,
        1 => r.below(64),
        2 => u64::MAX - r.below(8),
        3 => 1 << r.below(64),
        4 => (1 << r.below(64)) - 1u64,
        5 => r.next() as u32 as u64,
        6 => r.next() as i32 as u64,
        7 => f64::to_bits((r.next() as i32) as f64 / 16.0),
        _ => r.next(),
    }
}

/// A register for an address in the window, most often.
fn address(r: &mut Rng) -> u64 {
    match r.below(12) {
        0 => 0x4_0000 + r.below(0x2_0000),
        1 => 0x4_1000 - r.below(16),
        2 => 0x80_0000_0000 + 8 * r.below(64),
        3 => value(r),
        4 => 0x10_0000 - r.below(32),
        _ => 0x4_0000 + 16 * r.below(0x400),
    }
}

fn random_word(r: &mut Rng, row: &Row) -> (Option<u32>, u32) {
    let mut w = row.enc.value | r.next() as u32 & !row.enc.mask;
    // Few large registers numbers, so that instructions depend on each other; short displacements.
    if r.chance(2) {
        w = (w & !(0b11000 << 21 | 0b11000 << 16 | 0b11000 << 11)) & !row.enc.mask | row.enc.value;
    }
    if row.enc.mask & 0xffff == 0 && row.chapter == "load_store" && !r.chance(4) {
        w &= !0xff00;
    }
    let prefix = (row.enc.pmask != 0).then(|| {
        let p = row.enc.pvalue | r.next() as u32 & !row.enc.pmask;
        if r.chance(4) { p } else { p & !0x3_ffff & !row.enc.pmask | row.enc.pvalue }
    });
    (prefix, w)
}

fn random_code(r: &mut Rng, rows: &[&Row], len: u64) -> Vec<u32> {
    let mut code = Vec::new();
    while (code.len() as u64) < len {
        if r.chance(16) {
            let spr = SPRS[r.below(SPRS.len() as u64) as usize];
            let op = if r.chance(2) { 339 } else { 467 };
            let rt = r.below(32) as u32;
            code.push(31 << 26 | rt << 21 | (spr & 31) << 16 | (spr >> 5) << 11 | op << 1);
            continue;
        }
        if r.chance(12) {
            // A conditional branch forward.
            let (bo, bi) = (r.below(32) as u32, r.below(32) as u32);
            code.push(16 << 26 | bo << 21 | bi << 16 | (4 + 4 * r.below(4) as u32));
            continue;
        }
        let row = rows[r.below(rows.len() as u64) as usize];
        if excluded(row.op) {
            continue;
        }
        let (prefix, w) = random_word(r, row);
        if row.chapter == "branch" && r.chance(2) {
            continue;
        }
        if let Some(p) = prefix {
            code.push(p);
        }
        code.push(w);
    }
    code.extend([SC1; 8]);
    code
}

fn randomize(st: &mut CpuState, r: &mut Rng, at: u64) {
    for n in 0..32 {
        st.gpr[n] = if r.chance(2) { value(r) } else { address(r) };
    }
    st.set_cr_word(r.next() as u32);
    let v = r.next();
    st.set_xer(v);
    st.lr = if r.chance(3) { value(r) } else { at + 4 * r.below(24) };
    st.ctr = if r.chance(2) { r.below(4) } else { at + 4 * r.below(24) };
    for n in 0..64 {
        st.vsr[n] = match r.below(4) {
            0 => (value(r) as u128) << 64 | value(r) as u128,
            1 => (f64::to_bits(r.next() as i32 as f64) as u128) << 64 | value(r) as u128,
            2 => {
                let s = |r: &mut Rng| f32::to_bits(r.next() as i16 as f32 / 8.0) as u128;
                s(r) << 96 | s(r) << 64 | s(r) << 32 | s(r)
            }
            _ => (r.next() as u128) << 64 | r.next() as u128,
        };
    }
    let fpscr = match r.below(4) {
        0 => 0,
        1 => r.below(4),
        2 => 1 << 25 | 1 << 31,
        _ => r.next() & 0x0000_0007_9f0f_f0ff & !0x6000_0000,
    };
    fpu::FpRegs::set_fpscr(st, fpscr);
}

fn sequences(model: &str, rows: &[&Row], seed: u64, count: u64) {
    let mut compared = 0;
    for le in [false, true] {
        let mut p = Pair::new(model, le);
        for n in 0..count {
            let seed = seed.wrapping_mul(1 << 20).wrapping_add(2 * n + le as u64);
            let mut r = Rng(seed);
            let at = 0x1_0000 + 0x1000 * r.below(8) + if r.chance(4) { 0x1000 - 4 * r.below(16) } else { 0 };
            let len = 1 + r.below(24);
            let code = random_code(&mut r, rows, len);
            let mut bits = msr::SF | msr::ME;
            for b in [msr::FP, msr::VEC, msr::VSX] {
                if !r.chance(16) {
                    bits |= b;
                }
            }
            if r.chance(4) {
                bits &= !msr::SF;
            }
            if r.chance(8) {
                bits |= msr::FE0;
            }
            if le {
                bits |= msr::LE;
            }
            let state = r.next();
            let data: Vec<u8> = (0..0x6000).flat_map(|_| r.next().to_le_bytes()).collect();
            p.both(|c| {
                c.sh.ram.fill(0, pair::SIZE, 0).unwrap();
                c.sh.ram.write(0x4_0000, &data).unwrap();
                let (level, pvr) = (c.st.level, c.st.pvr);
                c.st = CpuState::new(level, pvr, 0);
                c.tlb.flush();
                c.retired = 0;
                c.fault = arch::Fault::plain(arch::Vector::Program);
                randomize(&mut c.st, &mut Rng(state), at);
                c.set_msr(bits);
                for v in (0x100..0x1000).step_by(0x20) {
                    pair::word(c, v, SC1, le);
                }
            });
            p.load(at, &code);
            if let Some(d) = p.run(20_000) {
                compared += 1;
                if !d.is_empty() {
                    let level = p.a.st.level;
                    let names: Vec<String> = code
                        .iter()
                        .map(|&w| {
                            let op = isa::decode(Insn::new(w), level);
                            format!("{w:#010x} {}", op.row().map_or("?", |r| r.mnemonic))
                        })
                        .collect();
                    panic!(
                        "seed {seed:#x}, {model}, le {le}, MSR {bits:#x}, at {at:#x}\n{}\n{}",
                        names.join("\n"),
                        d.join("\n")
                    );
                }
            }
        }
    }
    assert!(compared > count, "most programs end");
}

fn of(chapters: &[&str]) -> Vec<&'static Row> {
    ROWS.iter().filter(|r| chapters.contains(&r.chapter)).collect()
}

/// How many programs of each test; `JIT_RANDOM` asks for more.
fn count() -> u64 {
    let default = if pair::options().tier2.all { 60 } else { 400 };
    std::env::var("JIT_RANDOM").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

#[test]
fn fixed_point() {
    sequences("power9", &of(&["fixed"]), 1, count());
    sequences("power10", &of(&["fixed"]), 2, count());
}

#[test]
fn branches_and_condition_registers() {
    sequences("power9", &of(&["branch", "cr_spr", "fixed"]), 3, count());
}

#[test]
fn loads_and_stores() {
    sequences("power9", &of(&["load_store"]), 4, count());
    sequences("power10", &of(&["load_store", "fixed"]), 5, count());
}

#[test]
fn vectors() {
    sequences("power9", &of(&["vmx", "vmx_int", "vmx_bits", "vsx"]), 6, count());
    sequences("power10", &of(&["vmx", "vmx_int", "vmx_bits", "vsx", "mma"]), 7, count());
}

#[test]
fn floating_point() {
    sequences("power9", &of(&["fp", "vsx_fp", "vmx_fp"]), 8, count());
}

#[test]
fn everything() {
    for (n, model) in ["power8", "power9", "power10"].into_iter().enumerate() {
        sequences(model, &ROWS.iter().collect::<Vec<_>>(), 9 + n as u64, count());
    }
}

/// Programs of `ops` on numbers of the kind the translator does inline, with memory accesses between them.
fn common(ops: &[Op], seed: u64, fields: u32) {
    programs_of(ops, seed, fields, false);
}

/// The same, `turns`: several times over, with vectors loaded and stored in each turn.
fn programs_of(ops: &[Op], seed: u64, fields: u32, turns: bool) {
    let mut r = Rng(seed);
    let mut p = Pair::new("power9", true);
    for n in 0..4 * count() {
        let at = 0x1_0000;
        let mut code = Vec::new();
        for _ in 0..12 {
            let e = ops[r.below(ops.len() as u64) as usize].row().unwrap().enc;
            // Registers 0 to 7 of the VSRs, as FPRs and VRs too.
            code.push((e.value | r.next() as u32 & !e.mask) & !(fields & !e.mask) | e.value);
            // Loads and stores may leave the block; a store shows what stands in memory.
            let t = r.below(8) as u32;
            match r.below(6) {
                0 => code.push(50 << 26 | t << 21 | 4 << 16 | 8 * r.below(8) as u32), // lfd
                1 => code.push(54 << 26 | t << 21 | 4 << 16 | 8 * r.below(8) as u32), // stfd
                2 => code.push(48 << 26 | t << 21 | 5 << 16 | 4 * r.below(8) as u32), // lfs
                3 if r.chance(4) => code.push(50 << 26 | t << 21 | 6 << 16),          // lfd that faults
                4 | 5 if turns => {
                    // lvx, stvx, lxvd2x, stxvd2x, lxvw4x, stxvw4x, lxvh8x, lxvb16x
                    let x = [103, 231, 844, 972, 780, 908, 812, 876][r.below(8) as usize];
                    code.push(31 << 26 | t << 21 | (r.below(2) as u32 * 3) << 16 | 4 << 11 | x << 1);
                }
                _ => {}
            }
        }
        if turns {
            // The next 24 bytes; bdnz
            code.push(14 << 26 | 4 << 21 | 4 << 16 | 24);
            let back = -4 * code.len() as i32;
            code.push(16 << 26 | 16 << 21 | back as u32 & 0xfffc);
        }
        code.push(SC1);
        let single = n % 2 == 0;
        let seed = r.next();
        p.both(|c| {
            let mut r = Rng(seed);
            let mut number = || {
                let small = r.next() as i8 as f64;
                match r.below(6) {
                    0 => small,
                    1 => 0.0 * small,
                    // Products of these are too small for a number.
                    2 if r.chance(2) => f64::from_bits(r.next() & 1 << 63 | (0x180 + r.below(0x80)) << 52),
                    2 if !single => f64::from_bits(r.next()),
                    3 if !single => f64::from_bits(r.next() & !(0x7ff << 52) | r.below(4) << 52),
                    4 => (1.0 + small * 0.1) as f32 as f64,
                    _ if single => (small as f32 * f32::powi(1.7, r.below(200) as i32 - 100)) as f64,
                    _ => small * f64::powi(1.3, r.below(5000) as i32 - 2500),
                }
            };
            for k in 0..16 {
                let (x, y) = (number(), number());
                c.sh.ram.store_le(0x4_0000 + 8 * k, x.to_bits(), 8).unwrap();
                c.sh.ram.store_le(0x4_1000 + 4 * k, (y as f32).to_bits() as u64, 4).unwrap();
            }
            for v in 0..64 {
                // The other half is zero after any scalar instruction.
                let low = if n % 3 == 0 {
                    0
                } else if v % 2 == 0 {
                    number().to_bits()
                } else {
                    0x3f80_0000_c120_0000
                };
                c.st.vsr[v] = (number().to_bits() as u128) << 64 | low as u128;
            }
            let fpscr =
                [0, 1 << 25, 1 << 25 | 1 << 31, 1 << 25 | 1, 1 << 25 | 8, 0x3f << 25][r.below(6) as usize];
            fpu::FpRegs::set_fpscr(&mut *c.st, fpscr);
            c.set_msr(c.st.msr | msr::FP | msr::VEC | msr::VSX | msr::SF | msr::LE);
            (c.st.gpr[3], c.st.gpr[4], c.st.gpr[5], c.st.gpr[6]) =
                (0, 0x4_0000, 0x4_1000, 0x80_0000_0000_0000);
            c.st.ctr = 5;
        });
        p.load(at, &code);
        let d = p.run(1000).unwrap();
        let names: Vec<_> = code.iter().map(|&w| isa::disasm(Insn::new(w), 0, p.a.st.level)).collect();
        assert!(d.is_empty(), "{n}: {names:#?}\n{}", d.join("\n"));
    }
}

/// Register fields: FPRs 0 to 7, no record forms.
const FPRS: u32 = 0b11000_11000_11000_11000 << 6 | 1;
/// VSRs 0 to 7 and 32 to 39.
const VSRS: u32 = 0b11000_11000_11000 << 11;

#[test]
fn floating_point_of_the_common_kind() {
    use isa::Op::*;
    let ops = [
        Fadd, Fsub, Fmul, Fdiv, Fsqrt, Fmadd, Fmsub, Fnmadd, Fnmsub, Fadds, Fsubs, Fmuls, Fdivs, Fsqrts,
        Fmadds, Fmsubs, Fnmadds, Fnmsubs, Fcmpu, Fcmpo, Fcfid, Fcfids, Fcfidu, Fcfidus, Fctidz, Fctiduz,
        Fctiwuz, Frsp, Frim, Frip, Friz, Fctiwz, Fmr, Fneg, Fabs, Mffs, Mffsl, Mtfsf,
    ];
    common(&ops, 77, FPRS);
    // Without those that look, so that more is owed for longer.
    common(&ops[..20], 78, FPRS);
}

#[test]
fn scalars_and_vectors_of_the_common_kind() {
    use isa::Op::*;
    let scalars = [
        Xsadddp, Xssubdp, Xsmuldp, Xsdivdp, Xssqrtdp, Xsmaddadp, Xsmaddmdp, Xsmsubadp, Xsnmaddadp,
        Xsnmsubmdp, Xsaddsp, Xssubsp, Xsmulsp, Xsdivsp, Xsmaddasp, Xsnmsubasp, Xsrsp, Xscvsxddp, Xscvuxddp,
        Xscvsxdsp, Xscvdpsxds, Xscvdpsxws, Xscvdpuxds, Xscvdpuxws, Xsmaxdp, Xsmindp, Xscmpudp, Xsrdpim,
        Xsrdpip, Xsrdpiz,
    ];
    let vectors = [
        Xvadddp, Xvsubdp, Xvmuldp, Xvdivdp, Xvsqrtdp, Xvmaddadp, Xvmaddmdp, Xvmsubadp, Xvnmaddadp,
        Xvnmsubmdp, Xvaddsp, Xvsubsp, Xvmulsp, Xvdivsp, Xvsqrtsp, Xvmaddasp, Xvnmsubasp, Xvmaxdp, Xvmindp,
        Xvmaxsp, Xvminsp, Xvcmpeqdp, Xvcmpgtdp, Xvcmpgedp, Xvcmpeqsp, Xvcmpgtsp, Xvcmpgesp, Xxpermdi, Xxlor,
        Xxlxor,
    ];
    common(&scalars, 79, VSRS);
    common(&vectors, 80, VSRS);
    common(&[scalars, vectors].concat(), 81, VSRS);
}

#[test]
fn vector_integers_of_the_common_kind() {
    use isa::Op::*;
    let ops = [
        Vcipher,
        Vcipherlast,
        Vncipher,
        Vncipherlast,
        Vshasigmaw,
        Vshasigmad,
        Vpmsumd,
        Vslw,
        Vsrw,
        Vsraw,
        Vsld,
        Vsrd,
        Vrlw,
        Vrld,
        Vmulouw,
        Vmuleuw,
        Vmulosw,
        Vmulesw,
        Vmrgew,
        Vmrgow,
        Vpkudum,
        Vupkhsb,
        Vupkhsh,
        Vupkhsw,
        Vupklsb,
        Vupklsh,
        Vupklsw,
        Vcmpnezb,
        Vcmpnezw,
        Vclzlsbb,
        Vctzlsbb,
        Vadduqm,
        Vsubuqm,
        Vabsdub,
        Vabsduw,
        Vnegw,
        Xxbrd,
        Xxbrw,
        Xxbrq,
        Vperm,
        Vpermr,
        Vcmpequb,
        Vcmpgtsw,
        Vsldoi,
        Vsel,
        Xxpermdi,
        Xxspltw,
        Xxextractuw,
        Vadduwm,
        Vbpermq,
        Vgbbd,
        Vslb,
        Vsrb,
        Vsrab,
        Vrlb,
        Vmuleub,
        Vmuloub,
        Vmulesb,
        Vmulosb,
        Vmuleuh,
        Vmulouh,
        Vmulesh,
        Vmulosh,
        Vpkuhum,
        Vpkuwum,
        Vmladduhm,
        Vsl,
        Vsr,
        Vslo,
        Vsro,
        Vmsumubm,
        Vmsummbm,
        Vmsumshm,
        Vmsumuhm,
        Vslh,
        Vsrh,
        Vsrah,
        Vpopcntd,
        Vclzd,
        Vctzd,
        Vaddsbs,
        Vaddubs,
        Vaddshs,
        Vadduhs,
        Vsubsbs,
        Vsububs,
        Vsubshs,
        Vsubuhs,
        Vpkshss,
        Vpkshus,
        Vpkuhus,
        Vpkswss,
        Vpkswus,
        Vpkuwus,
    ];
    common(&ops, 82, VSRS);
    programs_of(&ops, 83, VSRS, true);
}

/// One operation at a time on numbers about those where it begins to saturate, and whether it did.
#[test]
fn saturation_begins_where_it_should() {
    use isa::Op::*;
    let ops = [
        Vaddsbs, Vaddubs, Vaddshs, Vadduhs, Vsubsbs, Vsububs, Vsubshs, Vsubuhs, Vpkshss, Vpkshus, Vpkuhus,
        Vpkswss, Vpkswus, Vpkuwus,
    ];
    let mut r = Rng(89);
    let mut p = Pair::new("power9", true);
    for op in ops {
        for _ in 0..count() {
            let e = op.row().unwrap().enc;
            // v2 = v0 op v1; mfvscr v3
            let code = [e.value | 2 << 21 | 1 << 11, 4 << 26 | 3 << 21 | 1540, SC1];
            let narrow = if matches!(op, Vpkswss | Vpkswus | Vpkuwus) { 16 } else { 8 };
            // Most elements do not saturate.
            let mut element = || match r.below(24) {
                0 => 1 << (narrow - 1),
                1 => 1 << narrow,
                2 => (1u32 << (narrow - 1)).wrapping_neg() - 1,
                3 => r.next() as u32,
                4..8 => (1 << narrow) - 1,
                8..12 => (1u32 << (narrow - 1)).wrapping_neg(),
                12..16 => (1 << (narrow - 1)) - 1,
                _ => 0,
            };
            let mut vector = || {
                (0..128 / (2 * narrow)).fold(0, |v, _| {
                    let ones = (1u128 << (2 * narrow)) - 1;
                    v << (2 * narrow) | u128::from(element()) & ones
                })
            };
            let (x, y) = (vector(), vector());
            p.both(|c| {
                (c.st.vsr[32], c.st.vsr[33], c.st.vscr) = (x, y, 0);
                c.set_msr(c.st.msr | msr::VEC | msr::SF | msr::LE);
            });
            p.load(0x1_0000, &code);
            let d = p.run(100).unwrap();
            assert!(d.is_empty(), "{op:?} {x:#034x} {y:#034x}: {}", d.join("\n"));
        }
    }
}

/// What the second tier does with vectors, going round, with scalars in the same registers.
#[test]
fn vectors_in_loops() {
    use isa::Op::*;
    let ops = [
        Vbpermq, Vgbbd, Vslb, Vsrb, Vsrab, Vrlb, Vmuleub, Vmuloub, Vmulesb, Vmulosb, Vmuleuh, Vmulouh,
        Vmulesh, Vmulosh, Vmladduhm, Vsl, Vsr, Vslo, Vsro, Vmsumubm, Vmsummbm, Vmsumshm, Vmsumuhm, Vsrh,
        Vsrah, Vpopcntd, Vclzd, Vctzd, Vaddsbs, Vaddubs, Vaddshs, Vadduhs, Vsubsbs, Vsububs, Vsubshs,
        Vsubuhs, Vpkshss, Vpkshus, Vpkuhus, Vpkswss, Vpkswus, Vpkuwus, Vadduwm, Vaddubm, Vadduhm, Vaddudm,
        Vsububm, Vsubuhm, Vsubuwm, Vsubudm, Vcmpequb, Vcmpequh, Vcmpequw, Vcmpequd, Vcmpgtub, Vcmpgtuh,
        Vcmpgtuw, Vcmpgtud, Vcmpgtsb, Vcmpgtsh, Vcmpgtsw, Vcmpgtsd, Vcmpneb, Vcmpnezb, Vcmpnezh, Vcmpnezw,
        Vmaxub, Vmaxsh, Vmaxuw, Vminsb, Vminuh, Vminsw, Vavgub, Vavguh, Vabsdub, Vabsduh, Vabsduw, Vmuluwm,
        Vmrghb, Vmrghh, Vmrghw, Vmrglb, Vmrglh, Vmrglw, Vmrgew, Vmrgow, Vpkuhum, Vpkuwum, Vpkudum, Vspltb,
        Vsplth, Vspltw, Vspltisb, Vspltish, Vspltisw, Vsldoi, Vperm, Vpermr, Vsel, Vshasigmaw, Vshasigmad,
        Xxland, Xxlor, Xxlxor, Xxlandc, Xxlorc, Xxlnand, Xxlnor, Xxleqv, Xxsel, Xxpermdi, Xxspltw, Xxmrghw,
        Xxmrglw, Vnegw, Vnegd, Vextsb2w, Vextsh2w, Vupkhsb, Vupkhsh, Vupkhsw, Vupklsb, Vupklsh, Vupklsw,
        Vclzlsbb, Vctzlsbb, Xxbrh, Xxbrw, Xxbrd, Xxbrq, Lvsl, Lvsr, Mfvsrd, Mtvsrd, Mtvsrdd, Xsadddp,
        Xvadddp, Xvmuldp, Xvmaddadp, Xvnmsubmdp, Vsrw, Vslh, Vrlw, Vrld, Vslo, Vsro,
    ];
    let plain = &ops[..ops.len() - 13];
    for n in 0..4 {
        // Few operations at a time, so that they are all done and something stays from turn to turn.
        let some: Vec<Op> = (0..8).map(|k| plain[(17 * k + 5 * n) % plain.len()]).collect();
        programs_of(&some, 84 + n as u64, VSRS, true);
    }
    programs_of(&ops, 88, VSRS, true);
}

/// Accesses off few registers near the ends of pages, with comparisons and branches between them: what the
/// translator keeps from one instruction for later ones.
#[test]
fn accesses_off_one_register() {
    use isa::Op::*;
    let between =
        [Cmpi, Cmp, Cmpli, Cmpl, Add, Subf, Divw, Divd, Mtcrf, Mfcr, Isel, Crand, Mcrf, Addic, Andi, Bc];
    for le in [false, true] {
        let mut r = Rng(91 + le as u64);
        let mut p = Pair::new("power9", le);
        for n in 0..4 * count() {
            let at = 0x1_0000 + if r.chance(4) { 0x1000 - 4 * r.below(24) } else { 0 };
            let d_form = [32u32, 33, 34, 36, 37, 38, 40, 42, 44, 48, 50, 52, 54, 58, 58, 62, 62, 62];
            let mut code = Vec::new();
            for _ in 0..6 + r.below(30) {
                let (base, rt) = (3 + r.below(2) as u32, 3 + r.below(8) as u32);
                let disp = (r.below(64) as i32 * 8 - 128) as u32 & 0xffff;
                let w = match r.below(8) {
                    0 => 14 << 26 | base << 21 | base << 16 | (r.below(64) as i32 - 32) as u32 & 0xffff,
                    1 | 2 => {
                        let e = between[r.below(between.len() as u64) as usize].row().unwrap().enc;
                        let w = e.value | r.next() as u32 & !e.mask;
                        // Few registers; branches go a little forward.
                        let w = w & !(0b11000_11000_11000 << 11) & !e.mask | e.value;
                        if w >> 26 == 16 { w & !0xffff | 8 } else { w }
                    }
                    _ => {
                        let op = d_form[r.below(d_form.len() as u64) as usize];
                        let low = if op >= 58 { r.below(2) as u32 } else { r.below(4) as u32 };
                        op << 26 | rt << 21 | base << 16 | disp & !7 | low
                    }
                };
                code.push(w);
            }
            code.extend([SC1; 4]);
            let seed = r.next();
            p.both(|c| {
                let mut r = Rng(seed);
                c.sh.ram.fill(0, pair::SIZE, 0).unwrap();
                let data: Vec<u8> = (0..0x600).flat_map(|_| r.next().to_le_bytes()).collect();
                c.sh.ram.write(0x4_0000, &data).unwrap();
                let (level, pvr) = (c.st.level, c.st.pvr);
                c.st = CpuState::new(level, pvr, 0);
                c.tlb.flush();
                c.retired = 0;
                randomize(&mut c.st, &mut r, at);
                for n in 3..11 {
                    let edge = [0x4_1000, 0x4_2000, 0x4_1800, pair::SIZE][r.below(4) as usize];
                    c.st.gpr[n] = edge - 256 + r.below(512);
                }
                let le = if le { msr::LE } else { 0 };
                c.set_msr(msr::SF | msr::ME | msr::FP | le);
                for v in (0x100..0x1000).step_by(0x20) {
                    pair::word(c, v, SC1, le != 0);
                }
            });
            p.load(at, &code);
            if let Some(d) = p.run(2000) {
                assert!(d.is_empty(), "{n}, le {le}, at {at:#x}: {code:08x?}\n{}", d.join("\n"));
            }
        }
    }
}
