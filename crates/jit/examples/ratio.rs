//! Speed of the translator, with and without its second tier, against the interpreter on small programs.

#[path = "../tests/pair/mod.rs"]
mod pair;

use std::time::Instant;

use arch::{Exit, msr};
use jit::{Jit, Options, Tier2Options};
use pair::{Pair, SC1};

fn programs() -> Vec<(&'static str, Vec<u32>)> {
    vec![
        (
            "xorshift with a table",
            // li r3,0x4000; li r4,1; lis r5,400; mtctr r5
            // 1: sldi r6,r4,13; xor r4,r4,r6; srdi r6,r4,7; xor; sldi r6,r4,17; xor; rlwinm r7,r4,3,18,28
            //    ldx r8,r3,r7; add r8,r8,r4; stdx r8,r3,r7; cmpld cr0,r8,r4; bdnz 1b
            vec![
                0x38604000,
                0x38800001,
                0x3ca00190,
                0x7ca903a6,
                0x788668e4,
                0x7c843278,
                0x7886c9c2,
                0x7c843278,
                0x78868ce4 & !2,
                0x7c843278,
                0x54871cb8,
                0x7d03382a,
                0x7d082214,
                0x7d03392a,
                0x7c282040 | 0x200000,
                0x4200ffd4,
                SC1,
            ],
        ),
        (
            "integer only",
            // lis r5,800; mtctr r5; 1: addi r3,r3,3; mulli r4,r3,7; xor r6,r4,r3; rlwinm r7,r6,5,0,31; subf r3,r7,r6;
            // cmpwi r3,0; bge 2f; neg r3,r3; 2: bdnz 1b
            vec![
                0x3ca00320, 0x7ca903a6, 0x38630003, 0x1c830007, 0x7c861a78, 0x54c7283e, 0x7c673050,
                0x2c030000, 0x40800008, 0x7c6300d0, 0x4200ffe0, SC1,
            ],
        ),
        (
            "calls",
            // lis r5,400; mtctr r5; 1: bl 3f; bdnz 1b; sc 1; 3: mflr r0; std r0,16(r1); stdu r1,-32(r1); addi r3,r3,1;
            // ld r0,48(r1); addi r1,r1,32; mtlr r0; blr
            vec![
                0x3ca00190, 0x7ca903a6, 0x4800000d, 0x4200fffc, SC1, 0x7c0802a6, 0xf8010010, 0xf821ffe1,
                0x38630001, 0xe8010030, 0x38210020, 0x7c0803a6, 0x4e800020,
            ],
        ),
        (
            "indirect calls",
            // lis r5,400; 1: mtctr r6 (target); bctrl; addi r5,r5,-1; cmpdi r5,0; bne 1b; sc 1;  target: addi r3,r3,1; blr
            vec![
                0x3ca00190, 0x7cc903a6, 0x4e800421, 0x38a5ffff, 0x2c250000, 0x4082fff0, SC1, 0x38630001,
                0x4e800020,
            ],
        ),
        (
            "doubles",
            // lis r5,200; mtctr r5; 1: fmadd f1,f2,f3,f1; fadd f4,f4,f2; fmul f5,f4,f3; bdnz 1b; sc 1
            vec![0x3ca000c8, 0x7ca903a6, 0xfc2208fa, 0xfc84102a, 0xfca400f2, 0x4200fff4, SC1],
        ),
        (
            "vectors",
            // lis r5,200; mtctr r5; li r4,0x4000; 1: lvx v0,0,r4; vaddubm v1,v1,v0; vxor v2,v1,v0; vperm v3,v1,v2,v0;
            // stvx v3,0,r4; bdnz 1b; sc 1
            vec![
                0x3ca000c8, 0x7ca903a6, 0x38804000, 0x7c0020ce, 0x10210000, 0x104104c4, 0x1061102b,
                0x7c6021ce, 0x4200ffec, SC1,
            ],
        ),
    ]
}

/// A pair with the program loaded.
fn pair(code: &[u32], o: Options) -> Pair {
    let mut p = Pair::new("power9", false);
    p.jit = Jit::new(&o).unwrap();
    p.load(0x1000, code);
    p.both(|c| {
        c.set_msr(c.st.msr | msr::FP | msr::VEC | msr::VSX);
        c.st.gpr[1] = 0x8000;
        c.st.gpr[6] = 0x101c;
        c.st.vsr[2] = (1.25f64.to_bits() as u128) << 64;
        c.st.vsr[3] = (0.75f64.to_bits() as u128) << 64;
    });
    p
}

fn main() {
    println!(
        "{:24} {:>10} {:>10} {:>10} {:>8} {:>8}",
        "program", "interp M/s", "tier 1 M/s", "tier 2 M/s", "1/interp", "2/1"
    );
    for (name, code) in programs() {
        let tier2 = |threshold| Tier2Options { threshold, ..Tier2Options::default() };
        let mut p = pair(&code, Options { tier2: tier2(0), ..Options::default() });
        let mut q = pair(&code, Options { tier2: tier2(100_000), ..Options::default() });
        let t = Instant::now();
        while p.interp.run(&mut p.a, 1_000_000_000) != Exit::Stop {}
        let x = t.elapsed().as_secs_f64();
        let t = Instant::now();
        while p.jit.run(&mut p.b, 1_000_000_000) != Exit::Stop {}
        let y = t.elapsed().as_secs_f64();
        let t = Instant::now();
        while q.jit.run(&mut q.b, 1_000_000_000) != Exit::Stop {}
        let z = t.elapsed().as_secs_f64();
        for b in [&p.b, &q.b] {
            let d = pair::differences(&p.a, b);
            assert!(d.is_empty(), "{name}: {d:?}");
        }
        let n = p.a.retired as f64 / 1e6;
        println!("{name:24} {:10.0} {:10.0} {:10.0} {:8.2} {:8.2}", n / x, n / y, n / z, x / y, y / z);
        if std::env::args().any(|a| a == "-v") {
            println!("{:?}", q.jit.stats());
        }
    }
}
