//! Interpreter speed on an integer loop: prints millions of guest instructions a second.

#[path = "../tests/flat/mod.rs"]
mod flat;

use std::time::Instant;

fn main() {
    // xorshift with a table load and a store, 12 instructions a turn.
    // li r3,0x4000; li r4,1; lis r5,400; mtctr r5
    // 1: sldi r6,r4,13; xor r4,r4,r6; srdi r6,r4,7; xor r4,r4,r6; sldi r6,r4,17; xor r4,r4,r6
    //    rlwinm r7,r4,3,18,28; ldx r8,r3,r7; add r8,r8,r4; stdx r8,r3,r7; cmpld r8,r4; bdnz 1b; sc 1
    let code = [
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
        0x44000022,
    ];
    let mut f = flat::Flat::new("power9", &code);
    let t = Instant::now();
    while f.interp.run(&mut f.cpu, 1_000_000_000) != arch::Exit::Stop {}
    let s = t.elapsed().as_secs_f64();
    println!(
        "{:.1} million guest instructions a second ({} in {s:.2} s)",
        f.cpu.retired as f64 / s / 1e6,
        f.cpu.retired
    );
}
