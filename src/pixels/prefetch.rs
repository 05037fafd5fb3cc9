// SPDX-License-Identifier: MPL-2.0
//! Memory that will be wanted soon.

/// Asks for `bytes`: frames come from another element, mostly another core, and what follows a row in memory is not the next row
/// of the face.
#[inline(always)]
pub fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    // 64 bytes are what the processor moves at once.
    for line in bytes.chunks(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

/// Asks for `bytes` that will be written as well, so that no other core keeps them until then.
#[inline(always)]
pub fn prefetch_to_write(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64) {
        // SAFETY: a hint, whatever the address; and nothing at all to processors that do not know it.
        unsafe {
            std::arch::asm!("prefetchw [{}]", in(reg) line.as_ptr(), options(nostack, preserves_flags, readonly))
        };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
