//! Giving memory of our own back to the host.

use crate::tlb::TlbEntry;

/// Largest page size of hosts.
const PAGE: usize = 1 << 16;

/// Set entries to zero; most of their memory goes back to the host, which makes it anew when it is touched.
pub(crate) fn zero(entries: &mut [TlbEntry]) {
    const ZERO: TlbEntry = TlbEntry { tag: 0, addend: 0 };
    let skip = entries.as_ptr().align_offset(PAGE).min(entries.len());
    let (head, rest) = entries.split_at_mut(skip);
    let whole = size_of_val(rest) / PAGE * PAGE / size_of::<TlbEntry>();
    let (pages, tail) = rest.split_at_mut(whole);
    head.fill(ZERO);
    tail.fill(ZERO);
    // SAFETY: whole pages inside a slice that we hold alone, of private memory without a file (the allocator's), which
    // reads as zeroes from here on; a zeroed entry is a value of the type.
    let done = unsafe {
        pages.is_empty()
            || libc::madvise(pages.as_mut_ptr().cast(), size_of_val(pages), libc::MADV_DONTNEED) == 0
    };
    // What the host refuses, or does by halves, is done by hand.
    if !done || pages.first().is_some_and(|e| (e.tag, e.addend) != (0, 0)) {
        pages.fill(ZERO);
    }
}

/// Give memory that was freed back to the host, where the C library can be asked for that.
pub fn give_back() {
    // SAFETY: a plain call that only touches what was freed.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
