use super::*;
use crate::testing::{TestPlatform, config};

#[test]
fn every_row_is_found_by_its_number() {
    for (n, row) in TABLE.iter().enumerate() {
        assert_eq!(find(row.number), Some(n), "{}", row.name);
        assert!(row.name.starts_with("H_") && row.args <= 9);
    }
    for number in [0, 1, 2, 0x5, 0x480, 0xefff, 0xf100, u64::MAX] {
        assert_eq!(find(number), None);
    }
}

#[test]
fn unknown_calls_and_problem_state() {
    let p = TestPlatform::new(config("power9"));
    let mut cpu = p.cpu(0);
    assert_eq!(p.hcall(&mut cpu, 0xf080, &[]), -2);
    assert_eq!(p.hcall(&mut cpu, 0xf080, &[]), -2);
    assert_eq!(p.hcall(&mut cpu, 0x58, &[0, 2, 0x6869_0000_0000_0000, 0]), 0);
    assert_eq!(*p.console.0.lock().unwrap(), b"hi");
    let counts = p.papr.hcall_counts();
    assert_eq!(
        counts.iter().map(|c| (c.number, c.name, c.count)).collect::<Vec<_>>(),
        [(0x58, Some("H_PUT_TERM_CHAR"), 1), (0xf080, None, 2)]
    );
    cpu.set_msr(msr::SF | msr::PR);
    assert_eq!(p.hcall(&mut cpu, 0x58, &[0, 1, 0, 0]), -3);
}
