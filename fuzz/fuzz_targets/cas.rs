//! The reader of architecture vectors on arbitrary bytes.
#![no_main]

use firmware::cas::CasVectors;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(vectors) = CasVectors::parse(data) {
        assert!(vectors.size <= data.len());
        // Nothing after the structure counts.
        assert_eq!(CasVectors::parse(&data[..vectors.size]).as_ref(), Ok(&vectors));
        for number in 0..=vectors.vectors.len() + 1 {
            if let Some(v) = vectors.vector(number) {
                let _ = (v.word(usize::MAX - 8), v.bit(300, 9), v.cessation());
            }
        }
        let _ = (vectors.max_cpus(), vectors.min_rma_mib(), vectors.max_pft_size(), vectors.vec5(26));
    }
});
